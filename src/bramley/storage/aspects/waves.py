"""Waves of pushes and their targets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from bramley.model.enrollments import EnrollmentKey
from bramley.model.push import Wave, WaveID, WaveState, WaveTarget
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of
from bramley.storage.errors import NotFound

WAVES = schema.waves
TARGETS = schema.wave_targets
WAVE = columns_of(WAVES, Wave)

ADD = sa.insert(WAVES)
ADD_TARGET = sa.insert(TARGETS)
GET = sa.select(*WAVE).where(WAVES.c.id == sa.bindparam("id"))
UPDATE = sa.update(WAVES).where(WAVES.c.id == sa.bindparam("which"))
RECENT = sa.select(*WAVE).order_by(WAVES.c.id.desc())
OF_WAVE = TARGETS.c.wave_id == sa.bindparam("wave")
UNTRIED = sa.select(*columns_of(TARGETS, WaveTarget)).where(OF_WAVE, TARGETS.c.outcome.is_(None)).order_by(TARGETS.c.position)
SETTLE = sa.update(TARGETS).where(OF_WAVE, TARGETS.c.position == sa.bindparam("place"))
SETTLE = SETTLE.values(outcome=sa.bindparam("word"))
TALLY = sa.select(TARGETS.c.outcome, sa.func.count()).where(OF_WAVE).group_by(TARGETS.c.outcome)
ENDED = sa.and_(WAVES.c.state != schema.literal(WaveState.RUNNING), WAVES.c.changed_at < sa.bindparam("moment"))
SWEEP_TARGETS = sa.delete(TARGETS).where(TARGETS.c.wave_id.in_(sa.select(WAVES.c.id).where(ENDED)))
SWEEP = sa.delete(WAVES).where(ENDED)


class SQLWaves:
    """`protocols.Waves` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, wave: Wave, keys: Sequence[EnrollmentKey]) -> None:
        self._connection.execute(ADD, values_of(wave))
        if keys:
            targets = [{"wave_id": wave.id, "position": place, "enrollment_key": key} for place, key in enumerate(keys)]
            self._connection.execute(ADD_TARGET, targets)

    def get(self, wave_id: WaveID) -> Wave | None:
        row = self._connection.execute(GET, {"id": wave_id}).one_or_none()
        return None if row is None else Wave(*row)

    def update(self, wave: Wave) -> None:
        changes = {name: getattr(wave, name) for name in ("state", "per_second", "changed_at", "problem")}
        if self._connection.execute(UPDATE, {"which": wave.id, **changes}).rowcount == 0:
            raise NotFound(f"there is no wave {wave.id} to update.", advice="Add it first.")

    def recent(self, *, limit: int = 100) -> Sequence[Wave]:
        return [Wave(*row) for row in self._connection.execute(RECENT.limit(limit))]

    def untried(self, wave_id: WaveID, limit: int) -> Sequence[WaveTarget]:
        return [WaveTarget(*row) for row in self._connection.execute(UNTRIED.limit(limit), {"wave": wave_id})]

    def settle(self, targets: Sequence[WaveTarget]) -> None:
        if targets:
            given = [{"wave": target.wave_id, "place": target.position, "word": target.outcome} for target in targets]
            self._connection.execute(SETTLE, given)

    def tally(self, wave_id: WaveID) -> dict[str | None, int]:
        return {row[0]: row[1] for row in self._connection.execute(TALLY, {"wave": wave_id})}

    def sweep(self, ended_before: datetime) -> int:
        self._connection.execute(SWEEP_TARGETS, {"moment": ended_before})
        return self._connection.execute(SWEEP, {"moment": ended_before}).rowcount
