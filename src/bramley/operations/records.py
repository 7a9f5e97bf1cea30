"""Writing down certificates: every one that comes to be becomes a version of a lineage, with an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from cryptography import x509

from bramley.lifecycle import states
from bramley.model import ids
from bramley.model.enrollments import EnrollmentKey
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import (
    KeyID,
    Lineage,
    LineageID,
    Policy,
    RevocationReason,
    Turn,
    Version,
    VersionID,
    VersionState,
)
from bramley.operations import crl_due
from bramley.operations.errors import Invalid
from bramley.pki import certificates, csr, keys, names
from bramley.storage.protocols import Tx

GENERATION_NOTE = "generation"
"""Counts changes to what a running server keeps at hand: authorities, own certificates, push certificates."""


def require_reason(reason: str) -> str:
    """A person's reason for what is written down with it. Invalid for an empty one, which would tell nobody anything."""
    if not reason.strip():
        raise Invalid("Expected a reason; an empty one came.", advice="It is kept with your name, for whoever asks later.")
    return reason.strip()


def lineage(tx: Tx, kind: Kind, name: str, policy: Policy, *, now: datetime, route: str = "") -> Lineage:
    """The lineage of this kind and name, made where there is none; a new one has this route."""
    found = tx.lineages.find(kind, name)
    if found is None:
        found = Lineage(LineageID(ids.fresh(now)), kind, name, policy, now, route=route)
        tx.lineages.add(found)
    return found


def reroute(tx: Tx, lineage_id: LineageID, route: str) -> None:
    """From now on the lineage's versions are known to come by this route."""
    found = tx.lineages.get(lineage_id)
    if found is not None and found.route != route:
        tx.lineages.update(replace(found, route=route))


def route_of(tx: Tx, version: Version) -> str:
    """By which route this version came, as its issue was written down; empty where that says nothing of it."""
    issued = tx.events.find(kind=EventKind.CERTIFICATE_ISSUED, version_id=version.id, limit=1)
    return str(issued[0].detail.get("route", "")) if issued else ""


def record(
    tx: Tx,
    lineage: Lineage,
    certificate: x509.Certificate,
    *,
    state: VersionState,
    now: datetime,
    actor: str,
    event: EventKind = EventKind.CERTIFICATE_ISSUED,
    key_id: KeyID | None = None,
    issuer: VersionID | None = None,
    enrollment: EnrollmentKey | None = None,
    detail: Mapping[str, object] | None = None,
) -> Version:
    """Adds a certificate to its lineage as the next version."""
    version = _described(_next_version(tx, lineage, state, now, key_id=key_id, issuer_version=issuer), certificate)
    tx.lineages.add_version(version)
    tx.events.append(
        Event(now, event, actor, enrollment, version.id, {"kind": lineage.kind, "serial": version.serial, **(detail or {})})
    )
    return version


def plan(tx: Tx, lineage: Lineage, request: bytes, key_id: KeyID, *, now: datetime, actor: str) -> Version:
    """Adds a version that somebody else is to issue: its key and its request (DER, RFC 2986) are made, nothing is sent yet."""
    version = replace(
        _next_version(tx, lineage, VersionState.PLANNED, now, key_id=key_id),
        spki_sha256=keys.spki_sha256(csr.load(request).public_key),
        request=request,
    )
    tx.lineages.add_version(version)
    detail = {"kind": lineage.kind, "spki_sha256": version.spki_sha256}
    tx.events.append(Event(now, EventKind.CERTIFICATE_REQUESTED, actor, version_id=version.id, detail=detail))
    return version


def fulfil(
    tx: Tx, version: Version, certificate: x509.Certificate, *, now: datetime, actor: str, detail: Mapping[str, object]
) -> Version:
    """The certificate that a planned version waited for has come: it is issued."""
    for state in (VersionState.REQUESTED, VersionState.ISSUED):
        if state in states.FOLLOWS[version.state]:
            version = states.enter(version, state, now)
    version = _described(version, certificate)
    tx.lineages.update_version(version)
    shown = {"serial": version.serial, **detail}
    tx.events.append(Event(now, EventKind.CERTIFICATE_IMPORTED, actor, version_id=version.id, detail=shown))
    return version


def _next_version(
    tx: Tx,
    lineage: Lineage,
    state: VersionState,
    now: datetime,
    *,
    key_id: KeyID | None,
    issuer_version: VersionID | None = None,
) -> Version:
    number = max((version.number for version in tx.lineages.versions(lineage.id)), default=0) + 1
    named = VersionID(ids.fresh(now))
    return Version(named, lineage.id, number, state, now, now, key_id=key_id, issuer_version=issuer_version)


def _described(version: Version, certificate: x509.Certificate) -> Version:
    """With all that is read from its certificate."""
    return replace(
        version,
        subject=names.text(certificate.subject),
        issuer=names.text(certificate.issuer),
        serial=f"{certificate.serial_number:x}",
        sha256=certificates.sha256(certificate),
        spki_sha256=keys.spki_sha256(certificates.public_key(certificate)),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        certificate=certificates.der(certificate),
    )


_EVENTS = {
    VersionState.REQUESTED: EventKind.CERTIFICATE_REQUESTED,
    VersionState.AWAITING: EventKind.CERTIFICATE_REQUESTED,
    VersionState.FAILED: EventKind.CERTIFICATE_FAILED,
    VersionState.ACTIVE: EventKind.CERTIFICATE_ACTIVATED,
    VersionState.SUPERSEDED: EventKind.CERTIFICATE_SUPERSEDED,
    VersionState.RETIRED: EventKind.CERTIFICATE_RETIRED,
    VersionState.SUSPENDED: EventKind.CERTIFICATE_SUSPENDED,
    VersionState.REVOKED: EventKind.CERTIFICATE_REVOKED,
}


def move(
    tx: Tx,
    version: Version,
    state: VersionState,
    *,
    now: datetime,
    actor: str,
    reason: str = "",
    enrollment: EnrollmentKey | None = None,
    turn: Turn | None = None,
    revoked_for: RevocationReason | None = None,
) -> Version:
    """Takes a version to another state, with the event that goes with it; `revoked_for` goes with REVOKED."""
    moved = replace(states.enter(version, state, now, reason=reason, turn=turn), revoked_for=revoked_for)
    tx.lineages.update_version(moved)
    crl_due.leave(tx, version, moved, now)
    reinstated = version.state is VersionState.SUSPENDED and state is VersionState.ACTIVE
    kind = EventKind.CERTIFICATE_REINSTATED if reinstated else _EVENTS[state]
    detail = {"reason": reason, "revoked_for": revoked_for}
    told = {name: value for name, value in detail.items() if value}
    tx.events.append(Event(now, kind, actor, enrollment, version.id, told))
    return moved


def promote(
    tx: Tx, version: Version, *, now: datetime, actor: str, enrollment: EnrollmentKey | None = None, reason: str = ""
) -> Version:
    """Makes a version the active one of its lineage; the one that was, and older ones that never were, are superseded."""
    for other in tx.lineages.versions(version.lineage_id):
        overtaken = other.number < version.number and other.state in {VersionState.ISSUED, VersionState.DISTRIBUTED}
        if other.id != version.id and (other.state is VersionState.ACTIVE or overtaken):
            move(tx, other, VersionState.SUPERSEDED, now=now, actor=actor, enrollment=enrollment)
    return move(tx, version, VersionState.ACTIVE, now=now, actor=actor, enrollment=enrollment, reason=reason)


def active(tx: Tx, kind: Kind, name: str) -> Version | None:
    """The active version of a lineage."""
    found = tx.lineages.find(kind, name)
    if found is None:
        return None
    return next((v for v in tx.lineages.versions(found.id) if v.state is VersionState.ACTIVE), None)


def touch(tx: Tx) -> None:
    """Tells running servers to read their keys and certificates anew."""
    tx.notes.set(GENERATION_NOTE, str(int(tx.notes.get(GENERATION_NOTE) or "0") + 1))
