"""What every client of a web service can meet, whichever service it is."""

from __future__ import annotations

from bramley.errors import OutsideTrouble


class ServiceTrouble(OutsideTrouble):
    """A service was not reached, or what it answered is none of its own answers."""
