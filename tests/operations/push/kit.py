"""Devices to protect, and a look at all that is stored."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.operations.installation import Installation
from bramley.storage import schema


async def enroll(installation: Installation, topic: str, name: str = "1", **fields: Any) -> EnrollmentKey:
    """An enrolled device that listens to the topic and can be pushed to."""
    now = installation.clock.now()
    given: dict[str, Any] = {
        "state": EnrollmentState.ACTIVE,
        "push_token": name.encode(),
        "push_magic": "magic",
        "token_updated_at": now,
    } | fields
    made = Enrollment(EnrollmentKey(f"key {name}"), created_at=now, changed_at=now, id=EnrollmentID(name), topic=topic, **given)
    await installation.store.run(lambda tx: tx.enrollments.add(made))
    return made.key


async def everything(installation: Installation) -> dict[str, int]:
    """How many rows each table has."""

    def count(tx: Any) -> dict[str, int]:
        connection: sa.Connection = tx.connection
        tables = schema.metadata.sorted_tables
        return {table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in tables}

    return await installation.store.read(count)
