"""What people and machines get to see: tables or JSON on stdout, remarks and errors on stderr.

Names come from devices, so nothing that is not printable reaches a terminal.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

WIDE = 10_000
"""Columns where no terminal sets a limit: a pipe gets whole lines."""


class Output:
    """The two streams of one run."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def json(self, value: object) -> None:
        """One JSON value on a line of its own."""
        print(json.dumps(value, default=plain), flush=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str, spare: Sequence[str] = ()) -> None:
        """Rows under their titles; `empty` to stderr where there are none.

        `spare` names the columns that a narrow terminal does without, in this order.
        """
        cells = [dict(zip(columns, (printable(text(cell)) for cell in row), strict=True)) for row in rows]
        if not cells:
            self.remark(empty)
            return
        console, titles, to_spare = _console(sys.stdout), list(columns), list(spare)
        table = _table(titles, cells)
        unbounded = console.options.update(max_width=WIDE)
        while to_spare and console.measure(table, options=unbounded).maximum > console.width:
            titles.remove(to_spare.pop(0))
            table = _table(titles, cells)
        _print(console, table)

    def fields(self, title: str, pairs: Iterable[tuple[str, object]]) -> None:
        """A thing with its properties, one a line; what is empty is left out."""
        from rich.table import Table

        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_column(style="dim")
        for name, value in pairs:
            if value not in (None, "", [], ()):
                table.add_row(printable(name), printable(text(value)))
        console = _console(sys.stdout)
        console.print(printable(title), style="bold")
        _print(console, table)

    def line(self, value: str) -> None:
        """A line of the result itself."""
        print(printable(value), flush=True)

    def marked(self, mark: str, style: str, value: str) -> None:
        """A line for people that begins with a mark in colours, wrapped at words; machines are not told."""
        from rich.text import Text

        if not self.as_json:
            _console(sys.stdout).print(Text.assemble((mark, style), " ", printable(value)))

    def remark(self, value: str) -> None:
        """A line for people, beside the result; machines are not told."""
        if not self.as_json:
            print(printable(value), file=sys.stderr, flush=True)

    def cut(self, found: Sized, limit: int) -> None:
        """Remarks on a listing that may go on: what was found are as many as were asked for."""
        if len(found) == limit:
            self.remark(f"These are the first {limit}; --limit shows more.")

    @contextmanager
    def busy(self, value: str) -> Iterator[None]:
        """Shows a person at a terminal that something is going on."""
        if self.as_json or not sys.stderr.isatty():
            yield
            return
        with _console(sys.stderr).status(value):
            yield


def tell_error(message: str, advice: str, *, as_json: bool) -> None:
    """An error on stderr: one line, and what to do next; or both as JSON."""
    if as_json:
        print(json.dumps({"error": message, "advice": advice}), file=sys.stderr, flush=True)
        return
    mark = "\033[1;31merror:\033[0m" if sys.stderr.isatty() else "error:"
    print(mark, printable(" ".join(message.split())), file=sys.stderr)
    if advice:
        print(printable(advice), file=sys.stderr)
    sys.stderr.flush()


def text(value: object) -> str:
    """A value as people read it. Times are in UTC, to the minute."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
        case str() | int() | float() | Path():
            return str(value)
        case _:
            return json.dumps(value, default=plain, ensure_ascii=False)


def plain(value: Any) -> object:
    """A value that JSON lacks, in what it has: times as ISO 8601, bytes as base64."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case bytes():
            return base64.b64encode(value).decode()
        case Path():
            return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def common_name(name: str | None) -> str | None:
    """The part of a distinguished name (RFC 4514) that tells it from its neighbours; all of it where it has none."""
    parts = re.split(r"(?<!\\),", name or "")
    return next((part.removeprefix("CN=") for part in parts if part.startswith("CN=")), name)


def printable(value: str) -> str:
    """The text without what could move a cursor, change colours or hide: it may come from a device."""
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in value)


def _table(titles: Sequence[str], cells: Sequence[Mapping[str, str]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in cells:
        table.add_row(*(row[title] for title in titles))
    return table


def _print(console: Console, table: Table) -> None:
    """Without the blanks that rich fills lines up with: who reads a pipe by lines wants none."""
    with console.capture() as captured:
        console.print(table)
    lines = (line.rstrip() for line in captured.get().splitlines())
    print("\n".join(line for line in lines if line), flush=True)


def _console(stream: Any) -> Console:
    from rich.console import Console

    return Console(file=stream, width=None if stream.isatty() else WIDE, markup=False, highlight=False, emoji=False)
