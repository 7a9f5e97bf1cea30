"""Issuing device identities over SCEP: who may have one, and the transaction that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bramley.errors import BramleyError
from bramley.lifecycle import states
from bramley.model.enrollments import Binding, Challenge, Enrollment, EnrollmentKey, EnrollmentState, Purpose
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version, VersionState
from bramley.operations import records
from bramley.operations.live import Live, Snapshot
from bramley.pki import certificates, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import issue
from bramley.pki.scep import challenge as challenges
from bramley.pki.scep.errors import SCEPError
from bramley.pki.scep.messages import FailInfo, MessageType, Request
from bramley.pki.scep.replies import failure, success
from bramley.pki.scep.requests import SignedMessage, open_request
from bramley.storage.protocols import Tx

RESEND_WINDOW = timedelta(minutes=10)
"""How long the very same message, sent again because its answer was lost, is answered with the same certificate."""


class NotEntitled(BramleyError):
    """A request that proves no right to an identity; the client hears only `fail_info`."""

    def __init__(self, reason: str, message: str, fail_info: FailInfo = FailInfo.badRequest) -> None:
        super().__init__(message)
        self.reason = reason
        self.fail_info = fail_info


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
class Reply:
    """A CertRep; `refused` says why it is a FAILURE, in a word, and is None for a SUCCESS."""

    message: bytes
    refused: str | None = None


async def respond(live: Live, message: bytes | SignedMessage) -> Reply:
    """The CertRep to a pkiMessage, its signature checked before or not yet.

    Raises SCEPError where there is nobody to answer to (HTTP 400).
    """
    installation, snapshot = live.installation, live.current()
    now = installation.clock.now()
    responder = snapshot.responder
    try:
        request = open_request(message, responder, now=now, allow_legacy=installation.settings.scep.legacy_algorithms)
    except SCEPError as error:
        reason = type(error).__name__
        await live.refusals.record(EventKind.SCEP_REFUSED, reason, message=error.message)
        if error.transaction is None or error.fail_info is None:
            raise
        return Reply(failure(error.transaction, responder, error.fail_info, now=now), reason)
    try:
        version = await installation.store.run(lambda tx: issue_identity(tx, live, snapshot, request, now))
    except NotEntitled as error:
        await live.refusals.record(EventKind.SCEP_REFUSED, error.reason, message=error.message)
        return Reply(failure(request, responder, error.fail_info, now=now), error.reason)
    if version.certificate is None:
        raise AssertionError("an issued version has a certificate")
    return Reply(success(request, responder, certificates.load(version.certificate), now=now))


def issue_identity(tx: Tx, live: Live, snapshot: Snapshot, request: Request, now: datetime) -> Version:
    """One transaction: right checked, challenge spent, certificate made, recorded and bound. NotEntitled otherwise."""
    grant = entitle(tx, request, now)
    if grant.again is not None:
        return grant.again
    installation = live.installation
    settings = installation.settings
    enrollment = grant.enrollment
    held = snapshot.authorities.identity
    lifetime = timedelta(days=settings.identity.lifetime_days)
    certificate = issue(
        held.authority,
        profiles.DEVICE_IDENTITY,
        request.csr.public_key,
        # The profile decides everything but the key: what the device would like to be called is not asked.
        subject=names.make(enrollment.key, organization=settings.organization),
        now=now,
        lifetime=lifetime,
    )
    policy = Policy(lifetime, settings.identity.renew_at, settings.identity.jitter)
    lineage = records.lineage(tx, Kind.DEVICE_IDENTITY, enrollment.key, policy, now=now)
    version = records.record(
        tx,
        lineage,
        certificate,
        state=VersionState.ISSUED,
        now=now,
        actor=f"device:{enrollment.id or ''}",
        issuer=held.version,
        enrollment=enrollment.key,
        detail={"purpose": grant.purpose, "transaction": request.transaction_id},
    )
    tx.enrollments.bind(Binding(certificates.sha256(certificate), enrollment.key, grant.purpose, version.id, now))
    if grant.challenge is not None:
        _spend(tx, grant.challenge, request, version, now)
        if grant.purpose is Purpose.ENROLL and enrollment.link_id is not None and not tx.links.use(enrollment.link_id):
            raise NotEntitled("link-used-up", "The enrollment link behind this challenge is used up.")
    return version


def entitle(tx: Tx, request: Request, now: datetime) -> Grant:
    """Who may have what, or NotEntitled.

    A message signed by a live identity of ours renews it, whatever its type says: Apple's clients renew with PKCSReq. A
    superseded one needs a challenge as well, since the device has its successor by now. Any other signer needs an unspent
    challenge; a RenewalReq that is not signed by a live identity is refused even with one.
    """
    binding = tx.enrollments.binding(certificates.sha256(request.signer_certificate))
    if binding is not None:
        return _renewal(tx, request, binding, now)
    if request.message_type is MessageType.RenewalReq:
        raise NotEntitled(
            "renewal-by-unknown-identity",
            "A RenewalReq was signed by a certificate that is no identity of ours.",
            FailInfo.badCertId,
        )
    challenge = _challenge(tx, request)
    if challenge is None:
        raise NotEntitled("challenge-unknown", "The challenge in the request is missing or was never given out.")
    if challenge.spent_at is not None:
        return _again(tx, request, challenge, now)
    if now > challenge.expires_at:
        raise NotEntitled("challenge-expired", f"The challenge expired at {challenge.expires_at:%Y-%m-%d %H:%M} UTC.")
    return Grant(_enrollment(tx, challenge.enrollment_key, challenge.purpose, now), challenge.purpose, challenge)


def _renewal(tx: Tx, request: Request, binding: Binding, now: datetime) -> Grant:
    version = tx.lineages.version(binding.version_id)
    if version is None or version.state not in states.LIVE:
        state = "unknown" if version is None else version.state
        raise NotEntitled("signer-not-live", f"The request is signed by an identity that is {state}.", FailInfo.badCertId)
    if version.expired(now):
        raise NotEntitled("signer-expired", "The request is signed by an identity that has expired.", FailInfo.badTime)
    challenge = _challenge(tx, request)
    if challenge is not None:
        if challenge.enrollment_key != binding.enrollment_key:
            raise NotEntitled("challenge-of-another", "The challenge belongs to another enrollment than the signing identity.")
        if challenge.spent_at is not None or now > challenge.expires_at:
            challenge = None  # a device that renews by itself sends the challenge of its enrollment along; its signature counts
    if challenge is None and version.state is VersionState.SUPERSEDED:
        raise NotEntitled("signer-superseded", "A superseded identity renews nothing without a challenge.", FailInfo.badCertId)
    return Grant(_enrollment(tx, binding.enrollment_key, Purpose.RENEW, now), Purpose.RENEW, challenge)


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
    if purpose is Purpose.ENROLL and enrollment.link_id is not None:
        link = tx.links.get(enrollment.link_id)
        if link is None or now > link.expires_at:
            raise NotEntitled("link-expired", "The enrollment link behind this challenge has expired.")
    return enrollment


def _challenge(tx: Tx, request: Request) -> Challenge | None:
    return tx.challenges.by_hash(challenges.digest(request.challenge)) if request.challenge else None


def _spend(tx: Tx, challenge: Challenge, request: Request, version: Version, now: datetime) -> None:
    if not tx.challenges.spend(challenge.id, now, message_sha256=request.message_sha256, version_id=version.id):
        raise NotEntitled("challenge-spent", "The challenge was spent by another request at the same moment.")
