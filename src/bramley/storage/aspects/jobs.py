"""Work left for later, taken under leases: a job is never lost, and never runs twice at once while its lease lasts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this ON CONFLICT too

from bramley.model.jobs import Job, JobID, JobState
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of

JOBS = schema.jobs
JOB = columns_of(JOBS, Job)
READY = JOBS.c.state == schema.literal(JobState.READY)
RUNNING = JOBS.c.state == schema.literal(JobState.RUNNING)


class SQLJobs:
    """`protocols.Jobs` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, job: Job) -> None:
        new = insert(JOBS).values(values_of(job, without=("id",)))
        self._connection.execute(new.on_conflict_do_nothing(index_elements=[JOBS.c.dedup_key], index_where=READY))

    def claim(self, owner: str, now: datetime, lease: timedelta, limit: int) -> Sequence[Job]:
        due = sa.or_(sa.and_(READY, JOBS.c.run_at <= now), sa.and_(RUNNING, JOBS.c.lease_until <= now))
        chosen = sa.select(JOBS.c.id).where(due).order_by(JOBS.c.run_at, JOBS.c.id).limit(limit)
        # two runners side by side take different jobs; SQLite, where one writes at a time, says nothing for this
        chosen = chosen.with_for_update(skip_locked=True)
        take = sa.update(JOBS).where(JOBS.c.id.in_(chosen))
        take = take.values(state=JobState.RUNNING, owner=owner, lease_until=now + lease, attempts=JOBS.c.attempts + 1)
        taken = [Job(*row) for row in self._connection.execute(take.returning(*JOB))]
        return sorted(taken, key=lambda job: (job.run_at, job.id or 0))

    def extend(self, owner: str, now: datetime, lease: timedelta) -> int:
        running = sa.update(JOBS).where(RUNNING, JOBS.c.owner == owner)
        return self._connection.execute(running.values(lease_until=now + lease)).rowcount

    def finish(self, job_id: JobID, owner: str) -> bool:
        """False where the owner holds it no more. The end of the last lease stays, as the time by which it had ended."""
        return self._release(job_id, owner, {"state": JobState.DONE})

    def retry(self, job_id: JobID, owner: str, run_at: datetime, error: str) -> bool:
        """Back to ready; done instead where the same work (`dedup_key`) has been added meanwhile and is ready.

        Where it is being added at this very moment the transaction ends with Conflict, and sees it when it is run again.
        """
        again = sa.select(JOBS.c.dedup_key).where(JOBS.c.id == job_id).scalar_subquery()
        waiting = sa.select(JOBS.c.id).where(READY, JOBS.c.dedup_key == again)
        if self._connection.execute(waiting).first() is not None:
            return self._release(job_id, owner, {"state": JobState.DONE, "last_error": error})
        ready = {"state": JobState.READY, "run_at": run_at, "last_error": error, "owner": None, "lease_until": None}
        return self._release(job_id, owner, ready)

    def fail(self, job_id: JobID, owner: str, error: str) -> bool:
        return self._release(job_id, owner, {"state": JobState.FAILED, "last_error": error})

    def _release(self, job_id: JobID, owner: str, changes: dict[str, object]) -> bool:
        held = sa.update(JOBS).where(JOBS.c.id == job_id, JOBS.c.owner == owner, RUNNING)
        return self._connection.execute(held.values(changes)).rowcount == 1

    def next_run_at(self) -> datetime | None:
        """When `claim` may next find something: a ready job's time or the end of a running one's lease."""
        ready = self._connection.execute(sa.select(sa.func.min(JOBS.c.run_at)).where(READY)).scalar_one()
        leased = self._connection.execute(sa.select(sa.func.min(JOBS.c.lease_until)).where(RUNNING)).scalar_one()
        return min((moment for moment in (ready, leased) if moment is not None), default=None)

    def of_kind(self, kind: str, *, limit: int = 100) -> Sequence[Job]:
        """Newest first, whatever their state."""
        query = sa.select(*JOB).where(JOBS.c.kind == kind).order_by(JOBS.c.id.desc()).limit(limit)
        return [Job(*row) for row in self._connection.execute(query)]

    def sweep(self, finished_before: datetime) -> int:
        """Deletes the done and failed ones whose last lease ended before the moment; how many."""
        # the condition of the index jobs_ended, literally
        ended = JOBS.c.state.in_([schema.literal(JobState.DONE), schema.literal(JobState.FAILED)])
        return self._connection.execute(sa.delete(JOBS).where(ended, JOBS.c.lease_until < finished_before)).rowcount
