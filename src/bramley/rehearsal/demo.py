"""The demo: a fleet enrolls, is pushed, answers commands, renews; one identity is revoked; four attackers try everything."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bramley.clock import SystemClock
from bramley.errors import BramleyError
from bramley.mdm.commands import (
    CertificateList,
    DeviceInformation,
    InstallProfile,
    ProfileList,
    RemoveProfile,
    Request,
    SecurityInfo,
)
from bramley.model.enrollments import EnrollmentID, EnrollmentState
from bramley.model.lineages import VersionState
from bramley.operations import certificates, commands, devices, identities
from bramley.pki.certificates import der
from bramley.profiles.build import Profile
from bramley.profiles.payloads import RootCertificatePayload
from bramley.profiles.sign import sign
from bramley.rehearsal.stage import Stage, open_stage
from bramley.sandbox import attackers
from bramley.sandbox.attackers import Attempt
from bramley.sandbox.device import SignatureStyle, SimulatedDevice
from bramley.storage.protocols import CertificateRow, Tx

if TYPE_CHECKING:
    from rich.console import Console

STYLES: Final = (SignatureStyle.APPLE, SignatureStyle.DER, SignatureStyle.TLS)
PATIENCE: Final = 60.0
PLAIN: Final = "demo.plain"


@dataclass(frozen=True, slots=True)
class Attack:
    """What one attacker tried."""

    name: str
    attempts: Sequence[Attempt]

    @property
    def refused(self) -> bool:
        """Whether nothing of it got through; an attacker who tried nothing proves nothing."""
        return bool(self.attempts) and all(attempt.refused for attempt in self.attempts)


@dataclass(slots=True)
class Demo:
    """What came about. `failures` says in words what went otherwise than it must."""

    devices: int
    enrolled: int = 0
    pushed: int = 0
    commands_answered: int = 0
    renewed: int = 0
    revoked: int = 0
    attacks: list[Attack] = field(default_factory=list)
    certificates: Sequence[CertificateRow] = ()
    failures: list[str] = field(default_factory=list)
    url: str = ""
    data: str = ""

    @property
    def attacks_refused(self) -> int:
        """Attackers all of whose attempts were refused."""
        return sum(attack.refused for attack in self.attacks)

    @property
    def passed(self) -> bool:
        """Whether everything went as it must."""
        reached = (self.enrolled, self.pushed, self.renewed, self.revoked, self.attacks_refused)
        return not self.failures and reached == (self.devices, self.devices, 1, 1, 4)

    def as_json(self) -> dict[str, Any]:
        """The last line of `bramley demo --json`."""
        return {
            "devices": self.devices,
            "enrolled": self.enrolled,
            "pushed": self.pushed,
            "commands_answered": self.commands_answered,
            "renewed": self.renewed,
            "revoked": self.revoked,
            "attacks_refused": self.attacks_refused,
            "attempts": {attack.name: len(attack.attempts) for attack in self.attacks},
            "certificates": len(self.certificates),
            "passed": self.passed,
            "failures": self.failures,
        }


class Progress:
    """Shows a person what is going on; silent for machines."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console, self._quiet = console, quiet

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """A step that turns into a ticked line."""
        if self._quiet:
            yield
            return
        with self._console.status(text):
            yield
        self._console.print(f"[green]✓[/green] {text}")


def run(count: int, keep: bool, as_json: bool, console: Console) -> int:
    """Plays the demo and reports. 0 where everything went as it must, else 1.

    With `keep` the server goes on until it is interrupted, and its data folder stays.
    """
    from bramley.rehearsal import report

    folder = Path(tempfile.mkdtemp(prefix="bramley-demo-"))
    try:
        demo = asyncio.run(_play(folder, count, keep, Progress(console, quiet=as_json), console))
    finally:
        if not keep:
            shutil.rmtree(folder)
    if as_json:
        report.print_json(demo)
    else:
        report.show(console, demo)
    return 0 if demo.passed else 1


async def play(stage: Stage, count: int, progress: Progress) -> Demo:
    """The story on an open stage."""
    demo = Demo(count, url=stage.installation.url, data=str(stage.first.folder))
    fleet = [stage.device(n, STYLES[n % 3], not_now_rate=0.1, users=int(n == 0)) for n in range(count)]
    mallory = stage.device(count)
    async with _closing([*fleet, mallory]):
        with progress.step(f"{count} devices fetch their signed profiles and enroll over TLS"):
            await asyncio.gather(*(_enroll(stage, device) for device in fleet))
            demo.enrolled = await stage.installation.store.read(lambda tx: len(_active(tx, fleet)))
        async with _running(fleet):
            with progress.step("a push wakes each of them, and they answer commands, NotNow now and then"):
                demo.commands_answered = await _command(stage, fleet, demo)
            with progress.step(f"{fleet[0].device.device_name} renews its identity"):
                demo.renewed = await _renew(stage, fleet[0])
        with progress.step(f"the identity of {fleet[-1].device.device_name} is revoked"):
            revoked = await identities.revoke(stage.installation, fleet[-1].device.udid, reason="demo", actor="demo")
            demo.revoked = len(revoked)
        await _enroll(stage, mallory)
        await _attack(stage, fleet, mallory, demo, progress)
        with progress.step("the fleet is unharmed"):
            await _check_unharmed(stage, fleet[:-1], demo)
    demo.certificates = await certificates.listing(stage.installation, limit=10_000)
    return demo


async def _play(folder: Path, count: int, keep: bool, progress: Progress, console: Console) -> Demo:
    with progress.step("a server with its own authorities, and a stand-in for Apple, on free loopback ports"):
        stage = await open_stage(folder, SystemClock())
    try:
        try:
            demo = await play(stage, count, progress)
        except BramleyError as error:
            demo = Demo(count, url=stage.installation.url, data=str(stage.first.folder), failures=[str(error)])
        if keep:
            _invite(stage, console)
            await _interrupted()
    finally:
        await stage.close()
    return demo


async def _enroll(stage: Stage, device: SimulatedDevice) -> None:
    await device.enroll(await stage.link())


def _active(tx: Tx, fleet: Sequence[SimulatedDevice]) -> list[str]:
    found = (tx.enrollments.by_id(EnrollmentID(device.device.udid)) for device in fleet)
    return [one.id for one in found if one is not None and one.id and one.state is EnrollmentState.ACTIVE]


async def _command(stage: Stage, fleet: Sequence[SimulatedDevice], demo: Demo) -> int:
    """Commands for all; how many were answered. Devices do not poll, so whoever answered was reached by a push."""
    requests = _requests(stage)
    # What was put off by NotNow comes after what was not: a profile is removed once it is certain to be there.
    for wave in (requests, [RemoveProfile(PLAIN)]):
        for request in wave:
            for device in fleet:
                await commands.send(stage.installation, device.device.udid, request, actor="demo")
        await stage.until("every command answered", lambda tx: tx.commands.count_pending() == 0, PATIENCE)

    def pushed(tx: Tx) -> int:
        found = (tx.enrollments.by_id(EnrollmentID(device.device.udid)) for device in fleet if device.history)
        return sum(one is not None and one.last_push_at is not None for one in found)

    demo.pushed = await stage.installation.store.read(pushed)
    answered = 0
    for device in fleet:
        detail = await devices.show(stage.installation, device.device.udid)
        wrong = [f"{c.request_type} for {device.device.udid}: {c.state}" for c in detail.commands if c.state != "acknowledged"]
        demo.failures += wrong
        answered += len(detail.commands) - len(wrong)
    return answered


def _requests(stage: Stage) -> list[Request]:
    root = stage.service.live.current().authorities.root.authority.certificate
    payload = RootCertificatePayload("demo.orchard.root", "C0FFEE00-0000-4000-8000-000000000001", "Root", der(root))
    plain, wrapped = (
        Profile(f"demo.{name}", f"C0FFEE00-0000-4000-8000-00000000000{n}", f"Demo {name}", "Orchard", payloads=(payload,))
        for n, name in ((2, "plain"), (3, "signed"))
    )
    signer, now = stage.service.live.current().signer, stage.clock.now()
    signed = sign(wrapped.to_bytes(), certificate=signer.certificate, key=signer.key, chain=signer.chain, now=now)
    return [
        DeviceInformation(("UDID", "SerialNumber", "OSVersion", "DeviceName")),
        SecurityInfo(),
        InstallProfile(plain.to_bytes()),
        InstallProfile(signed),
        ProfileList(),
        CertificateList(),
    ]


async def _renew(stage: Stage, device: SimulatedDevice) -> int:
    await identities.renew(stage.service.live, device.device.udid, actor="demo")

    def renewed(tx: Tx) -> bool:
        enrollment = tx.enrollments.by_id(EnrollmentID(device.device.udid))
        bound = tx.enrollments.bindings(enrollment.key) if enrollment else []
        versions = [tx.lineages.version(binding.version_id) for binding in bound]
        states = [version.state for version in versions if version]
        return sorted(states) == [VersionState.ACTIVE, VersionState.SUPERSEDED] and tx.commands.count_pending() == 0

    return int(await stage.until("the renewed identity in use", renewed, PATIENCE))


async def _attack(
    stage: Stage, fleet: Sequence[SimulatedDevice], mallory: SimulatedDevice, demo: Demo, progress: Progress
) -> None:
    victim, tls = fleet[0], stage.tls_base
    identity = victim.identity
    if identity is None:
        raise AssertionError("the victim is enrolled")
    user = victim.behaviour.users[0]
    genuine_ca = stage.service.live.current().authorities.identity.authority.certificate
    waves = {
        "someone else's UDID": attackers.someone_elses_udid(
            mallory, victim.device, stage.clock, victim_user=user, link=await stage.link(), tls_base=tls
        ),
        "a revoked identity": attackers.revoked_identity(fleet[-1], stage.clock, tls_base=tls),
        "a body replaced under a valid signature": attackers.replaced_body(victim, stage.clock),
        "a look-alike CA of the same name": attackers.look_alike_ca(
            mallory,
            victim.device,
            stage.clock,
            genuine_ca=genuine_ca,
            genuine_leaf=identity.certificate,
            tls_base=tls,
        ),
    }
    for name, wave in waves.items():
        with progress.step(f"attack: {name}"):
            attack = Attack(name, [attempt async for attempt in wave])
        demo.attacks.append(attack)
        demo.failures += [f"got through: {a.description} ({a.answered})" for a in attack.attempts if not a.refused]


async def _check_unharmed(stage: Stage, fleet: Sequence[SimulatedDevice], demo: Demo) -> None:
    """Everyone is still enrolled, under the same push token, and still answers."""
    active = await stage.installation.store.read(lambda tx: _active(tx, fleet))
    demo.failures += [f"lost in the attacks: {one.device.udid}" for one in fleet if one.device.udid not in active]
    async with _running(fleet):
        for device in fleet:
            await commands.send(stage.installation, device.device.udid, SecurityInfo(), actor="demo")
        await stage.until("every device answers after the attacks", lambda tx: tx.commands.count_pending() == 0, PATIENCE)


@asynccontextmanager
async def _running(fleet: Sequence[SimulatedDevice]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(device.run()) for device in fleet]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _closing(fleet: Sequence[SimulatedDevice]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for device in fleet:
            await device.close()


def _invite(stage: Stage, console: Console) -> None:
    folder = stage.first.folder
    console.print(f"\nThe server goes on at [bold]{stage.installation.url}[/bold] until Ctrl-C; its data is in {folder}.")
    console.print(f"Try: bramley --data {folder} device list, or certs list. The admin token is {stage.first.admin_token}")


async def _interrupted() -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
