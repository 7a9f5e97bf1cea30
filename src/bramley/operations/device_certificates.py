"""What differs between the certificates that a device lists and those on record here. Pure.

The list is the device's word. It is compared by SHA-256 alone, and nothing in the certificates is parsed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from bramley.mdm.commands import CertificateListAnswer, ListedCertificate
from bramley.model.kinds import Kind
from bramley.model.lineages import Version, VersionState
from bramley.model.networks import FROM_TEMPLATES

_LONGEST_NAME: Final = 100
_APPLES: Final = "com.apple."
"""How the names begin of identities that Apple's systems make for themselves."""

_OUT_OF_USE: Final = frozenset({VersionState.RETIRED, VersionState.REVOKED})


class What(StrEnum):
    """What can be found, worst first: a list full of strangers must not hide what is missing."""

    IDENTITY_MISSING = "identity-missing"
    NETWORK_IDENTITY_MISSING = "network-identity-missing"
    EXPIRED = "expired"
    OLD_IDENTITY = "old-identity"
    IDENTITY_OF_ANOTHER = "identity-of-another"
    UNKNOWN_IDENTITY = "unknown-identity"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `name` is the device's word for what it lists and ours for what it lacks; the rest is on record here."""

    what: What
    sha256: str
    name: str = ""
    serial: str | None = None
    state: VersionState | None = None
    not_after: datetime | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate that a device says it holds; an identity where it says that it holds the key as well."""

    sha256: str
    name: str
    is_identity: bool


@dataclass(frozen=True, slots=True)
class OnRecord:
    """A certificate of ours; `here` says whether it was issued for this enrollment, `same_device` whether for this device."""

    version: Version
    kind: Kind
    here: bool
    same_device: bool


def held(answer: CertificateListAnswer) -> list[Held]:
    """What is compared of an answer."""
    return [_held(listed) for listed in answer.certificates]


def findings(listed: Sequence[Held], records: Mapping[str, OnRecord], *, told_at: datetime, now: datetime) -> list[Finding]:
    """The differences between what a device listed and what is on record (by SHA-256), worst first.

    Whatever changed after the answer came (`told_at`) is left for the next one. A superseded identity may be there, and of
    strangers only identities are of interest.
    """
    there = {one.sha256: one for one in listed}
    found = [_of_listed(one, records.get(one.sha256), told_at, now) for one in there.values()]
    found += [_missing(record, told_at) for sha256, record in records.items() if sha256 not in there]
    order = list(What)
    return sorted((one for one in found if one is not None), key=lambda one: order.index(one.what))


def superseded_until(listed: Sequence[Held], records: Mapping[str, OnRecord], grace: timedelta) -> datetime | None:
    """When the last grace ends of the superseded identities that a device still lists; None where it lists none."""
    there = [records[one.sha256].version for one in listed if one.sha256 in records]
    return max((v.changed_at + grace for v in there if v.state is VersionState.SUPERSEDED), default=None)


def _of_listed(one: Held, record: OnRecord | None, told_at: datetime, now: datetime) -> Finding | None:
    if record is None:
        strange = one.is_identity and not one.name.startswith(_APPLES)
        return Finding(What.UNKNOWN_IDENTITY, one.sha256, one.name) if strange else None
    version = record.version
    if not record.here and not record.same_device:
        return _finding(What.IDENTITY_OF_ANOTHER, version, one.name)
    if version.changed_at > told_at:
        return None
    if version.state in _OUT_OF_USE:
        return _finding(What.OLD_IDENTITY, version, one.name)
    return _finding(What.EXPIRED, version, one.name) if version.expired(now) else None


def _missing(record: OnRecord, told_at: datetime) -> Finding | None:
    version = record.version
    if not record.here or version.state is not VersionState.ACTIVE or version.changed_at > told_at:
        return None
    what = What.NETWORK_IDENTITY_MISSING if record.kind in FROM_TEMPLATES else What.IDENTITY_MISSING
    return _finding(what, version, (version.subject or "")[:_LONGEST_NAME])


def _finding(what: What, version: Version, name: str) -> Finding:
    return Finding(what, version.sha256 or "", name, version.serial, version.state, version.not_after)


def _held(listed: ListedCertificate) -> Held:
    return Held(hashlib.sha256(listed.der).hexdigest(), listed.common_name[:_LONGEST_NAME], listed.is_identity)
