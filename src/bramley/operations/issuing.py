"""Issuing device identities: who may have one over SCEP, and how any is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from cryptography import x509

from bramley.errors import BramleyError
from bramley.lifecycle import states
from bramley.mdm.binding import renewable_after_end
from bramley.model.enrollments import (
    Binding,
    Challenge,
    Enrollment,
    EnrollmentKey,
    EnrollmentState,
    IdentityRoute,
    Purpose,
    weakness,
)
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version, VersionID, VersionState
from bramley.operations import issuers, records
from bramley.operations.installation import Installation
from bramley.operations.live import Snapshot
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import issue
from bramley.pki.scep import challenge as challenges
from bramley.pki.scep.messages import FailInfo, MessageType, Request
from bramley.storage.protocols import Tx

RESEND_WINDOW = timedelta(minutes=10)
"""How long the very same message, sent again because its answer was lost, is answered with the same certificate."""


FAIL_INFO: Final[Mapping[str, FailInfo]] = MappingProxyType(
    {
        "challenge-unknown": FailInfo.badRequest,
        "challenge-spent": FailInfo.badRequest,
        "challenge-expired": FailInfo.badRequest,
        "challenge-of-another": FailInfo.badRequest,
        "enrollment-ended": FailInfo.badRequest,
        "link-expired": FailInfo.badRequest,
        "link-used-up": FailInfo.badRequest,
        "webhook-refused": FailInfo.badRequest,
        "request-denied": FailInfo.badRequest,
        "outside-ca": FailInfo.badRequest,
        "certificate-known": FailInfo.badRequest,
        "renewal-by-unknown-identity": FailInfo.badCertId,
        "signer-not-live": FailInfo.badCertId,
        "signer-superseded": FailInfo.badCertId,
        "signer-expired": FailInfo.badTime,
        "poll-unknown": FailInfo.badCertId,
        "asker-not-live": FailInfo.badCertId,
        "certificate-not-found": FailInfo.badCertId,
        "crl-not-found": FailInfo.badCertId,
    }
)
"""Why a request that opens is refused, and the failInfo (RFC 8894 section 3.2.1.4.3) by which its client hears of it."""


class NotEntitled(BramleyError):
    """A request that proves no right to what it asks. The client hears `fail_info`, and nothing more unless there is a `text`."""

    def __init__(self, reason: str, message: str, *, text: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.fail_info = FAIL_INFO[reason]
        self.text = text


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to one identity: for which enrollment, why, and the challenge to be spent on it.

    `again` is what was issued before for the same message.
    """

    enrollment: Enrollment
    purpose: Purpose
    challenge: Challenge | None
    again: Version | None = None


@dataclass(frozen=True, slots=True)
class Outside:
    """A certificate that an outside CA has issued, and by which route it came."""

    certificate: x509.Certificate
    issuer: VersionID
    route: IdentityRoute


def issue_identity(
    tx: Tx,
    installation: Installation,
    snapshot: Snapshot,
    request: Request,
    grant: Grant,
    now: datetime,
    *,
    outside: Outside | None = None,
) -> Version:
    """Certificate made, recorded and bound, challenge spent, link used. NotEntitled where another request was faster.

    With `outside` the certificate was made elsewhere, and the rest is the same.
    """
    actor, named = f"device:{grant.enrollment.id or ''}", request.transaction_id
    if outside is not None:
        version = adopt(tx, installation, outside, grant.enrollment, grant.purpose, transaction_id=named, now=now, actor=actor)
    else:
        key = request.csr.public_key
        version = certify(
            tx,
            installation,
            snapshot,
            key,
            grant.enrollment,
            grant.purpose,
            transaction_id=named,
            now=now,
            actor=actor,
        )
    if grant.challenge is not None:
        spent = tx.challenges.spend(grant.challenge.id, now, message_sha256=request.message_sha256, version_id=version.id)
        if not spent:
            raise NotEntitled("challenge-spent", "The challenge was spent by another request at the same moment.")
        use_link(tx, grant)
    return version


def certify(
    tx: Tx,
    installation: Installation,
    snapshot: Snapshot,
    public_key: keys.PublicKey,
    enrollment: Enrollment,
    purpose: Purpose,
    *,
    transaction_id: str = "",
    now: datetime,
    actor: str,
    route: IdentityRoute = IdentityRoute.SCEP,
) -> Version:
    """An identity for the enrollment: certificate made, recorded and bound. Who may have it was decided before."""
    settings = installation.settings
    held = snapshot.authorities.identity
    certificate = issue(
        held.authority,
        profiles.DEVICE_IDENTITY,
        public_key,
        # The profile decides everything but the key: what the device would like to be called is not asked.
        subject=names.make(enrollment.key, organization=settings.organization),
        now=now,
        lifetime=timedelta(days=settings.identity.lifetime_days),
        status=issuers.status_urls(tx, installation.url, held.version),
    )
    made = Outside(certificate, held.version, route)
    return adopt(tx, installation, made, enrollment, purpose, transaction_id=transaction_id, now=now, actor=actor)


def adopt(
    tx: Tx,
    installation: Installation,
    made: Outside,
    enrollment: Enrollment,
    purpose: Purpose,
    *,
    transaction_id: str = "",
    now: datetime,
    actor: str,
) -> Version:
    """A certificate recorded and bound as the enrollment's identity. NotEntitled where it is on record already.

    A route with a weakness is the lineage's at once, another one with the first use: until then a weaker one is in force.
    """
    settings, sha256 = installation.settings, certificates.sha256(made.certificate)
    if tx.lineages.by_sha256(sha256) is not None:
        raise NotEntitled("certificate-known", f"The certificate {sha256} is on record already.")
    policy = Policy(timedelta(days=settings.identity.lifetime_days), settings.identity.renew_at, settings.identity.jitter)
    lineage = records.lineage(tx, Kind.DEVICE_IDENTITY, enrollment.key, policy, now=now, route=made.route)
    if weakness(made.route):
        records.reroute(tx, lineage.id, made.route)
    version = records.record(
        tx,
        lineage,
        made.certificate,
        state=VersionState.ISSUED,
        now=now,
        actor=actor,
        issuer=made.issuer,
        enrollment=enrollment.key,
        detail={"purpose": purpose, "route": made.route, **({"transaction": transaction_id} if transaction_id else {})},
    )
    tx.enrollments.bind(Binding(sha256, enrollment.key, purpose, version.id, now))
    return version


def use_link(tx: Tx, grant: Grant) -> None:
    """Counts one use of the link behind a first enrollment. NotEntitled where none is left."""
    link = grant.enrollment.link_id
    if grant.purpose is Purpose.ENROLL and link is not None and not tx.links.use(link):
        raise NotEntitled("link-used-up", "The enrollment link behind this challenge is used up.")


def challenge_of(tx: Tx, request: Request) -> Challenge | None:
    """The one-time challenge of ours behind a request: the one that it brings, else the one made when it was let in without."""
    found = tx.challenges.by_hash(challenges.digest(request.challenge)) if request.challenge else None
    return found or tx.challenges.by_hash(made_for(request))


def made_for(request: Request) -> str:
    """The digest under which a challenge is kept that was made for this very message, and that nobody was ever given."""
    return challenges.digest(f"let in: {request.message_sha256}")


def entitle(tx: Tx, request: Request, challenge: Challenge | None, now: datetime, *, after_end: timedelta | None = None) -> Grant:
    """Who may have what, or NotEntitled. `challenge` is the request's, as `challenge_of` finds it.

    A message signed by a live identity of ours renews it, whatever its type says: Apple's clients renew with PKCSReq. A
    superseded one needs a challenge as well, since the device has its successor by now. Any other signer needs an unspent
    challenge; a RenewalReq that is not signed by a live identity is refused even with one. An identity that ended at most
    `after_end` ago needs a challenge that was made for its renewal.
    """
    binding = tx.enrollments.binding(certificates.sha256(request.signer_certificate))
    if binding is not None:
        return _renewal(tx, binding, challenge, now, after_end)
    if request.message_type is MessageType.RenewalReq:
        raise NotEntitled("renewal-by-unknown-identity", "A RenewalReq was signed by a certificate that is no identity of ours.")
    if challenge is None:
        raise NotEntitled("challenge-unknown", "The challenge in the request is missing or was never given out.")
    if challenge.spent_at is not None:
        return _again(tx, request, challenge, now)
    if now > challenge.expires_at:
        raise NotEntitled("challenge-expired", f"The challenge expired at {challenge.expires_at:%Y-%m-%d %H:%M} UTC.")
    return Grant(_enrollment(tx, challenge.enrollment_key, challenge.purpose, now), challenge.purpose, challenge)


def _renewal(tx: Tx, binding: Binding, challenge: Challenge | None, now: datetime, after_end: timedelta | None) -> Grant:
    version = tx.lineages.version(binding.version_id)
    if version is None or version.state not in states.LIVE:
        state = "unknown" if version is None else version.state
        raise NotEntitled("signer-not-live", f"The request is signed by an identity that is {state}.")
    if challenge is not None:
        if challenge.enrollment_key != binding.enrollment_key:
            raise NotEntitled("challenge-of-another", "The challenge belongs to another enrollment than the signing identity.")
        if challenge.spent_at is not None or now > challenge.expires_at:
            challenge = None  # a device that renews by itself sends the challenge of its enrollment along; its signature counts
    asked_to_renew = challenge is not None and challenge.purpose is Purpose.RENEW
    if version.expired(now) and not (asked_to_renew and _may_still_renew(version, now, after_end)):
        raise NotEntitled("signer-expired", "The request is signed by an identity that has expired.")
    if challenge is None and version.state is VersionState.SUPERSEDED:
        raise NotEntitled("signer-superseded", "A superseded identity renews nothing without a challenge.")
    enrollment = _enrollment(tx, binding.enrollment_key, Purpose.RENEW, now)
    if version.expired(now) and enrollment.state is not EnrollmentState.ACTIVE:
        raise NotEntitled("signer-expired", "The request is signed by an expired identity of a device that is not active.")
    return Grant(enrollment, Purpose.RENEW, challenge)


def _may_still_renew(version: Version, now: datetime, after_end: timedelta | None) -> bool:
    return version.not_after is not None and renewable_after_end(version.state, version.not_after, now, within=after_end)


def _again(tx: Tx, request: Request, challenge: Challenge, now: datetime) -> Grant:
    spent_at, version_id = challenge.spent_at, challenge.version_id
    same = challenge.spent_on == request.message_sha256
    if not same or spent_at is None or version_id is None or now - spent_at > RESEND_WINDOW:
        raise NotEntitled("challenge-spent", "The challenge has been spent.")
    version = tx.lineages.version(version_id)
    if version is None or version.state not in states.LIVE:
        raise NotEntitled("challenge-spent", "The challenge was spent on an identity that is no longer live.")
    return Grant(_enrollment(tx, challenge.enrollment_key, challenge.purpose, now), challenge.purpose, challenge, version)


def _enrollment(tx: Tx, key: EnrollmentKey, purpose: Purpose, now: datetime) -> Enrollment:
    enrollment = tx.enrollments.get(key)
    if enrollment is None or enrollment.state is EnrollmentState.CHECKED_OUT:
        raise NotEntitled("enrollment-ended", "The enrollment that this challenge belongs to has ended.")
    require_link(tx, enrollment, purpose, now)
    return enrollment


def require_link(tx: Tx, enrollment: Enrollment, purpose: Purpose, now: datetime) -> None:
    """NotEntitled where the link that a first identity is for has expired."""
    if purpose is Purpose.ENROLL and enrollment.link_id is not None:
        link = tx.links.get(enrollment.link_id)
        if link is None or now > link.expires_at:
            raise NotEntitled("link-expired", "The enrollment link behind this challenge has expired.")
