"""The stand-ins for Apple's portals from the command line: the same Apple run after run, and mdmcert.download as a process."""

from __future__ import annotations

import base64
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple.push.topic import topic_of
from bramley.clock import SystemClock
from bramley.pki import certificates, cms, pkcs12
from bramley.sandbox.portals import SandboxApple
from bramley.sandbox.portals.vendors import new_csr, rsa_key, sign_request
from tests.cli.kit import Run, Start

ACCOUNT, ADDRESS = "it@orchard.example", "mdm@orchard.example"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa_key()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "apple"


@pytest.fixture
def portal(run: Run, folder: Path) -> Run:
    return lambda *arguments: run("simulate", "portal", *arguments, "--folder", folder)


@pytest.fixture
def request_file(portal: Run, folder: Path, tmp_path: Path, key: rsa.RSAPrivateKey) -> Path:
    """A push certificate request, signed with a vendor certificate from the portal."""
    (tmp_path / "vendor.csr").write_bytes(new_csr(key, "vendor"))
    made = portal("developer", tmp_path / "vendor.csr", "--account", "dev", "-o", tmp_path / "vendor.cer")
    assert (made.code, "Made the developer account dev" in made.err) == (0, True), made.err
    chain = SandboxApple.load(folder, SystemClock()).ca.vendor_chain(certificates.load((tmp_path / "vendor.cer").read_bytes()))
    path = tmp_path / "request"
    path.write_bytes(sign_request(new_csr(key, "push"), key, chain))
    return path


def test_create_renew_and_list(portal: Run, request_file: Path, tmp_path: Path) -> None:
    made = portal("create", request_file, "--account", ACCOUNT, "-o", tmp_path / "one.pem")
    assert (made.code, f"Made the Apple Account {ACCOUNT}" in made.err) == (0, True), made.err
    first = certificates.load((tmp_path / "one.pem").read_bytes())
    renewed = portal(
        "renew", request_file, "--account", ACCOUNT, "--topic", topic_of(first), "-o", tmp_path / "two.pem", "--json"
    )
    second = certificates.load((tmp_path / "two.pem").read_bytes())
    assert topic_of(second) == topic_of(first)
    assert renewed.json == {
        "file": str(tmp_path / "two.pem"),
        "topic": topic_of(first),
        "not_after": second.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
        "sha256": certificates.sha256(second),
    }
    (row,) = portal("list", "--json").json
    assert (row["topic"], row["account"], row["issued"], row["revoked"]) == (topic_of(first), ACCOUNT, 2, False)
    assert topic_of(first) in portal("list", "--account", ACCOUNT).out
    assert portal("list", "--account", "nobody").code == 2


def test_refusals_exit_2_and_change_nothing(portal: Run, request_file: Path, folder: Path, tmp_path: Path) -> None:
    portal("create", request_file, "--account", ACCOUNT, "-o", tmp_path / "one.pem")
    portal("create", request_file, "--account", "other", "-o", tmp_path / "other.pem")
    topic = topic_of(certificates.load((tmp_path / "one.pem").read_bytes()))
    bad = tmp_path / "bad"
    bad.write_bytes(request_file.read_bytes()[:-40])
    before = (folder / "portals.json").read_bytes()
    out = ("-o", tmp_path / "out")
    for arguments, words in (
        (("renew", request_file, "--account", "other", "--topic", topic, *out), "has no push certificate whose topic"),
        (("renew", request_file, "--account", "new", "--topic", topic, *out), "no Apple Account new"),
        (("create", bad, "--account", "new", *out), "property list"),
        (("create", request_file, "--account", "new", "-o", tmp_path / "one.pem"), "in the way"),
        (("developer", bad, "--account", "dev", *out), "not a valid certificate signing request"),
        (("server-app", "renew"), "no push certificate on this machine"),
    ):
        shown = portal(*arguments)
        assert (shown.code, words in shown.err) == (2, True), shown.err
    assert not (tmp_path / "out").exists()
    assert (folder / "portals.json").read_bytes() == before


def test_server_app_on_two_machines(portal: Run, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")

    def export(name: str, *more: str, account: str = ACCOUNT) -> str:
        options = ("--account", account, "--password-file", tmp_path / "password", "-o", tmp_path / name)
        assert (shown := portal("server-app", "export", *options, *more)).code == 0, shown.err
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        return topic_of(pkcs12.read((tmp_path / name).read_bytes(), "secret").certificate)

    topic = export("one.p12")
    assert portal("server-app", "renew").code == 0
    assert export("two.p12") == topic
    assert (tmp_path / "one.p12").read_bytes() != (tmp_path / "two.p12").read_bytes()
    assert export("three.p12", "--machine", "other") != topic
    options = ("--password-file", tmp_path / "password", "-o", tmp_path / "four.p12")
    shown = portal("server-app", "export", "--account", "another", *options)
    assert (shown.code, f"signed in as {ACCOUNT}" in shown.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "cipher"), [((), "aes-256-cbc"), (("--cipher", "des-ede3-cbc", "--line-breaks"), "des-ede3-cbc")]
)
def test_mdmcert_mails_files(
    options: tuple[str, ...], cipher: str, start: Start, folder: Path, tmp_path: Path, key: rsa.RSAPrivateKey
) -> None:
    service = start("simulate", "mdmcert", "--folder", folder, "--port", 0, "--address", ADDRESS, *options)
    told = service.line()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "encryption")])
    now = datetime.now(UTC)
    own = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=1)).sign(key, hashes.SHA256())
    csr = x509.load_der_x509_csr(new_csr(key, "push")).public_bytes(Encoding.PEM)
    body = {"email": ADDRESS, "key": told["client_key"], "csr": b64(csr), "encrypt": b64(certificates.pem(own))}
    trust = ssl.create_default_context(cafile=told["ca_file"])
    with httpx2.Client(verify=trust, trust_env=False) as http:
        assert http.post(told["url"], json={**body, "email": "x"}).json()["result"] == "failure"
        assert http.post(told["url"], json=body).json() == {"result": "success"}
    (mail,) = Path(told["mail"]).iterdir()
    assert ("\n" in mail.read_text()) == bool(options)
    opened = cms.decrypt(bytes.fromhex(mail.read_text()), key=key, certificate=own)
    assert opened.cipher == cipher
    ended = service.stop()
    assert (ended.code, ended.err) == (0, "")
    apple = SandboxApple.load(folder, SystemClock())
    apple.identity.sign_up(ACCOUNT)
    assert certificates.matches(apple.identity.create(ACCOUNT, opened.content), key.public_key())


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_mdmcert_with_its_expired_vendor_certificate_and_a_port_that_is_taken(start: Start, process: Run, folder: Path) -> None:
    def vendor_ends() -> datetime:
        return SandboxApple.load(folder, SystemClock()).mdmcert.vendor.current().certificate.not_valid_after_utc

    first = start("simulate", "mdmcert", "--folder", folder, "--port", 0, "--expired-vendor")
    told = first.line()
    assert vendor_ends() < datetime.now(UTC)
    port = told["url"].split(":")[2].split("/")[0]
    taken = process("simulate", "mdmcert", "--folder", folder, "--port", port)
    assert (taken.code, f"Cannot listen on 127.0.0.1 port {port}" in taken.err) == (3, True), taken.err
    first.stop()
    second = start("simulate", "mdmcert", "--folder", folder, "--port", 0)
    again = second.line()
    assert vendor_ends() > datetime.now(UTC)
    assert again["client_key"] == told["client_key"]
