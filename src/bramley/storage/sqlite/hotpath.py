"""The read behind every request of a device, without a layer in between: one prepared statement, some twenty microseconds."""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa

from bramley.model.enrollments import Presented
from bramley.storage.presented import from_row
from bramley.storage.sqlite.explain import explain
from bramley.storage.transaction import SQLTransaction

# INDEXED BY, since without statistics SQLite takes the index of the whole history to look for a deferred command
SELECT = """
SELECT v.id, v.state, v.not_before, v.not_after, b.purpose, e.key, e.id, e.state, {channel}.key, {channel}.state,
       q.uuid, q.request_type, q.payload,
       EXISTS (SELECT 1 FROM commands AS d INDEXED BY commands_deferred
                WHERE d.enrollment_key = {channel}.key AND d.state = 'not-now')
  FROM bindings AS b
  JOIN versions AS v ON v.id = b.version_id AND v.not_before IS NOT NULL AND v.not_after IS NOT NULL
  JOIN enrollments AS e ON e.key = b.enrollment_key
  {join_channel}
  LEFT JOIN commands AS q ON q.seq = (
       SELECT n.seq FROM commands AS n INDEXED BY commands_queued
        WHERE n.enrollment_key = {channel}.key AND n.state = 'queued' ORDER BY n.seq LIMIT 1)
 WHERE b.certificate_sha256 = ?1
"""
DEVICE = SELECT.format(channel="e", join_channel="")
USER = SELECT.format(
    channel="c",
    join_channel="LEFT JOIN enrollments AS c ON c.parent = e.key AND c.user_id = ?2 AND c.state <> 'checked-out'",
)


class SQLiteTransaction(SQLTransaction):
    """`protocols.Tx`, with the read behind every request; `connection` is SQLAlchemy's over `raw`."""

    def __init__(self, raw: sqlite3.Connection, connection: sa.Connection) -> None:
        super().__init__(connection)
        self._raw = raw

    def presented(self, certificate_sha256: str, user_id: str | None) -> Presented | None:
        try:
            return presented(self._raw, certificate_sha256, user_id)
        except sqlite3.Error as trouble:
            raise explain(trouble) from trouble


def presented(raw: sqlite3.Connection, certificate_sha256: str, user_id: str | None) -> Presented | None:
    """`Tx.presented` on a connection.

    A user is found by the `user_id` of a channel that is not checked out; the device itself is found in any state.
    """
    # fetchall, since a statement not run to its end would hold its snapshot, and with it the log, forever
    if user_id is None:
        rows = raw.execute(DEVICE, (certificate_sha256,)).fetchall()
    else:
        rows = raw.execute(USER, (certificate_sha256, user_id)).fetchall()
    return from_row(certificate_sha256, rows[0]) if rows else None
