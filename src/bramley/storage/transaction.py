"""One transaction on a SQLAlchemy connection, by aspect. Who made the connection begins and ends the transaction."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from bramley.storage.aspects.admin import SQLAdmins, SQLNotes
from bramley.storage.aspects.approvals import SQLApprovals
from bramley.storage.aspects.challenges import SQLChallenges, SQLLinks
from bramley.storage.aspects.commands import SQLCommands
from bramley.storage.aspects.enrollments import SQLEnrollments
from bramley.storage.aspects.events import SQLEvents
from bramley.storage.aspects.jobs import SQLJobs
from bramley.storage.aspects.lineages import SQLKeys, SQLLineages
from bramley.storage.aspects.networks import SQLNetworks
from bramley.storage.aspects.plans import SQLPlans
from bramley.storage.aspects.profiles import SQLProfiles, SQLTags
from bramley.storage.aspects.recovery_keys import SQLRecoveryKeys
from bramley.storage.aspects.revocations import SQLRevocations
from bramley.storage.aspects.waves import SQLWaves


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call: its value, or the exception that its caller gets."""

    value: object = None
    error: BaseException | None = None


class SQLTransaction:
    """`protocols.Tx`, but for `presented`, which each database reads in its own way.

    The aspects hold nothing but the connection, so one of these serves every transaction on it.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.lineages = SQLLineages(connection)
        self.revocations = SQLRevocations(connection)
        self.approvals = SQLApprovals(connection)
        self.plans = SQLPlans(connection)
        self.networks = SQLNetworks(connection)
        self.keys = SQLKeys(connection)
        self.enrollments = SQLEnrollments(connection)
        self.challenges = SQLChallenges(connection)
        self.links = SQLLinks(connection)
        self.commands = SQLCommands(connection)
        self.profiles = SQLProfiles(connection)
        self.tags = SQLTags(connection)
        self.recovery_keys = SQLRecoveryKeys(connection)
        self.jobs = SQLJobs(connection)
        self.waves = SQLWaves(connection)
        self.events = SQLEvents(connection)
        self.admins = SQLAdmins(connection)
        self.notes = SQLNotes(connection)
