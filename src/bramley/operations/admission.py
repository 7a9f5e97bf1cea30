"""Letting in first requests that bring no challenge of ours: by a static challenge, or because a webhook says so.

What is let in gets a pending enrollment of its own, under a link that serves it alone and names no device: so it never takes
the place of an active enrollment (docs/decisions/0010-an-active-udid-is-not-taken.md). Both are off unless they are set.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bramley.model import ids
from bramley.model.enrollments import Challenge, Enrollment, EnrollmentKey, EnrollmentLink, EnrollmentState, Purpose
from bramley.model.events import Event, EventKind
from bramley.operations import approvals, challenge_webhook, enrolling, issuing
from bramley.operations.installation import Installation
from bramley.pki import certificates
from bramley.pki.scep import challenge as challenges
from bramley.pki.scep.messages import MessageType, Request
from bramley.storage.protocols import Tx

_LIFE: Final = timedelta(hours=1)
"""Of what is made for a request that is answered in the same moment."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """By what a request was let in, and the label of the link that is made for it."""

    by: str
    label: str


async def admit(installation: Installation, request: Request) -> Admitted | None:
    """Whether a request is let in; None where there is no need to, or nothing that could.

    The webhook is asked outside of any transaction, and only of first requests that are known in no way. Raises
    NotEntitled where it does not let it in.
    """
    scep = installation.settings.scep
    if not (scep.static_challenge or scep.webhook_url) or not await installation.store.read(lambda tx: _unknown(tx, request)):
        return None
    if scep.static_challenge and request.challenge and _same(request.challenge, scep.static_challenge):
        return Admitted("static-challenge", "static challenge")
    if scep.webhook_url:
        return Admitted("webhook", await challenge_webhook.ask(scep, request, installation.clock.now()) or "webhook")
    return None


def begin(tx: Tx, request: Request, admitted: Admitted, now: datetime) -> Challenge:
    """A fresh enrollment, with a challenge for this very message that nobody else can bring."""
    key, end = EnrollmentKey(ids.fresh(now)), now + _LIFE
    token = enrolling.link_digest(secrets.token_urlsafe(24))  # of a URL that nobody is given
    link = EnrollmentLink(ids.fresh(now), token, admitted.label, now, end, 1)
    challenge = Challenge(ids.fresh(now), issuing.made_for(request), key, Purpose.ENROLL, now, end)
    tx.links.add(link)
    tx.enrollments.add(Enrollment(key, EnrollmentState.PENDING, now, now, link_id=link.id))
    tx.challenges.add(challenge)
    detail = {"by": admitted.by, "label": admitted.label, "transaction": request.transaction_id}
    tx.events.append(Event(now, EventKind.SCEP_ADMITTED, "device:", key, detail=detail))
    return challenge


def is_first(tx: Tx, request: Request) -> bool:
    """Whether it claims to be nobody we know: no renewal, and not signed by an identity of ours."""
    known = tx.enrollments.binding(certificates.sha256(request.signer_certificate))
    return request.message_type is MessageType.PKCSReq and known is None


def _unknown(tx: Tx, request: Request) -> bool:
    return is_first(tx, request) and issuing.challenge_of(tx, request) is None and approvals.of(tx, request) is None


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(challenges.digest(given), challenges.digest(expected))
