"""OCSP: what is asked of one certificate is read from the database each time, and signed by a responder of a few days' life."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bramley.errors import OutsideTrouble
from bramley.lifecycle import schedule, states
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, RevocationReason, Version, VersionState
from bramley.operations import issuers, records, vault
from bramley.operations.installation import Installation
from bramley.operations.issuers import Issuer
from bramley.operations.revocation import crl_reason, skew
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import issue
from bramley.pki.cms.errors import Malformed
from bramley.pki.keystore import Sealer
from bramley.pki.revocation import ocsp_requests, ocsp_responses
from bramley.pki.revocation.entries import Revocation
from bramley.pki.revocation.issuer import IssuerName
from bramley.pki.revocation.ocsp_requests import CertID
from bramley.pki.revocation.ocsp_responses import Answer, Failure, Responder, Standing
from bramley.storage.errors import StorageError
from bramley.storage.protocols import Tx

MOST: Final = 20
"""Certificates in one request."""

_KEPT: Final = timedelta(days=1)
"""How long a responder's key outlives it: a server whose clock is a little behind may still hold it for good."""

_POLICY: Final = Policy(lifetime=profiles.OCSP_RESPONDER.lifetime, renew_at=0.5)


@dataclass(frozen=True, slots=True)
class Reply:
    """An OCSPResponse. One that may be given to others as well says how long; None for all else."""

    message: bytes
    this_update: datetime | None = None
    next_update: datetime | None = None


@dataclass(frozen=True, slots=True)
class _InForce:
    responder: Responder
    due_at: datetime


class OCSP:
    """Answers for the identity CAs, whose certificates name it. Holds what seldom changes: the issuers, and the open keys."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._issuers: Sequence[tuple[IssuerName, Issuer]] = ()
        self._responders: dict[str, _InForce] = {}

    async def answer(self, message: bytes) -> Reply:
        """The response to a request, whatever that is: what cannot be answered gets an error of RFC 6960 section 4.2.1."""
        try:
            request = ocsp_requests.read(message, most=MOST)
        except Malformed:
            return Reply(ocsp_responses.failure(Failure.malformedRequest))
        now = self._installation.clock.now()
        try:
            issuer = await self._issuer(request.certificates, now)
            if issuer is None:
                return Reply(ocsp_responses.failure(Failure.unauthorized))
            responder = await self._responder(issuer, now)
            statuses = await self._installation.store.read(
                lambda tx: [Answer(each, _status(tx, issuer, each)) for each in request.certificates]
            )
        except (OutsideTrouble, StorageError):
            return Reply(ocsp_responses.failure(Failure.tryLater))
        this_update = now - skew(self._installation)
        next_update = now + timedelta(minutes=self._installation.settings.revocation.ocsp_minutes)
        encoded = ocsp_responses.build(
            statuses, responder, produced_at=now, this_update=this_update, next_update=next_update, nonce=request.nonce
        )
        return Reply(encoded, this_update, next_update) if request.nonce is None else Reply(encoded)

    async def _issuer(self, asked: Sequence[CertID], now: datetime) -> Issuer | None:
        """The one CA that issued all that is asked about; None where there is no such CA of ours."""
        found = self._among_known(asked, now)
        if found is None:
            # perhaps it is new: another process may have made it a moment ago
            read = await self._installation.store.read(issuers.read)
            self._issuers = [(IssuerName.of(each.x509), each) for each in read if each.kind is Kind.IDENTITY_CA]
            found = self._among_known(asked, now)
        return found

    def _among_known(self, asked: Sequence[CertID], now: datetime) -> Issuer | None:
        for name, issuer in self._issuers:
            if issuer.signs(now) and all(each.issued_by(name) for each in asked):
                return issuer
        return None

    async def _responder(self, issuer: Issuer, now: datetime) -> Responder:
        known = self._responders.get(issuer.name)
        if known is None or not known.responder.certificate.not_valid_before_utc <= now < known.due_at:
            known = await ensure_responder(self._installation, issuer, actor="server")
            self._responders[issuer.name] = known
        return known.responder


async def ensure_responders(installation: Installation, *, actor: str) -> None:
    """The responders of all identity CAs that can still issue one."""
    now = installation.clock.now()
    for issuer in await installation.store.read(issuers.read):
        if issuer.kind is Kind.IDENTITY_CA and issuer.signs(now):
            await ensure_responder(installation, issuer, actor=actor)


async def ensure_responder(installation: Installation, issuer: Issuer, *, actor: str) -> _InForce:
    """The responder of an issuer, made anew where there is none or half its life has passed."""
    now, organization = installation.clock.now(), installation.settings.organization
    return await installation.store.run(lambda tx: _ensure(tx, installation.sealer, issuer, organization, now, actor))


async def retire_responders(installation: Installation, *, actor: str) -> None:
    """Retires the responders that ended more than a day ago, and deletes their keys; that there was one stays on record."""
    now = installation.clock.now()

    def retire(tx: Tx) -> None:
        for version in _ended(tx, now - _KEPT):
            if version.state in states.LIVE:
                records.move(tx, version, VersionState.RETIRED, now=now, actor=actor, reason="it has ended, and its key is gone")
            if version.key_id is not None:
                tx.keys.delete(version.key_id)

    if await installation.store.read(lambda tx: _ended(tx, now - _KEPT)):
        await installation.store.run(retire)


def _ended(tx: Tx, moment: datetime) -> Sequence[Version]:
    """The responders of any CA that had ended by then, and whose keys are still here."""
    found = [version for lineage in tx.lineages.of_kind(Kind.OCSP_RESPONDER) for version in tx.lineages.versions(lineage.id)]
    return [version for version in found if version.key_id is not None and version.expired(moment)]


def _ensure(tx: Tx, sealer: Sealer, issuer: Issuer, organization: str, now: datetime, actor: str) -> _InForce:
    version = records.active(tx, Kind.OCSP_RESPONDER, issuer.name)
    if version is None or schedule.due(version, _POLICY, now) or (version.not_before or now) > now:
        version = _issue(tx, sealer, issuer, organization, now, actor)
    due_at = schedule.due_at(version, _POLICY)
    if version.certificate is None or version.key_id is None or due_at is None:
        raise AssertionError("a responder of ours has a certificate, a key and an end")
    return _InForce(Responder(certificates.load(version.certificate), vault.take(tx, sealer, version.key_id)), due_at)


def _issue(tx: Tx, sealer: Sealer, issuer: Issuer, organization: str, now: datetime, actor: str) -> Version:
    key = keys.generate(keys.KeyAlgorithm.P_256)  # signs five times as many answers in a second as RSA would
    subject = names.make(f"{organization} OCSP Responder", organization=organization)
    certificate = issue(issuer.authority(tx, sealer), profiles.OCSP_RESPONDER, key.public_key(), subject=subject, now=now)
    lineage = records.lineage(tx, Kind.OCSP_RESPONDER, issuer.name, _POLICY, now=now)
    key_id = vault.keep(tx, sealer, key, Kind.OCSP_RESPONDER, now=now, actor=actor)
    version = records.record(
        tx, lineage, certificate, state=VersionState.ISSUED, now=now, actor=actor, key_id=key_id, issuer=issuer.versions[-1]
    )
    return records.promote(tx, version, now=now, actor=actor)


def _status(tx: Tx, issuer: Issuer, asked: CertID) -> Standing | Revocation:
    version = next((v for v in tx.lineages.by_serial(f"{asked.serial:x}") if _issued_by(tx, issuer, v)), None)
    if version is None:
        # Never issued, so nothing is known of it. `revoked` would be allowed (RFC 6960 section 2.2), but only with a date of
        # 1970 and an extension that few clients read; whoever insists on an answer accepts neither.
        return Standing.UNKNOWN
    match version.state:
        case VersionState.REVOKED:
            reason = crl_reason(version.revoked_for or RevocationReason.UNSPECIFIED)
        case VersionState.SUSPENDED:
            reason = crl_reason(None)
        case _:
            return Standing.GOOD
    return Revocation(asked.serial, version.changed_at, reason)


def _issued_by(tx: Tx, issuer: Issuer, version: Version) -> bool:
    if version.issuer_version is None or version.issuer_version in issuer.versions:
        return version.issuer_version is not None
    # perhaps by a newer certificate of the same CA than the one at hand
    other = issuers.of_version(tx, version.issuer_version)
    return other is not None and other.id == issuer.id
