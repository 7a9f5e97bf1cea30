"""Who gets a network identity over SCEP, what is in it, and that neither kind of challenge is good for the other."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.operations import issuers, issuing, scep_ra
from bramley.operations.live import Live
from bramley.operations.network import ending, sending
from bramley.operations.ocsp import OCSP
from bramley.operations.revocation import current
from bramley.operations.scep import respond
from bramley.pki import certificates, csr, keys, names
from bramley.pki.scep import enrollment
from bramley.pki.scep.errors import Refused
from bramley.storage.protocols import Tx
from tests.conftest import NOW, SetClock
from tests.operations.conftest import ask, challenge_for, enrolled
from tests.operations.scep_kit import Client, with_scep

from .kit import OTHER, UDID, WIFI, assignment, challenge_in, change, fetch, put, send, versions

Keys = list[keys.PrivateKey]


@pytest.fixture
async def device(live: Live, device_keys: Keys) -> EnrollmentKey:
    """An active device, and a template."""
    await put(live)
    return await enrolled(live, device_keys[0], UDID)


async def refusals(live: Live) -> list[object]:
    events = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.SCEP_REFUSED))
    return [event.detail["reason"] for event in events]


async def bound(live: Live, certificate: x509.Certificate) -> bool:
    sha256 = certificates.sha256(certificate)
    return await live.installation.store.read(lambda tx: tx.enrollments.binding(sha256)) is not None


@pytest.mark.parametrize(
    ("use", "usages"),
    [
        ("wifi", ["clientAuth"]),
        ("vpn", ["clientAuth"]),
        ("smime", ["emailProtection"]),
        ("other", ["clientAuth", "emailProtection"]),
    ],
)
async def test_it_holds_what_the_template_says_and_is_bound_to_nobody(
    live: Live, device: EnrollmentKey, device_keys: Keys, use: str, usages: list[str]
) -> None:
    await put(live, WIFI.replace('use = "wifi"', f'use = "{use}"') + '[san]\nrfc822Name = "ann@orchard.example"\n')
    certificate = await ask(live, device_keys[1], challenge_in(live, await send(live)))
    assert names.text(certificate.subject) == f"CN={device},O=Orchard\\, Inc."
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each._name for each in extended] == usages
    sans = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sans.get_values_for_type(x509.RFC822Name) == ["ann@orchard.example"]
    now = live.installation.clock.now()
    assert certificate.not_valid_after_utc == now + timedelta(days=30)
    assert not await bound(live, certificate)
    sha256 = certificates.sha256(certificate)
    assert await live.installation.store.presented(sha256, None) is None
    (version,) = await versions(live, device)
    assert (version.sha256, version.state) == (sha256, VersionState.ISSUED)
    lineage = await live.installation.store.read(lambda tx: tx.lineages.get(version.lineage_id))
    assert lineage is not None
    assert (lineage.kind, lineage.name, lineage.route) == (Kind.NETWORK_IDENTITY, f"{device}:wifi", "bramley")
    assert lineage.policy.lifetime == timedelta(days=30)


async def test_a_challenge_of_the_one_kind_gets_nothing_of_the_other(
    live: Live, device: EnrollmentKey, device_keys: Keys
) -> None:
    network = await ask(live, device_keys[1], challenge_in(live, await send(live)))
    identity = await ask(live, device_keys[2], (await challenge_for(live)).secret)
    assert (await bound(live, network), await bound(live, identity)) == (False, True)
    kinds = await live.installation.store.read(lambda tx: [_kind(tx, each) for each in (network, identity)])
    assert kinds == [Kind.NETWORK_IDENTITY, Kind.DEVICE_IDENTITY]


def _kind(tx: Tx, certificate: x509.Certificate) -> Kind | None:
    version = tx.lineages.by_sha256(certificates.sha256(certificate))
    lineage = tx.lineages.get(version.lineage_id) if version else None
    return lineage.kind if lineage else None


async def test_the_device_may_sign_with_its_own_identity_and_keeps_it(
    live: Live, device: EnrollmentKey, device_keys: Keys
) -> None:
    """Without the challenge the same message would renew the identity."""
    own = await ask(live, device_keys[0], (await challenge_for(live)).secret)
    await enrolled(live, device_keys[2], OTHER)
    command = await send(live, OTHER)
    with pytest.raises(Refused):  # another device's
        await ask(live, device_keys[1], challenge_in(live, command), signer=(own, device_keys[0]))
    assert await refusals(live) == ["challenge-of-another"]
    mine = await live.installation.store.read(lambda tx: tx.enrollments.bindings(device))
    first = await live.installation.store.read(lambda tx: tx.lineages.version(mine[0].version_id))
    assert first is not None
    assert first.certificate is not None
    signer = certificates.load(first.certificate)
    certificate = await ask(live, device_keys[1], challenge_in(live, await send(live)), signer=(signer, device_keys[0]))
    assert not await bound(live, certificate)
    assert len(await live.installation.store.read(lambda tx: tx.enrollments.bindings(device))) == 1


async def test_it_renews_nothing_by_itself(live: Live, device: EnrollmentKey, device_keys: Keys) -> None:
    certificate = await ask(live, device_keys[1], challenge_in(live, await send(live)))
    signer = (certificate, device_keys[1])
    for renewal, challenge in ((True, None), (False, None), (True, challenge_in(live, await send(live)))):
        with pytest.raises(Refused):
            await ask(live, device_keys[2], challenge, signer=signer, renewal=renewal)
    assert await refusals(live) == ["renewal-by-unknown-identity", "challenge-unknown", "renewal-by-unknown-identity"]
    assert len(await versions(live, device)) == 1


async def test_the_same_message_again_gets_the_same_certificate(
    live: Live, device: EnrollmentKey, device_keys: Keys, clock: SetClock
) -> None:
    key = device_keys[1]
    assert isinstance(key, rsa.RSAPrivateKey)
    request = csr.build(key, names.make("device"), challenge_password=challenge_in(live, await send(live)))
    who = enrollment.temporary_signer(key, names.make("device"), now=clock.now())
    ca = live.current().responder.certificate
    sent = enrollment.request(request, signer=who, ca=ca, ra=None, now=clock.now())

    async def answered() -> x509.Certificate:
        return enrollment.accept((await respond(live, sent.message)).message, sent, now=clock.now())[0]

    assert await answered() == await answered()
    assert len(await versions(live, device)) == 1
    clock.moment += issuing.RESEND_WINDOW + timedelta(seconds=1)
    with pytest.raises(Refused):
        await answered()
    assert await refusals(live) == ["challenge-spent"]


async def test_the_same_message_again_does_not_get_what_was_revoked(live: Live, device: EnrollmentKey, device_keys: Keys) -> None:
    key, now = device_keys[1], live.installation.clock.now()
    assert isinstance(key, rsa.RSAPrivateKey)
    request = csr.build(key, names.make("device"), challenge_password=challenge_in(live, await send(live)))
    who = enrollment.temporary_signer(key, names.make("device"), now=now)
    sent = enrollment.request(request, signer=who, ca=live.current().responder.certificate, ra=None, now=now)
    enrollment.accept((await respond(live, sent.message)).message, sent, now=now)
    await ending.revoke(live.installation, UDID, "wifi", reason="lost", actor="test")
    with pytest.raises(Refused):
        enrollment.accept((await respond(live, sent.message)).message, sent, now=now)
    assert await refusals(live) == ["challenge-spent"]


async def _spend(live: Live, device_keys: Keys, secret: str) -> None:
    await ask(live, device_keys[1], secret)


async def _unassign(live: Live, _keys: Keys, _secret: str) -> None:
    await ending.unassign(live.installation, "wifi", [UDID], actor="test")


async def _send_again(live: Live, _keys: Keys, _secret: str) -> None:
    await sending.renew(live, UDID, actor="test")


async def _quarantine(live: Live, _keys: Keys, _secret: str) -> None:
    (found,) = await live.installation.store.read(lambda tx: tx.enrollments.find(state=EnrollmentState.ACTIVE))
    await change(live, found.key, state=EnrollmentState.QUARANTINED)


async def _check_out(live: Live, _keys: Keys, _secret: str) -> None:
    (found,) = await live.installation.store.read(lambda tx: tx.enrollments.find(state=EnrollmentState.ACTIVE))
    await change(live, found.key, state=EnrollmentState.CHECKED_OUT)


async def _wait(live: Live, _keys: Keys, _secret: str) -> None:
    clock = live.installation.clock
    assert isinstance(clock, SetClock)
    clock.moment += timedelta(days=live.installation.settings.scep.renewal_challenge_days, seconds=1)


async def _larger_key(live: Live, _keys: Keys, _secret: str) -> None:
    await put(live, WIFI + "key_size = 4096\n")


async def _other_names(live: Live, _keys: Keys, _secret: str) -> None:
    await put(live, WIFI.replace("enrollment.key", "device.model"))  # which this device has not told


async def _outside(live: Live, _keys: Keys, _secret: str) -> None:
    ca = certificates.pem(live.current().authorities.root.certificate).decode()
    table = f'[outside]\nurl = "https://ca.example"\nchallenge = "c"\nca = """{ca}"""\n'
    await put(live, WIFI.replace("lifetime_days = 30", "") + table)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (_spend, "challenge-spent"),
        (_send_again, "challenge-spent"),
        (_wait, "challenge-expired"),
        (_unassign, "enrollment-ended"),
        (_quarantine, "enrollment-ended"),
        (_check_out, "enrollment-ended"),
        (_larger_key, "request-denied"),
        (_other_names, "request-denied"),
        (_outside, "request-denied"),
    ],
)
async def test_a_right_that_has_gone_gets_nothing(
    live: Live,
    device: EnrollmentKey,
    device_keys: Keys,
    before: Callable[[Live, Keys, str], Awaitable[None]],
    reason: str,
) -> None:
    secret = challenge_in(live, await send(live))
    await before(live, device_keys, secret)
    there = len(await versions(live, device))
    with pytest.raises(Refused) as refused:
        await ask(live, device_keys[2], secret)
    assert refused.value.text is None
    assert await refusals(live) == [reason]
    assert len(await versions(live, device)) == there


@pytest.mark.parametrize(
    "scep",
    [
        {"webhook_url": "https://127.0.0.1:9/nobody", "webhook_secret": "s"},
        {"static_challenge": "open sesame"},
        {"approval": "manual"},
        {"outside_url": "http://127.0.0.1:9/nobody"},
    ],
)
async def test_other_ways_to_an_identity_are_not_asked(
    live: Live, device: EnrollmentKey, device_keys: Keys, scep: dict[str, str]
) -> None:
    command, served = await send(live), await with_scep(live, **scep)
    held, now = served.current().authorities, live.installation.clock.now()
    await live.installation.store.run(lambda tx: scep_ra.ensure(tx, served.installation, held, now=now, actor="test"))
    certificate = await Client.make(await Live.start(served.installation), device_keys[1], challenge_in(live, command)).send()
    assert isinstance(certificate, x509.Certificate)
    assert not await bound(live, certificate)


async def test_one_that_is_revoked_is_told_of_by_crl_and_ocsp(
    live: Live, device: EnrollmentKey, device_keys: Keys, tmp_path: Path
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command on this machine")
    for key in device_keys[1:]:
        await fetch(live, key, await send(live))
    first, second = await versions(live, device)
    installation, held = live.installation, live.current().authorities
    await ending.revoke(installation, first.serial or "", reason="leaked", actor="test")
    issuer = await installation.store.read(lambda tx: issuers.of_version(tx, first.issuer_version or second.id))
    assert issuer is not None
    (tmp_path / "crl.der").write_bytes((await current(installation, issuer, actor="test")).der)
    for name, certificate in (("root", held.root.certificate), ("ca", held.identity.authority.certificate)):
        (tmp_path / f"{name}.pem").write_bytes(certificates.pem(certificate))
    responder = OCSP(installation)
    found = []
    for version in (first, second):
        (tmp_path / "leaf.der").write_bytes(version.certificate or b"")
        crl = _openssl(tmp_path, f"verify {AT} -CAfile root.pem -untrusted ca.pem -CRLfile crl.der -crl_check leaf.der")
        _openssl(tmp_path, "ocsp -issuer ca.pem -cert leaf.der -no_nonce -reqout request.der")
        (tmp_path / "response.der").write_bytes((await responder.answer((tmp_path / "request.der").read_bytes())).message)
        told = _openssl(tmp_path, f"ocsp {AT} -issuer ca.pem -cert leaf.der -no_nonce {TRUST} -respin response.der")
        found.append(("certificate revoked" in crl, "\nrevoked\n" in told, "\ngood\n" in told))
        assert "Response verify OK" in told
    assert found == [(True, True, False), (False, False, True)]
    assert (await assignment(live, device)).look_at is not None, "the one in force is renewed all the same"


AT = f"-attime {int(NOW.timestamp())}"
TRUST = "-CAfile root.pem -verify_other ca.pem"


def _openssl(folder: Path, arguments: str) -> str:
    done = subprocess.run(["openssl", *arguments.split()], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
