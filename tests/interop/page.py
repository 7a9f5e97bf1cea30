"""The table of clients in docs/reference/scep.md: each of its rows is a test, so that the page says nothing that isn't tried."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tests.docs.pages import read, rows
from tests.interop.kit import Sent


@dataclass(frozen=True, slots=True)
class Row:
    """A client run with some options: what it sends, and what comes of it ("issued", or the reason of the refusal)."""

    client: str
    options: tuple[str, ...]
    legacy: bool
    sends: str
    outcome: str

    def __str__(self) -> str:
        return " ".join((self.client, *self.options, *(["legacy"] if self.legacy else [])))

    def expect(self, sent: Sent) -> None:
        assert str(sent) == self.sends


def table(client: str) -> list[Row]:
    """The rows of one client."""
    found = [
        Row(name, tuple(shlex.split(options)), legacy == "yes", sends, outcome)
        for name, options, legacy, sends, outcome in rows(read("reference/scep.md"), "## Clients")
        if name == client
    ]
    assert found, f"no row for {client}"
    return found
