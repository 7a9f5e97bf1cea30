"""What is written down with a reason asks for one, whoever asks and however it is said that there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.kit import UDID, Run

VERBS = ("escrow reveal", "device pin", "device quarantine", "identity revoke", "identity suspend", "network revoke")
UNASKED = {"identity suspend"}
"""What can be undone is not asked about."""


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("reason", ["", "  "])
def test_a_reason_says_something(run: Run, data: Path, snapshot: Callable[[], list[int]], verb: str, reason: str) -> None:
    before = snapshot()
    yes = () if verb in UNASKED else ("--yes",)
    refused = run(*verb.split(), UDID, "--reason", reason, *yes, "--data", data)
    assert refused.code == 2
    assert "Expected a reason; an empty one came." in refused.err
    assert snapshot() == before
