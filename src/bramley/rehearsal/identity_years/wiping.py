"""A device that is wiped while its identity is being renewed, and enrolled again: nothing of its former life may reach it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from bramley.mdm.commands import InstallProfile, read_raw
from bramley.model.commands import RENEWAL_ANSWERED, Command
from bramley.model.enrollments import EnrollmentID
from bramley.operations import commands
from bramley.pki.certificates import der
from bramley.profiles.build import Profile
from bramley.profiles.payloads import RootCertificatePayload
from bramley.rehearsal.identity_years.fleet import ACTOR, Fleet, new_device
from bramley.rehearsal.identity_years.player import CutShort, Interruption, Player
from bramley.sandbox.device import Identity
from bramley.sandbox.errors import SandboxError
from bramley.storage.protocols import Tx

MARKER: Final = "rehearsal.marker"
"""The PayloadIdentifier of a profile that was meant for the life before."""

_SECRET: Final = b"of the life before"


@dataclass(frozen=True, slots=True)
class FormerLife:
    """What a device had before it was wiped: its identities, and the commands that were waiting for it.

    `secret_handed_out` says that the wiped device was given what the one before had escrowed.
    """

    identities: Sequence[Identity]
    waiting: frozenset[str]
    secret_handed_out: bool


async def is_being_renewed(fleet: Fleet, player: Player) -> bool:
    """Whether a renewal waits for the device."""
    pending = await fleet.stage.installation.store.read(lambda tx: _pending(tx, player))
    return any(command.job_on_answer == RENEWAL_ANSWERED for command in pending)


async def wipe(fleet: Fleet, player: Player, interruption: Interruption) -> FormerLife:
    """Wipes the device once it has come so far with the renewal that waits for it, and enrolls it by a link of its own.

    Before that it escrows a token, and commands are queued that would show on it.
    """
    installation, former = fleet.stage.installation, player.device
    with suppress(SandboxError):  # of a server that knows it no more, it has nothing to inherit
        await former.set_bootstrap_token(_SECRET)
    for request in (read_raw({"RequestType": "DeviceLock"}), InstallProfile(_marker(fleet).to_bytes())):
        await commands.send(installation, player.name, request, actor=ACTOR)
    former.interruption = interruption
    if interruption is not Interruption.ASKED:
        with suppress(CutShort):
            await player.answer()
    pending = await installation.store.read(lambda tx: _pending(tx, player))
    held = [identity for identity in (former.identity, former.unused) if identity is not None]
    for channel in former.channels.values():
        await fleet.stage.apns.courier.unregister(channel.token)
    await player.leave()
    player.device = new_device(fleet.stage, player.part, former.device)
    await player.enroll(await fleet.stage.link(player.name))
    secret = await player.device.get_bootstrap_token()
    return FormerLife(held, frozenset(command.uuid for command in pending), secret_handed_out=secret is not None)


def inherited(player: Player, former: FormerLife) -> Sequence[str]:
    """The commands that have reached the wiped device and were meant for the one before, in words."""
    history = player.device.history
    stale = [each for each in history if each.command_uuid in former.waiting or each.request_type == "DeviceLock"]
    return [f"{each.request_type} for the life before reached {player.name}" for each in stale]


def _pending(tx: Tx, player: Player) -> Sequence[Command]:
    enrollment = tx.enrollments.by_id(EnrollmentID(player.name))
    return tx.commands.pending(enrollment.key) if enrollment is not None else []


def _marker(fleet: Fleet) -> Profile:
    root = fleet.stage.service.live.current().authorities.root.certificate
    payload = RootCertificatePayload(f"{MARKER}.root", "C0FFEE00-0000-4000-8000-000000000001", "Root", der(root))
    return Profile(MARKER, "C0FFEE00-0000-4000-8000-000000000002", "Marker", "Orchard", payloads=(payload,))
