"""What can go wrong with the database, in words for whoever has to act."""

from __future__ import annotations

from bramley.errors import BadInput, BramleyError, OutsideTrouble


class StorageError(BramleyError):
    """The root of this package's errors. The transaction that met one has left nothing behind."""


class NotFound(StorageError):
    """A row that was named is not there."""


class Conflict(StorageError):
    """What should be unique is there already."""


class Refused(StorageError):
    """A value breaks a constraint of the schema: a mistake in the calling code, stopped by the database."""


class WentOn(StorageError):
    """A statement failed, and the transaction's function caught the error instead of letting it through."""

    def __init__(self) -> None:
        super().__init__(
            "a statement of the transaction had failed, and its function went on.",
            advice="Nothing was changed. This is a fault of Bramley: report it.",
        )


class Closed(StorageError):
    """The store was closed before or while it was asked."""


class Busy(StorageError, OutsideTrouble):
    """Another process held the database for longer than we wait."""


class Unreachable(StorageError, OutsideTrouble):
    """The database server does not answer, or went away while it was asked."""


class NotAdmitted(StorageError, OutsideTrouble):
    """The database server does not let this account in, or not do this."""


class TooOld(StorageError, BadInput):
    """The database server is older than the oldest that we work with."""


class NeverUsed(StorageError, BadInput):
    """The database is there and empty, and was not to be filled."""


class DiskTrouble(StorageError, OutsideTrouble):
    """The disk is full, read-only, or failed. Nothing of the transaction was kept; nothing kept earlier was lost."""


class Corrupt(StorageError):
    """The database is damaged."""


class NoPlace(StorageError, BadInput):
    """There cannot be a database at the path given."""


class WrongFormat(StorageError, BadInput):
    """The file is not a database of ours."""


class NewerSchema(StorageError, BadInput):
    """A newer Bramley has written this database; this one would not understand it."""
