"""The demo shows what it says it shows, and says so when it doesn't."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bramley.clock import SystemClock
from bramley.rehearsal import report
from bramley.rehearsal.demo import Attack, Demo, Progress, play
from bramley.rehearsal.stage import open_stage
from bramley.sandbox.attackers import Attempt


async def test_a_fleet_enrolls_and_the_attackers_fail(tmp_path: Path) -> None:
    stage = await open_stage(tmp_path, SystemClock())
    console = Console(file=StringIO(), width=200)
    try:
        demo = await play(stage, 3, Progress(console, quiet=False))
    finally:
        await stage.close()
    assert demo.failures == []
    assert demo.passed
    told = demo.as_json()
    assert {name: told[name] for name in ("devices", "enrolled", "pushed", "renewed", "revoked", "attacks_refused")} == {
        "devices": 3,
        "enrolled": 3,
        "pushed": 3,
        "renewed": 1,
        "revoked": 1,
        "attacks_refused": 4,
    }
    assert all(len(attack.attempts) > 20 for attack in demo.attacks)
    report.show(console, demo)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "All went as it must" in text
    for kind in ("root-ca", "identity-ca", "https-ca", "signer-ca", "https", "profile-signer", "push", "device-identity"):
        assert kind in text


@pytest.mark.parametrize(
    "attempts", [[], [Attempt("one", True, "HTTP 400"), Attempt("two", False, "HTTP 200")], [Attempt("one", False, "HTTP 401")]]
)
def test_an_attacker_counts_as_refused_only_if_all_it_tried_was(attempts: list[Attempt]) -> None:
    demo = Demo(1, enrolled=1, pushed=1, renewed=1, revoked=1)
    demo.attacks = [Attack(f"attack {n}", [Attempt("x", True, "HTTP 400")]) for n in range(3)]
    demo.attacks.append(Attack("the fourth", attempts))
    assert demo.attacks_refused == 3
    assert not demo.passed
