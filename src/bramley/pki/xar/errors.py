"""What can be wrong with a xar archive."""

from __future__ import annotations

from bramley.pki.errors import BadFile


class BadXar(BadFile):
    """What is not a xar archive, or one that cannot be used."""


class Damaged(BadXar):
    """An archive whose bytes are not those that its own checksums promise."""


class AlreadySigned(BadXar):
    """An archive with a signature that nobody said to replace."""
