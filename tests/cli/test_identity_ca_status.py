"""`bramley identity ca status`."""

from __future__ import annotations

from pathlib import Path

from tests.cli.kit import UDID, Run

COUNTS = ("issued", "active", "expiring", "suspended", "revoked")


def counts(run: Run, data: Path) -> dict[str, tuple[int, ...]]:
    found = run("identity", "ca", "status", "--data", data, "--json")
    assert found.code == 0, found.err
    return {each["name"]: tuple(each[name] for name in COUNTS) for each in found.json}


def test_every_ca_is_shown_with_what_it_has_issued(run: Run, data: Path) -> None:
    before = counts(run, data)
    one = (1, 1, 0, 0, 0)
    assert before == {"root": (3, 3, 0, 0, 0), "identity-ca": one, "https-ca": one, "signer-ca": one}

    assert run("identity", "revoke", UDID, "--reason", "stolen", "--yes", "--data", data).code == 0

    assert counts(run, data) == before | {"identity-ca": (1, 0, 0, 0, 1)}


def test_people_get_a_table(run: Run, data: Path) -> None:
    shown = run("identity", "ca", "status", "--data", data)

    assert shown.code == 0
    assert shown.err == ""
    (line,) = [line.split() for line in shown.out.splitlines() if line.startswith(" identity-ca")]
    assert line[:7] == ["identity-ca", "active", "1", "1", "0", "0", "0"]
