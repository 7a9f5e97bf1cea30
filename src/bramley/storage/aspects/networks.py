"""Network identities: templates, who shall have one, and the challenges by which devices get them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this ON CONFLICT too

from bramley.model.commands import CommandUUID
from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.model.lineages import VersionID
from bramley.model.networks import NetworkAssignment, NetworkChallenge, NetworkState, NetworkTemplate
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of

TEMPLATES, ASSIGNMENTS, CHALLENGES = schema.network_templates, schema.network_assignments, schema.network_challenges
TEMPLATE = columns_of(TEMPLATES, NetworkTemplate)
ASSIGNMENT = columns_of(ASSIGNMENTS, NetworkAssignment)
CHALLENGE = columns_of(CHALLENGES, NetworkChallenge)
LIVING = ASSIGNMENTS.c.state != schema.literal(NetworkState.ENDED)
UNSPENT = CHALLENGES.c.spent_at.is_(None)

PUT_TEMPLATE = insert(TEMPLATES)
PUT_TEMPLATE = PUT_TEMPLATE.on_conflict_do_update(
    index_elements=[TEMPLATES.c.name],
    set_={column.name: PUT_TEMPLATE.excluded[column.name] for column in TEMPLATE if column.name not in ("name", "created_at")},
)
GET_TEMPLATE = sa.select(*TEMPLATE).where(TEMPLATES.c.name == sa.bindparam("name"))
ALL_TEMPLATES = sa.select(*TEMPLATE).order_by(TEMPLATES.c.name)
DROP_TEMPLATE = sa.delete(TEMPLATES).where(TEMPLATES.c.name == sa.bindparam("which"))

PUT = insert(ASSIGNMENTS)
PUT = PUT.on_conflict_do_update(
    index_elements=[ASSIGNMENTS.c.enrollment_key, ASSIGNMENTS.c.template],
    set_={column.name: PUT.excluded[column.name] for column in ASSIGNMENT if not column.primary_key},
)
GET = sa.select(*ASSIGNMENT).where(
    ASSIGNMENTS.c.enrollment_key == sa.bindparam("key"), ASSIGNMENTS.c.template == sa.bindparam("template")
)
OF_ENROLLMENT = sa.select(*ASSIGNMENT).where(ASSIGNMENTS.c.enrollment_key == sa.bindparam("key"))
OF_ENROLLMENT = OF_ENROLLMENT.order_by(ASSIGNMENTS.c.template)
BY_COMMAND = sa.select(*ASSIGNMENT).where(
    ASSIGNMENTS.c.enrollment_key == sa.bindparam("key"), ASSIGNMENTS.c.command_uuid == sa.bindparam("uuid")
)
LISTING = sa.select(*ASSIGNMENT).where(LIVING).order_by(ASSIGNMENTS.c.enrollment_key, ASSIGNMENTS.c.template)
COUNT = sa.select(sa.func.count()).where(ASSIGNMENTS.c.template == sa.bindparam("template"), LIVING)
DUE = sa.select(*ASSIGNMENT).where(ASSIGNMENTS.c.look_at <= sa.bindparam("now"))
DUE = DUE.order_by(ASSIGNMENTS.c.look_at, ASSIGNMENTS.c.enrollment_key, ASSIGNMENTS.c.template)
ENROLLMENTS = schema.enrollments
OUTLIVED = sa.select(*ASSIGNMENT).join(ENROLLMENTS, ENROLLMENTS.c.key == ASSIGNMENTS.c.enrollment_key)
OUTLIVED = OUTLIVED.where(
    LIVING,
    sa.or_(
        ENROLLMENTS.c.state == schema.literal(EnrollmentState.CHECKED_OUT),
        ENROLLMENTS.c.state == schema.literal(EnrollmentState.PENDING),
        ENROLLMENTS.c.enrolled_at > ASSIGNMENTS.c.created_at,
    ),
)
OUTLIVED = OUTLIVED.order_by(ASSIGNMENTS.c.enrollment_key, ASSIGNMENTS.c.template)

ADD_CHALLENGE = sa.insert(CHALLENGES)
CHALLENGE_BY_HASH = sa.select(*CHALLENGE).where(CHALLENGES.c.secret_sha256 == sa.bindparam("sha256"))
SPEND = sa.update(CHALLENGES).where(CHALLENGES.c.secret_sha256 == sa.bindparam("which"), UNSPENT)
VOID = sa.update(CHALLENGES).where(
    CHALLENGES.c.enrollment_key == sa.bindparam("whose"), CHALLENGES.c.template == sa.bindparam("what_for"), UNSPENT
)
SWEEP = sa.delete(CHALLENGES).where(CHALLENGES.c.expires_at < sa.bindparam("moment"))


class SQLNetworks:
    """`protocols.Networks` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def put_template(self, template: NetworkTemplate) -> None:
        self._connection.execute(PUT_TEMPLATE, values_of(template))

    def template(self, name: str) -> NetworkTemplate | None:
        row = self._connection.execute(GET_TEMPLATE, {"name": name}).one_or_none()
        return None if row is None else NetworkTemplate(*row)

    def templates(self) -> Sequence[NetworkTemplate]:
        return [NetworkTemplate(*row) for row in self._connection.execute(ALL_TEMPLATES)]

    def remove_template(self, name: str) -> bool:
        return self._connection.execute(DROP_TEMPLATE, {"which": name}).rowcount == 1

    def put(self, assignment: NetworkAssignment) -> None:
        self._connection.execute(PUT, values_of(assignment))

    def get(self, key: EnrollmentKey, template: str) -> NetworkAssignment | None:
        row = self._connection.execute(GET, {"key": key, "template": template}).one_or_none()
        return None if row is None else NetworkAssignment(*row)

    def of(self, key: EnrollmentKey) -> Sequence[NetworkAssignment]:
        return [NetworkAssignment(*row) for row in self._connection.execute(OF_ENROLLMENT, {"key": key})]

    def by_command(self, key: EnrollmentKey, uuid: CommandUUID) -> NetworkAssignment | None:
        row = self._connection.execute(BY_COMMAND, {"key": key, "uuid": uuid}).one_or_none()
        return None if row is None else NetworkAssignment(*row)

    def listing(
        self, template: str | None = None, *, limit: int, after: tuple[EnrollmentKey, str] | None = None
    ) -> Sequence[NetworkAssignment]:
        query = LISTING.limit(limit)
        if template is not None:
            query = query.where(ASSIGNMENTS.c.template == template)
        if after is not None:
            query = query.where(sa.tuple_(ASSIGNMENTS.c.enrollment_key, ASSIGNMENTS.c.template) > sa.tuple_(*after))
        return [NetworkAssignment(*row) for row in self._connection.execute(query)]

    def count(self, template: str) -> int:
        return self._connection.execute(COUNT, {"template": template}).scalar_one()

    def due(self, now: datetime, limit: int) -> Sequence[NetworkAssignment]:
        return [NetworkAssignment(*row) for row in self._connection.execute(DUE.limit(limit), {"now": now})]

    def outlived(self, limit: int) -> Sequence[NetworkAssignment]:
        return [NetworkAssignment(*row) for row in self._connection.execute(OUTLIVED.limit(limit))]

    def add_challenge(self, challenge: NetworkChallenge) -> None:
        self._connection.execute(ADD_CHALLENGE, values_of(challenge))

    def challenge(self, secret_sha256: str) -> NetworkChallenge | None:
        row = self._connection.execute(CHALLENGE_BY_HASH, {"sha256": secret_sha256}).one_or_none()
        return None if row is None else NetworkChallenge(*row)

    def spend(self, secret_sha256: str, now: datetime, *, message_sha256: str, version_id: VersionID) -> bool:
        spent = {"which": secret_sha256, "spent_at": now, "spent_on": message_sha256, "version_id": version_id}
        return self._connection.execute(SPEND, spent).rowcount == 1

    def void(self, key: EnrollmentKey, template: str, now: datetime) -> int:
        return self._connection.execute(VOID, {"whose": key, "what_for": template, "spent_at": now}).rowcount

    def sweep(self, expired_before: datetime) -> int:
        return self._connection.execute(SWEEP, {"moment": expired_before}).rowcount
