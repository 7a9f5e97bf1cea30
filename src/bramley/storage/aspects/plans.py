"""Plans."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from bramley.model.lineages import LineageID
from bramley.model.plans import Plan, PlanID, PlanState
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of
from bramley.storage.errors import NotFound

PLANS = schema.plans
PLAN = columns_of(PLANS, Plan)

ADD = sa.insert(PLANS)
GET = sa.select(*PLAN).where(PLANS.c.id == sa.bindparam("id"))
UPDATE = sa.update(PLANS).where(PLANS.c.id == sa.bindparam("which"))
RUNNING = sa.select(*PLAN).where(PLANS.c.state == schema.literal(PlanState.RUNNING)).order_by(PLANS.c.id)
RECENT = sa.select(*PLAN).order_by(PLANS.c.id.desc())


class SQLPlans:
    """`protocols.Plans` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, plan: Plan) -> None:
        self._connection.execute(ADD, values_of(plan))

    def get(self, plan_id: PlanID) -> Plan | None:
        row = self._connection.execute(GET, {"id": plan_id}).one_or_none()
        return None if row is None else Plan(*row)

    def update(self, plan: Plan) -> None:
        changes = {name: getattr(plan, name) for name in ("stage", "state", "changed_at", "detail")}
        if self._connection.execute(UPDATE, {"which": plan.id, **changes}).rowcount == 0:
            raise NotFound(f"there is no plan {plan.id} to update.", advice="Add it first.")

    def running(self, lineage_id: LineageID | None = None) -> Sequence[Plan]:
        query = RUNNING if lineage_id is None else RUNNING.where(PLANS.c.lineage_id == lineage_id)
        return [Plan(*row) for row in self._connection.execute(query)]

    def recent(self, *, limit: int = 100) -> Sequence[Plan]:
        return [Plan(*row) for row in self._connection.execute(RECENT.limit(limit))]
