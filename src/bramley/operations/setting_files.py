"""Files that settings name."""

from __future__ import annotations

from pathlib import Path

from bramley.errors import BadInput


def read(setting: str, file: str) -> bytes | None:
    """What is in the file that a setting names; None where it names none. BadInput where it cannot be read."""
    if not file:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise BadInput(f"{setting} {file} cannot be read: {error.strerror}.") from None
