"""How device identities stand: when each ends, when it is to be renewed, and what became of the last renewal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bramley.lifecycle import schedule
from bramley.mdm.errors import BadMessage
from bramley.mdm.report import ErrorItem, parse_report
from bramley.model.commands import Command, CommandState, CommandUUID
from bramley.model.enrollments import Enrollment, EnrollmentKey
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Version, VersionID, VersionState
from bramley.operations import devices, former_profiles
from bramley.operations.installation import Installation
from bramley.storage.protocols import CertificateRow, Tx

STANDING: Final = (VersionState.ISSUED, VersionState.DISTRIBUTED, VersionState.ACTIVE, VersionState.SUSPENDED)
"""What a list shows unless asked for more."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The latest renewal that a device was asked for: when, what became of the command, and what the device had to say.

    `state` is None where the command is no longer on record; `errors` are the links of the ErrorChain, outermost first.
    """

    started_at: datetime
    command_uuid: CommandUUID
    state: CommandState | None
    answered_at: datetime | None = None
    not_now_count: int = 0
    errors: Sequence[ErrorItem] = ()

    @property
    def words(self) -> str:
        """The state, and the device's own errors."""
        return f"{self.state or 'not on record'}{in_words(self.errors)}"


@dataclass(frozen=True, slots=True)
class Standing:
    """One identity, the enrollment that it is bound to, the moment its successor is due, and the last renewal.

    `route` is how the device's identities come, as their lineage has it.
    """

    version: Version
    enrollment: Enrollment
    due_at: datetime | None
    renewal: Renewal | None
    route: str = ""

    @property
    def obstacle(self) -> str:
        """What keeps it from ever being renewed, and what helps; empty where nothing does."""
        unknown = self.enrollment.invariants == former_profiles.UNKNOWN
        return "cannot be renewed: import it again with --profile, or enroll it again" if unknown else ""


async def listing(
    installation: Installation,
    *,
    states: Sequence[VersionState] = STANDING,
    ends_before: datetime | None = None,
    limit: int = 100,
    after: VersionID | None = None,
) -> Sequence[Standing]:
    """Identities in the order they came to be."""

    def read(tx: Tx) -> list[Standing]:
        rows = tx.lineages.certificates(
            kind=Kind.DEVICE_IDENTITY, states=states, expires_before=ends_before, limit=limit, after=after
        )
        return [found for row in rows if (found := of(tx, row)) is not None]

    return await installation.store.read(read)


async def renewal(installation: Installation, device: str) -> Renewal | None:
    """The latest renewal of a device; None where there was none. NotFound where there is no device of this name."""

    def read(tx: Tx) -> Renewal | None:
        found = devices.resolve(tx, device)
        return last_renewal(tx, found.parent or found.key)

    return await installation.store.read(read)


def of(tx: Tx, row: CertificateRow) -> Standing | None:
    """How the identity of a row stands; None for one that is bound to no enrollment."""
    enrollment = tx.enrollments.get(row.enrollment_key) if row.enrollment_key else None
    if enrollment is None:
        return None
    due_at = schedule.due_at(row.version, row.lineage.policy) if row.version.state is VersionState.ACTIVE else None
    return Standing(row.version, enrollment, due_at, last_renewal(tx, enrollment.key), row.lineage.route)


def last_renewal(tx: Tx, key: EnrollmentKey) -> Renewal | None:
    """The latest renewal of an enrollment; None where there was none."""
    started = tx.events.find(kind=EventKind.RENEWAL_STARTED, enrollment_key=key, limit=1)
    return renewal_of(tx, started[0]) if started else None


def renewal_of(tx: Tx, started: Event) -> Renewal:
    """The renewal that an event tells the beginning of."""
    uuid = CommandUUID(str(started.detail["command"]))
    command = tx.commands.get(started.enrollment_key, uuid) if started.enrollment_key else None
    if command is None:
        return Renewal(started.at, uuid, None)
    return Renewal(started.at, uuid, command.state, command.answered_at, command.not_now_count, errors_of(command))


def errors_of(command: Command) -> Sequence[ErrorItem]:
    """Why a command failed, as its device says; nothing where it says nothing, or nothing that can be read here.

    An answer may be deeper or longer than what is read by default, since settings let it in: that hides the reason and no more.
    """
    try:
        return parse_report(command.answer).error_chain if command.answer else ()
    except BadMessage:
        return ()


def in_words(errors: Sequence[ErrorItem]) -> str:
    """An ErrorChain on one line, to follow something else; empty for an empty one. A device wrote it: nothing in it steers."""
    said = "".join(f"; {item.domain[:100]} {item.code}: {item.description[:500]}" for item in errors[:4])
    return "".join(character if character.isprintable() else "\ufffd" for character in said)
