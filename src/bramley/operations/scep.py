"""SCEP as this server answers it: a pkiMessage comes in, a CertRep goes out (RFC 8894 section 4.3 to 4.6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from bramley.lifecycle import states
from bramley.model.enrollments import Purpose
from bramley.model.events import EventKind
from bramley.model.lineages import Version
from bramley.operations import admission, approvals, issuers, issuing, outside_scep, revocation
from bramley.operations.admission import Admitted
from bramley.operations.errors import NotReady
from bramley.operations.installation import Installation
from bramley.operations.issuers import Issuer
from bramley.operations.issuing import Grant, NotEntitled
from bramley.operations.live import Live, Snapshot
from bramley.operations.network import issuing as network_issuing
from bramley.pki import certificates, keys
from bramley.pki.cms import certificate_ids
from bramley.pki.errors import CannotIssue
from bramley.pki.scep.errors import SCEPError
from bramley.pki.scep.messages import MessageType, Opened, Poll, Query, Request
from bramley.pki.scep.queries import open_message
from bramley.pki.scep.replies import crl, failure, pending, success
from bramley.pki.scep.requests import Responder, SignedMessage, addressed, check_signature
from bramley.storage.protocols import Tx

_MANUAL: Final = "manual"


@dataclass(frozen=True, slots=True)
class Reply:
    """A CertRep; `refused` says why it is a FAILURE, in a word, and is None for a SUCCESS or PENDING."""

    message: bytes
    refused: str | None = None


async def respond(live: Live, message: bytes | SignedMessage, *, secret: str | None = None) -> Reply:
    """The CertRep to a pkiMessage, its signature checked before or not yet.

    `secret` is the challenge that came in the URL, instead of in the message. Raises SCEPError where there is nobody to answer
    to (HTTP 400).
    """
    installation, snapshot = live.installation, live.current()
    now = installation.clock.now()
    responder = snapshot.responder
    try:
        signed = message if isinstance(message, SignedMessage) else check_signature(message)
        responder = addressed(signed, _in_force(snapshot, now) or (responder,))
        asked = open_message(signed, responder, now=now, allow_legacy=installation.settings.scep.legacy_algorithms)
    except SCEPError as error:
        reason = type(error).__name__
        await live.refusals.record(EventKind.SCEP_REFUSED, reason, message=error.message)
        if error.transaction is None or error.fail_info is None:
            raise
        return Reply(failure(error.transaction, responder, error.fail_info, now=now), reason)
    if secret is not None and isinstance(asked, Request):
        asked = replace(asked, challenge=secret)
    try:
        return Reply(await _answer(installation, snapshot, asked, responder, now))
    except NotEntitled as error:
        await live.refusals.record(EventKind.SCEP_REFUSED, error.reason, message=error.message)
        return Reply(failure(asked, responder, error.fail_info, now=now, text=error.text), error.reason)


async def _answer(
    installation: Installation, snapshot: Snapshot, asked: Request | Poll | Query, responder: Responder, now: datetime
) -> bytes:
    store = installation.store
    match asked:
        case Request():
            version = await _asked_for(installation, snapshot, asked, now)
        case Poll():
            version = await store.read(lambda tx: polled(tx, asked))
        case Query(message_type=MessageType.GetCRL):
            issuer = await store.read(lambda tx: issuer_asked_for(tx, asked, now))
            return crl(asked, responder, await _crl_of(installation, issuer), now=now)
        case Query():
            version = await store.read(lambda tx: certificate_asked_for(tx, asked, now))
    return _told(asked, version, responder, now)


async def _asked_for(installation: Installation, snapshot: Snapshot, request: Request, now: datetime) -> Version | None:
    """What a request brings. A challenge for a network identity comes first: it is good for nothing else."""
    store = installation.store
    if await store.read(lambda tx: network_issuing.challenge_of(tx, request)) is not None:
        return await store.run(lambda tx: network_issuing.issue(tx, installation, snapshot, request, now))
    admitted = await admission.admit(installation, request)
    if installation.settings.scep.is_proxied:
        return await _enroll_outside(installation, snapshot, request, admitted, now)
    return await store.run(lambda tx: enroll(tx, installation, snapshot, request, admitted, now))


def _told(asked: Opened, version: Version | None, responder: Responder, now: datetime) -> bytes:
    if version is None:
        return pending(asked, responder, now=now)
    if version.certificate is None:
        raise AssertionError("an issued version has a certificate")
    return success(asked, responder, certificates.load(version.certificate), now=now)


def enroll(
    tx: Tx, installation: Installation, snapshot: Snapshot, request: Request, admitted: Admitted | None, now: datetime
) -> Version | None:
    """One transaction: right checked, challenge spent, and the identity issued, or kept for a person (None). NotEntitled else."""
    decided = _decide(tx, installation, request, admitted, now)
    return issuing.issue_identity(tx, installation, snapshot, request, decided, now) if isinstance(decided, Grant) else decided


async def _enroll_outside(
    installation: Installation, snapshot: Snapshot, request: Request, admitted: Admitted | None, now: datetime
) -> Version | None:
    """As `enroll`, with an outside CA asked between two transactions: the right is checked in both, and spent in the second."""
    store = installation.store
    decided = await store.run(lambda tx: _decide(tx, installation, request, admitted, now))
    if not isinstance(decided, Grant):
        return decided
    outside = await outside_scep.ask(snapshot, installation.settings.scep, request, now)

    def record(tx: Tx) -> Version | None:
        again = _decide(tx, installation, request, admitted, now)
        if not isinstance(again, Grant):
            return again  # the same message, sent twice, was faster
        return issuing.issue_identity(tx, installation, snapshot, request, again, now, outside=outside)

    return await store.run(record)


def _decide(
    tx: Tx, installation: Installation, request: Request, admitted: Admitted | None, now: datetime
) -> Grant | Version | None:
    """The right to an identity; or what was issued for the same message; or None where a person has to approve. NotEntitled else.

    A first request whose challenge is spent, and that was kept, is that request sent again: many clients poll like this.
    """
    settings = installation.settings
    challenge = issuing.challenge_of(tx, request)
    if admission.is_first(tx, request):
        if (challenge is None or challenge.spent_at is not None) and (kept := approvals.of(tx, request)) is not None:
            if kept.spki_sha256 == keys.spki_sha256(request.csr.public_key):
                return approvals.outcome(tx, kept)
        elif challenge is None and admitted is not None:
            challenge = admission.begin(tx, request, admitted, now)
    grant = issuing.entitle(tx, request, challenge, now, after_end=settings.identity.after_end)
    if grant.again is not None:
        return grant.again
    if settings.scep.approval == _MANUAL and grant.purpose is Purpose.ENROLL:
        approvals.hold(tx, installation.sealer, request, grant, now)
        return None
    return grant


def polled(tx: Tx, poll: Poll) -> Version | None:
    """What became of the request that a CertPoll asks about; None while it waits.

    Transaction and signer name the request. The names inside are not compared: what clients put there differs.
    """
    kept = approvals.of(tx, poll)
    if kept is None:
        raise NotEntitled("poll-unknown", "A CertPoll asks about a transaction in which nothing waits for its signer.")
    return approvals.outcome(tx, kept)


def certificate_asked_for(tx: Tx, query: Query, now: datetime) -> Version:
    """The certificate that a GetCert names, to a live identity of the same device. NotEntitled else."""
    asker = _asker(tx, query, now)
    named = _named(tx, query)
    if named is None or named.lineage_id != asker.lineage_id:
        raise NotEntitled("certificate-not-found", f"{asker.id} has no certificate with the serial number {query.serial:x}.")
    return named


def issuer_asked_for(tx: Tx, query: Query, now: datetime) -> Issuer:
    """The CA whose CRL would tell of the certificate that a GetCRL names, to a live identity of ours. NotEntitled else."""
    _asker(tx, query, now)
    named = _named(tx, query)
    issuer = issuers.of_version(tx, named.issuer_version) if named is not None and named.issuer_version is not None else None
    if issuer is None:
        raise NotEntitled("crl-not-found", f"No CA of ours has issued a certificate with the serial number {query.serial:x}.")
    return issuer


async def _crl_of(installation: Installation, issuer: Issuer) -> bytes:
    """As it stands now, as /pki serves it."""
    try:
        return (await revocation.current(installation, issuer, actor="server")).der
    except (NotReady, CannotIssue) as error:
        raise NotEntitled("crl-not-found", f"{issuer.name} has no CRL: {error.message}") from error


def _asker(tx: Tx, query: Query, now: datetime) -> Version:
    binding = tx.enrollments.binding(certificates.sha256(query.signer_certificate))
    version = tx.lineages.version(binding.version_id) if binding is not None else None
    if version is None or version.state not in states.LIVE or version.expired(now):
        raise NotEntitled("asker-not-live", f"A {query.message_type.name} is not signed by a live identity of ours.")
    return version


def _named(tx: Tx, query: Query) -> Version | None:
    """By issuer and serial number, as they stand in the certificate."""
    for version in tx.lineages.by_serial(f"{query.serial:x}"):
        if version.certificate and certificate_ids.issuer_and_serial(version.certificate) == (query.issuer, query.serial):
            return version
    return None


def _in_force(snapshot: Snapshot, now: datetime) -> tuple[Responder, ...]:
    return tuple(each for each in snapshot.responders if now <= each.certificate.not_valid_after_utc)
