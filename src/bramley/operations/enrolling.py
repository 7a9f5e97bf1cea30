"""How devices come in: links for people, and the signed enrollment profile behind each."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bramley.model import ids
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentLink, EnrollmentState, Purpose
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.operations import enrollment_profiles, outside_identities, records
from bramley.operations.enrollment_profiles import Recipient
from bramley.operations.errors import Invalid, LinkUnusable, NotFound, NotReady
from bramley.operations.installation import Installation
from bramley.operations.live import Live, Snapshot
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class CreatedLink:
    """A new link; its URL is shown once, since only a hash of the secret part is kept."""

    link: EnrollmentLink
    url: str = field(repr=False)


async def create_link(
    installation: Installation,
    *,
    label: str,
    uses: int,
    expires_in: timedelta,
    udid: str | None = None,
    topic: str | None = None,
    actor: str,
) -> CreatedLink:
    """A link for `uses` devices. With `udid` only that device may use it, even to take its own active enrollment's place.

    With `topic` they enroll under that push topic, where there are several; NotFound for one without a push certificate.
    """
    if uses < 1 or (udid is not None and uses != 1):
        raise Invalid("A link is for at least one device, and a link for one UDID is for exactly one.")
    if expires_in <= timedelta(0):
        raise Invalid("A link must expire in the future.")
    now = installation.clock.now()
    token = secrets.token_urlsafe(24)
    link = EnrollmentLink(ids.fresh(now), link_digest(token), label, now, now + expires_in, uses, udid=udid, topic=topic)

    def add(tx: Tx) -> None:
        if topic is not None and records.active(tx, Kind.PUSH, topic) is None:
            raise NotFound(f"There is no push certificate of {topic}.", advice="`bramley push status` shows every topic.")
        tx.links.add(link)
        detail = {"link": link.id, "label": label, "uses": uses, "udid": udid, "topic": topic}
        tx.events.append(Event(now, EventKind.LINK_CREATED, actor, detail=detail))

    await installation.store.run(add)
    return CreatedLink(link, f"{installation.url}/enroll/{token}")


async def profile_for_link(live: Live, token: str) -> bytes:
    """The signed enrollment profile for whoever holds the link, with a fresh challenge for a fresh enrollment.

    NotFound for an unknown link, LinkUnusable for an expired or used-up one, NotReady without a push certificate.
    """
    installation, snapshot = live.installation, live.current()
    now = installation.clock.now()
    key = EnrollmentKey(ids.fresh(now))

    def find(tx: Tx) -> EnrollmentLink:
        link = tx.links.by_hash(link_digest(token))
        if link is None:
            raise NotFound("There is no such enrollment link.", advice="Ask whoever sent it for a new one.")
        require_usable(link, now)
        return link

    # Whoever guesses does not get as far as the one writer.
    named = (await installation.store.read(find)).topic
    topic = topic_to_enroll_under(snapshot, named)
    invariants = outside_identities.INVARIANTS if installation.settings.scep.is_bypassed else ""
    recipient = Recipient(key, Purpose.ENROLL, topic, invariants)
    life = timedelta(hours=installation.settings.scep.challenge_hours)
    delivery = await enrollment_profiles.prepare(installation, snapshot, recipient, life, now)

    def begin(tx: Tx) -> bytes:
        link = find(tx)
        begun = Enrollment(key, EnrollmentState.PENDING, now, now, link_id=link.id, topic=topic, invariants=invariants)
        tx.enrollments.add(begun)
        tx.events.append(Event(now, EventKind.PROFILE_FETCHED, "device:", key, detail={"link": link.id}))
        return delivery.record(tx)

    return await installation.store.run(begin)


def require_usable(link: EnrollmentLink, now: datetime) -> None:
    """LinkUnusable where the link has expired or has no use left."""
    if now > link.expires_at:
        raise LinkUnusable(f"This enrollment link expired on {link.expires_at:%Y-%m-%d %H:%M} UTC.", advice="Ask for a new one.")
    if link.uses >= link.uses_allowed:
        raise LinkUnusable("This enrollment link is used up.", advice="Ask for a new one.")


def topic_to_enroll_under(snapshot: Snapshot, named: str | None = None) -> str:
    """The topic named; without one, of several topics the one whose push certificate lasts longest. NotReady for none."""
    if named is not None and named not in snapshot.pushes:
        raise NotReady(f"No device can enroll under {named}: its push certificate is not in force.")
    if named is not None:
        return named
    if not snapshot.pushes:
        raise NotReady(
            "No device can enroll: there is no push certificate yet.", advice="`bramley push start` shows the ways to one."
        )
    return max(snapshot.pushes.values(), key=lambda push: push.certificate.not_valid_after_utc).topic


def link_digest(token: str) -> str:
    """What is kept of a link's secret part, and what names the link wherever the secret must not stand."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
