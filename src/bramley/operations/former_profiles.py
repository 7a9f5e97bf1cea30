"""Enrollment profiles of former MDMs, kept for the renewals of the devices that have them.

`Enrollment.invariants` says which one a device has: `former:ID`, or `former` where nobody gave it. One is kept once, sealed,
since payloads that stay in it may hold secrets.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final

from bramley.mdm import plist
from bramley.operations.errors import Conflict, NotReady
from bramley.operations.installation import Installation
from bramley.pki.keystore import Place, Sealer
from bramley.profiles.former import LARGEST, FormerProfile
from bramley.storage.protocols import Tx

UNKNOWN: Final = "former"
"""The invariants of a device whose former profile nobody gave."""

_KNOWN: Final = f"{UNKNOWN}:"


def is_former(invariants: str) -> bool:
    """Whether they are those of a device that another MDM enrolled."""
    return invariants == UNKNOWN or invariants.startswith(_KNOWN)


def keep(tx: Tx, sealer: Sealer, profile: FormerProfile) -> str:
    """Keeps a profile, where it is not kept already; the invariants of the devices that have it."""
    name = _note(profile.id)
    if tx.notes.get(name) is None:
        tx.notes.set(name, b64encode(sealer.seal(profile.content, _place(name))).decode())
    return f"{_KNOWN}{profile.id}"


async def frame(installation: Installation, invariants: str) -> bytes | None:
    """What `profiles.former.renewal` makes a renewal out of; None for a device that we enrolled ourselves.

    Conflict where the device's profile is unknown: whatever we sent, the device would refuse.
    """
    if not is_former(invariants):
        return None
    if invariants == UNKNOWN:
        raise Conflict(
            "The device was enrolled by a former MDM, and its enrollment profile is not known here: it would refuse any other.",
            advice="Run `bramley identity import` again with --profile FORMER.mobileconfig, or enroll the device again.",
        )
    name = _note(invariants.removeprefix(_KNOWN))
    sealed = await installation.store.read(lambda tx: tx.notes.get(name))
    if sealed is None:
        raise NotReady(f"The database holds no {name}.", advice="Restore a backup that does.")
    return installation.sealer.open(b64decode(sealed), _place(name))


async def identifier(installation: Installation, invariants: str) -> str | None:
    """The PayloadIdentifier of what manages a device that a former MDM enrolled; None for any other, or where nobody knows."""
    try:
        content = await frame(installation, invariants)
    except (Conflict, NotReady):
        return None
    return _identifier(content) if content is not None else None


def identifiers(tx: Tx, sealer: Sealer) -> frozenset[str]:
    """The PayloadIdentifiers of all that are kept."""
    notes = ((name, tx.notes.get(name) or "") for name in tx.notes.names(_note("")))
    return frozenset(_identifier(sealer.open(b64decode(sealed), _place(name))) for name, sealed in notes)


def _identifier(content: bytes) -> str:
    profile = plist.loads(content, max_bytes=LARGEST)
    if not isinstance(profile, dict):
        raise AssertionError("a former profile is kept as a dictionary")
    return str(profile["PayloadIdentifier"])


def _note(profile_id: str) -> str:
    return f"former-profile:{profile_id}"


def _place(name: str) -> Place:
    return Place("notes", name, "former-profile")
