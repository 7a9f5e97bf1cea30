"""What an operator has a device do: checked by the table of commands, meant, and filled with what only the server has."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from bramley.mdm import plist
from bramley.mdm.commands import TABLE, Fill, Finding, Raw, Receiver, Request, Rule, Severity, System, require, target_of
from bramley.mdm.commands.requests import MAX_RAW_BYTES
from bramley.mdm.connect import payload_place
from bramley.mdm.records import secret_place
from bramley.mdm.token_update import leave_push
from bramley.model.commands import Command
from bramley.model.enrollments import Enrollment
from bramley.model.events import Event, EventKind
from bramley.operations import commands, devices, escrow_answers, identities, replacements
from bramley.operations.errors import Conflict, Invalid, NotFound
from bramley.operations.installation import Installation
from bramley.operations.profiles import by_hand
from bramley.operations.records import require_reason
from bramley.operations.replacements import Removal
from bramley.pki.keystore import Sealer
from bramley.profiles.rules import Finding as ProfileFinding
from bramley.storage.protocols import Tx

_PIN_DIGITS: Final = 6
_LOOK_BACK: Final = 1000
"""In so many of a device's latest commands a PIN is looked for."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A queued command; `pin` is the one that was made for it here, to be shown once; `notes` are worth knowing.

    `destroys` says what cannot be undone about it, in words; empty where nothing is.
    """

    command: Command
    notes: Sequence[Finding | ProfileFinding] = ()
    destroys: str = ""
    pin: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class KeptPIN:
    """The PIN that a lock or an erasure went out with."""

    command: Command
    pin: str = field(repr=False)


async def send(
    installation: Installation,
    device: str,
    request: Request,
    *,
    serial_number: str | None = None,
    as_is: bool = False,
    actor: str,
    push: bool = True,
) -> Sent:
    """Queues a command that an operator gives, and a push to wake the device.

    What destroys, the removal of the enrollment profile too, must come with the device's `serial_number` once more (its id, where
    it has told none). A Mac that is locked or erased gets a PIN, unless one was given, ClearPasscode the UnlockToken, and a plain
    profile what `by_hand.prepare` does; with `as_is` it goes out octet for octet. Raises BadCommand for what breaks the table's
    rules, or is nothing for this device; what `by_hand.prepare` raises; BadProfile and Invalid for a profile that concerns the
    device's management; Invalid for another serial number; NotFound; Conflict for a device that has left, or whose UnlockToken is
    not known, and for a RotateFileVaultKey whose new key nobody would keep.
    """
    escrow_answers.require_kept(request)
    now = installation.clock.now()
    await replacements.require_harmless(installation, device, request)
    removal = await replacements.removal(installation, device, request)
    ready = await by_hand.prepare(installation, device, request, as_is=as_is)

    def act(tx: Tx) -> Sent:
        enrollment = devices.resolve(tx, device)
        owner = identities.device_of(tx, enrollment)
        if removal is not None:
            removal.require_same(owner)
        destroys = _destroys(request, removal)
        if destroys:
            require_meant(owner, serial_number, request.request_type)
        filled, pin = fill(installation.sealer, owner, ready.request)
        notes: list[Finding | ProfileFinding] = [
            *ready.findings,
            *_unknown(request.request_type),
            *require(filled, _receiver(enrollment, owner), filled=True),
            *_missing_pin(owner, filled),
        ]
        queued = commands.queue(tx, installation.sealer, enrollment, filled, actor=actor, now=now)
        if push:
            leave_push(tx, enrollment.key, now)
        return Sent(queued, notes, destroys, pin)

    return await installation.store.run(act)


async def pins(installation: Installation, device: str, *, reason: str, actor: str) -> Sequence[KeptPIN]:
    """The PINs of a device's locks and erasures, newest first; that they were read, and why, is written down.

    NotFound where it was sent none, Invalid for an empty reason.
    """
    now, reason = installation.clock.now(), require_reason(reason)

    def act(tx: Tx) -> Sequence[KeptPIN]:
        owner = identities.device_of(tx, devices.resolve(tx, device))
        history = tx.commands.history(owner.key, limit=_LOOK_BACK)
        found = [KeptPIN(each, pin) for each in history if (pin := _pin_of(installation.sealer, each))]
        if not found:
            raise NotFound(f"No PIN was sent to {device}.")
        detail = {"reason": reason, "commands": [each.command.uuid for each in found]}
        tx.events.append(Event(now, EventKind.COMMAND_PIN_READ, actor, owner.key, detail=detail))
        return found

    return await installation.store.run(act)


def require_meant(device: Enrollment, serial_number: str | None, what: str) -> None:
    """Invalid unless the serial number is the device's, or its id where it has told none."""
    expected = device.serial_number or device.id or device.key
    if serial_number is None or not serial_number.strip():
        raise Invalid(
            f"Expected the device's serial number with {what}: what follows cannot be undone.",
            advice=f"Repeat it with --serial, in the API as serial_number. `bramley device show {device.id}` shows it.",
        )
    if serial_number.strip().casefold() != expected.casefold():
        raise Invalid(
            f"The serial number given is not that of {device.id}; {what} was not sent.",
            advice=f"`bramley device show {device.id}` shows it. Is it the right device?",
        )


def fill(sealer: Sealer, device: Enrollment, request: Request) -> tuple[Request, str | None]:
    """The request with what the server puts in, and the PIN if one was made. Conflict where no UnlockToken is known."""
    known, command = TABLE.get(request.request_type), request.to_plist()
    if known is None:
        return request, None
    pin, token = known.filled(Fill.PIN), known.filled(Fill.UNLOCK_TOKEN)
    if pin is not None and pin.name not in command and _is_mac(device):
        made = f"{secrets.randbelow(10**_PIN_DIGITS):0{_PIN_DIGITS}}"
        return Raw(request.request_type, {**command, pin.name: made}), made
    if token is not None and token.name not in command:
        if device.unlock_token is None:
            raise Conflict(
                f"{device.id} has told no UnlockToken, without which its passcode cannot be cleared.",
                advice="Devices tell one when they enroll, if they have a passcode then, and when they get one.",
            )
        told = sealer.open(device.unlock_token, secret_place(device.key, "unlock-token"))
        return Raw(request.request_type, {**command, token.name: told}), None
    return request, None


def _destroys(request: Request, removal: Removal | None) -> str:
    if removal is not None:
        return removal.destroys
    known = TABLE.get(request.request_type)
    return known.destroys if known is not None else ""


def _receiver(enrollment: Enrollment, device: Enrollment) -> Receiver:
    return Receiver(
        target_of(device.product_name, device.os_version),
        user_enrollment=device.enrollment_id is not None,
        user_channel=enrollment.parent is not None,
    )


def _unknown(request_type: str) -> Iterator[Finding]:
    if request_type not in TABLE:
        name = request_type[:80]
        near = get_close_matches(name, TABLE, 1)
        words = f"Expected a type of the table; {name} is none{f', {near[0]} is one' if near else ''}. It goes out unchecked."
        yield Finding(Severity.NOTE, "RequestType", Rule.ALLOWED_VALUE, words)


def _missing_pin(device: Enrollment, request: Request) -> Iterator[Finding]:
    known = TABLE.get(request.request_type)
    key = known.filled(Fill.PIN) if known is not None else None
    if key is not None and key.name not in request.to_plist() and target_of(device.product_name, device.os_version) is None:
        words = "No PIN was made, since it is not known what the device runs; a Mac needs one. DeviceInformation asks."
        yield Finding(Severity.NOTE, key.name, Rule.NEEDS, words)


def _is_mac(device: Enrollment) -> bool:
    target = target_of(device.product_name, device.os_version)
    return target is not None and target.system is System.MACOS


def _pin_of(sealer: Sealer, command: Command) -> str | None:
    known = TABLE.get(command.request_type)
    key = known.filled(Fill.PIN) if known is not None else None
    if key is None or not command.payload:
        return None
    message: Any = plist.loads(sealer.open(command.payload, payload_place(command.uuid)), max_bytes=MAX_RAW_BYTES)
    pin = message["Command"].get(key.name)
    return pin if isinstance(pin, str) else None
