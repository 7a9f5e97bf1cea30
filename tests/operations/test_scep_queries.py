"""GetCert and GetCRL: who may ask, and for what."""

from __future__ import annotations

from datetime import timedelta

from asn1crypto import cms as asn1_cms
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.model.events import EventKind
from bramley.operations import identities
from bramley.operations.live import Live
from bramley.pki import keys, names
from bramley.pki.ca import authority, profiles
from bramley.pki.scep import enrollment
from bramley.pki.scep.enrollment import Signer
from tests.conftest import SetClock

from .conftest import ask, challenge_for
from .scep_kit import Client

Keys = list[keys.PrivateKey]


class Held:
    """A device that holds an identity, and asks by it."""

    def __init__(self, live: Live, key: keys.PrivateKey, certificate: x509.Certificate) -> None:
        assert isinstance(key, rsa.RSAPrivateKey)
        self.certificate, self.key = certificate, key
        self.client = Client.make(live, key, None, Signer(certificate, key))


async def holding(live: Live, key: keys.PrivateKey) -> Held:
    return Held(live, key, await ask(live, key, (await challenge_for(live)).secret))


async def test_a_device_gets_the_certificates_of_its_own_lineage(live: Live, device_keys: Keys) -> None:
    first = await holding(live, device_keys[0])
    renewed = await ask(live, device_keys[1], None, signer=(first.certificate, device_keys[0]))
    second = Held(live, device_keys[1], renewed)

    for asker in (first, second):
        assert await asker.client.get_certificate(first.certificate) == first.certificate
        assert await asker.client.get_certificate(renewed) == renewed


async def test_and_no_other(live: Live, device_keys: Keys) -> None:
    device, other = await holding(live, device_keys[0]), await holding(live, device_keys[1])
    root = live.current().authorities.root.certificate
    ca = live.current().authorities.identity.authority.certificate
    unknown = authority.self_signed(profiles.ROOT_CA, device_keys[2], names.make("elsewhere"), now=live.installation.clock.now())
    for named in (other.certificate, root, ca, unknown):
        assert await device.client.get_certificate(named) == "badCertId: certificate-not-found"


async def test_a_serial_number_of_another_issuer_is_not_found(live: Live, device_keys: Keys) -> None:
    """Serial numbers are an issuer's own."""
    device = await holding(live, device_keys[0])
    builder = x509.CertificateBuilder().serial_number(device.certificate.serial_number)
    builder = builder.subject_name(device.certificate.subject).issuer_name(names.make("elsewhere"))
    begin, end = device.certificate.not_valid_before_utc, device.certificate.not_valid_after_utc
    builder = builder.public_key(device.key.public_key()).not_valid_before(begin).not_valid_after(end)
    look_alike = builder.sign(device.key, device.certificate.signature_hash_algorithm)  # type: ignore[arg-type]  # SHA-256
    assert await device.client.get_certificate(look_alike) == "badCertId: certificate-not-found"


class TestWhoAsks:
    async def test_is_no_stranger(self, live: Live, device_keys: Keys) -> None:
        device = await holding(live, device_keys[0])
        key = device_keys[1]
        assert isinstance(key, rsa.RSAPrivateKey)
        stranger = enrollment.temporary_signer(key, names.make("router"), now=live.installation.clock.now())
        assert await device.client.get_certificate(device.certificate, stranger) == "badCertId: asker-not-live"
        assert await device.client.get_crl(device.certificate, stranger) == "asker-not-live"

    async def test_is_not_revoked(self, live: Live, device_keys: Keys) -> None:
        device = await holding(live, device_keys[0])
        await identities.revoke(live.installation, f"{device.certificate.serial_number:x}", reason="stolen", actor="test")
        assert await device.client.get_certificate(device.certificate) == "badCertId: asker-not-live"
        events = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.SCEP_REFUSED))
        assert [event.detail["reason"] for event in events] == ["asker-not-live"]

    async def test_is_not_expired(self, live: Live, device_keys: Keys, clock: SetClock) -> None:
        device = await holding(live, device_keys[0])
        clock.moment += timedelta(days=366)
        assert await device.client.get_certificate(device.certificate) == "badCertId: asker-not-live"


class TestCRL:
    async def test_is_that_of_the_issuer_of_the_certificate_named(self, live: Live, device_keys: Keys) -> None:
        device, other = await holding(live, device_keys[0]), await holding(live, device_keys[1])
        for named in (device.certificate, other.certificate):  # it is public anyway
            assert await revoked_serials(live, device, named) == []
        await identities.revoke(live.installation, f"{other.certificate.serial_number:x}", reason="lost", actor="test")
        assert await revoked_serials(live, device, device.certificate) == [other.certificate.serial_number]

    async def test_of_what_we_did_not_issue_is_not_found(self, live: Live, device_keys: Keys) -> None:
        device = await holding(live, device_keys[0])
        root = live.current().authorities.root.certificate  # issued by itself, which is on no record
        now = live.installation.clock.now()
        elsewhere = authority.self_signed(profiles.ROOT_CA, device_keys[2], names.make("elsewhere"), now=now)
        for named in (root, elsewhere):
            assert await device.client.get_crl(named) == "crl-not-found"


async def revoked_serials(live: Live, asker: Held, named: x509.Certificate) -> list[int]:
    """What the CRL says that comes for a certificate, once the identity CA's signature on it was checked."""
    inside = await asker.client.get_crl(named)
    assert isinstance(inside, bytes)
    (choice,) = asn1_cms.ContentInfo.load(inside)["content"]["crls"]
    crl = x509.load_der_x509_crl(choice.chosen.dump())
    ca_key = live.current().authorities.identity.authority.key.public_key()
    assert crl.is_signature_valid(ca_key)
    return [each.serial_number for each in crl]
