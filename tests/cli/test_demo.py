"""`bramley demo`: what it prints for people and for machines, and how it is kept running."""

from __future__ import annotations

import json
import re
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bramley.cli import demo as verb
from bramley.cli.demo_report import Report
from bramley.cli.output import Output
from bramley.errors import OutsideTrouble
from bramley.model.enrollments import EnrollmentID, EnrollmentKey
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, LineageID, Policy, Version, VersionID, VersionState
from bramley.rehearsal.outcome import Attack, Outcome
from bramley.rehearsal.profiles import ProfilesOutcome
from bramley.sandbox.attackers import Attempt
from bramley.storage.protocols import CertificateRow
from tests.cli.kit import Run, Start

NOW = datetime(2026, 11, 24, tzinfo=UTC)
UDID = "37EBDCD9-E87A-4613-A443-DF789558867F"
REFUSED = Attempt("the signature of another message, with signed attributes: Idle", True, "HTTP 400")
GOT_THROUGH = Attempt("the signature of another message, without signed attributes: Idle", False, "HTTP 200")


def certificate(kind: Kind, *, device: str | None = None, issuer: str = "Root CA") -> CertificateRow:
    lineage = Lineage(LineageID(kind), kind, kind, Policy(timedelta(days=365)), NOW)
    version = Version(
        VersionID(kind),
        lineage.id,
        1,
        VersionState.ACTIVE,
        NOW,
        NOW,
        subject="CN=01a20bf5fa05aeca8c83f4db8889",
        issuer=f"CN={issuer},O=Orchard",
        not_after=NOW,
    )
    return CertificateRow(lineage, version, EnrollmentKey("k") if device else None, EnrollmentID(device) if device else None)


def outcome(*attempts: Attempt) -> Outcome:
    return Outcome(
        2,
        {UDID: "MacBook Air 8NWQ"},
        enrolled=2,
        pushed=2,
        renewed=1,
        revoked=1,
        profiles=ProfilesOutcome(2, 0, 1),
        attacks=[Attack(f"attacker {n}", attempts) for n in range(4)],
        certificates=[
            certificate(Kind.DEVICE_IDENTITY, device=UDID),
            certificate(Kind.PUSH, issuer="Sandbox Apple Application Integration CA"),
            certificate(Kind.DEVICE_IDENTITY),
            certificate(Kind.IDENTITY_CA),
            certificate(Kind.ROOT_CA),
        ],
    )


def test_authorities_come_first_and_devices_have_names(capsys: pytest.CaptureFixture[str]) -> None:
    Report(Output(as_json=False)).show(outcome(REFUSED), kept=None)

    table = [line.split() for line in capsys.readouterr().out.splitlines() if " active" in line]
    assert [row[0] for row in table] == ["root-ca", "identity-ca", "push", "device-identity", "device-identity"]
    assert "MacBook Air 8NWQ" in " ".join(table[3])
    assert "no device has used it" in " ".join(table[4])


def test_variants_of_an_attempt_are_counted_together(capsys: pytest.CaptureFixture[str]) -> None:
    Report(Output(as_json=False)).show(outcome(REFUSED, REFUSED), kept=None)

    shown = capsys.readouterr().out
    assert "attacker 0: 2 of 2 attempts refused (HTTP 400)" in shown
    assert "    2 × the signature of another message\n" in shown
    assert "All went as it must: 2 of 2 devices enrolled" in shown


def test_what_got_through_is_not_called_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Report(Output(as_json=False)).show(outcome(REFUSED, GOT_THROUGH), kept=None)

    shown = capsys.readouterr().out
    assert "attacker 0: 1 of 2 attempts refused (HTTP 200, HTTP 400)" in shown
    assert "Not all went as it must: " in shown
    assert "0 of 4 attackers refused" in shown


def test_a_step_is_ticked_only_if_nothing_failed(capsys: pytest.CaptureFixture[str]) -> None:
    report, failures = Report(Output(as_json=False)), ["before"]

    with report.step("one", failures):
        pass
    with report.step("two", failures):
        failures.append("amiss")
    with pytest.raises(OutsideTrouble), report.step("three", failures):
        raise OutsideTrouble("no more")

    assert capsys.readouterr().out.splitlines() == ["✓ one", "✗ two", "✗ three"]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_row_of_the_table_is_one_line_on_a_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")

    Report(Output(as_json=False)).show(outcome(REFUSED), kept=None)

    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= columns
    assert sum(line.endswith(" active") for line in lines) == 5
    assert any("used by" in line for line in lines)


def test_a_kept_demo_can_be_managed_until_it_is_interrupted(start: Start, run: Run, tmp_path: Path) -> None:
    demo = start("demo", "--keep", "--devices", 2, TMPDIR=str(tmp_path))
    while "passed" not in (told := demo.line()):
        assert told["refused"], told

    assert told["passed"]
    assert told["failures"] == []
    data = told["data"]
    devices = run("device", "list", "--data", data, "--state", "active", "--json").json
    named = next(device for device in devices if device["parent"] is None)
    answered = run("device", "command", named["id"], "SecurityInfo", "--wait", "30", "--data", data, "--json")
    assert answered.json["state"] == "acknowledged"
    assert demo.stop(signal.SIGINT).code == 0
    assert Path(data, "bramley.sqlite3").exists()
    assert run("device", "list", "--data", data).code == 0


@pytest.mark.parametrize(("attempts", "code"), [([REFUSED], 0), ([REFUSED, GOT_THROUGH], 1)])
def test_the_exit_code_says_whether_all_went_well(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, attempts: list[Attempt], code: int
) -> None:
    folders: list[Path] = []

    async def play(folder: Path, _count: int, _keep: bool, report: Report) -> Outcome:
        folders.append(folder)
        found = outcome(*attempts)
        report.show(found, kept=None)
        return found

    monkeypatch.setattr(verb, "_play", play)

    shown = run("demo", "--json")

    assert shown.code == code
    last = json.loads(shown.out.splitlines()[-1])
    assert last["passed"] is (code == 0)
    assert "data" not in last
    assert not any(folder.exists() for folder in folders)


def test_a_demo_that_breaks_down_leaves_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    folders: list[Path] = []

    async def play(folder: Path, *_rest: object) -> Outcome:
        folders.append(folder)
        raise OutsideTrouble("No port is free.")

    monkeypatch.setattr(verb, "_play", play)

    shown = run("demo", "--keep")

    assert shown.code == 3
    assert "No port is free." in shown.err
    assert len(folders) == 1
    assert not folders[0].exists()
