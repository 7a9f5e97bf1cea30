"""`bramley profile sign-package`: who may sign, what is written, what a look at it says, and what is refused."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from bramley.cli import profile_package
from bramley.operations.package_signers import DEVELOPER_ID_INSTALLER, INSTALLER_USAGE, PackageSigner
from bramley.operations.packages import sign_package
from bramley.pki import certificates, cms, keys, names, xar
from bramley.pki.keys import KeyAlgorithm, PrivateKey
from tests.cli.kit import Result, Run
from tests.operations.signer_kit import key_usage
from tests.pki.xar.building import FILES, at, build

PASSWORD = "correct horse"
NOW = datetime.now(UTC).replace(microsecond=0)
APPLICATION, MAC_INSTALLER = "1.2.840.113635.100.6.1.13", "1.2.840.113635.100.4.9"


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey


def make(
    name: str,
    issuer: Signed | None,
    key: PrivateKey,
    *,
    ca: bool = False,
    marks: tuple[str, ...] = (),
    usages: tuple[str, ...] = (),
    days: tuple[int, int] = (-1, 300),
    signs: bool = True,
) -> Signed:
    """A certificate as Apple makes them, its marks critical."""
    subject = names.make(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    for mark in marks:
        builder = builder.add_extension(x509.UnrecognizedExtension(ObjectIdentifier(mark), b"\x05\x00"), critical=True)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(usage) for usage in usages]), critical=True)
    if not signs:
        builder = builder.add_extension(key_usage(key_encipherment=True), critical=True)
    return Signed(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


@pytest.fixture(scope="module")
def rsa() -> PrivateKey:
    return keys.generate(KeyAlgorithm.RSA_2048)


@pytest.fixture(scope="module")
def root() -> Signed:
    return make("Root", None, keys.generate(KeyAlgorithm.P_256), ca=True)


@pytest.fixture(scope="module")
def intermediate(root: Signed) -> Signed:
    return make("Developer ID CA", root, keys.generate(KeyAlgorithm.P_256), ca=True)


@pytest.fixture(scope="module")
def installer(intermediate: Signed, rsa: PrivateKey) -> Signed:
    return make("Installer: Orchard", intermediate, rsa, marks=(DEVELOPER_ID_INSTALLER,), usages=(INSTALLER_USAGE,))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "Example.pkg"
    path.write_bytes(build())
    path.chmod(0o640)
    return path


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """`write(identity, certificate…)`: a PKCS#12 file with it and the others; the password is in the file beside it."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    numbers = itertools.count()

    def write(signed: Signed, *others: Signed) -> Path:
        path = tmp_path / f"{next(numbers)}.p12"
        cas = [each.certificate for each in others]
        locked = BestAvailableEncryption(PASSWORD.encode())
        path.write_bytes(pkcs12.serialize_key_and_certificates(b"it", signed.key, signed.certificate, cas, locked))
        return path

    return write


Sign = Callable[..., Result]


@pytest.fixture
def sign(run: Run, tmp_path: Path) -> Sign:
    """`sign(package, identity, options…)`: into out.pkg."""

    def sign(package: Path, identity: Path, *options: object) -> Result:
        given = ("--identity", identity, "--password-file", tmp_path / "password", "-o", tmp_path / "out.pkg")
        return run("profile", "sign-package", package, *given, *options)

    return sign


@pytest.fixture
def untouched(package: Path, tmp_path: Path) -> Iterator[None]:
    """Afterwards the package is as it was, and nothing new lies beside where the signed one would."""
    before = package.read_bytes()
    yield
    assert package.read_bytes() == before
    assert {path.suffix for path in tmp_path.iterdir()} <= {".p12", ".pem", ""}


def test_a_package_is_signed_and_a_look_says_by_whom(
    sign: Sign,
    write: Write,
    run: Run,
    installer: Signed,
    intermediate: Signed,
    root: Signed,
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity, out = write(installer, root, intermediate), tmp_path / "out.pkg"
    ended = sign(package, identity)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"{out}: signed by CN=Installer: Orchard, until ")
    assert out.stat().st_mode & 0o777 == 0o640
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]

    (tmp_path / "roots.pem").write_bytes(certificates.pem(root.certificate))
    monkeypatch.setenv("BRAMLEY_APPLE_ROOTS_FILE", str(tmp_path / "roots.pem"))
    looked = run("profile", "sign-package", "--verify", out, "--json")
    assert looked.code == 0
    assert (looked.json["holds"], looked.json["faults"], looked.json["warnings"]) == (True, [], [])
    assert [each["subject"] for each in looked.json["signed_by"]] == ["CN=Installer: Orchard", "CN=Developer ID CA", "CN=Root"]
    assert abs(datetime.fromisoformat(looked.json["signing_time"]) - NOW) < timedelta(minutes=10)
    assert looked.json["package"] == {
        "kind": "component",
        "files": len(FILES) + 1,
        "bytes": sum(map(len, FILES.values())),
        "checksum": "sha256",
        "signed": True,
        "trailing_bytes": 0,
    }
    shown = run("profile", "sign-package", "--verify", out).out
    for words in ("component package", "holds, and so does every file", "signed by", "CN=Installer: Orchard", "CN=Root, until"):
        assert words in shown
    monkeypatch.delenv("BRAMLEY_APPLE_ROOTS_FILE")
    assert "not a root of Apple's" in run("profile", "sign-package", "--verify", out).out


def test_a_signature_is_replaced_with_force_only(
    sign: Sign, write: Write, installer: Signed, intermediate: Signed, package: Path, tmp_path: Path
) -> None:
    identity, once = write(installer, intermediate), tmp_path / "once.pkg"
    assert sign(package, identity).code == 0
    once.write_bytes((tmp_path / "out.pkg").read_bytes() + b"ticket")
    refused = sign(once, identity)
    assert (refused.code, "signed already" in refused.err) == (2, True)
    exists = sign(once, identity, "--force")
    assert (exists.code, "exists" in exists.err) == (2, True)
    (tmp_path / "out.pkg").unlink()
    ended = sign(once, identity, "--force", "--json")
    assert ended.code == 0
    assert ended.json["replaced"]
    assert ended.json["warnings"] == ["6 bytes behind the package are left out: a notarization does not outlive the signature."]
    assert b"ticket" not in (tmp_path / "out.pkg").read_bytes()


@pytest.mark.usefixtures("untouched")
def test_a_dry_run_does_all_but_write(
    sign: Sign, write: Write, installer: Signed, intermediate: Signed, package: Path, tmp_path: Path
) -> None:
    identity = write(installer, intermediate)
    ended = sign(package, identity, "--dry-run")
    assert (ended.code, "would be signed" in ended.out) == (0, True)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(package.read_bytes()[:-1] + b"x")
    assert sign(damaged, identity, "--dry-run").code == 2


def test_pem_files_do_as_well_and_the_intermediate_may_come_in_one_of_its_own(
    run: Run, installer: Signed, intermediate: Signed, package: Path, tmp_path: Path
) -> None:
    key = installer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "pair.pem").write_bytes(key + certificates.pem(installer.certificate))
    (tmp_path / "ca.pem").write_bytes(certificates.pem(intermediate.certificate))
    call = ("profile", "sign-package", package, "--output", tmp_path / "out.pkg", "--identity", tmp_path / "pair.pem")
    missing = run(*call)
    assert missing.code == 2
    assert "issuer of CN=Installer: Orchard is missing: CN=Developer ID CA" in missing.err
    assert run(*call, "--identity", tmp_path / "ca.pem").code == 0


ODD: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "an app's": ((APPLICATION,), (), "Developer ID Application"),
    "the App Store's": ((), (MAC_INSTALLER,), "Mac Installer Distribution"),
    "half of Apple's marks": ((DEVELOPER_ID_INSTALLER,), (), "not Apple's Developer ID Installer certificate"),
    "anybody's": ((), (ExtendedKeyUsageOID.CODE_SIGNING.dotted_string,), "only where a profile"),
}


@pytest.mark.parametrize("name", ODD)
def test_other_certificates_sign_with_a_warning(
    name: str, sign: Sign, write: Write, run: Run, root: Signed, rsa: PrivateKey, package: Path, tmp_path: Path
) -> None:
    marks, usages, words = ODD[name]
    ended = sign(package, write(make("Other", root, rsa, marks=marks, usages=usages)))
    assert ended.code == 0
    assert words in ended.err
    assert "issuer of CN=Other is not included: CN=Root" in ended.err
    looked = run("profile", "sign-package", "--verify", tmp_path / "out.pkg", "--json")
    assert looked.code == 0
    assert [f"warning: {each}" for each in looked.json["warnings"]] == ended.err.splitlines()


def test_a_look_tells_of_a_signer_that_may_not_sign(
    run: Run, root: Signed, rsa: PrivateKey, package: Path, tmp_path: Path
) -> None:
    mute, out = make("Mute", root, rsa, signs=False), tmp_path / "out.pkg"
    assert isinstance(rsa, RSAPrivateKey)
    signer = PackageSigner(xar.Identity(rsa, (mute.certificate, root.certificate)), ())
    sign_package(package, out, signer, now=NOW, replace=False, stamp=None, dry_run=False, progress=lambda *_: None)
    warnings = run("profile", "sign-package", "--verify", out, "--json").json["warnings"]
    assert any("allows no signatures" in each for each in warnings)


def below(root: Signed, rsa: PrivateKey, *, days: tuple[int, int]) -> tuple[Signed, ...]:
    """An identity below a CA of these days."""
    ca = make("CA", root, keys.generate(KeyAlgorithm.P_256), ca=True, days=days)
    return make("Below", ca, rsa), ca, root


Identity = Callable[[Signed, PrivateKey], tuple[Signed, ...]]

UNFIT: dict[str, tuple[Identity, str]] = {
    "ended": (lambda root, rsa: (make("Late", root, rsa, days=(-9, -1)), root), "ended on"),
    "to come": (lambda root, rsa: (make("Soon", root, rsa, days=(1, 9)), root), "begins on"),
    "below one that ended": (lambda root, rsa: below(root, rsa, days=(-9, -1)), "CN=CA ended on"),
    "a CA": (lambda root, rsa: (make("CA", root, rsa, ca=True), root), "is a CA"),
    "no signatures": (lambda root, rsa: (make("Mute", root, rsa, signs=False), root), "allows no signatures"),
    "a weak key": (lambda root, _: (make("Weak", root, generate_private_key(65537, 1024)), root), "RSA, 1024 bits"),
    "an elliptic key": (lambda root, rsa: (make("EC", root, keys.generate(KeyAlgorithm.P_256)), root), "Expected an RSA key"),
}


@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.usefixtures("untouched")
def test_unfit_identities_are_refused(name: str, sign: Sign, write: Write, root: Signed, rsa: PrivateKey, package: Path) -> None:
    identity, words = UNFIT[name]
    ended = sign(package, write(*identity(root, rsa)))
    assert ended.code == 2
    assert words in ended.err
    assert PASSWORD not in ended.out + ended.err


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "no xar": (lambda: b"PK\x03\x04" + bytes(100), "begins with 'xar!'"),
    "no package": (lambda: build({"Example.app": b"x"}), "Distribution or PackageInfo at its top"),
    "a package below": (lambda: build({"a/PackageInfo": b"x"}), "this archive has neither"),
    "damaged": (lambda: build()[:-1] + b"x", "not those that the archive's checksum"),
    "another table": (lambda: build(checksum=bytes(20)), "table of contents is not the one"),
    "cut": (lambda: build()[:-1], "cut short"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.usefixtures("untouched")
def test_bad_packages_are_refused_and_nothing_is_left(
    name: str, sign: Sign, write: Write, installer: Signed, intermediate: Signed, tmp_path: Path
) -> None:
    content, words = BAD[name]
    (tmp_path / "bad").write_bytes(content())
    ended = sign(tmp_path / "bad", write(installer, intermediate))
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err


def test_a_look_at_what_was_changed_or_never_signed_ends_with_1(
    sign: Sign, write: Write, run: Run, installer: Signed, intermediate: Signed, package: Path, tmp_path: Path
) -> None:
    unsigned = run("profile", "sign-package", "--verify", package, "--json")
    assert (unsigned.code, unsigned.json["faults"], unsigned.json["warnings"]) == (1, ["Nobody signed the package."], [])
    assert sign(package, write(installer, intermediate)).code == 0
    content = (tmp_path / "out.pkg").read_bytes()
    (tmp_path / "changed.pkg").write_bytes(content[:-1] + b"x")
    changed = run("profile", "sign-package", "--verify", tmp_path / "changed.pkg")
    assert changed.code == 1
    assert "does not hold" in changed.out
    assert "Changed after the package was made: 'Résources/é&<.txt'" in changed.out
    assert run("profile", "sign-package", "--verify", tmp_path / "password").code == 2


def test_two_signatures_by_two_signers_do_not_hold(
    sign: Sign, write: Write, run: Run, installer: Signed, intermediate: Signed, package: Path, root: Signed, tmp_path: Path
) -> None:
    """Somebody puts a good message of their own in the place of the signer's."""
    assert sign(package, write(installer, intermediate)).code == 0
    content = (tmp_path / "out.pkg").read_bytes()
    digest = content[at(content, "checksum") :][:32]
    other = make("Other", root, keys.generate(KeyAlgorithm.RSA_2048))
    message = cms.sign(digest, key=other.key, certificate=other.certificate, detached=True)
    start = at(content, "x-signature")
    room = len(content) - start - sum(map(len, FILES.values()))
    (tmp_path / "two.pkg").write_bytes(content[:start] + message.ljust(room, b"\0") + content[start + room :])
    looked = run("profile", "sign-package", "--verify", tmp_path / "two.pkg", "--json")
    assert (looked.code, looked.json["faults"]) == (1, ["The two signatures are by different signers."])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "Expected where the signed package goes"),
        (["-o", "x.pkg"], "no identity is kept"),
        (["-o", "x.pkg", "--password-file", "password"], "goes with --identity"),
        (["--verify", "--force"], "only looks"),
        (["--verify", "--dry-run"], "only looks"),
        (["--identity", "/nowhere", "-o", "x.pkg"], "cannot be read"),
    ],
)
@pytest.mark.usefixtures("untouched")
def test_usage_is_told(options: list[str], words: str, run: Run, package: Path) -> None:
    ended = run("profile", "sign-package", package, *options)
    assert (ended.code, words in ended.err) == (2, True)


@pytest.mark.parametrize("place", ["folder", "nowhere"])
def test_a_package_that_is_a_folder_or_not_there_is_told(
    place: str, sign: Sign, write: Write, installer: Signed, intermediate: Signed, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    ended = sign(tmp_path / place, write(installer, intermediate))
    assert (ended.code, ("pkgutil --flatten" in ended.err)) == (2, place == "folder")


def test_a_full_disk_leaves_nothing(
    sign: Sign,
    write: Write,
    installer: Signed,
    intermediate: Signed,
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ended = sign(package, write(installer, intermediate))
    assert (ended.code, "No space left" in ended.err) == (3, True)
    assert not list(tmp_path.glob("*out.pkg*"))


def test_a_bar_shows_once_it_takes_longer_than_a_moment(
    sign: Sign,
    write: Write,
    installer: Signed,
    intermediate: Signed,
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity = write(installer, intermediate)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "going over" not in sign(package, identity).err
    (tmp_path / "out.pkg").unlink()
    monkeypatch.setattr(profile_package, "SLOW_SECONDS", 0.0)
    assert "100%" in sign(package, identity).err
    (tmp_path / "out.pkg").unlink()
    assert sign(package, identity, "--json").err == ""
