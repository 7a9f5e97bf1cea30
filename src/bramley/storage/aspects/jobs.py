"""Work left for later, taken under leases: a job is never lost, and never runs twice at once while its lease lasts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this ON CONFLICT too

from bramley.model.jobs import Job, JobID, JobState
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of
from bramley.storage.columns import UTCTime

JOBS = schema.jobs
JOB = columns_of(JOBS, Job)
READY = JOBS.c.state == schema.literal(JobState.READY)
RUNNING = JOBS.c.state == schema.literal(JobState.RUNNING)
# the condition of the index jobs_ended, literally
ENDED = JOBS.c.state.in_([schema.literal(JobState.DONE), schema.literal(JobState.FAILED)])

ADD = insert(JOBS).on_conflict_do_nothing(index_elements=[JOBS.c.dedup_key], index_where=READY).returning(JOBS.c.id)
# shared by all who add the same work, and skipped by whoever claims
HOLD = sa.select(JOBS.c.id).where(READY, JOBS.c.dedup_key == sa.bindparam("key")).with_for_update(read=True)
DUE = sa.or_(
    sa.and_(READY, JOBS.c.run_at <= sa.bindparam("now", type_=UTCTime)),
    sa.and_(RUNNING, JOBS.c.lease_until <= sa.bindparam("now", type_=UTCTime)),
)
# two runners side by side take different jobs; SQLite, where one writes at a time, says nothing for this
CHOSEN = (
    sa.select(JOBS.c.id)
    .where(DUE)
    .order_by(JOBS.c.run_at, JOBS.c.id)
    .limit(sa.bindparam("most", type_=sa.Integer))
    .with_for_update(skip_locked=True)
)
CLAIM = sa.update(JOBS).where(JOBS.c.id.in_(CHOSEN)).returning(*JOB)
CLAIM = CLAIM.values(
    state=schema.literal(JobState.RUNNING),
    owner=sa.bindparam("claimant"),
    lease_until=sa.bindparam("until"),
    attempts=JOBS.c.attempts + 1,
)
EXTEND = sa.update(JOBS).where(RUNNING, JOBS.c.owner == sa.bindparam("holder"))
RELEASE = EXTEND.where(JOBS.c.id == sa.bindparam("which"))
AGAIN = sa.select(JOBS.c.dedup_key).where(JOBS.c.id == sa.bindparam("id")).scalar_subquery()
WAITING_AGAIN = sa.select(JOBS.c.id).where(READY, JOBS.c.dedup_key == AGAIN)
NEXT_TIMES = sa.union_all(
    sa.select(sa.func.min(JOBS.c.run_at)).where(READY), sa.select(sa.func.min(JOBS.c.lease_until)).where(RUNNING)
)
OF_KIND = sa.select(*JOB).where(JOBS.c.kind == sa.bindparam("kind")).order_by(JOBS.c.id.desc())
SWEEP = sa.delete(JOBS).where(ENDED, JOBS.c.lease_until < sa.bindparam("moment"))


class SQLJobs:
    """`protocols.Jobs` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, job: Job) -> None:
        """A job of the same `dedup_key` that is ready will do instead: it is not claimed before this transaction ends.

        Without that it could be done before others see what it was added for, and that would wait for ever.
        """
        if self._connection.execute(ADD, values_of(job, without=("id",))).first() is None:
            self._connection.execute(HOLD, {"key": job.dedup_key})

    def claim(self, owner: str, now: datetime, lease: timedelta, limit: int) -> Sequence[Job]:
        given = {"now": now, "most": limit, "claimant": owner, "until": now + lease}
        taken = [Job(*row) for row in self._connection.execute(CLAIM, given)]
        return sorted(taken, key=lambda job: (job.run_at, job.id or 0))

    def extend(self, owner: str, now: datetime, lease: timedelta) -> int:
        return self._connection.execute(EXTEND, {"holder": owner, "lease_until": now + lease}).rowcount

    def finish(self, job_id: JobID, owner: str) -> bool:
        """False where the owner holds it no more. The end of the last lease stays, as the time by which it had ended."""
        return self._release(job_id, owner, {"state": JobState.DONE})

    def retry(self, job_id: JobID, owner: str, run_at: datetime, error: str) -> bool:
        """Back to ready; done instead where the same work (`dedup_key`) has been added meanwhile and is ready.

        Where it is being added at this very moment the transaction ends with Conflict, and sees it when it is run again.
        """
        if self._connection.execute(WAITING_AGAIN, {"id": job_id}).first() is not None:
            return self._release(job_id, owner, {"state": JobState.DONE, "last_error": error})
        ready = {"state": JobState.READY, "run_at": run_at, "last_error": error, "owner": None, "lease_until": None}
        return self._release(job_id, owner, ready)

    def fail(self, job_id: JobID, owner: str, error: str) -> bool:
        return self._release(job_id, owner, {"state": JobState.FAILED, "last_error": error})

    def _release(self, job_id: JobID, owner: str, changes: dict[str, object]) -> bool:
        return self._connection.execute(RELEASE, {"which": job_id, "holder": owner, **changes}).rowcount == 1

    def next_run_at(self) -> datetime | None:
        """When `claim` may next find something: a ready job's time or the end of a running one's lease."""
        times = self._connection.execute(NEXT_TIMES).scalars()
        return min((moment for moment in times if moment is not None), default=None)

    def of_kind(self, kind: str, *, limit: int = 100) -> Sequence[Job]:
        """Newest first, whatever their state."""
        return [Job(*row) for row in self._connection.execute(OF_KIND.limit(limit), {"kind": kind})]

    def sweep(self, finished_before: datetime) -> int:
        """Deletes the done and failed ones whose last lease ended before the moment; how many."""
        return self._connection.execute(SWEEP, {"moment": finished_before}).rowcount
