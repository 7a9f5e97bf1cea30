"""The command queue of each channel. A command leaves it only with a stored answer, or cancelled (rule 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from bramley.model.commands import RENEWAL_ANSWERED, Command, CommandState, CommandUUID, PendingCommand
from bramley.model.enrollments import EnrollmentKey
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of
from bramley.storage.aspects.times import note_times

COMMANDS = schema.commands
COMMAND = columns_of(COMMANDS, Command)
QUEUED = COMMANDS.c.state == schema.literal(CommandState.QUEUED)
DEFERRED = COMMANDS.c.state == schema.literal(CommandState.NOT_NOW)
PENDING = sa.or_(QUEUED, DEFERRED)
OF_CHANNEL = COMMANDS.c.enrollment_key == sa.bindparam("key")

ADD = sa.insert(COMMANDS)
GET = sa.select(*COMMAND).where(COMMANDS.c.uuid == sa.bindparam("uuid"), OF_CHANNEL)
NEXT = sa.select(*columns_of(COMMANDS, PendingCommand)).where(OF_CHANNEL, QUEUED).order_by(COMMANDS.c.seq).limit(1)
CHANGE = sa.update(COMMANDS).where(COMMANDS.c.uuid == sa.bindparam("which"), OF_CHANNEL, PENDING)
KEPT = {COMMANDS.c.payload: sa.case((COMMANDS.c.job_on_answer == sa.literal(RENEWAL_ANSWERED), b""), else_=COMMANDS.c.payload)}
"""What is left of a payload at the end: of a renewal, which may have brought a private key, nothing."""

ANSWER = CHANGE.values(KEPT).returning(*COMMAND)
DEFER = CHANGE.values(state=schema.literal(CommandState.NOT_NOW), not_now_count=COMMANDS.c.not_now_count + 1)
PUT_OFF = DEFER.returning(*COMMAND)
RESUME = sa.update(COMMANDS).where(OF_CHANNEL, DEFERRED)
CHANNELS = sa.select(schema.enrollments.c.key).where(schema.enrollments.c.parent == sa.bindparam("key"))
WITHDRAW = CHANGE.values(KEPT)
CANCEL = sa.update(COMMANDS).where(sa.or_(OF_CHANNEL, COMMANDS.c.enrollment_key.in_(CHANNELS)), PENDING).values(KEPT)
ALL_PENDING = sa.select(*COMMAND).where(OF_CHANNEL, PENDING).order_by(COMMANDS.c.seq)
COUNT_PENDING = sa.select(sa.func.count()).select_from(COMMANDS).where(PENDING)
HISTORY = sa.select(*COMMAND).where(OF_CHANNEL).order_by(COMMANDS.c.seq.desc())

FINAL_ANSWERS = frozenset({CommandState.ACKNOWLEDGED, CommandState.ERROR, CommandState.COMMAND_FORMAT_ERROR})


class SQLCommands:
    """`protocols.Commands` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, command: Command) -> None:
        self._connection.execute(ADD, values_of(command))

    def get(self, key: EnrollmentKey, uuid: CommandUUID) -> Command | None:
        row = self._connection.execute(GET, {"uuid": uuid, "key": key}).one_or_none()
        return None if row is None else Command(*row)

    def next(self, key: EnrollmentKey) -> PendingCommand | None:
        row = self._connection.execute(NEXT, {"key": key}).one_or_none()
        return None if row is None else PendingCommand(*row)

    def answer(self, key: EnrollmentKey, uuid: CommandUUID, state: CommandState, answer: bytes, now: datetime) -> Command | None:
        """A NotNow is counted, and its report not kept. `state` must be what a device can report, else ValueError."""
        command = {"which": uuid, "key": key}
        if state is CommandState.NOT_NOW:
            changed = self._connection.execute(PUT_OFF, command)
        elif state in FINAL_ANSWERS:
            changed = self._connection.execute(ANSWER, {**command, "state": state, "answer": answer, "answered_at": now})
        else:
            raise ValueError(f"a device cannot answer with {state.value!r}")
        row = changed.one_or_none()
        return None if row is None else Command(*row)

    def note_sent(self, sent: Mapping[CommandUUID, datetime]) -> None:
        """Moves `sent_at` forward, never back."""
        note_times(self._connection, COMMANDS.c.uuid, COMMANDS.c.sent_at, sent)

    def resume(self, key: EnrollmentKey) -> int:
        return self._connection.execute(RESUME, {"key": key, "state": CommandState.QUEUED}).rowcount

    def cancel(self, key: EnrollmentKey, now: datetime) -> int:
        return self._connection.execute(CANCEL, {"key": key, "state": CommandState.CANCELLED, "answered_at": now}).rowcount

    def pending(self, key: EnrollmentKey) -> Sequence[Command]:
        return [Command(*row) for row in self._connection.execute(ALL_PENDING, {"key": key})]

    def withdraw(self, key: EnrollmentKey, uuid: CommandUUID, now: datetime) -> bool:
        cancelled = {"which": uuid, "key": key, "state": CommandState.CANCELLED, "answered_at": now}
        return self._connection.execute(WITHDRAW, cancelled).rowcount == 1

    def count_pending(self) -> int:
        """Over all channels."""
        return self._connection.execute(COUNT_PENDING).scalar_one()

    def history(self, key: EnrollmentKey, *, limit: int = 100) -> Sequence[Command]:
        return [Command(*row) for row in self._connection.execute(HISTORY.limit(limit), {"key": key})]
