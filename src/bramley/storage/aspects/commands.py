"""The command queue of each channel. A command leaves it only with a stored answer, or cancelled (rule 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from bramley.model.commands import Command, CommandState, CommandUUID, PendingCommand
from bramley.model.enrollments import EnrollmentKey
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of
from bramley.storage.aspects.times import note_times

COMMANDS = schema.commands
COMMAND = columns_of(COMMANDS, Command)
QUEUED = COMMANDS.c.state == schema.literal(CommandState.QUEUED)
DEFERRED = COMMANDS.c.state == schema.literal(CommandState.NOT_NOW)
PENDING = sa.or_(QUEUED, DEFERRED)
FINAL_ANSWERS = frozenset({CommandState.ACKNOWLEDGED, CommandState.ERROR, CommandState.COMMAND_FORMAT_ERROR})


class SQLCommands:
    """`protocols.Commands` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, command: Command) -> None:
        self._connection.execute(sa.insert(COMMANDS), values_of(command))

    def get(self, key: EnrollmentKey, uuid: CommandUUID) -> Command | None:
        query = sa.select(*COMMAND).where(COMMANDS.c.uuid == uuid, COMMANDS.c.enrollment_key == key)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else Command(*row)

    def next(self, key: EnrollmentKey) -> PendingCommand | None:
        query = sa.select(*columns_of(COMMANDS, PendingCommand)).where(COMMANDS.c.enrollment_key == key, QUEUED)
        row = self._connection.execute(query.order_by(COMMANDS.c.seq).limit(1)).one_or_none()
        return None if row is None else PendingCommand(*row)

    def answer(self, key: EnrollmentKey, uuid: CommandUUID, state: CommandState, answer: bytes, now: datetime) -> Command | None:
        """A NotNow is counted, and its report not kept. `state` must be what a device can report, else ValueError."""
        change = sa.update(COMMANDS).where(COMMANDS.c.uuid == uuid, COMMANDS.c.enrollment_key == key, PENDING)
        if state is CommandState.NOT_NOW:
            change = change.values(state=state, not_now_count=COMMANDS.c.not_now_count + 1)
        elif state in FINAL_ANSWERS:
            change = change.values(state=state, answer=answer, answered_at=now)
        else:
            raise ValueError(f"a device cannot answer with {state.value!r}")
        row = self._connection.execute(change.returning(*COMMAND)).one_or_none()
        return None if row is None else Command(*row)

    def note_sent(self, sent: Mapping[CommandUUID, datetime]) -> None:
        """Moves `sent_at` forward, never back."""
        note_times(self._connection, COMMANDS.c.uuid, COMMANDS.c.sent_at, sent)

    def resume(self, key: EnrollmentKey) -> int:
        change = sa.update(COMMANDS).where(COMMANDS.c.enrollment_key == key, DEFERRED).values(state=CommandState.QUEUED)
        return self._connection.execute(change).rowcount

    def cancel(self, key: EnrollmentKey, now: datetime) -> int:
        channels = sa.select(schema.enrollments.c.key).where(schema.enrollments.c.parent == key)
        theirs = sa.or_(COMMANDS.c.enrollment_key == key, COMMANDS.c.enrollment_key.in_(channels))
        change = sa.update(COMMANDS).where(theirs, PENDING).values(state=CommandState.CANCELLED, answered_at=now)
        return self._connection.execute(change).rowcount

    def pending(self, key: EnrollmentKey) -> Sequence[Command]:
        query = sa.select(*COMMAND).where(COMMANDS.c.enrollment_key == key, PENDING).order_by(COMMANDS.c.seq)
        return [Command(*row) for row in self._connection.execute(query)]

    def withdraw(self, key: EnrollmentKey, uuid: CommandUUID, now: datetime) -> bool:
        change = sa.update(COMMANDS).where(COMMANDS.c.uuid == uuid, COMMANDS.c.enrollment_key == key, PENDING)
        return self._connection.execute(change.values(state=CommandState.CANCELLED, answered_at=now)).rowcount == 1

    def count_pending(self) -> int:
        """Over all channels."""
        return self._connection.execute(sa.select(sa.func.count()).select_from(COMMANDS).where(PENDING)).scalar_one()

    def history(self, key: EnrollmentKey, *, limit: int = 100) -> Sequence[Command]:
        query = sa.select(*COMMAND).where(COMMANDS.c.enrollment_key == key).order_by(COMMANDS.c.seq.desc()).limit(limit)
        return [Command(*row) for row in self._connection.execute(query)]
