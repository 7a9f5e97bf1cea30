"""Profiles, their assignments, how each stands on each device; and the tags of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # SQLite speaks this ON CONFLICT too

from bramley.model.enrollments import EnrollmentID, EnrollmentKey
from bramley.model.profiles import Assignment, Installation, InstallState, ProfileID, StoredProfile, TargetKind
from bramley.storage import schema
from bramley.storage.aspects.rows import columns_of, values_of
from bramley.storage.errors import NotFound

PROFILES, ASSIGNMENTS, INSTALLATIONS, TAGS = (
    schema.profiles,
    schema.profile_assignments,
    schema.profile_installations,
    schema.tags,
)
PROFILE = columns_of(PROFILES, StoredProfile)
ASSIGNMENT = columns_of(ASSIGNMENTS, Assignment)
INSTALLATION = columns_of(INSTALLATIONS, Installation)
FIXED = ("id", "identifier", "created_at")

ADD = sa.insert(PROFILES)
UPDATE = sa.update(PROFILES).where(PROFILES.c.id == sa.bindparam("which"))
GET = sa.select(*PROFILE).where(PROFILES.c.id == sa.bindparam("id"))
BY_IDENTIFIER = sa.select(*PROFILE).where(PROFILES.c.identifier == sa.bindparam("identifier"))
LISTING = sa.select(*PROFILE).order_by(PROFILES.c.identifier)
DELETE = sa.delete(PROFILES).where(PROFILES.c.id == sa.bindparam("id"))

ASSIGN = insert(ASSIGNMENTS).on_conflict_do_nothing().returning(ASSIGNMENTS.c.target)
UNASSIGN = sa.delete(ASSIGNMENTS).where(
    ASSIGNMENTS.c.profile_id == sa.bindparam("profile"),
    ASSIGNMENTS.c.kind == sa.bindparam("of"),
    ASSIGNMENTS.c.target == sa.bindparam("to"),
)
ASSIGNMENTS_OF = sa.select(*ASSIGNMENT).where(ASSIGNMENTS.c.profile_id == sa.bindparam("profile"))
ASSIGNMENTS_OF = ASSIGNMENTS_OF.order_by(ASSIGNMENTS.c.kind, ASSIGNMENTS.c.target)
DEVICE, TAG = schema.literal(TargetKind.DEVICE), schema.literal(TargetKind.TAG)
HIS_TAGS = sa.select(TAGS.c.tag).where(TAGS.c.device == sa.bindparam("device"))
FOR_DEVICE = sa.or_(
    sa.and_(ASSIGNMENTS.c.kind == DEVICE, ASSIGNMENTS.c.target == sa.bindparam("device")),
    sa.and_(ASSIGNMENTS.c.kind == TAG, ASSIGNMENTS.c.target.in_(HIS_TAGS)),
)
WANTED = sa.select(*PROFILE).where(PROFILES.c.id.in_(sa.select(ASSIGNMENTS.c.profile_id).where(FOR_DEVICE)))
WANTED = WANTED.order_by(PROFILES.c.identifier)

PUT = insert(INSTALLATIONS)
PUT = PUT.on_conflict_do_update(
    index_elements=[INSTALLATIONS.c.enrollment_key, INSTALLATIONS.c.profile_id],
    set_={column.name: PUT.excluded[column.name] for column in INSTALLATION if not column.primary_key},
)
FORGET = sa.delete(INSTALLATIONS).where(
    INSTALLATIONS.c.enrollment_key == sa.bindparam("key"), INSTALLATIONS.c.profile_id == sa.bindparam("profile")
)
FORGET_ALL = sa.delete(INSTALLATIONS).where(INSTALLATIONS.c.enrollment_key == sa.bindparam("key"))
ON_DEVICE = sa.select(*INSTALLATION).where(INSTALLATIONS.c.enrollment_key == sa.bindparam("key"))
ON_DEVICE = ON_DEVICE.order_by(INSTALLATIONS.c.profile_id)
OF_PROFILE = sa.select(*INSTALLATION).where(INSTALLATIONS.c.profile_id == sa.bindparam("profile"))
OF_PROFILE = OF_PROFILE.where(INSTALLATIONS.c.enrollment_key > sa.bindparam("after")).order_by(INSTALLATIONS.c.enrollment_key)
COUNT = sa.select(INSTALLATIONS.c.state, sa.func.count()).where(INSTALLATIONS.c.profile_id == sa.bindparam("profile"))
COUNT = COUNT.group_by(INSTALLATIONS.c.state)

ADD_TAG = insert(TAGS).on_conflict_do_nothing().returning(TAGS.c.tag)
DROP_TAG = sa.delete(TAGS).where(TAGS.c.tag == sa.bindparam("which"), TAGS.c.device == sa.bindparam("whose"))
TAGS_OF = HIS_TAGS.order_by(TAGS.c.tag)
TAGS_OF_EACH = sa.select(TAGS.c.device, TAGS.c.tag).where(TAGS.c.device.in_(sa.bindparam("devices", expanding=True)))
TAGS_OF_EACH = TAGS_OF_EACH.order_by(TAGS.c.tag)
TAGGED = sa.select(TAGS.c.device).where(TAGS.c.tag == sa.bindparam("tag")).order_by(TAGS.c.device)


class SQLProfiles:
    """`protocols.Profiles` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, profile: StoredProfile) -> None:
        self._connection.execute(ADD, values_of(profile))

    def update(self, profile: StoredProfile) -> None:
        done = self._connection.execute(UPDATE, {"which": profile.id, **values_of(profile, without=FIXED)})
        if done.rowcount == 0:
            raise NotFound(f"there is no profile {profile.id} to update.", advice="Add it first.")

    def get(self, profile_id: ProfileID) -> StoredProfile | None:
        row = self._connection.execute(GET, {"id": profile_id}).one_or_none()
        return None if row is None else StoredProfile(*row)

    def by_identifier(self, identifier: str) -> StoredProfile | None:
        row = self._connection.execute(BY_IDENTIFIER, {"identifier": identifier}).one_or_none()
        return None if row is None else StoredProfile(*row)

    def listing(self) -> Sequence[StoredProfile]:
        return [StoredProfile(*row) for row in self._connection.execute(LISTING)]

    def delete(self, profile_id: ProfileID) -> None:
        self._connection.execute(DELETE, {"id": profile_id})

    def assign(self, assignment: Assignment) -> bool:
        return self._connection.execute(ASSIGN, values_of(assignment)).one_or_none() is not None

    def unassign(self, profile_id: ProfileID, kind: TargetKind, target: str) -> bool:
        return self._connection.execute(UNASSIGN, {"profile": profile_id, "of": kind, "to": target}).rowcount == 1

    def assignments(self, profile_id: ProfileID) -> Sequence[Assignment]:
        return [Assignment(*row) for row in self._connection.execute(ASSIGNMENTS_OF, {"profile": profile_id})]

    def wanted(self, device: EnrollmentID) -> Sequence[StoredProfile]:
        return [StoredProfile(*row) for row in self._connection.execute(WANTED, {"device": device})]

    def put(self, installation: Installation) -> None:
        self._connection.execute(PUT, values_of(installation))

    def forget(self, key: EnrollmentKey, profile_id: ProfileID) -> None:
        self._connection.execute(FORGET, {"key": key, "profile": profile_id})

    def forget_all(self, key: EnrollmentKey) -> None:
        self._connection.execute(FORGET_ALL, {"key": key})

    def on_device(self, key: EnrollmentKey) -> Sequence[Installation]:
        return [Installation(*row) for row in self._connection.execute(ON_DEVICE, {"key": key})]

    def installations(self, profile_id: ProfileID, *, limit: int, after: EnrollmentKey | None = None) -> Sequence[Installation]:
        given = {"profile": profile_id, "after": after or ""}
        return [Installation(*row) for row in self._connection.execute(OF_PROFILE.limit(limit), given)]

    def count(self, profile_id: ProfileID) -> dict[InstallState, int]:
        found = {row[0]: row[1] for row in self._connection.execute(COUNT, {"profile": profile_id})}
        return {state: found.get(state, 0) for state in InstallState}


class SQLTags:
    """`protocols.Tags` on one connection."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, tag: str, device: EnrollmentID) -> bool:
        return self._connection.execute(ADD_TAG, {"tag": tag, "device": device}).one_or_none() is not None

    def remove(self, tag: str, device: EnrollmentID) -> bool:
        return self._connection.execute(DROP_TAG, {"which": tag, "whose": device}).rowcount == 1

    def of(self, device: EnrollmentID) -> Sequence[str]:
        return list(self._connection.execute(TAGS_OF, {"device": device}).scalars())

    def of_each(self, devices: Sequence[EnrollmentID]) -> Mapping[EnrollmentID, Sequence[str]]:
        found: dict[EnrollmentID, list[str]] = {}
        for device, tag in self._connection.execute(TAGS_OF_EACH, {"devices": list(devices)}):
            found.setdefault(device, []).append(tag)
        return found

    def devices(self, tag: str) -> Sequence[EnrollmentID]:
        return list(self._connection.execute(TAGGED, {"tag": tag}).scalars())
