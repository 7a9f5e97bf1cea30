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


class Closed(StorageError):
    """The store was closed before or while it was asked."""


class Busy(StorageError, OutsideTrouble):
    """Another process held the database for longer than we wait."""


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
