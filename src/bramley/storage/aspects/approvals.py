"""SCEP requests that wait for a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from bramley.model.approvals import Approval, ApprovalState
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of
from bramley.storage.errors import NotFound

APPROVALS = schema.approvals
APPROVAL = columns_of(APPROVALS, Approval)

ADD = sa.insert(APPROVALS)
GET = sa.select(*APPROVAL).where(APPROVALS.c.id == sa.bindparam("id"))
FIND = (
    sa.select(*APPROVAL)
    .where(APPROVALS.c.transaction_id == sa.bindparam("transaction"), APPROVALS.c.signer_sha256 == sa.bindparam("signer"))
    .order_by(APPROVALS.c.seq.desc())
    .limit(1)
)
UPDATE = sa.update(APPROVALS).where(APPROVALS.c.id == sa.bindparam("which"))
LISTING = sa.select(*APPROVAL).order_by(APPROVALS.c.seq.desc())
SWEEP = sa.delete(APPROVALS).where(APPROVALS.c.changed_at < sa.bindparam("moment"))


class SQLApprovals:
    """`protocols.Approvals` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, approval: Approval) -> None:
        self._connection.execute(ADD, values_of(approval))

    def get(self, approval_id: str) -> Approval | None:
        row = self._connection.execute(GET, {"id": approval_id}).one_or_none()
        return None if row is None else Approval(*row)

    def find(self, transaction_id: str, signer_sha256: str) -> Approval | None:
        row = self._connection.execute(FIND, {"transaction": transaction_id, "signer": signer_sha256}).one_or_none()
        return None if row is None else Approval(*row)

    def update(self, approval: Approval) -> None:
        changes = {name: getattr(approval, name) for name in ("state", "changed_at", "decided_by", "version_id")}
        if self._connection.execute(UPDATE, {"which": approval.id, **changes}).rowcount == 0:
            raise NotFound(f"there is no approval {approval.id} to update.", advice="Add it first.")

    def listing(self, state: ApprovalState | None = None, *, limit: int = 100) -> Sequence[Approval]:
        query = LISTING.limit(limit)
        if state is not None:
            query = query.where(APPROVALS.c.state == state)
        return [Approval(*row) for row in self._connection.execute(query)]

    def sweep(self, changed_before: datetime) -> int:
        """Deletes those that last changed before the moment, whatever their state; how many."""
        return self._connection.execute(SWEEP, {"moment": changed_before}).rowcount
