"""From PostgreSQL's SQLSTATEs to our errors (https://www.postgresql.org/docs/current/errcodes-appendix.html).

Of the server's messages only the primary line is kept, and none of a class whose lines quote values: details name keys.
"""

from __future__ import annotations

import psycopg

from bramley.storage.errors import (
    Busy,
    Conflict,
    Corrupt,
    DiskTrouble,
    NoPlace,
    NotAdmitted,
    NotFound,
    Refused,
    StorageError,
    Unreachable,
)

UNIQUE, FOREIGN_KEY, READ_ONLY, PRIVILEGE = "23505", "23503", "25006", "42501"
OVERTAKEN = frozenset({"40001", "40P01"})
WAITED_TOO_LONG = frozenset({"55P03", "57014"})
FAULT = "This is a fault of Bramley: report it."


class Overtaken(Busy):
    """Another transaction got in between (serialization failure, deadlock): the same again may well succeed."""


def explain(error: psycopg.Error) -> StorageError:
    """The error to raise in place of the driver's."""
    code = error.sqlstate or ""
    said = error.diag.message_primary or type(error).__name__
    if code in OVERTAKEN:
        return Overtaken(f"other transactions got in between again and again ({said}).", advice="Try again.")
    if code in WAITED_TOO_LONG:
        return Busy(
            f"another process holds what is needed and did not let go of it ({said}).",
            advice="Try again; if it goes on, look for a long transaction in pg_stat_activity.",
        )
    if code == READ_ONLY:
        return DiskTrouble(
            f"expected to write, but may only read ({said}).", advice="Name the primary server in `database`, not a standby."
        )
    if code == PRIVILEGE:
        return NotAdmitted(
            f"the database server does not allow it ({said}).",
            advice="Make the account that Bramley connects as the owner of the database and of all in it.",
        )
    return _by_class(code, said, error)


def _by_class(code: str, said: str, error: psycopg.Error) -> StorageError:
    match code[:2]:
        case "23":
            return _constraint(code, said)
        case "22":
            return Refused(f"the database refused a value (SQLSTATE {code}).", advice=FAULT)
        case "53":
            return DiskTrouble(
                f"the database server has run out of something ({said}).",
                advice="Nothing was changed. See to its disk, memory and max_connections, then try again.",
            )
        case "58":
            return DiskTrouble(f"the database server's disk did not do as asked ({said}).", advice="See to that machine's disk.")
        case "XX":
            return Corrupt(
                f"the database is damaged ({said}).",
                advice="Stop Bramley, keep a copy of the server's files as they are, and restore the latest backup.",
            )
        case "57" | "08":
            return lost(said)
        case "" if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return lost(_first_line(error))
        case "" if isinstance(error, psycopg.DataError):
            return Refused(f"the database cannot hold a value ({type(error).__name__}).", advice=FAULT)
        case _:
            return StorageError(f"the database refused a statement ({code} {said}).", advice=FAULT)


def _constraint(code: str, said: str) -> StorageError:
    if code == UNIQUE:
        return Conflict(f"this is there already ({said}).", advice="Read what is there, and change that or choose another.")
    if code == FOREIGN_KEY:
        return NotFound(f"a row refers to one that is not there ({said}).", advice="Add what it refers to first.")
    return Refused(f"the database refused a value ({said}).", advice=FAULT)


def lost(said: str) -> Unreachable:
    """The connection ended while it was used."""
    return Unreachable(
        f"the connection to the database was lost ({said}).",
        advice="Try again; if it goes on, see that the database server runs and is not restarting.",
    )


def explain_connecting(error: psycopg.Error, where: str) -> StorageError:
    """The error for a connection that did not come about. The server's reasons come as text alone, without a SQLSTATE."""
    said = _first_line(error)
    if "password authentication failed" in said or "no password supplied" in said:
        return NotAdmitted(
            f"the database server at {where} does not take the password ({said}).",
            advice="Set the password in the URL of `database`, percent-encoded, or in ~/.pgpass or PGPASSWORD.",
        )
    if "pg_hba.conf" in said or "authentication failed" in said or ('role "' in said and "does not exist" in said):
        return NotAdmitted(
            f"the database server at {where} does not let this account in ({said}).",
            advice="Make the account (CREATE ROLE … LOGIN), and let it in from this machine in pg_hba.conf.",
        )
    if 'database "' in said and "does not exist" in said:
        return NoPlace(
            f"the database server at {where} has no such database ({said}).",
            advice="Make it: CREATE DATABASE … OWNER … ENCODING 'UTF8' TEMPLATE template0.",
        )
    return Unreachable(
        f"expected a PostgreSQL server at {where}, got no connection ({said}).",
        advice="See that it runs, that `database` names the right host and port, and that nothing in between filters it.",
    )


def _first_line(error: psycopg.Error) -> str:
    line = str(error).strip().partition("\n")[0]
    for prefix in ("connection failed: ", "connection is bad: "):
        line = line.removeprefix(prefix)
    return line or type(error).__name__
