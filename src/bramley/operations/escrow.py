"""FileVault: a key pair for each Mac, to which it encrypts its recovery key; read on request, rotated, never lost.

The Mac gets the certificate in a profile (Apple, "FDERecoveryKeyEscrow") and tells its recovery key, encrypted, in its answers to
SecurityInfo. A new key pair takes the place of the one before once the Mac has it. The former is kept: what was encrypted to it
stays readable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from bramley.mdm import plist
from bramley.mdm.commands import InstallProfile, Raw, SecurityInfo
from bramley.mdm.plist import PlistValue
from bramley.mdm.token_update import leave_push
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version, VersionState
from bramley.operations import commands, devices, escrow_standing, records, vault
from bramley.operations.enrollment_profiles import IDENTIFIER_PREFIX
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.escrow_answers import ROTATE
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.pki import keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import self_signed
from bramley.pki.keystore import Sealer
from bramley.profiles.building import build
from bramley.profiles.sign import sign
from bramley.storage.protocols import Tx

ESCROW_INSTALLED: Final = "escrow-installed"
"""The job that the answer to an escrow profile's InstallProfile releases."""

ESCROW_OUTLIVED: Final = "escrow-outlived"
"""The job that sends the certificate of a Mac that enrolled anew; its argument is `enrollment_key`."""

ESCROW_ANSWERED: Final = "escrow-answered"
"""The job that an answer which brings a recovery key releases: to SecurityInfo, or to RotateFileVaultKey."""

PROFILE: Final = f"{IDENTIFIER_PREFIX}.filevault"
_NOT_MACS: Final = ("iPhone", "iPad", "iPod", "AppleTV", "Watch", "RealityDevice")


@dataclass(frozen=True, slots=True)
class Revealed:
    """A recovery key in clear, for whoever asked; `replaced_at` where a later one took its place."""

    text: str = field(repr=False)
    received_at: datetime
    replaced_at: datetime | None


async def enable(live: Live, device: str, *, actor: str) -> Command:
    """Makes the Mac's escrow key pair, or the next one, and sends its certificate; what to wait for.

    One that is on its way already is sent again. NotFound; Conflict for what is no enrolled Mac.
    """
    here, now, signer = live.installation, live.installation.clock.now(), live.current().signer
    fresh = await asyncio.to_thread(keys.generate, keys.KeyAlgorithm.RSA_2048)

    def act(tx: Tx) -> Command:
        enrollment = _mac(tx, device)
        escrow_standing.require_begun(tx, enrollment)
        version = escrow_standing.on_its_way(tx, enrollment) or _make(tx, here, enrollment, fresh, now, actor)
        for earlier in commands.pending_of(tx, enrollment.key, ESCROW_INSTALLED):
            tx.commands.withdraw(enrollment.key, earlier.uuid, now)
        profile = sign(
            plist.dumps(_profile(version, here.settings.organization)),
            certificate=signer.certificate,
            key=signer.key,
            chain=signer.chain,
            now=now,
        )
        sent = commands.queue(
            tx, here.sealer, enrollment, InstallProfile(profile), actor=actor, now=now, job_on_answer=ESCROW_INSTALLED
        )
        leave_push(tx, enrollment.key, now)
        return sent

    return await here.store.run(act)


async def fetch(here: Installation, device: str, *, actor: str) -> Command:
    """Asks the Mac for its recovery key (SecurityInfo). NotFound; Conflict where it has no escrow certificate in force."""
    now = here.clock.now()

    def act(tx: Tx) -> Command:
        enrollment = _mac(tx, device)
        escrow_standing.require_in_force(tx, enrollment)
        return _ask(tx, here.sealer, enrollment, now=now, actor=actor)

    return await here.store.run(act)


async def rotate(here: Installation, device: str, *, actor: str) -> Command:
    """Has the Mac make a new recovery key, by means of the one in force, and tell it.

    NotFound; Conflict where none is known, and while an earlier rotation waits for its answer.
    """
    now = here.clock.now()

    def act(tx: Tx) -> Command:
        enrollment = _mac(tx, device)
        escrow = escrow_standing.require_in_force(tx, enrollment)
        _require_no_rotation(tx, enrollment)
        command: dict[str, PlistValue] = {
            "RequestType": ROTATE,
            "KeyType": "personal",
            "FileVaultUnlock": {"Password": _in_force(tx, here.sealer, enrollment)},
            "ReplyEncryptionCertificate": escrow.certificate or b"",
        }
        sent = commands.queue(
            tx, here.sealer, enrollment, Raw(ROTATE, command), actor=actor, now=now, job_on_answer=ESCROW_ANSWERED
        )
        tx.events.append(Event(now, EventKind.RECOVERY_KEY_ROTATED, actor, enrollment.key, detail={"command": sent.uuid}))
        leave_push(tx, enrollment.key, now)
        return sent

    return await here.store.run(act)


async def enable_again(live: Live, key: EnrollmentKey, *, actor: str) -> None:
    """Sends a Mac that has enrolled anew its next escrow certificate, where it had one before; else nothing."""
    if await live.installation.store.read(lambda tx: is_outlived(tx, key)):
        await enable(live, key, actor=actor)


async def reveal(here: Installation, device: str, *, reason: str, every: bool = False, actor: str) -> Sequence[Revealed]:
    """The Mac's recovery key in clear, or every one that it ever had, newest first; written down with the reason.

    NotFound where none is known, Invalid for an empty reason.
    """
    now, reason = here.clock.now(), records.require_reason(reason)

    def act(tx: Tx) -> Sequence[Revealed]:
        enrollment = devices.resolve(tx, device)
        known = tx.recovery_keys.of(EnrollmentID(enrollment.id or ""))
        if not known:
            raise NotFound(f"No recovery key of {device} is known.", advice="`bramley escrow fetch` asks the Mac for it.")
        wanted = known if every else known[:1]
        found = [Revealed(escrow_standing.text(tx, here.sealer, each), each.received_at, each.replaced_at) for each in wanted]
        detail = {"reason": reason, "keys": len(found)}
        tx.events.append(Event(now, EventKind.RECOVERY_KEY_READ, actor, enrollment.key, detail=detail))
        return found

    return await here.store.run(act)


def installed(tx: Tx, here: Installation, command: Command, *, now: datetime, actor: str) -> None:
    """The Mac has the certificate: it is in force, and the Mac is asked for its recovery key.

    Nothing where it refused the profile, or has left since.
    """
    enrollment = tx.enrollments.get(command.enrollment_key)
    if command.state is not CommandState.ACKNOWLEDGED or enrollment is None or enrollment.state is EnrollmentState.CHECKED_OUT:
        return
    if (version := escrow_standing.on_its_way(tx, enrollment)) is not None:
        records.promote(tx, version, now=now, actor=actor, enrollment=enrollment.key)
    _ask(tx, here.sealer, enrollment, now=now, actor=actor)


def is_outlived(tx: Tx, key: EnrollmentKey) -> bool:
    """Whether a Mac has begun a new life without the escrow certificate that it had in the one before."""
    enrollment = tx.enrollments.get(key)
    return enrollment is not None and enrollment.parent is None and escrow_standing.is_outlived(tx, enrollment)


def _mac(tx: Tx, device: str) -> Enrollment:
    enrollment = devices.resolve(tx, device)
    if enrollment.parent is not None or enrollment.id is None:
        raise Conflict(f"{device} is no Mac by itself.", advice="Name the Mac.")
    if (enrollment.product_name or "").startswith(_NOT_MACS):
        raise Conflict(f"{device} is a {enrollment.product_name}: FileVault is for Macs.")
    if enrollment.enrollment_id is not None:
        raise Conflict(f"{device} is under User Enrollment, which forbids FileVault escrow.")
    return enrollment


def _require_no_rotation(tx: Tx, enrollment: Enrollment) -> None:
    """Conflict while one is pending: the Mac may have made the new key already, and its answer is all that tells it."""
    if any(each.request_type == ROTATE for each in commands.pending_of(tx, enrollment.key, ESCROW_ANSWERED)):
        raise Conflict(
            f"{enrollment.id} was told to make a new recovery key, and has not answered yet.",
            advice=f"Wait for its answer; `bramley device show {enrollment.id}` shows it.",
        )


def _in_force(tx: Tx, sealer: Sealer, enrollment: Enrollment) -> str:
    """The recovery key that opens the Mac's disk now, in clear."""
    known = escrow_standing.current(tx, enrollment)
    if known is None:
        raise Conflict(
            f"No recovery key of {enrollment.id} is known since it enrolled, and a new one is made by means of the one before.",
            advice="`bramley escrow fetch` asks the Mac for it.",
        )
    return escrow_standing.text(tx, sealer, known)


def _make(tx: Tx, here: Installation, enrollment: Enrollment, key: keys.PrivateKey, now: datetime, actor: str) -> Version:
    profile = profiles.FILEVAULT_ESCROW
    certificate = self_signed(profile, key, names.make("FileVault escrow", organization=here.settings.organization), now=now)
    lineage = records.lineage(tx, Kind.FILEVAULT_ESCROW, enrollment.id or "", Policy(lifetime=profile.lifetime), now=now)
    key_id = vault.keep(tx, here.sealer, key, Kind.FILEVAULT_ESCROW, now=now, actor=actor)
    return records.record(
        tx,
        lineage,
        certificate,
        state=VersionState.ISSUED,
        now=now,
        actor=actor,
        key_id=key_id,
        enrollment=enrollment.key,
    )


def _profile(version: Version, organization: str) -> dict[str, Any]:
    """The payload of a new certificate has a name of its own, so that it takes the place of the one before."""
    named = f"escrow-{(version.sha256 or '')[:16]}"
    spec = {
        "identifier": PROFILE,
        "name": "FileVault recovery",
        "organization": organization,
        "scope": "System",
        "payloads": [
            {"type": "certificate", "name": named, "file": "certificate"},
            {"type": "filevault-escrow", "location": organization, "certificate": named},
        ],
    }
    return build(spec, read_file=lambda _name: version.certificate or b"")


def _ask(tx: Tx, sealer: Sealer, enrollment: Enrollment, *, now: datetime, actor: str) -> Command:
    for earlier in commands.pending_of(tx, enrollment.key, ESCROW_ANSWERED):
        if earlier.request_type != ROTATE:  # its answer would bring the newer key
            tx.commands.withdraw(enrollment.key, earlier.uuid, now)
    asked = commands.queue(tx, sealer, enrollment, SecurityInfo(), actor=actor, now=now, job_on_answer=ESCROW_ANSWERED)
    leave_push(tx, enrollment.key, now)
    return asked
