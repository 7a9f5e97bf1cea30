"""`bramley profile sign-package --timestamp`: against OpenSSL's authority, and against ones that must leave no file behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asn1crypto import tsp
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from bramley.operations.packages import Verdict, verify_package
from bramley.pki import certificates, cms, oids
from bramley.pki.cms import der
from bramley.pki.cms.signing import with_unsigned_attribute
from tests.cli.kit import Result, Run
from tests.pki.timestamps import authority as kit
from tests.pki.timestamps.authority import Authority, Forge, Signer, failure, make_authority, make_signer
from tests.pki.timestamps.serving import Said, granting, serving
from tests.pki.xar.building import FILES, at, build

FOREIGN = "not Apple's Developer ID Installer certificate"
"""What is said of every signer here, none of which Apple made."""

NOW = datetime.now(UTC).replace(microsecond=0)
REPLY = "application/timestamp-reply"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def root() -> Signer:
    """One root for installers and timestamps, as at Apple."""
    return make_signer("Root", ca=True)


@pytest.fixture(scope="module")
def authority(root: Signer, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tsa") / "tsa", make_signer("Time", below=root))


@pytest.fixture(scope="module")
def installer(root: Signer) -> Signer:
    ca = make_signer("Installer CA", below=root, ca=True, days=(NOW - DAY, NOW + 60 * DAY))
    return make_signer("Installer", below=ca, usages=(), days=(NOW - DAY, NOW + 30 * DAY))


Sign = Callable[..., Result]


@pytest.fixture
def sign(run: Run, installer: Signer, tmp_path: Path) -> Sign:
    """`sign(url, options…)`: a package into out.pkg."""
    (tmp_path / "in").write_bytes(build())
    key = installer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(map(certificates.pem, (installer.certificate, *installer.cas)))
    (tmp_path / "identity").write_bytes(key + chain)

    def sign(url: str, *options: object) -> Result:
        given = ("--identity", tmp_path / "identity", "--output", tmp_path / "out.pkg", "--timestamp", url)
        return run("profile", "sign-package", tmp_path / "in", *given, *options)

    return sign


@pytest.fixture
def signed(sign: Sign, authority: Authority, tmp_path: Path) -> Path:
    with serving(granting(authority)) as served:
        assert sign(served.url).code == 0
    return tmp_path / "out.pkg"


def look(path: Path, *roots: Signer, now: datetime = NOW) -> Verdict:
    known = {certificates.sha256(each.certificate) for each in roots}
    found = verify_package(path, now=now, roots=known, progress=lambda *_: None)
    return replace(found, warnings=tuple(each for each in found.warnings if FOREIGN not in each))


@pytest.fixture
def roots_file(root: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "roots").write_bytes(certificates.pem(root.certificate))
    monkeypatch.setenv("BRAMLEY_APPLE_ROOTS_FILE", str(tmp_path / "roots"))


@pytest.mark.usefixtures("roots_file")
def test_a_package_gets_a_timestamp_and_a_look_says_when_and_by_whom(
    sign: Sign, run: Run, authority: Authority, tmp_path: Path
) -> None:
    with serving(granting(authority)) as served:
        ended = sign(served.url, "--json")
    assert ended.code == 0, ended.err
    assert len(served.heard) == 1
    assert not [each for each in ended.json["warnings"] if "timestamp" in each]
    looked = run("profile", "sign-package", "--verify", tmp_path / "out.pkg", "--json")
    assert looked.code == 0
    assert looked.json["timestamp"] == ended.json["timestamp"]
    assert (looked.json["faults"], looked.json["notes"]) == ([], [])
    assert [FOREIGN in each for each in looked.json["warnings"]] == [True]
    told = looked.json["timestamp"]
    assert (told["holds"], told["believed"]) == (True, True)
    assert [each["subject"] for each in told["by"]] == ["CN=Time", "CN=Root"]
    assert abs(datetime.fromisoformat(told["time"]) - NOW) < timedelta(minutes=10)
    shown = run("profile", "sign-package", "--verify", tmp_path / "out.pkg").out
    assert "UTC, by CN=Time" in shown


def test_people_are_told_too_and_warned_of_an_authority_that_nobody_here_knows(sign: Sign, authority: Authority) -> None:
    with serving(granting(authority)) as served:
        ended = sign(served.url)
    assert ended.code == 0
    assert "\ntimestamp: " in ended.out
    assert "UTC, by CN=Time" in ended.out
    assert "authority does not lead to a root of Apple's" in ended.err


def test_openssl_takes_signature_and_timestamp_out_of_the_file(signed: Path, root: Signer, tmp_path: Path) -> None:
    data = signed.read_bytes()
    start = at(data, "x-signature")
    message = data[start : start + 4 + int.from_bytes(data[start + 2 : start + 4], "big")]
    (signer,) = cms.parse_signed_data(message).signers
    raw = signer.unsigned_attributes_raw
    assert raw is not None
    for name, content in {
        "cms": message,
        "digest": data[at(data, "checksum") :][:32],
        "signature": signer.signature,
        # the one attribute is a type of eleven octets, and a SET of one token
        "token": cms.ber.parse(raw).children[0].children[1].children[0].raw,
        "root.pem": certificates.pem(root.certificate),
    }.items():
        (tmp_path / name).write_bytes(content)
    kit.run(
        *("cms", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / "cms", "-content", tmp_path / "digest"),
        *("-CAfile", tmp_path / "root.pem", "-purpose", "any", "-out", tmp_path / "out"),
    )
    given = ("-data", tmp_path / "signature", "-in", tmp_path / "token", "-token_in", "-CAfile", tmp_path / "root.pem")
    assert "Verification: OK" in kit.run("ts", "-verify", *given)


def test_a_dry_run_does_not_ask(sign: Sign, authority: Authority, tmp_path: Path) -> None:
    with serving(granting(authority)) as served:
        ended = sign(served.url, "--dry-run", "--json")
    assert (ended.code, ended.json["timestamp"], served.heard) == (0, None, [])
    assert not (tmp_path / "out.pkg").exists()


def unfit(query: bytes, root: Signer) -> bytes:
    """A token that is right but for whose it is: a certificate for code."""
    return forged(query, make_signer("Coder", below=root, usages=(ExtendedKeyUsageOID.CODE_SIGNING,)))


def forged(
    query: bytes,
    signer: Signer,
    *,
    nonce: int = 0,
    imprint: bytes | None = None,
    more: Mapping[str, object] | None = None,
    **changes: object,
) -> bytes:
    asked = tsp.TimeStampReq.load(query)
    digest = asked["message_imprint"]["hashed_message"].native if imprint is None else imprint
    info = {"message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": digest}, **(more or {})}
    return Forge(signer, b"", asked["nonce"].native + nonce, info=info).but(**changes).answer()


OTHERWISE: dict[str, tuple[Callable[[bytes, Authority, Signer], bytes], str]] = {
    "another nonce": (lambda query, tsa, _: forged(query, tsa.signer, nonce=1), "nonce of the request"),
    "another imprint": (lambda query, tsa, _: forged(query, tsa.signer, imprint=bytes(32)), "over something else"),
    "no certificate for timestamps": (lambda query, _, root: unfit(query, root), "may not give timestamps"),
    "rejected": (lambda query, tsa, _: forged(query, tsa.signer, status=failure("bad_alg")), "rejection (badAlg)"),
    "garbage": (lambda *_: b"<html>", "does not hold"),
    "oversized": (lambda *_: bytes(70_000), "more than 65536 octets"),
    "when the signer's certificate was not valid": (
        lambda query, tsa, _: forged(query, tsa.signer, time=NOW + 90 * DAY),
        "CN=Installer is valid from",
    ),
    "when the issuer's certificate was not valid": (
        lambda query, tsa, _: forged(query, tsa.signer, time=NOW - 20 * DAY),
        "is valid from",
    ),
}


def test_the_forger_is_believed_when_it_does_nothing_wrong(sign: Sign, authority: Authority, tmp_path: Path) -> None:
    """Or else the rows of the next test would prove nothing."""
    with serving(lambda query: (200, REPLY, forged(query, authority.signer))) as served:
        assert sign(served.url).code == 0
    assert (tmp_path / "out.pkg").exists()


@pytest.mark.parametrize("name", OTHERWISE)
def test_without_a_good_timestamp_nothing_is_written(
    name: str, sign: Sign, authority: Authority, root: Signer, tmp_path: Path
) -> None:
    answer, words = OTHERWISE[name]
    before = sorted(tmp_path.iterdir())
    with serving(lambda query: (200, REPLY, answer(query, authority, root))) as served:
        ended = sign(served.url)
    assert (ended.code, ended.out) == (3, "")
    assert words in ended.err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("status", [404, 500])
def test_an_authority_that_is_not_there_is_trouble_outside(status: int, sign: Sign, tmp_path: Path) -> None:
    said: Said = lambda _: (status, "text/html", b"")  # noqa: E731
    with serving(said) as served:
        assert sign(served.url).code == 3
    assert sign(served.url).code == 3
    assert not list(tmp_path.glob("*out.pkg*"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "timestamp.apple.com/ts01",
        "ftp://example/",
        "http://",
        "file:///etc/passwd",
        "http://a b/",
        "http://[::1",
        "http://a:b/",
    ],
)
def test_an_address_that_is_none_is_bad_input_in_a_dry_run_as_well(url: str, sign: Sign, tmp_path: Path) -> None:
    for options in ((), ("--dry-run",)):
        ended = sign(url, *options)
        assert (ended.code, "http://timestamp.apple.com/ts01" in ended.err) == (2, True)
    assert not list(tmp_path.glob("*out.pkg*"))


def test_a_look_asks_no_authority(run: Run, signed: Path) -> None:
    assert run("profile", "sign-package", "--verify", signed, "--timestamp", "http://localhost:1/").code == 2


# what a look says later: the clock of a look is an argument


def test_a_timestamp_stands_in_for_certificates_that_have_ended(signed: Path, root: Signer) -> None:
    later = look(signed, root, now=NOW + 45 * DAY)
    assert (later.faults, later.warnings) == ((), ())
    (note,) = later.notes
    assert note.startswith("CN=Installer ended on ")
    assert "proves that the package was signed before" in note
    assert len(look(signed, root, now=NOW + 90 * DAY).notes) == 2
    assert look(signed, root).notes == ()
    # nothing stands in for one that has yet to begin
    early = look(signed, root, now=NOW - 10 * DAY)
    assert (len(early.warnings), early.notes) == (2, ())


@pytest.mark.usefixtures("sign")
def test_without_one_a_certificate_that_has_ended_is_a_warning(run: Run, root: Signer, tmp_path: Path) -> None:
    given = ("--identity", tmp_path / "identity", "--output", tmp_path / "bare.pkg")
    assert run("profile", "sign-package", tmp_path / "in", *given).code == 0
    later = look(tmp_path / "bare.pkg", root, now=NOW + 45 * DAY)
    assert later.timestamp is None
    (warning,) = later.warnings
    assert warning.startswith("CN=Installer is valid from ")
    assert "no timestamp that is believed here" in warning
    assert later.notes == ()


def test_anybodys_timestamp_proves_nothing(signed: Path) -> None:
    """Whoever finds the key of an ended certificate could otherwise date packages back with an authority of their own."""
    other = make_signer("Root", ca=True)
    for roots in ((), (other,)):
        later = look(signed, *roots, now=NOW + 45 * DAY)
        assert later.timestamp is not None
        assert later.timestamp.found is not None
        assert later.timestamp.doubt
        assert later.notes == ()
        assert any("does not lead to a root of Apple's" in each for each in later.warnings)
        assert any(each.startswith("CN=Installer is valid from ") for each in later.warnings)


def test_an_authority_of_the_same_names_below_another_root_proves_nothing(sign: Sign, root: Signer, tmp_path: Path) -> None:
    twin = make_signer("Time", below=make_signer("Root", ca=True))
    with serving(lambda query: (200, REPLY, forged(query, twin))) as served:
        assert sign(served.url).code == 0
    later = look(tmp_path / "out.pkg", root, now=NOW + 45 * DAY)
    assert (later.timestamp is not None and bool(later.timestamp.doubt), later.notes) == (True, ())


def test_a_certificate_below_the_root_that_is_no_authority_proves_nothing(
    sign: Sign, root: Signer, installer: Signer, tmp_path: Path
) -> None:
    """A leaf with the usage that another leaf signed: the installer's key must not make authorities."""
    own = make_signer("Own", below=installer)
    with serving(lambda query: (200, REPLY, forged(query, own))) as served:
        assert sign(served.url).code == 0
    later = look(tmp_path / "out.pkg", root, now=NOW + 45 * DAY)
    assert later.timestamp is not None
    assert "not a CA" in later.timestamp.doubt
    assert later.notes == ()


@pytest.mark.parametrize(("seconds", "proved"), [(60, True), (40 * 86400, False)])
def test_the_latest_time_that_the_accuracy_allows_counts(
    seconds: int, proved: bool, sign: Sign, authority: Authority, tmp_path: Path
) -> None:
    more = {"accuracy": {"seconds": seconds}}
    with serving(lambda query: (200, REPLY, forged(query, authority.signer, more=more))) as served:
        ended = sign(served.url)
    assert ended.code == (0 if proved else 3)
    assert (tmp_path / "out.pkg").exists() == proved


def test_a_timestamp_does_not_help_a_package_that_another_signed_too(signed: Path, authority: Authority, root: Signer) -> None:
    """The timestamp is over the CMS signature alone, here somebody's own; the RSA one is by a certificate that has ended."""
    other = make_signer("Other", below=root, usages=(), days=(NOW - DAY, NOW + 90 * DAY))
    data = signed.read_bytes()
    message = cms.sign(data[at(data, "checksum") :][:32], key=other.key, certificate=other.certificate, detached=True)
    token = Forge(authority.signer, cms.parse_signed_data(message).signers[0].signature, None).token()
    message = with_unsigned_attribute(message, oids.TIME_STAMP_TOKEN, token)
    start = at(data, "x-signature")
    room = len(data) - start - sum(map(len, FILES.values()))
    signed.write_bytes(data[:start] + message.ljust(room, b"\0") + data[start + room :])
    later = look(signed, root, now=NOW + 45 * DAY)
    assert later.timestamp is not None
    assert (later.timestamp.fault, later.timestamp.doubt) == ("", "")
    assert later.faults == ("The two signatures are by different signers.",)
    assert later.notes == ()
    assert any(each.startswith("CN=Installer is valid from ") for each in later.warnings)


def test_a_damaged_timestamp_is_a_warning_and_no_fault(run: Run, signed: Path, root: Signer) -> None:
    """It is covered by nothing, so that anybody can damage it; the package is still what its signer signed."""
    data = signed.read_bytes()
    at_info = data.index(der.oid("1.2.3.4.1")) + 20
    signed.write_bytes(data[:at_info] + bytes((data[at_info] ^ 1,)) + data[at_info + 1 :])
    looked = run("profile", "sign-package", "--verify", signed, "--json")
    assert (looked.code, looked.json["holds"]) == (0, True)
    assert looked.json["timestamp"] == {"holds": False, "believed": False, "time": None, "by": []}
    assert any(each.startswith("The timestamp does not hold.") for each in looked.json["warnings"])
    shown = run("profile", "sign-package", "--verify", signed).out
    assert "does not hold" in shown
    assert look(signed, root, now=NOW + 45 * DAY).notes == ()


def test_a_new_signature_takes_the_place_of_one_with_a_timestamp(run: Run, signed: Path, tmp_path: Path) -> None:
    given = ("--identity", tmp_path / "identity", "--output", tmp_path / "again.pkg", "--force")
    assert run("profile", "sign-package", signed, *given).code == 0
    found = look(tmp_path / "again.pkg")
    assert (found.faults, found.timestamp) == ((), None)
