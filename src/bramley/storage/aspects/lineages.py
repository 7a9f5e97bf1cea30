"""Lineages, their versions, and the sealed keys of those."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bramley.model.kinds import Kind
from bramley.model.lineages import KeyID, Lineage, LineageID, Policy, SealedKey, Version, VersionID, VersionState
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of
from bramley.storage.errors import NotFound
from bramley.storage.protocols import CertificateRow

LINEAGES = schema.lineages
VERSIONS = schema.versions
VERSION = columns_of(VERSIONS, Version)

ADD_LINEAGE = sa.insert(LINEAGES)
LINEAGE_BY_ID = sa.select(LINEAGES).where(LINEAGES.c.id == sa.bindparam("id"))
LINEAGES_OF_KIND = sa.select(LINEAGES).where(LINEAGES.c.kind == sa.bindparam("kind")).order_by(LINEAGES.c.name)
LINEAGE_BY_NAME = sa.select(LINEAGES).where(LINEAGES.c.kind == sa.bindparam("kind"), LINEAGES.c.name == sa.bindparam("name"))

UPDATE_LINEAGE = sa.update(LINEAGES).where(LINEAGES.c.id == sa.bindparam("which"))

ADD_VERSION = sa.insert(VERSIONS)
UPDATE_VERSION = sa.update(VERSIONS).where(VERSIONS.c.id == sa.bindparam("which"))
SELECT_VERSION = sa.select(*VERSION)
VERSION_BY_ID = SELECT_VERSION.where(VERSIONS.c.id == sa.bindparam("id"))
VERSION_BY_SHA256 = SELECT_VERSION.where(VERSIONS.c.sha256 == sa.bindparam("sha256"))
VERSIONS_BY_SERIAL = SELECT_VERSION.where(VERSIONS.c.serial == sa.bindparam("serial")).order_by(VERSIONS.c.id)
VERSIONS_OF = SELECT_VERSION.where(VERSIONS.c.lineage_id == sa.bindparam("lineage")).order_by(VERSIONS.c.number)

ADD_KEY = sa.insert(schema.keys)
KEY_BY_ID = sa.select(*columns_of(schema.keys, SealedKey)).where(schema.keys.c.id == sa.bindparam("id"))
LET_GO_OF_KEY = sa.update(VERSIONS).where(VERSIONS.c.key_id == sa.bindparam("which")).values(key_id=None)
DELETE_KEY = sa.delete(schema.keys).where(schema.keys.c.id == sa.bindparam("which"))

ALWAYS_STORED = frozenset({"state", "turn", "reason", "changed_at"})
PER_DEVICE = frozenset({Kind.DEVICE_IDENTITY, Kind.NETWORK_IDENTITY})
FIXED = frozenset({"id", "lineage_id", "number", "created_at"})


class SQLLineages:
    """`protocols.Lineages` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, lineage: Lineage) -> None:
        policy = values_of(lineage.policy)
        self._connection.execute(ADD_LINEAGE, values_of(lineage, without=("policy",)) | policy)

    def update(self, lineage: Lineage) -> None:
        values = values_of(lineage, without=("id", "kind", "created_at", "policy")) | values_of(lineage.policy)
        if self._connection.execute(UPDATE_LINEAGE, {"which": lineage.id, **values}).rowcount == 0:
            raise NotFound(f"there is no lineage {lineage.id} to update.", advice="Add it first.")

    def get(self, lineage_id: LineageID) -> Lineage | None:
        return self._one(LINEAGE_BY_ID, {"id": lineage_id})

    def find(self, kind: Kind, name: str) -> Lineage | None:
        return self._one(LINEAGE_BY_NAME, {"kind": kind, "name": name})

    def of_kind(self, kind: Kind) -> Sequence[Lineage]:
        found = self._connection.execute(LINEAGES_OF_KIND, {"kind": kind})
        return [_lineage(row) for row in found.mappings()]

    def _one(self, query: sa.Select[Any], given: Mapping[str, object]) -> Lineage | None:
        row = self._connection.execute(query, given).mappings().one_or_none()
        return None if row is None else _lineage(row)

    def add_version(self, version: Version) -> None:
        self._connection.execute(ADD_VERSION, values_of(version))

    def update_version(self, version: Version) -> None:
        values = values_of(version, without=tuple(FIXED))
        changes = {
            name: value if name in ALWAYS_STORED else sa.func.coalesce(VERSIONS.c[name], sa.literal(value, VERSIONS.c[name].type))
            for name, value in values.items()
            if name in ALWAYS_STORED or value is not None
        }
        done = self._connection.execute(UPDATE_VERSION.values(changes), {"which": version.id})
        if done.rowcount == 0:
            raise NotFound(f"there is no version {version.id} to update.", advice="Add it first.")

    def version(self, version_id: VersionID) -> Version | None:
        found = self._versions(VERSION_BY_ID, {"id": version_id})
        return found[0] if found else None

    def by_sha256(self, sha256: str) -> Version | None:
        found = self._versions(VERSION_BY_SHA256, {"sha256": sha256})
        return found[0] if found else None

    def by_serial(self, serial: str) -> Sequence[Version]:
        return self._versions(VERSIONS_BY_SERIAL, {"serial": serial})

    def versions(self, lineage_id: LineageID) -> Sequence[Version]:
        return self._versions(VERSIONS_OF, {"lineage": lineage_id})

    def changed_before(self, kind: Kind, state: VersionState, moment: datetime, limit: int) -> Sequence[Version]:
        query = SELECT_VERSION.join(LINEAGES, LINEAGES.c.id == VERSIONS.c.lineage_id)
        query = query.where(LINEAGES.c.kind == kind, VERSIONS.c.state == state, VERSIONS.c.changed_at < moment)
        return self._versions(query.order_by(VERSIONS.c.changed_at, VERSIONS.c.id).limit(limit))

    def _versions(self, query: sa.Select[Any], given: Mapping[str, object] | None = None) -> list[Version]:
        return [Version(*row) for row in self._connection.execute(query, given)]

    def certificates(
        self,
        *,
        kind: Kind | None = None,
        states: Sequence[VersionState] = (),
        expires_before: datetime | None = None,
        limit: int = 1000,
        after: VersionID | None = None,
    ) -> Sequence[CertificateRow]:
        query = _certificate_rows().order_by(VERSIONS.c.id).limit(limit)
        # SQLite, which knows no frequencies, would gather and sort nearly all there is for a page of what nearly all is.
        walk = self._connection.dialect.name == "sqlite"
        if kind is not None:
            common = walk and kind in PER_DEVICE
            query = query.where(_unindexed(LINEAGES.c.kind) == kind.value if common else LINEAGES.c.kind == kind)
        if states:
            common = walk and VersionState.ACTIVE in states
            query = query.where(
                _unindexed(VERSIONS.c.state).in_([state.value for state in states]) if common else VERSIONS.c.state.in_(states)
            )
        if expires_before is not None:
            query = query.where(VERSIONS.c.not_after < expires_before)
        if after is not None:
            query = query.where(VERSIONS.c.id > after)
        return self._certificates(query)

    def count(self, kind: Kind) -> dict[VersionState, int]:
        joined = VERSIONS.join(LINEAGES, VERSIONS.c.lineage_id == LINEAGES.c.id)
        query = sa.select(VERSIONS.c.state, sa.func.count()).select_from(joined)
        query = query.where(LINEAGES.c.kind == kind).group_by(VERSIONS.c.state)
        found = {row[0]: row[1] for row in self._connection.execute(query)}
        return {state: found.get(state, 0) for state in VersionState}

    def count_issued(
        self, kinds: Collection[Kind], *, issuers: Collection[VersionID], states: Collection[VersionState], ending_from: datetime
    ) -> int:
        # All that they have issued is one range of an index, and the other kinds are few: asked for the kinds alone, the
        # database would look up the lineage of each.
        counted, late_enough = sa.select(sa.func.count()).select_from(VERSIONS), VERSIONS.c.not_after >= ending_from
        everything = counted.where(VERSIONS.c.issuer_version.in_(issuers), VERSIONS.c.state.in_(states), late_enough)
        others = (
            counted.join(LINEAGES, LINEAGES.c.id == VERSIONS.c.lineage_id)
            .where(LINEAGES.c.kind.in_([each for each in Kind if each not in kinds]), late_enough)
            .where(_unindexed(VERSIONS.c.issuer_version).in_(issuers))
            .where(_unindexed(VERSIONS.c.state).in_([state.value for state in states]))
        )
        return self._connection.execute(everything).scalar_one() - self._connection.execute(others).scalar_one()

    def ending_before(self, kind: Kind, moment: datetime, limit: int) -> Sequence[CertificateRow]:
        active = VERSIONS.c.state == schema.literal(VersionState.ACTIVE)
        query = _certificate_rows().where(LINEAGES.c.kind == kind, active, VERSIONS.c.not_after < moment)
        return self._certificates(query.order_by(VERSIONS.c.not_after, VERSIONS.c.id).limit(limit))

    def _certificates(self, query: sa.Select[Any]) -> list[CertificateRow]:
        width = len(VERSION)
        return [
            CertificateRow(
                lineage=_lineage(dict(zip(LINEAGES.c.keys(), row[width:-2], strict=True))),
                version=Version(*row[:width]),
                enrollment_key=row[-2],
                enrollment_id=row[-1],
            )
            for row in self._connection.execute(query)
        ]


def _unindexed(column: sa.Column[Any]) -> sa.ColumnElement[str]:
    """The column as an expression that no index serves, so that the database begins with another."""
    return sa.type_coerce(column, sa.Text).concat("")


def _certificate_rows() -> sa.Select[Any]:
    enrollments, bindings = schema.enrollments, schema.bindings
    joined = VERSIONS.join(LINEAGES, LINEAGES.c.id == VERSIONS.c.lineage_id)
    joined = joined.outerjoin(bindings, bindings.c.version_id == VERSIONS.c.id)
    joined = joined.outerjoin(enrollments, enrollments.c.key == bindings.c.enrollment_key)
    return sa.select(*VERSION, *LINEAGES.c, enrollments.c.key, enrollments.c.id).select_from(joined)


def _lineage(row: Any) -> Lineage:
    policy = Policy(**{field.name: row[field.name] for field in fields(Policy)})
    plain = {field.name: row[field.name] for field in fields(Lineage) if field.name != "policy"}
    return Lineage(policy=policy, **plain)


class SQLKeys:
    """`protocols.Keys` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, key: SealedKey) -> None:
        self._connection.execute(ADD_KEY, values_of(key))

    def get(self, key_id: KeyID) -> SealedKey | None:
        row = self._connection.execute(KEY_BY_ID, {"id": key_id}).one_or_none()
        return None if row is None else SealedKey(*row)

    def delete(self, key_id: KeyID) -> bool:
        self._connection.execute(LET_GO_OF_KEY, {"which": key_id})
        return self._connection.execute(DELETE_KEY, {"which": key_id}).rowcount == 1
