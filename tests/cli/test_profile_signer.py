"""`bramley profile signer` and `package-signer`, as an admin types them."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bramley.clock import SystemClock
from bramley.operations.package_signers import DEVELOPER_ID_INSTALLER, INSTALLER_USAGE
from bramley.pki import certificates
from bramley.profiles import documents
from tests.cli.kit import Result, Run
from tests.operations.signer_kit import PASSWORD, PKI, SERVER, Identity, key_usage, make, usage
from tests.pki.xar.building import build

PLAIN = plistlib.dumps(
    {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": "example.empty",
        "PayloadUUID": "00000000-0000-4000-8000-000000000001",
        "PayloadContent": [],
    }
)


@pytest.fixture(scope="module")
def pki() -> PKI:
    return PKI.at(SystemClock().now())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pki: PKI) -> Path:
    """A folder of the test's own, with a profile, a package, and identities to sign them with."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    signer = pki.signer()
    for name, content in {
        "empty.mobileconfig": PLAIN,
        "a.pkg": build(),
        "password": PASSWORD.encode() + b"\n",
        "signer.p12": signer.file(),
        "second.p12": pki.signer("Second", SERVER).file(),
        "ca.p12": pki.ca.file(),
        "mute.p12": pki.signer("Mute", key_usage(key_encipherment=True)).file(),
        "leaf.pem": certificates.pem(signer.certificate)
        + pki.rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "ca.pem": certificates.pem(pki.ca.certificate),
        "root.pem": certificates.pem(pki.root.certificate),
        "installer.p12": installer(pki).file(),
        "ended.p12": pki.signer(days=(-9, -1)).file(),
    }.items():
        (folder / name).write_bytes(content)
    return folder


def installer(pki: PKI) -> Identity:
    mark = x509.UnrecognizedExtension(x509.ObjectIdentifier(DEVELOPER_ID_INSTALLER), b"\5\0")
    return make("Installer", pki.ca, pki.rsa, pki.now, mark, usage(INSTALLER_USAGE))


@pytest.fixture
def profile(run: Run, data: Path, desk: Path) -> Run:
    return lambda *arguments: run("profile", *arguments, "--data", data)


def bring(profile: Run, noun: str, *arguments: object) -> Result:
    return profile(noun, "import", *arguments, "--password-file", "password")


def test_imported_used_and_shown(profile: Run, run: Run, data: Path, snapshot: Callable[[], list[int]]) -> None:
    before = snapshot()
    tried = bring(profile, "signer", "signer.p12", "--dry-run", "--json").json
    assert (tried["dry_run"], tried["signs"], [each["subject"] for each in tried["chain"]]) == (
        True,
        False,
        ["CN=Cider Signer", "CN=Cider CA", "CN=Cider Root"],
    )
    assert snapshot() == before
    done = bring(profile, "signer", "signer.p12")
    assert (done.code, done.out) == (0, "CN=Cider Signer: kept\n")
    assert "only where they trust CN=Cider Root" in done.err
    assert "profile signer use imported" in done.err

    assert "would sign profiles" in profile("signer", "use", "imported", "--dry-run").out
    assert signs(profile) == "own"
    assert profile("signer", "use", "imported").out == "CN=Cider Signer: signs profiles\n"
    assert signs(profile) == "imported"
    assert "CN=Cider Signer" in profile("signer", "show").out
    (row,) = [each for each in run("certs", "list", "--json", "--data", data).json if each["subject"] == "CN=Cider Signer"]
    assert (row["next_step"]["mover"], "profile signer import" in row["next_step"]["text"]) == ("human", True)

    again = bring(profile, "signer", "second.p12", "--json").json
    assert (again["signs"], any("emailProtection" in each for each in again["warnings"])) == (True, True)
    assert profile("signer", "use", "https", "--json").json["signer"] == "https"
    assert signs(profile) == "https"


def signs(profile: Run) -> str:
    (signer,) = [each["signer"] for each in profile("signer", "show", "--json").json if each["signs"]]
    return str(signer)


@pytest.mark.parametrize(
    ("options", "subject"),
    [
        ((), "CN=Cider Signer"),
        (("--signer", "imported"), "CN=Cider Signer"),
        (("--signer", "own"), "Profile Signer"),
        (("--signer", "https"), "CN=mdm.example"),
        (("--identity", "leaf.pem", "--identity", "root.pem", "--identity", "ca.pem"), "CN=Cider Signer"),
    ],
)
def test_a_file_is_signed_by_the_one_that_is_named(profile: Run, options: tuple[str, ...], subject: str) -> None:
    assert bring(profile, "signer", "signer.p12").code == 0
    assert profile("signer", "use", "imported").code == 0
    done = profile("sign", "empty.mobileconfig", "-o", "signed", *options)
    assert done.code == 0
    assert done.err == (
        ""
        if "--identity" not in options
        else "warning: Devices show its profiles as Verified only where they trust CN=Cider Root.\n"
    )
    seen = profile("inspect", "signed", "--anchor", "root.pem")
    assert "Verified" in seen.out
    assert subject in seen.out


def test_an_identity_of_its_own_signs_with_what_deserves_a_look(profile: Run) -> None:
    named = ("--identity", "second.p12", "--password-file", "password")
    done = profile("sign", "empty.mobileconfig", "-o", "signed", *named)
    assert (done.code, done.err.count("warning: ")) == (0, 2)
    assert len(documents.read(Path("signed").read_bytes()).certificates) == 2, "the root stays at home"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("signer", "import", "signer.p12"), "password"),
        (("signer", "import", "ca.p12", "--password-file", "password"), "is a CA"),
        (("signer", "import", "ended.p12", "--password-file", "password"), "expired at"),
        (("signer", "import", "leaf.pem", "ca.pem"), "issuer of CN=Cider CA is missing"),
        (("signer", "import", "leaf.pem", "root.pem"), "issuer of CN=Cider Signer is missing"),
        (("signer", "import", "nowhere.p12"), "cannot be read"),
        (("signer", "use", "imported"), "no signer imported"),
        (("signer", "use", "nobody"), "nobody"),
        (("sign", "empty.mobileconfig", "-o", "out", "--signer", "imported"), "No profile signer was imported"),
        (("sign", "empty.mobileconfig", "-o", "out", "--signer", "own", "--identity", "leaf.pem"), "exclude each other"),
        (
            ("sign", "empty.mobileconfig", "-o", "out", "--identity", "leaf.pem", "--identity", "root.pem"),
            "issuer of CN=Cider Signer",
        ),
        (("sign", "empty.mobileconfig", "-o", "out", "--identity", "leaf.pem", "--identity", "ca.pem"), "issuer of CN=Cider CA"),
        (("sign", "empty.mobileconfig", "-o", "out", "--identity", "ca.p12", "--password-file", "password"), "is a CA"),
        (("sign", "empty.mobileconfig", "-o", "out", "--identity", "mute.p12", "--password-file", "password"), "no signatures"),
        (("package-signer", "import", "ended.p12", "--password-file", "password"), "ended on"),
        (("sign-package", "a.pkg", "-o", "out"), "no identity is kept"),
    ],
)
def test_bad_input_exits_2_and_changes_nothing(
    profile: Run, desk: Path, snapshot: Callable[[], list[int]], arguments: tuple[str, ...], words: str
) -> None:
    before = snapshot()
    done = profile(*arguments)
    assert (done.code, words in done.err) == (2, True), done.err
    assert PASSWORD not in done.err
    assert snapshot() == before
    assert not (desk / "out").exists()


def test_a_package_signer_is_kept_and_signs(
    profile: Run, run: Run, desk: Path, snapshot: Callable[[], list[int]], pki: PKI
) -> None:
    assert profile("package-signer", "show").out.startswith("None is kept")
    before = snapshot()
    assert "would be kept" in bring(profile, "package-signer", "installer.p12", "--dry-run").out
    assert snapshot() == before
    done = bring(profile, "package-signer", "installer.p12", "--json")
    assert (done.code, done.json["warnings"], len(done.json["chain"])) == (0, [], 3)
    assert "CN=Installer" in profile("package-signer", "show").out
    assert "here already" in bring(profile, "package-signer", "installer.p12").err
    signed = profile("sign-package", "a.pkg", "-o", "signed.pkg", "--json").json
    assert [each["subject"] for each in signed["signed_by"]] == ["CN=Installer", "CN=Cider CA", "CN=Cider Root"]
    looked: Any = run("profile", "sign-package", "signed.pkg", "--verify", "--json").json
    assert (looked["holds"], looked["signed_by"][0]["sha256"]) == (True, done.json["chain"][0]["sha256"])
    assert bring(profile, "package-signer", "second.p12").code == 0
    shown = profile("package-signer", "show", "--json").json
    assert (shown["chain"][0]["subject"], len(shown["warnings"])) == ("CN=Second", 1)


def test_a_package_signer_that_has_ended_signs_nothing(
    profile: Run, desk: Path, pki: PKI, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bring(profile, "package-signer", "installer.p12").code == 0
    monkeypatch.setattr(SystemClock, "now", lambda _self: pki.signer().certificate.not_valid_after_utc.replace(year=2099))
    ended = profile("sign-package", "a.pkg", "-o", "signed.pkg")
    assert (ended.code, "ended on" in ended.err, (desk / "signed.pkg").exists()) == (2, True, False)


def test_one_that_ends_is_in_the_alert_though_it_is_not_due_yet(profile: Run, run: Run, data: Path) -> None:
    assert bring(profile, "signer", "signer.p12").code == 0
    alert = run("certs", "list", "--expires-before", "301d", "--kind", "profile-signer", "--json", "--data", data)
    assert (alert.code, [each["subject"] for each in alert.json]) == (1, ["CN=Cider Signer"])
