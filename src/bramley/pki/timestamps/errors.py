"""What can be wrong with a timestamp."""

from __future__ import annotations

from bramley.pki.errors import PKIError


class TimestampError(PKIError):
    """The root of everything that this package raises on purpose."""


class BadTimestamp(TimestampError):
    """What is no timestamp, or one that does not prove what it should."""


class Declined(TimestampError):
    """The authority gives no timestamp, and says so."""
