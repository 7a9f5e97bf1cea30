"""An audience that remembers, and fleets that are as small as they can be."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bramley.rehearsal.identity_years.fleet import Fleet, opened_fleet
from bramley.rehearsal.identity_years.plan import Plan
from bramley.rehearsal.identity_years.story import Told


@dataclass
class Listener:
    """Remembers each step, whether it went well, and the share of it that was done in the end."""

    heard: dict[str, bool] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, text: str, failures: Sequence[str]) -> Iterator[Told]:
        before = len(failures)
        self.heard[text] = False
        yield lambda share: self.shares.__setitem__(text, share)
        self.heard[text] = len(failures) == before


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncGenerator[Fleet]:
    """Enrolled, by devices that are all there."""
    async with opened_fleet(tmp_path, Plan(2, 5), renews=True) as opened:
        await opened.enroll(lambda _share: None)
        await opened.converse()
        yield opened
