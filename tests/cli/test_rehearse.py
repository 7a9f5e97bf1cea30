"""`bramley rehearse`: what it prints for people and for machines, its exit code, and the door that it adds."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bramley.cli import rehearse as verb
from bramley.cli.output import Output
from bramley.cli.rehearse import CommandLineDoor
from bramley.cli.years_report import YearsReport
from bramley.errors import OutsideTrouble
from bramley.model.push import Route
from bramley.operations.installation import Installation, open_installation
from bramley.pki import certificates, keys, pkcs12
from bramley.rehearsal.identity_years import performance
from bramley.rehearsal.identity_years.outcome import Outcome as YearsOutcome
from bramley.rehearsal.identity_years.plan import Plan as YearsPlan
from bramley.rehearsal.identity_years.story import Audience as YearsAudience
from bramley.rehearsal.push_cycle.outcome import Blunder, FleetOutcome, Mistake, Outcome
from bramley.rehearsal.push_cycle.parts import Said
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.kept_files import key_pem
from bramley.settings import Settings
from tests.cli.kit import Run
from tests.rehearsal.identity_years.test_outcome import FLEET as LIVED
from tests.rehearsal.identity_years.test_outcome import PLAN as YEARS

TOPIC = "com.apple.mgmt.External.tests"
MISTAKES = tuple(Mistake(1, blunder, "" if blunder is Blunder.LATE else "API", stopped=True) for blunder in Blunder)
FLEET = FleetOutcome(Route.VENDOR, "com.apple.mgmt.External.x", 2, 1, MISTAKES, [], [])
CONTROL = replace(FLEET, lost=["a", "b"], mistakes=tuple(replace(mistake, stopped=False) for mistake in MISTAKES))
GOOD = Outcome(1, [FLEET], [CONTROL])
LOST = replace(GOOD, fleets=[replace(FLEET, lost=["a"], mistakes=(replace(MISTAKES[0], stopped=False), *MISTAKES[1:]))])


def test_a_short_rehearsal_goes_through_the_command_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # neither may reach the installation of a rehearsal
    monkeypatch.setenv("BRAMLEY_DATABASE", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("BRAMLEY_URL", "https://production.example")

    shown = run("rehearse", "push-cycle", "--years", 1, "--devices", 1, "--route", "profile-manager", "--json")

    assert shown.code == 0, shown.err
    told = shown.json
    assert {name: told[name] for name in ("renewals", "devices_lost", "control_devices_lost", "passed")} == {
        "renewals": 1,
        "devices_lost": 0,
        "control_devices_lost": 1,
        "passed": True,
    }
    assert told["mistakes_injected"] == told["mistakes_stopped"] == 3 * 5 + 2
    assert told["fleets"][0]["doors"]["command line"]["stopped"] >= 3
    assert shown.err == ""


@pytest.mark.parametrize(("outcome", "code"), [(GOOD, 0), (LOST, 1)])
def test_the_exit_code_says_whether_all_went_well(run: Run, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, code: int) -> None:
    plans: list[Any] = []
    folders: list[Path] = []

    async def perform(folder: Path, plan: object, _output: object) -> Outcome:
        folders.append(folder)
        plans.append(plan)
        return outcome

    monkeypatch.setattr(verb, "_perform", perform)

    options = ("--years", 2, "--devices", 7, "--seed", 9, "--route", "vendor", "--route", "vendor")
    shown = run("rehearse", "push-cycle", *options, "--json")
    for_people = run("rehearse", "push-cycle")

    assert (shown.code, for_people.code) == (code, code)
    assert json.loads(shown.out)["passed"] is (code == 0)
    assert (plans[0].years, plans[0].devices, plans[0].seed, plans[0].routes) == (2, 7, 9, (Route.VENDOR,))
    assert (plans[1].years, plans[1].devices, plans[1].routes) == (3, 50, tuple(Route))
    assert not any(folder.exists() for folder in folders)
    assert ("All went as it must: 1 renewals, 5 of 5 mistakes stopped, 0 devices lost; without checks 2." in for_people.out) is (
        code == 0
    )
    assert ("✗ year 1: wrong-topic by API got through" in for_people.out) is (code == 1)
    assert "no checks   vendor" in for_people.out


@pytest.mark.parametrize("years", ["0", "9", "x"])
def test_years_are_bounded(run: Run, years: str) -> None:
    assert run("rehearse", "push-cycle", "--years", years).code == 2


@pytest.fixture
def door(data: Path) -> tuple[CommandLineDoor, ShiftedClock]:
    """The door to an installation for which ten years have passed."""
    clock = ShiftedClock()
    return CommandLineDoor(partial(open_installation, Settings(data=data), clock, {})), clock


async def test_the_door_tells_what_the_command_line_says(door: tuple[CommandLineDoor, ShiftedClock]) -> None:
    way_in, clock = door
    clock.shift += timedelta(days=3650)
    apple, key = SandboxAppleCA.make(clock.now()), keys.generate(keys.KeyAlgorithm.RSA_2048)
    wrong, right = (
        apple.issue_push_certificate(key.public_key(), topic=topic, now=clock.now()) for topic in (new_topic(), TOPIC)
    )

    refused = await way_in([certificates.pem(wrong), key_pem(key)], None)
    taken = await way_in([pkcs12.write(pkcs12.Bundle(key, right), "orchard")], "orchard")

    assert not refused.accepted
    assert f"1 enrolled device(s) listen to {TOPIC}" in refused.words
    assert taken == Said(True), "by the clock of the rehearsal it is in date"


async def test_trouble_is_not_taken_for_a_refusal() -> None:
    async def fail() -> Installation:
        raise OutsideTrouble("The disk is full.")

    with pytest.raises(OutsideTrouble):
        await CommandLineDoor(fail)([b"-----BEGIN CERTIFICATE-----"], None)


WELL = YearsOutcome(YEARS, LIVED, replace(LIVED, renewed=0, locked_out=["a", "b"]))
BADLY = replace(WELL, fleet=replace(LIVED, locked_out=["a"], refusals=[f"device {n}: HTTP 400" for n in range(30)]))


@pytest.mark.parametrize(("outcome", "code"), [(WELL, 0), (BADLY, 1)])
def test_the_years_of_identities_are_told(run: Run, monkeypatch: pytest.MonkeyPatch, outcome: YearsOutcome, code: int) -> None:
    plans: list[YearsPlan] = []

    async def perform(folder: Path, plan: YearsPlan, audience: YearsAudience) -> YearsOutcome:
        assert folder.is_dir()
        plans.append(plan)
        for step, wrong in (("a good year", []), ("a bad year", ["x"])):
            heard: list[str] = []
            with audience.step(step, heard) as told:
                told(0.5)
                heard += wrong
        return outcome

    monkeypatch.setattr(performance, "perform", perform)

    for_machines = run("rehearse", "identity-years", "--years", 2, "--devices", 7, "--seed", 9, "--json")
    for_people = run("rehearse", "identity-years")

    assert (for_machines.code, for_people.code) == (code, code)
    assert plans == [YearsPlan(2, 7, 9), YearsPlan(3, 200, 1)]
    assert json.loads(for_machines.out) == outcome.as_json()
    assert for_machines.err == ""
    assert "✓ a good year" in for_people.out
    assert "✗ a bad year" in for_people.out
    last = for_people.out.splitlines()[-1]
    assert last.startswith("All went as it must:" if code == 0 else "Not all went as it must:")
    assert "5 identities renewed, 1 of them after their end" in last
    assert "0 of 35 attempts accepted; without renewal 2 locked out." in last
    if code:
        assert "✗ 1 devices are locked out" in for_people.out
        assert "✗ device 18: HTTP 400" in for_people.out
        assert "device 19" not in for_people.out
        assert "✗ and 11 more, which --json tells" in for_people.out


def test_whoever_waits_at_a_terminal_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")

    with YearsReport(Output(as_json=False)).step("year [1]", []) as told:
        told(0.5)

    assert "year [1]" in terminal.getvalue()
    assert "50%" in terminal.getvalue()


@pytest.mark.parametrize("options", [("--years", 1), ("--years", 9), ("--devices", 4)])
def test_a_fleet_has_time_and_devices_enough(run: Run, options: tuple[object, ...]) -> None:
    assert run("rehearse", "identity-years", *options).code == 2
