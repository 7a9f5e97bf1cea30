"""FileVault: a key pair for each Mac, to which it encrypts its recovery key; read on request, rotated, never lost.

The Mac gets the certificate in a profile (Apple, "FDERecoveryKeyEscrow") and tells its recovery key, encrypted, in its answers to
SecurityInfo. A new key pair takes the place of the one before once the Mac has it. The former is kept: what was encrypted to it
stays readable.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.mdm import plist
from bramley.mdm.commands import InstallProfile, Raw, SecurityInfo
from bramley.mdm.errors import BadMessage
from bramley.mdm.plist import PlistValue
from bramley.mdm.report import MAX_REPORT_BYTES
from bramley.mdm.token_update import leave_push
from bramley.model import ids
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import Enrollment, EnrollmentID
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version, VersionID, VersionState
from bramley.model.recovery_keys import RecoveryKey
from bramley.operations import commands, devices, records, vault
from bramley.operations.enrollment_profiles import IDENTIFIER_PREFIX
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.pki import certificates, cms, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import self_signed
from bramley.pki.keystore import Sealer
from bramley.profiles.building import build
from bramley.profiles.sign import sign
from bramley.storage.protocols import Tx

ESCROW_INSTALLED: Final = "escrow-installed"
"""The job that the answer to an escrow profile's InstallProfile releases."""

ESCROW_ANSWERED: Final = "escrow-answered"
"""The job that an answer which brings a recovery key releases: to SecurityInfo, or to RotateFileVaultKey."""

PROFILE: Final = f"{IDENTIFIER_PREFIX}.filevault"
_ROTATE: Final = "RotateFileVaultKey"
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
        version = _on_its_way(tx, enrollment) or _make(tx, here, enrollment, fresh, now, actor)
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
    """Asks the Mac for its recovery key (SecurityInfo). NotFound; Conflict where it has no escrow certificate yet."""
    now = here.clock.now()

    def act(tx: Tx) -> Command:
        enrollment = _mac(tx, device)
        _require_enabled(tx, enrollment)
        return _ask(tx, here.sealer, enrollment, now=now, actor=actor)

    return await here.store.run(act)


async def rotate(here: Installation, device: str, *, actor: str) -> Command:
    """Has the Mac make a new recovery key, by means of the one in force, and tell it. NotFound; Conflict where none is known."""
    now = here.clock.now()

    def act(tx: Tx) -> Command:
        enrollment = _mac(tx, device)
        escrow = _require_enabled(tx, enrollment)
        current = _current(tx, enrollment)
        command: dict[str, PlistValue] = {
            "RequestType": _ROTATE,
            "KeyType": "personal",
            "FileVaultUnlock": {"Password": _open(tx, here.sealer, current)},
            "ReplyEncryptionCertificate": escrow.certificate or b"",
        }
        for earlier in commands.pending_of(tx, enrollment.key, ESCROW_ANSWERED):
            tx.commands.withdraw(enrollment.key, earlier.uuid, now)
        sent = commands.queue(
            tx, here.sealer, enrollment, Raw(_ROTATE, command), actor=actor, now=now, job_on_answer=ESCROW_ANSWERED
        )
        tx.events.append(Event(now, EventKind.RECOVERY_KEY_ROTATED, actor, enrollment.key, detail={"command": sent.uuid}))
        leave_push(tx, enrollment.key, now)
        return sent

    return await here.store.run(act)


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
        found = [Revealed(_open(tx, here.sealer, each), each.received_at, each.replaced_at) for each in wanted]
        detail = {"reason": reason, "keys": len(found)}
        tx.events.append(Event(now, EventKind.RECOVERY_KEY_READ, actor, enrollment.key, detail=detail))
        return found

    return await here.store.run(act)


def installed(tx: Tx, here: Installation, command: Command, *, now: datetime, actor: str) -> None:
    """The Mac has the certificate: it is in force, and the Mac is asked for its recovery key."""
    enrollment = tx.enrollments.get(command.enrollment_key)
    version = _on_its_way(tx, enrollment) if enrollment is not None else None
    if command.state is not CommandState.ACKNOWLEDGED or enrollment is None:
        return
    if version is not None:
        records.promote(tx, version, now=now, actor=actor, enrollment=enrollment.key)
    _ask(tx, here.sealer, enrollment, now=now, actor=actor)


def settle(tx: Tx, here: Installation, command: Command, *, now: datetime, actor: str) -> str:
    """Keeps the recovery key that an answer brings, if it is another than the one in force; "" or why there is none.

    A device's answer is its own word: what it encrypted to no escrow certificate of its own is not taken.
    """
    enrollment = tx.enrollments.get(command.enrollment_key)
    if enrollment is None or enrollment.id is None or command.state is not CommandState.ACKNOWLEDGED:
        return f"the device answered {command.request_type} with {command.state}"
    message = _message(command)
    if message is None:
        return "the answer brings no recovery key: is FileVault on, and was it switched on after the profile came?"
    version = next((each for each in reversed(_versions(tx, enrollment)) if _is_to(message, each)), None)
    if version is None:
        return "the recovery key is encrypted to no escrow certificate of this Mac"
    fresh = RecoveryKey(ids.fresh(now), enrollment.id, version.id, message, now)
    try:
        text = _open(tx, here.sealer, fresh)
    except Conflict as error:
        return error.message
    known = tx.recovery_keys.of(enrollment.id)
    if known and hmac.compare_digest(_open(tx, here.sealer, known[0]).encode(), text.encode()):
        return ""
    tx.recovery_keys.add(fresh)
    detail = {"certificate": version.sha256, "replaces": bool(known)}
    tx.events.append(Event(now, EventKind.RECOVERY_KEY_KEPT, actor, enrollment.key, version.id, detail))
    return ""


def _mac(tx: Tx, device: str) -> Enrollment:
    enrollment = devices.resolve(tx, device)
    if enrollment.parent is not None or enrollment.id is None:
        raise Conflict(f"{device} is no Mac by itself.", advice="Name the Mac.")
    if (enrollment.product_name or "").startswith(_NOT_MACS):
        raise Conflict(f"{device} is a {enrollment.product_name}: FileVault is for Macs.")
    return enrollment


def _versions(tx: Tx, enrollment: Enrollment) -> Sequence[Version]:
    lineage = tx.lineages.find(Kind.FILEVAULT_ESCROW, enrollment.id or "")
    return [] if lineage is None else tx.lineages.versions(lineage.id)


def _on_its_way(tx: Tx, enrollment: Enrollment) -> Version | None:
    return next((each for each in _versions(tx, enrollment) if each.state is VersionState.ISSUED), None)


def _require_enabled(tx: Tx, enrollment: Enrollment) -> Version:
    found = records.active(tx, Kind.FILEVAULT_ESCROW, enrollment.id or "")
    if found is None:
        raise Conflict(
            f"{enrollment.id} has no escrow certificate yet.", advice="`bramley escrow enable` sends one; wait for its answer."
        )
    return found


def _current(tx: Tx, enrollment: Enrollment) -> RecoveryKey:
    known = tx.recovery_keys.of(EnrollmentID(enrollment.id or ""))
    if not known:
        raise Conflict(
            f"No recovery key of {enrollment.id} is known, and a new one can be made by the one before alone.",
            advice="`bramley escrow fetch` asks the Mac for it.",
        )
    return known[0]


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
        if earlier.request_type != _ROTATE:  # its answer would bring the newer key
            tx.commands.withdraw(enrollment.key, earlier.uuid, now)
    asked = commands.queue(tx, sealer, enrollment, SecurityInfo(), actor=actor, now=now, job_on_answer=ESCROW_ANSWERED)
    leave_push(tx, enrollment.key, now)
    return asked


def _message(command: Command) -> bytes | None:
    """The CMS message with the recovery key in an answer to SecurityInfo or RotateFileVaultKey."""
    try:
        answer = plist.loads(command.answer or b"", max_bytes=MAX_REPORT_BYTES)
    except BadMessage:
        return None
    rotated = command.request_type == _ROTATE
    part = answer.get("RotateResult" if rotated else "SecurityInfo") if isinstance(answer, dict) else None
    found = part.get("EncryptedNewRecoveryKey" if rotated else "FDE_PersonalRecoveryKeyCMS") if isinstance(part, dict) else None
    return found if isinstance(found, bytes) else None


def _is_to(message: bytes, version: Version) -> bool:
    return version.certificate is not None and cms.is_for(message, certificates.load(version.certificate))


def _open(tx: Tx, sealer: Sealer, key: RecoveryKey) -> str:
    """A recovery key in clear. Conflict for a message that does not open, or holds no text."""
    version: VersionID = key.version_id
    found = tx.lineages.version(version)
    if found is None or found.key_id is None or found.certificate is None:
        raise Conflict(f"The escrow key {version} is missing.", advice="Restore a backup that has it.")
    private = vault.take(tx, sealer, found.key_id)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise AssertionError("escrow keys are RSA")
    try:
        content = cms.decrypt(key.message, key=private, certificate=certificates.load(found.certificate)).content
        return content.decode("utf-8").strip("\0\r\n ")
    except (cms.CMSError, UnicodeDecodeError):
        raise Conflict("The recovery key that the Mac told does not open with its escrow key.") from None
