"""An identity CA of an organization's own: what is taken, what is refused, and what is asked of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bramley.clock import SystemClock
from bramley.errors import BramleyError
from bramley.lifecycle.plans import PACES
from bramley.model.enrollments import EnrollmentKey
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.model.plans import PlanKind, PlanStage
from bramley.operations import authorities, ca_import, ca_plan
from bramley.operations.ca_import import Import
from bramley.operations.ca_plan import Mode
from bramley.operations.errors import Conflict
from bramley.operations.live import Live
from bramley.pki import certificates, keys
from bramley.storage.protocols import Tx
from tests.conftest import NOW, SetClock

from .test_ca_rollover import begin, believes, certificate_of, identity, issuing, until_used, until_withdrawn

DAY = timedelta(days=1)
YEAR = 365 * DAY
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@cache
def key(name: str, kind: str = "p-256") -> Any:
    """One key for each name in the whole run."""
    match kind:
        case "rsa-2048" | "rsa-1024":
            return rsa.generate_private_key(65537, int(kind.removeprefix("rsa-")))
        case "p-521":
            return ec.generate_private_key(ec.SECP521R1())
    return keys.generate(keys.KeyAlgorithm(kind))


@dataclass(frozen=True, slots=True)
class Making:
    """What a certificate of somebody else's PKI says; made by `cryptography` alone."""

    name: str
    public: Any
    ca: bool | None = True
    path_length: int | None = None
    usages: tuple[str, ...] | None = ("key_cert_sign", "crl_sign")
    extended: tuple[x509.ObjectIdentifier, ...] = ()
    begin: timedelta = -DAY
    end: timedelta = 5 * YEAR
    digest: type[hashes.SHA224] | type[hashes.SHA256] = hashes.SHA256
    further: x509.ExtensionType | None = None

    def signed(self, by: Any, issuer: str) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(named(self.name)).issuer_name(named(issuer)).public_key(self.public)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(NOW + self.begin)
        builder = builder.not_valid_after(NOW + self.end)
        if self.ca is not None:
            builder = builder.add_extension(x509.BasicConstraints(self.ca, self.path_length if self.ca else None), critical=True)
        if self.usages is not None:
            builder = builder.add_extension(x509.KeyUsage(**{name: name in self.usages for name in _USAGES}), critical=True)
        if self.extended:
            builder = builder.add_extension(x509.ExtendedKeyUsage(self.extended), critical=False)
        if self.further is not None:
            builder = builder.add_extension(self.further, critical=True)
        return builder.sign(by, self.digest())


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Cider"), x509.NameAttribute(NameOID.COMMON_NAME, name)])


ROOT = Making("Root", key("root").public_key())
POLICY = Making("Policy CA", key("policy").public_key())
ISSUING = Making("Devices", key("issuing").public_key(), path_length=0)


def chain(issuing: Making = ISSUING, policy: Making = POLICY, root: Making = ROOT, *, root_key: Any = None) -> list[bytes]:
    """Issuing CA, policy CA and root, as PEM."""
    above = root_key or key("root")
    made = (issuing.signed(key("policy"), "Policy CA"), policy.signed(above, "Root"), root.signed(above, "Root"))
    return [certificates.pem(each) for each in made]


def pem(private: Any) -> bytes:
    text: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return text


async def bring(live: Live, *files: bytes, password: str | None = None) -> Import:
    return await ca_import.import_files(live.installation, files, password, actor="test")


def written(tx: Tx) -> list[int]:
    """How much there is of everything that an import writes."""
    return [
        len(tx.events.find(limit=10_000)),
        len(tx.lineages.certificates(limit=10_000)),
        len(tx.plans.recent()),
        len(tx.jobs.of_kind(ca_plan.ADVANCE)),
        int(tx.notes.get("generation") or 0),
    ]


async def test_a_ca_from_pem_takes_over_with_its_chain(live: Live, clock: SetClock, device_keys: list[keys.PrivateKey]) -> None:
    made, policy, root = chain()
    former = await identity(live, EnrollmentKey("a"), device_keys[0].public_key())
    done = await bring(live, root + pem(key("issuing")), made + policy)  # in any order
    assert (done.rollover.mode, done.rollover.plan.stage) == (Mode.NEW_KEY, PlanStage.PREPARED)
    await live.refresh()
    assert live.current().next_identity == done.certificate == certificates.load(made)
    await until_used(live, clock)
    held = live.current().authorities.identity.authority
    assert [certificates.pem(each) for each in (held.certificate, *held.chain)] == [made, policy, root]
    assert believes(live, certificate_of(former))
    new = certificate_of(await identity(live, EnrollmentKey("b"), device_keys[1].public_key()))
    assert believes(live, new)
    new.verify_directly_issued_by(certificates.load(made))
    found = await live.installation.store.read(lambda tx: tx.lineages.of_kind(Kind.TRUST_ANCHOR))
    assert sorted(lineage.name[:-9] for lineage in found) == ["CN=Policy CA,O=Cider", "CN=Root,O=Cider"]


async def test_another_ca_of_the_same_organization_shares_what_is_above(live: Live, clock: SetClock) -> None:
    files = chain()
    await bring(live, *files, pem(key("issuing")))
    await until_used(live, clock)
    second = Making("Devices 2", key("second").public_key()).signed(key("policy"), "Policy CA")
    await bring(live, certificates.pem(second), *files[1:], pem(key("second")))
    found = await live.installation.store.read(lambda tx: tx.lineages.of_kind(Kind.TRUST_ANCHOR))
    assert len(found) == 2


async def test_a_ca_that_is_its_own_root(live: Live, clock: SetClock) -> None:
    alone = Making("Alone", key("alone").public_key()).signed(key("alone"), "Alone")
    await bring(live, certificates.pem(alone), pem(key("alone")))
    await until_used(live, clock)
    assert live.current().authorities.identity.authority.chain == ()


async def test_a_ca_from_a_pkcs12_archive(live: Live) -> None:
    made, *above = map(certificates.load, chain())
    sealing = BestAvailableEncryption(b"secret")
    archive = pkcs12.serialize_key_and_certificates(b"ca", key("issuing"), made, above, sealing)
    with pytest.raises(BramleyError, match="no password was given"):
        await bring(live, archive)
    done = await bring(live, archive, password="secret")
    assert done.certificate == made


async def test_what_openssl_made_and_what_it_says_of_our_identities(
    live: Live, clock: SetClock, tmp_path: Path, device_keys: list[keys.PrivateKey]
) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl command on this machine")

    def run(*arguments: object) -> str:
        done = subprocess.run([openssl, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    ca = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    run("req", "-x509", *new, "-days", 3000, *ca, "-subj", "/O=Cider/CN=OpenSSL Root", "-keyout", "root.key", "-out", "root.pem")
    above = ("-CA", "root.pem", "-CAkey", "root.key")
    run(
        "req", "-x509", *new, "-days", 3000, *ca, *above, "-subj", "/O=Cider/CN=OpenSSL CA", "-keyout", "ca.key", "-out", "ca.pem"
    )

    clock.moment = SystemClock().now()  # OpenSSL's is the machine's
    await bring(live, *((tmp_path / name).read_bytes() for name in ("root.pem", "ca.key", "ca.pem")))
    await until_used(live, clock)
    made = certificate_of(await identity(live, EnrollmentKey("a"), device_keys[0].public_key()))
    (tmp_path / "device.pem").write_bytes(certificates.pem(made))
    at = f"{clock.now().timestamp():.0f}"
    said = run("verify", "-attime", at, "-purpose", "sslclient", "-CAfile", "root.pem", "-untrusted", "ca.pem", "device.pem")
    assert said.strip() == "device.pem: OK"


def changed(**fields: Any) -> Callable[[], list[bytes]]:
    return lambda: [*chain(replace(ISSUING, **fields)), pem(key("issuing"))]


def with_key(kind: str) -> Callable[[], list[bytes]]:
    return lambda: [*chain(replace(ISSUING, public=key("weak", kind).public_key())), pem(key("weak", kind))]


def without(*left_out: int) -> Callable[[], list[bytes]]:
    return lambda: [*(each for place, each in enumerate(chain()) if place not in left_out), pem(key("issuing"))]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (changed(ca=False), "is not a CA"),
        (changed(ca=None), "is not a CA"),
        (changed(usages=None), "lacks keyCertSign or cRLSign"),
        (changed(usages=("key_cert_sign",)), "lacks keyCertSign or cRLSign"),
        (changed(usages=("crl_sign", "digital_signature")), "lacks keyCertSign or cRLSign"),
        (changed(begin=-2 * DAY, end=-DAY), "is valid from"),
        (changed(begin=DAY), "is valid from"),
        (changed(extended=(ExtendedKeyUsageOID.SERVER_AUTH,)), "is a CA for other extended key usages"),
        (changed(further=x509.NameConstraints([x509.DNSName("cider.example")], None)), "2.5.29.30"),
        (changed(further=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")), "1.2.3.4"),
        (changed(digest=hashes.SHA224), "not RSA or ECDSA with SHA-256"),
        (with_key("rsa-1024"), "RSA, 1024 bits"),
        (with_key("p-521"), "secp521r1"),
        (without(2), "is not whole"),
        (without(1, 2), "is not whole"),
        (without(1), "does not lead to a trusted CA"),
        (lambda: [*chain(policy=replace(POLICY, path_length=0)), pem(key("issuing"))], "allows 0 CAs below itself"),
        (lambda: [*chain(policy=replace(POLICY, ca=False)), pem(key("issuing"))], "is not a CA"),
        (lambda: [*chain(root=replace(ROOT, end=-timedelta(hours=1))), pem(key("issuing"))], "expired at"),
        (
            lambda: [*chain()[:2], certificates.pem(ROOT.signed(key("other root"), "Root")), pem(key("issuing"))],
            "is not whole",  # it bears the name of a root and is signed by nobody known
        ),
        (
            lambda: [
                *chain()[:2],
                certificates.pem(replace(ROOT, public=key("other root").public_key()).signed(key("other root"), "Root")),
                pem(key("issuing")),
            ],
            "did not sign it",
        ),
        (lambda: [*chain(), pem(key("somebody"))], "for another key"),
        (lambda: chain(), "and no key"),
        (lambda: [b"<!DOCTYPE html>"], "Expected a certificate or a private key"),
        (lambda: [pem(key("issuing"))], "found a key alone"),
    ],
)
async def test_what_cannot_be_the_identity_ca_changes_nothing(live: Live, files: Callable[[], list[bytes]], message: str) -> None:
    before = await live.installation.store.read(written)
    with pytest.raises(BramleyError, match=message):
        await bring(live, *files())
    assert await live.installation.store.read(written) == before


class TestWhatIsHere:
    async def test_the_same_certificate_twice(self, live: Live, clock: SetClock) -> None:
        files = [*chain(), pem(key("issuing"))]
        await bring(live, *files)
        await until_used(live, clock)
        with pytest.raises(BramleyError, match="is here already"):
            await bring(live, *files)

    async def test_a_name_that_another_key_has(self, live: Live) -> None:
        ours = issuing(live).subject
        builder = x509.CertificateBuilder().subject_name(ours).issuer_name(ours).public_key(key("twin").public_key())
        builder = builder.serial_number(1).not_valid_before(NOW - DAY).not_valid_after(NOW + YEAR)
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        usage = x509.KeyUsage(**{name: name in {"key_cert_sign", "crl_sign"} for name in _USAGES})
        twin = builder.add_extension(usage, critical=True).sign(key("twin"), hashes.SHA256())
        with pytest.raises(BramleyError, match="with another key"):
            await bring(live, certificates.pem(twin), pem(key("twin")))

    async def test_a_key_that_has_another_use(self, live: Live) -> None:
        root = live.current().authorities.root.authority()
        again = Making("Again", root.key.public_key()).signed(root.key, "Again")
        with pytest.raises(BramleyError, match="that of another authority"):
            await bring(live, certificates.pem(again), pem(root.key))

    async def test_while_another_rollover_is_under_way(self, live: Live) -> None:
        await begin(live)
        before = await live.installation.store.read(written)
        with pytest.raises(Conflict, match="under way"):
            await bring(live, *chain(), pem(key("issuing")))
        assert await live.installation.store.read(written) == before


class TestWarnings:
    async def test_one_that_ends_before_what_it_issues(self, live: Live) -> None:
        done = await bring(live, *chain(replace(ISSUING, end=YEAR)), pem(key("issuing")))
        assert [warning for warning in done.warnings if "ends on 2027-11-24" in warning]

    @pytest.mark.parametrize("fit", [False, True])
    async def test_one_whose_usage_does_not_fit_scep(self, live: Live, fit: bool) -> None:
        usages = ("key_cert_sign", "crl_sign", *(("digital_signature", "key_encipherment") if fit else ()))
        rsa_key = key("rsa issuing", "rsa-2048")
        done = await bring(live, *chain(replace(ISSUING, public=rsa_key.public_key(), usages=usages)), pem(rsa_key))
        assert any("`scep.mode`" in warning for warning in done.warnings) is not fit

    async def test_a_good_one_has_none(self, live: Live) -> None:
        assert (await bring(live, *chain(), pem(key("issuing")))).warnings == ()


def certified(request: x509.CertificateSigningRequest, *, subject: x509.Name | None = None) -> bytes:
    """What the organization's policy CA makes of a request."""
    builder = x509.CertificateBuilder().subject_name(subject or request.subject).issuer_name(named("Policy CA"))
    builder = builder.public_key(request.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + 4 * YEAR)
    for extension in request.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    usage = x509.KeyUsage(**{name: name not in {"encipher_only", "decipher_only"} for name in _USAGES})
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key()), critical=False)
    return certificates.pem(builder.sign(key("policy"), hashes.SHA256()))


class TestRequests:
    async def test_the_key_in_force_is_certified_and_every_identity_goes_on(
        self, live: Live, clock: SetClock, device_keys: list[keys.PrivateKey]
    ) -> None:
        before = issuing(live)
        old = certificate_of(await identity(live, EnrollmentKey("a"), device_keys[0].public_key()))
        asked = await ca_import.ask(live.installation, None, actor="test")
        assert asked.request.is_signature_valid
        assert asked.request.subject == before.subject
        assert asked.request.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
        done = await bring(live, certified(asked.request), *chain()[1:])
        assert done.rollover.mode is Mode.SAME_KEY
        await until_used(live, clock)
        old.verify_directly_issued_by(issuing(live))
        await until_withdrawn(live, clock)
        assert live.current().authorities.identity_certificates == (done.certificate,)
        assert believes(live, old), "it chains to the certificate that the organization made"

    async def test_certified_under_another_name_the_old_one_is_needed_until_renewed(
        self, live: Live, clock: SetClock, device_keys: list[keys.PrivateKey]
    ) -> None:
        old = certificate_of(await identity(live, EnrollmentKey("a"), device_keys[0].public_key()))
        asked = await ca_import.ask(live.installation, None, actor="test")
        await bring(live, certified(asked.request, subject=named("Renamed")), *chain()[1:])
        await until_used(live, clock)
        clock.moment += PACES[PlanKind.CA_ROLLOVER].linger
        await ca_plan.advance(live.installation, actor="test")
        await live.refresh()
        assert len(live.current().authorities.identity_certificates) == 2
        assert believes(live, old)

    async def test_a_new_key_stays_here_and_its_certificate_answers_the_request(self, live: Live, clock: SetClock) -> None:
        asked = await ca_import.ask(live.installation, keys.KeyAlgorithm.P_384, actor="test")
        again = await ca_import.ask(live.installation, keys.KeyAlgorithm.P_384, actor="test")
        assert (asked.found, again.found) == (False, True)
        assert again.request.public_bytes(Encoding.DER) == asked.request.public_bytes(Encoding.DER)
        (planned, _first) = await live.installation.store.read(authorities.identity_versions)
        assert (planned.state, planned.number) == (VersionState.PLANNED, 2)
        done = await bring(live, *chain()[1:], certified(asked.request))
        assert done.rollover.new.id == planned.id
        assert done.rollover.mode is Mode.NEW_KEY
        await until_used(live, clock)
        held = live.current().authorities.identity.authority
        assert certificates.public_key(held.certificate) == held.key.public_key()
        assert len(held.chain) == 2

    async def test_one_of_another_algorithm_gives_the_open_one_up(self, live: Live) -> None:
        first = await ca_import.ask(live.installation, keys.KeyAlgorithm.P_384, actor="test")
        await ca_import.ask(live.installation, keys.KeyAlgorithm.P_256, actor="test")
        found = await live.installation.store.read(authorities.identity_versions)
        assert [version.state for version in found] == [VersionState.PLANNED, VersionState.FAILED, VersionState.ACTIVE]
        # its key is kept, should its certificate come after all
        done = await bring(live, certified(first.request), *chain()[1:])
        assert certificates.matches(done.certificate, first.request.public_key())  # type: ignore[arg-type]

    async def test_an_open_request_is_no_ca(self, live: Live, clock: SetClock) -> None:
        await ca_import.ask(live.installation, keys.KeyAlgorithm.P_256, actor="test")
        await begin(live)
        await until_used(live, clock)
        found = await live.installation.store.read(authorities.identity_versions)
        assert sorted(version.state for version in found) == [VersionState.ACTIVE, VersionState.PLANNED, VersionState.SUPERSEDED]

    async def test_two_certificates_for_one_request(self, live: Live) -> None:
        asked = await ca_import.ask(live.installation, keys.KeyAlgorithm.P_256, actor="test")
        with pytest.raises(BramleyError, match="found 2"):
            await bring(live, certified(asked.request), certified(asked.request), *chain()[1:])
