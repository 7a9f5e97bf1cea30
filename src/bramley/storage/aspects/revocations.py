"""What is revoked, and the CRLs that tell it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from bramley.model.lineages import VersionID, VersionState
from bramley.model.revocation import PublishedCRL, Revoked, Tally
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of
from bramley.storage.errors import Conflict

VERSIONS = schema.versions
CRLS = schema.crls

GONE = VERSIONS.c.state.in_((VersionState.REVOKED, VersionState.SUSPENDED))
OF_ISSUER = (
    sa.select(VERSIONS.c.serial, VERSIONS.c.changed_at, VERSIONS.c.revoked_for, VERSIONS.c.state)
    .where(VERSIONS.c.issuer_version == sa.bindparam("issuer"), GONE, VERSIONS.c.not_after > sa.bindparam("moment"))
    .order_by(VERSIONS.c.serial)
)


def _count(*conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    """Each count by itself, since each is then one range of an index; together they would look at every certificate there is."""
    return sa.select(sa.func.count()).where(VERSIONS.c.issuer_version == sa.bindparam("issuer"), *conditions).scalar_subquery()


ACTIVE = (VERSIONS.c.state == VersionState.ACTIVE, VERSIONS.c.not_after > sa.bindparam("now"))
TALLY = sa.select(
    _count(),
    _count(*ACTIVE),
    _count(*ACTIVE, VERSIONS.c.not_after < sa.bindparam("soon")),
    _count(VERSIONS.c.state == VersionState.SUSPENDED),
    _count(VERSIONS.c.state == VersionState.REVOKED),
)
CRL = sa.select(*columns_of(CRLS, PublishedCRL)).where(CRLS.c.issuer == sa.bindparam("issuer"))
ADD = sa.insert(CRLS)
REPLACE = sa.update(CRLS).where(CRLS.c.issuer == sa.bindparam("which"), CRLS.c.number < sa.bindparam("above"))


class SQLRevocations:
    """`protocols.Revocations` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def of_issuer(self, issuer: VersionID, unexpired_at: datetime) -> Sequence[Revoked]:
        rows = self._connection.execute(OF_ISSUER, {"issuer": issuer, "moment": unexpired_at})
        return [Revoked(row[0], row[1], row[2] if row[3] is VersionState.REVOKED else None) for row in rows]

    def tally(self, issuer: VersionID, now: datetime, soon: datetime) -> Tally:
        row = self._connection.execute(TALLY, {"issuer": issuer, "now": now, "soon": soon}).one()
        return Tally(*row)

    def crl(self, issuer: VersionID) -> PublishedCRL | None:
        row = self._connection.execute(CRL, {"issuer": issuer}).one_or_none()
        return None if row is None else PublishedCRL(*row)

    def publish(self, crl: PublishedCRL) -> None:
        changes = values_of(crl, without=("issuer",))
        if self._connection.execute(REPLACE, {"which": crl.issuer, "above": crl.number, **changes}).rowcount == 1:
            return
        if self.crl(crl.issuer) is not None:
            raise Conflict(f"a CRL of {crl.issuer} with the number {crl.number} or a higher one is there already.")
        self._connection.execute(ADD, values_of(crl))
