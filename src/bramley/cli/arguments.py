"""What people write on the command line: devices, durations, moments, addresses, KEY=VALUE."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from bramley.errors import BadInput, OutsideTrouble

DeviceArgument = Annotated[
    str, typer.Argument(metavar="DEVICE", help="UDID, EnrollmentID, DEVICE:USER for a user channel, or our key.")
]

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([mhdw])", re.ASCII)
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]/]+)):(?P<port>[0-9]{1,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """HOST:PORT, taken apart."""

    host: str
    port: int


def duration(value: str) -> timedelta:
    """`30m`, `12h`, `7d` or `2w`."""
    match = _DURATION.fullmatch(value)
    if match is None:
        raise typer.BadParameter(f"expected a time such as 30m, 12h, 7d or 2w; found {value!r}")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def moment(value: str, now: datetime) -> datetime:
    """A duration from now, or a date (its beginning, in UTC) such as 2027-03-31. BadInput for anything else."""
    if match := _DURATION.fullmatch(value):
        return now + timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise BadInput(f"Expected a time from now such as 30d, or a date such as 2027-03-31; found {value!r}.") from None


def address(value: str) -> Address:
    """HOST:PORT; an IPv6 address stands in brackets."""
    match = _ADDRESS.fullmatch(value)
    if match is None or int(match["port"]) > 65535:
        raise typer.BadParameter(f"expected HOST:PORT such as 0.0.0.0:8443 or [::]:8443; found {value!r}")
    return Address(match["six"] or match["host"], int(match["port"]))


def assignment(value: str) -> tuple[str, Any]:
    """`KEY=TEXT` gives a string, `KEY:=JSON` a number, a boolean, a list or a dictionary. BadInput for anything else."""
    key, equals, rest = value.partition("=")
    if not equals or not key.removesuffix(":"):
        raise BadInput(f"Expected KEY=TEXT or KEY:=JSON; found {value!r}.")
    if not key.endswith(":"):
        return key, rest
    try:
        return key.removesuffix(":"), json.loads(rest)
    except ValueError:
        raise BadInput(f'Expected JSON after {key}=, such as true, 3 or ["a"]; found {rest!r}.') from None


def read_file(path: Path, what: str, *, most: int) -> bytes:
    """A file that the command line names. BadInput where it cannot be read or holds more than `most` bytes."""
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise BadInput(f"The {what} {path} cannot be read: {error.strerror}.") from None
    if len(content) > most:
        raise BadInput(f"The {what} {path} is larger than {most} bytes.", advice="Is it the right file?")
    return content


def read_password(path: Path | None, what: str = "password file") -> str | None:
    """The first line of a file with a password, or another secret; None without one."""
    if path is None:
        return None
    line = read_file(path, what, most=64 * 1024).split(b"\n", 1)[0].removesuffix(b"\r")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise BadInput(f"The {what} {path} is not in UTF-8.", advice="Save it as plain text.") from None


def write_new(path: Path, content: bytes, *, make_folder: bool = False) -> None:
    """A new file for its owner only. BadInput where something is in the way, or its folder is not there and not to be made."""
    try:
        if make_folder:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(f"{path} cannot be written: something is in the way.", advice="Name another file.") from None
    except FileNotFoundError:
        raise BadInput(f"There is no folder {path.parent}.", advice="Make it, or name another place.") from None
    except OSError as error:
        raise OutsideTrouble(f"{path} cannot be written: {error.strerror}.", advice="Name another place.") from None
