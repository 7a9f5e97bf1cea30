"""`bramley identity ca rollover`, `request` and `import`, as an admin types them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from bramley.clock import SystemClock
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from tests.cli.kit import Run

P_256 = ("--algorithm", "p-256")


@pytest.fixture
def ca(run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `bramley identity ca` on the installation, in a folder of the test's own."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return lambda *arguments: run("identity", "ca", *arguments, "--data", data)


@pytest.fixture(scope="module")
def cider() -> Authority:
    """The root of an organization."""
    key = keys.generate(keys.KeyAlgorithm.P_256)
    return Authority(self_signed(profiles.ROOT_CA, key, names.make("Cider Root"), now=SystemClock().now()), key)


def test_a_rollover_is_begun_shown_and_given_up(ca: Run, snapshot: Callable[[], list[int]]) -> None:
    before = snapshot()
    told = ca("rollover", "--new-key", *P_256, "--use-after", "14d", "--dry-run", "--json")
    assert told.code == 0
    assert snapshot() == before
    assert (told.json["dry_run"], told.json["mode"], told.json["stage"]) == (True, "new-key", "prepared")
    assert told.json["new"]["subject"] == "CN=Bramley Device Identity CA G2,O=Bramley"
    nothing = ca("rollover")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "No rollover of the identity CA is under way.\n")
    assert ca("rollover", "--json").json is None

    begun = ca("rollover", "--new-key", *P_256)
    assert begun.code == 0
    assert "CN=Bramley Device Identity CA G2,O=Bramley, until " in begun.out
    shown = ca("rollover", "--json").json
    assert shown["next"] == {"step": "trust", "due": True, "waits_for": "", "at": None}
    assert "the running server" in ca("rollover").out
    again = ca("rollover", "--new-key", *P_256)
    assert (again.code, "--cancel" in again.err) == (2, True)

    gone = ca("rollover", "--cancel", "--json").json
    assert (gone["state"], gone["next"]) == ("cancelled", None)
    assert ca("rollover", "--cancel").code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("--same-key", "--new-key"),
        ("--new-key", "--cancel"),
        ("--algorithm", "p-256"),
        ("--use-after", "14d"),
        ("--cancel", "--use-after", "14d"),
        ("--same-key", *P_256),
        ("--new-key", "--algorithm", "p-521"),
        ("--new-key", "--use-after", "soon"),
    ],
)
def test_options_that_do_not_go_together(ca: Run, snapshot: Callable[[], list[int]], arguments: tuple[str, ...]) -> None:
    before = snapshot()
    assert ca("rollover", *arguments).code == 2
    assert snapshot() == before


def test_the_key_in_force_is_certified_by_an_organization(ca: Run, run: Run, data: Path, cider: Authority) -> None:
    asked = ca("request", "--output", "ca.csr", "--json")
    assert (asked.code, asked.json["found"]) == (0, False)
    request = x509.load_pem_x509_csr(Path("ca.csr").read_bytes())
    made = issue(
        cider,
        profiles.IDENTITY_CA,
        request.public_key(),  # type: ignore[arg-type]
        subject=request.subject,
        now=SystemClock().now(),
        lifetime=timedelta(days=3650),
    )
    Path("ca.pem").write_bytes(certificates.pem(made))
    Path("root.pem").write_bytes(certificates.pem(cider.certificate))

    alone = ca("import", "ca.pem")
    assert (alone.code, "not whole" in alone.err) == (2, True)
    done = ca("import", "ca.pem", "root.pem", "--json")
    assert (done.code, done.json["mode"], done.json["warnings"]) == (0, "same-key", [])
    listed = run("certs", "list", "--kind", "identity-ca", "--data", data, "--json").json
    assert {line["state"]: line["next_step"]["text"].partition(";")[0] for line in listed} == {
        "active": "in force",
        "issued": "prepared",
    }


def test_a_new_key_for_an_organization_to_certify(ca: Run, snapshot: Callable[[], list[int]]) -> None:
    assert ca("request", "--new-key", *P_256).code == 0
    before = snapshot()
    again = ca("request", "--new-key", *P_256, "--output", "again.csr", "--json")
    assert again.json["found"]
    assert Path("again.csr").read_bytes() == Path("IdentityCA.csr").read_bytes()
    assert ca("request", "--new-key", *P_256, "--output", "again.csr").code == 2, "nothing is overwritten"
    assert snapshot() == before


def test_an_archive_with_its_password(ca: Run, snapshot: Callable[[], list[int]], cider: Authority) -> None:
    key, now = keys.generate(keys.KeyAlgorithm.P_256), SystemClock().now()
    made = issue(cider, profiles.IDENTITY_CA, key.public_key(), subject=names.make("Cider Devices"), now=now)
    sealing = BestAvailableEncryption(b"pommace")
    archive = pkcs12.serialize_key_and_certificates(b"", key, made, [cider.certificate], sealing)
    Path("ca.p12").write_bytes(archive)
    Path("password").write_text("pommace\n")
    before = snapshot()
    assert ca("import", "ca.p12").code == 2
    assert ca("import", "ca.p12", "--password-file", "password", "--dry-run").code == 0
    assert snapshot() == before
    done = ca("import", "ca.p12", "--password-file", "password", "--use-after", "2w")
    assert (done.code, "CN=Cider Devices, until" in done.out) == (0, True)
    assert "pommace" not in done.out + done.err


def test_the_root_is_taken_offline_lent_and_brought_back(ca: Run, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse battery\n")
    named = ("root-key.pem", "--password-file", password)
    assert ca("root", "take-offline", *named, "--yes").code == 0
    assert Path("root-key.pem").stat().st_mode & 0o777 == 0o600
    assert [each["key_here"] for each in ca("status", "--json").json if each["kind"] == "root-ca"] == [False]
    refused = ca("rollover", "--new-key")
    assert (refused.code, "--root-key" in refused.err) == (2, True)
    assert ca("root", "take-offline", "again.pem", "--password-file", password, "--yes").code == 2
    assert not Path("again.pem").exists()
    lent = ("--root-key", "root-key.pem", "--root-password-file", password)
    assert ca("rollover", "--new-key", *lent, "--json").json["stage"] == "prepared"
    assert ca("root", "bring-back", *named).code == 0
    assert [each["key_here"] for each in ca("status", "--json").json if each["kind"] == "root-ca"] == [True]
