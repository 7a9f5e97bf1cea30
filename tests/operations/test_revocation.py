"""CRLs and OCSP over time, on both databases and with two servers on one store; read by cryptography."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import asn1crypto.ocsp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as reading

from bramley.jobs.revocation import Revocations
from bramley.model.events import EventKind
from bramley.model.jobs import DONE
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, RevocationReason, Version, VersionID, VersionState
from bramley.model.revocation import PublishedCRL, Tally
from bramley.operations import authorities, authority_status, issuers, records, revocation, vault
from bramley.operations.crl_due import PUBLISH_CRLS
from bramley.operations.errors import NotReady
from bramley.operations.installation import Installation, initialize, open_installation
from bramley.operations.live import Live
from bramley.operations.ocsp import MOST, OCSP, retire_responders
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue
from bramley.pki.cms import der
from bramley.pki.revocation import ocsp_requests
from bramley.pki.revocation.issuer import IssuerName
from bramley.settings import load
from bramley.storage.errors import Busy
from bramley.storage.protocols import Store, Tx
from tests.conftest import NOW, URL, SetClock

T = TypeVar("T")
HOUR = timedelta(hours=1)
HOLD = x509.ReasonFlags.certificate_hold
GOOD, UNKNOWN = ("GOOD", None), ("UNKNOWN", None)
COMPROMISED = ("REVOKED", x509.ReasonFlags.key_compromise)
SUCCESSFUL = reading.OCSPResponseStatus.SUCCESSFUL


@dataclass(slots=True)
class Server:
    """One of the servers on a store."""

    installation: Installation
    clock: SetClock
    ocsp: OCSP

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await self.installation.store.read(fn)

    async def issuer(self, name: str = "identity-ca") -> issuers.Issuer:
        return next(each for each in await self.read(issuers.read) if each.name == name)

    async def published(self, name: str = "identity-ca") -> PublishedCRL:
        return await revocation.current(self.installation, await self.issuer(name), actor="test")

    async def crl(self, name: str = "identity-ca") -> dict[int, x509.ReasonFlags | None]:
        """Serial numbers with their reasons, of a CRL whose signature holds."""
        crl = x509.load_der_x509_crl((await self.published(name)).der)
        assert crl.is_signature_valid((await self.issuer(name)).x509.public_key())  # type: ignore[arg-type]
        return {entry.serial_number: reason_of(entry) for entry in crl}

    async def identity(self, key: keys.PublicKey, **fields: Any) -> Version:
        return await self.installation.store.run(lambda tx: record(tx, self.installation, key, **fields))

    async def move(self, version: Version, state: VersionState, why: RevocationReason | None = None) -> None:
        now = self.clock.now()

        def act(tx: Tx) -> None:
            present = tx.lineages.version(version.id)
            assert present is not None
            records.move(tx, present, state, now=now, actor="test", reason="test", revoked_for=why)

        await self.installation.store.run(act)

    async def ask(self, version: Version, **fields: Any) -> reading.OCSPResponse:
        assert version.issuer_version is not None
        ca = await self.read(lambda tx: tx.lineages.version(version.issuer_version))  # type: ignore[arg-type]
        message = (await self.ocsp.answer(request(version, ca, **fields))).message
        return reading.load_der_ocsp_response(message)

    async def status(self, version: Version, **fields: Any) -> tuple[str, x509.ReasonFlags | None]:
        """What OCSP says, signed by a responder that the certificate's own CA has named."""
        response = await self.ask(version, **fields)
        assert response.response_status is SUCCESSFUL, response.response_status
        responder, algorithm = response.certificates[0], response.signature_hash_algorithm
        key, ca = (
            responder.public_key(),
            next(each for each in await self.read(issuers.read) if version.issuer_version in each.versions),
        )
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert algorithm is not None
        key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
        responder.verify_directly_issued_by(ca.x509)
        now = self.clock.now()
        assert responder.not_valid_before_utc <= now < responder.not_valid_after_utc
        assert response.this_update_utc < now < (response.next_update_utc or now)
        return response.certificate_status.name, response.revocation_reason


def reason_of(entry: x509.RevokedCertificate) -> x509.ReasonFlags | None:
    found = [extension.value for extension in entry.extensions]
    return found[0].reason if found and isinstance(found[0], x509.CRLReason) else None


def certificate_of(version: Version | None) -> x509.Certificate:
    assert version is not None
    assert version.certificate is not None
    return certificates.load(version.certificate)


def request(asked: Version, ca: Version | None, *, digest: Any = None, nonce: bytes | None = None) -> bytes:
    name, digest = IssuerName.of(certificate_of(ca)), digest or hashes.SHA1()
    serial = certificate_of(asked).serial_number
    builder = reading.OCSPRequestBuilder().add_certificate_by_hash(*name.hashes(digest.name), serial, digest)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def record(
    tx: Tx, installation: Installation, key: keys.PublicKey, *, by: Version | None = None, lifetime: timedelta | None = None
) -> Version:
    """An identity issued by the CA in force, or by another version of it."""
    now, held = installation.clock.now(), authorities.load(tx, installation.sealer).identity
    authority, issuer_version = held.authority, held.version
    if by is not None and by.key_id is not None:
        authority = Authority(certificate_of(by), vault.take(tx, installation.sealer, by.key_id))
        issuer_version = by.id
    name = f"device {len(tx.lineages.of_kind(Kind.DEVICE_IDENTITY))}"
    certificate = issue(authority, profiles.DEVICE_IDENTITY, key, subject=names.make(name), now=now, lifetime=lifetime)
    lineage = records.lineage(tx, Kind.DEVICE_IDENTITY, name, Policy(), now=now)
    return records.record(tx, lineage, certificate, state=VersionState.ACTIVE, now=now, actor="test", issuer=issuer_version)


def another_ca(tx: Tx, installation: Installation, *, same_key: bool) -> Version:
    """A further certificate of the identity CA, as a rollover makes it."""
    now, held = installation.clock.now(), authorities.load(tx, installation.sealer)
    present = tx.lineages.version(held.identity.version)
    assert present is not None
    key = held.identity.authority.key if same_key else keys.generate(keys.KeyAlgorithm.P_256)
    subject = held.identity.authority.certificate.subject if same_key else names.make("Identity CA 2")
    certificate = issue(held.root.authority(), profiles.IDENTITY_CA, key.public_key(), subject=subject, now=now)
    lineage = tx.lineages.get(present.lineage_id)
    assert lineage is not None
    key_id = vault.keep(tx, installation.sealer, key, Kind.IDENTITY_CA, now=now, actor="test")
    return records.record(
        tx, lineage, certificate, state=VersionState.ISSUED, now=now, actor="test", key_id=key_id, issuer=held.root.version
    )


@pytest.fixture(scope="module")
def key() -> keys.PublicKey:
    return keys.generate(keys.KeyAlgorithm.P_256).public_key()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """The setting of this name."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture
async def servers(database: str, installed: Path, tmp_path: Path) -> AsyncIterator[tuple[Server, Server]]:
    """Two on one store, on each database."""
    settings, clock = load(environment={}, data=tmp_path / "data", url=URL, database=database), SetClock()
    if database:
        made, _first = await initialize(settings, clock, {})
        await made.store.close()
    else:
        shutil.copytree(installed, settings.data)
    opened = [await open_installation(settings, clock, {}) for _ in range(2)]
    first, second = (Server(each, clock, OCSP(each)) for each in opened)
    yield first, second
    for each in opened:
        await each.store.close()


@pytest.fixture
async def server(installation: Installation, clock: SetClock) -> Server:
    return Server(installation, clock, OCSP(installation))


async def test_the_next_request_after_each_change_hears_of_it_from_every_server(
    servers: tuple[Server, Server], key: keys.PublicKey
) -> None:
    first, second = servers
    device, other = await first.identity(key), await first.identity(key)
    serial, numbers = int(device.serial or "", 16), []
    steps = [
        (None, None, GOOD, {}),
        (VersionState.SUSPENDED, None, ("REVOKED", HOLD), {serial: HOLD}),
        (VersionState.ACTIVE, None, GOOD, {}),
        (VersionState.SUSPENDED, None, ("REVOKED", HOLD), {serial: HOLD}),
        (VersionState.REVOKED, RevocationReason.KEY_COMPROMISE, COMPROMISED, {serial: COMPROMISED[1]}),
    ]
    for number, (state, why, told, listed) in enumerate(steps):
        if state is not None:
            await (first, second)[number % 2].move(device, state, why)
        for server in (second, first):
            assert await server.status(device) == told
            assert await server.status(other) == GOOD
            assert await server.crl() == listed
            numbers.append((await server.published()).number)

    assert numbers == sorted(numbers)
    assert len(set(numbers)) == len(steps)  # one CRL for each change, whoever was asked


async def test_servers_that_publish_at_once_agree_on_one_number_for_each_crl(
    servers: tuple[Server, Server], key: keys.PublicKey
) -> None:
    first, second = servers
    devices = [await first.identity(key) for _ in range(4)]
    published: dict[int, bytes] = {}

    async def revoke_and_look(server: Server, device: Version) -> None:
        await server.move(device, VersionState.REVOKED, RevocationReason.SUPERSEDED)
        crl = await server.published()
        assert published.setdefault(crl.number, crl.der) == crl.der
        assert int(device.serial or "", 16) in {entry.serial_number for entry in x509.load_der_x509_crl(crl.der)}

    await asyncio.gather(*(revoke_and_look((first, second)[number % 2], each) for number, each in enumerate(devices)))

    assert await first.crl() == await second.crl() == {int(d.serial or "", 16): x509.ReasonFlags.superseded for d in devices}
    assert max(published) == (await first.published()).number


async def test_a_crl_is_published_anew_when_half_its_life_has_passed(server: Server) -> None:
    first = await server.published()
    assert (first.this_update, first.next_update) == (NOW - timedelta(minutes=5), NOW + 24 * HOUR)
    server.clock.moment = NOW + 12 * HOUR - timedelta(seconds=1)
    assert await server.published() == first
    server.clock.moment = NOW + 12 * HOUR
    second = await server.published()
    assert second.number > first.number
    assert second.next_update == NOW + 36 * HOUR

    events = await server.read(lambda tx: tx.events.find(kind=EventKind.CRL_PUBLISHED))
    assert [(each.version_id, each.detail) for each in events] == [
        (first.issuer, {"number": each.number, "entries": 0}) for each in (second, first)
    ]


@pytest.mark.parametrize("back", [timedelta(), timedelta(days=400)])
async def test_numbers_and_dates_grow_even_where_the_clock_does_not(server: Server, key: keys.PublicKey, back: timedelta) -> None:
    device = await server.identity(key)
    before = await server.published()
    server.clock.moment = NOW - back
    await server.move(device, VersionState.REVOKED, RevocationReason.UNSPECIFIED)
    after = await server.published()

    assert after.number == before.number + 1
    assert after.this_update == min(server.clock.moment, before.this_update + timedelta(seconds=1))
    assert await server.crl() == {int(device.serial or "", 16): None}


async def test_a_restored_backup_does_not_take_numbers_back(server: Server) -> None:
    latest = await server.published()
    server.clock.moment += timedelta(days=30)

    # as a database that has never seen the CRLs of the last month would number its next
    assert (await server.published()).number >= latest.number + 30 * 24 * 3600


async def test_a_shorter_life_holds_at_once(server: Server) -> None:
    long_ones = replace(server.installation.settings, revocation=replace(server.installation.settings.revocation, crl_hours=999))
    issuer = await server.issuer()
    before = await revocation.current(replace(server.installation, settings=long_ones), issuer, actor="test")

    assert before.next_update == NOW + 999 * HOUR
    assert (await server.published()).next_update == NOW + 24 * HOUR


async def test_an_entry_stays_for_one_life_beyond_its_certificates_end(server: Server, key: keys.PublicKey) -> None:
    device = await server.identity(key, lifetime=timedelta(days=1))
    await server.move(device, VersionState.REVOKED, RevocationReason.UNSPECIFIED)
    ends = device.not_after
    assert ends is not None
    listed = []
    for moment in (ends - HOUR, ends + HOUR, ends + 23 * HOUR, ends + 36 * HOUR):
        server.clock.moment = moment
        await server.published()
        server.clock.moment = moment + timedelta(seconds=1)
        listed.append(len(await server.crl()))

    assert listed == [1, 1, 1, 0]


class Meanwhile:
    """A store on which something else happens just before each write."""

    def __init__(self, store: Store, *actions: Callable[[], Any]) -> None:
        self._store, self._actions = store, list(actions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def run(self, fn: Callable[[Tx], T]) -> T:
        if self._actions:
            await self._actions.pop(0)()
        return await self._store.run(fn)


async def test_what_is_revoked_while_a_crl_is_made_is_on_the_next(server: Server, key: keys.PublicKey) -> None:
    device = await server.identity(key)

    async def revoke() -> None:
        await server.move(device, VersionState.REVOKED, RevocationReason.UNSPECIFIED)

    slow = replace(server.installation, store=Meanwhile(server.installation.store, revoke))
    made = await revocation.current(slow, await server.issuer(), actor="test")

    assert len(x509.load_der_x509_crl(made.der)) == 0
    assert len(await server.crl()) == 1
    assert (await server.published()).number == made.number + 1


@pytest.mark.parametrize("apart", [-HOUR, timedelta(), HOUR])
async def test_whoever_was_overtaken_gives_the_newer_crl(server: Server, key: keys.PublicKey, apart: timedelta) -> None:
    device = await server.identity(key)

    async def revoke_and_publish() -> None:
        server.clock.moment = NOW + apart  # another machine's clock
        await server.move(device, VersionState.REVOKED, RevocationReason.UNSPECIFIED)
        await server.published()

    slow = replace(server.installation, store=Meanwhile(server.installation.store, revoke_and_publish))
    made = await revocation.current(slow, await server.issuer(), actor="test")

    assert len(x509.load_der_x509_crl(made.der)) == 1
    assert made == await server.published()


async def test_changes_leave_one_job_which_publishes(server: Server, key: keys.PublicKey) -> None:
    revocations = Revocations(await Live.start(server.installation))
    devices = [await server.identity(key) for _ in range(3)]
    for device in devices:
        await server.move(device, VersionState.SUSPENDED)
    (job,) = await server.read(lambda tx: tx.jobs.of_kind(PUBLISH_CRLS))

    assert await revocations.publish([job]) == [DONE]

    issuer = await server.issuer()
    stored = await server.read(lambda tx: tx.revocations.crl(issuer.id))
    assert stored is not None
    assert len(x509.load_der_x509_crl(stored.der)) == 3


async def test_other_changes_leave_none(server: Server, key: keys.PublicKey) -> None:
    device = await server.identity(key)
    await server.move(device, VersionState.SUPERSEDED)
    await server.move(device, VersionState.RETIRED)

    assert await server.read(lambda tx: tx.jobs.of_kind(PUBLISH_CRLS)) == []


async def test_every_ca_of_ours_has_a_crl_which_is_kept_up_once_it_was_asked_for(server: Server) -> None:
    (mine,) = await revocation.publish_due(server.installation, actor="test")
    assert mine.issuer == (await server.issuer()).id
    for name in ("root", "https-ca", "signer-ca"):
        assert await server.crl(name) == {}

    server.clock.moment += 13 * HOUR
    again = await revocation.publish_due(server.installation, actor="test")
    assert len({each.issuer for each in again}) == 4
    assert all(each.next_update == NOW + 37 * HOUR for each in again)


async def test_a_ca_whose_key_is_elsewhere_or_whose_end_has_passed_says_nothing(server: Server, key: keys.PublicKey) -> None:
    issuer, device = await server.issuer(), await server.identity(key)
    with pytest.raises(NotReady, match="identity-ca is not here"):
        await revocation.current(server.installation, replace(issuer, key_id=None), actor="test")

    server.clock.moment = issuer.not_after
    assert not issuer.signs(server.clock.now())
    assert await revocation.publish_due(server.installation, actor="test") == []
    assert (await server.ask(device)).response_status is reading.OCSPResponseStatus.UNAUTHORIZED


async def test_a_new_certificate_for_the_old_key_is_the_same_issuer(server: Server, key: keys.PublicKey) -> None:
    old = await server.identity(key)
    assert await server.status(old) == GOOD  # the responder is at hand now, and knows one certificate of the CA
    newer = await server.installation.store.run(lambda tx: another_ca(tx, server.installation, same_key=True))
    new = await server.identity(key, by=newer)

    assert await server.status(new) == GOOD
    for device in (old, new):
        await server.move(device, VersionState.REVOKED, RevocationReason.KEY_COMPROMISE)
        assert await server.status(device) == COMPROMISED
    assert (await server.crl()).keys() == {int(device.serial or "", 16) for device in (old, new)}
    assert [each.name for each in await server.read(issuers.read)].count("identity-ca") == 1
    assert (await server.issuer()).x509 == certificate_of(newer)


async def test_a_new_key_is_another_issuer_with_urls_of_its_own(server: Server, key: keys.PublicKey) -> None:
    old = await server.identity(key)
    newer = await server.installation.store.run(lambda tx: another_ca(tx, server.installation, same_key=False))
    new = await server.identity(key, by=newer)
    await server.move(old, VersionState.REVOKED, RevocationReason.KEY_COMPROMISE)

    assert await server.status(old) == COMPROMISED
    assert await server.status(new) == GOOD
    assert await server.crl() == {int(old.serial or "", 16): x509.ReasonFlags.key_compromise}
    assert await server.crl("identity-ca-2") == {}
    issued_by = [each.issuer_version for each in (old, new) if each.issuer_version]
    urls = await server.read(lambda tx: [issuers.status_urls(tx, URL, each) for each in issued_by])
    assert [(each.crl, each.issuer, each.ocsp) for each in urls if each] == [
        (f"{URL}/pki/{name}.crl", f"{URL}/pki/{name}.cer", f"{URL}/pki/ocsp") for name in ("identity-ca", "identity-ca-2")
    ]
    # a serial number means nothing without its issuer
    stranger = replace(new, issuer_version=old.issuer_version)
    assert await server.status(stranger) == UNKNOWN


@pytest.mark.parametrize("digest", [hashes.SHA1(), hashes.SHA256()])
@pytest.mark.parametrize("state", [VersionState.SUPERSEDED, VersionState.RETIRED])
async def test_what_is_out_of_use_is_not_revoked(server: Server, key: keys.PublicKey, digest: Any, state: VersionState) -> None:
    device = await server.identity(key)
    await server.move(device, VersionState.SUPERSEDED)
    if state is VersionState.RETIRED:
        await server.move(device, state)

    assert await server.status(device, digest=digest) == GOOD


async def test_a_nonce_comes_back_and_such_an_answer_is_for_nobody_else(server: Server, key: keys.PublicKey) -> None:
    device = await server.identity(key)
    ca = await server.read(lambda tx: tx.lineages.version(device.issuer_version))  # type: ignore[arg-type]
    with_nonce = await server.ocsp.answer(request(device, ca, nonce=b"N" * 32))
    without = await server.ocsp.answer(request(device, ca))

    found = reading.load_der_ocsp_response(with_nonce.message)
    assert found.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce == b"N" * 32
    assert with_nonce.next_update is None
    assert (without.this_update, without.next_update) == (NOW - timedelta(minutes=5), NOW + timedelta(minutes=10))


async def test_certificates_of_cas_that_ocsp_is_not_for_are_not_spoken_of(server: Server, key: keys.PublicKey) -> None:
    held = (await Live.start(server.installation)).current()
    https = await server.read(lambda tx: records.active(tx, Kind.HTTPS, authorities.NAME))
    device = await server.identity(key)
    theirs = await server.read(lambda tx: tx.lineages.version(held.authorities.https.version))
    assert https is not None

    message = (await server.ocsp.answer(request(https, theirs))).message
    assert reading.load_der_ocsp_response(message).response_status is reading.OCSPResponseStatus.UNAUTHORIZED
    assert await server.status(replace(https, issuer_version=device.issuer_version)) == UNKNOWN


async def test_several_are_asked_about_at_once_if_they_are_of_one_ca(server: Server, key: keys.PublicKey) -> None:
    first, second = [await server.identity(key) for _ in range(2)]
    newer = await server.installation.store.run(lambda tx: another_ca(tx, server.installation, same_key=False))
    other = await server.identity(key, by=newer)
    await server.move(second, VersionState.REVOKED, RevocationReason.KEY_COMPROMISE)

    async def told(*asked: Version) -> list[str]:
        """Each status, or the one word why there is none."""
        single = []
        for each in asked:
            ca = await server.read(lambda tx, each=each: tx.lineages.version(each.issuer_version))  # type: ignore[misc]
            (asked_about,) = ocsp_requests.read(request(each, ca), most=1).certificates
            single.append(der.sequence(asked_about.der))
        message = der.sequence(der.sequence(der.sequence(*single)))
        response = asn1crypto.ocsp.OCSPResponse.load((await server.ocsp.answer(message)).message)
        if response["response_status"].native != "successful":
            return [response["response_status"].native]
        return [each["cert_status"].name for each in response.response_data["responses"]]

    assert await told(first, second, first) == ["good", "revoked", "good"]
    assert await told(*[first] * MOST) == ["good"] * MOST
    assert await told(*[first] * (MOST + 1)) == ["malformed_request"]
    assert await told(other) == ["good"]
    assert await told(first, other) == ["unauthorized"]


async def test_a_responder_from_a_future_that_was_an_error_is_not_used(server: Server, key: keys.PublicKey) -> None:
    device = await server.identity(key)
    server.clock.moment = NOW + timedelta(days=3)
    assert await server.status(device) == GOOD
    server.clock.moment = NOW

    assert await server.status(device) == GOOD  # which looks at the responder's dates


async def test_what_is_no_request_gets_an_error_of_ocsp(server: Server) -> None:
    message = (await server.ocsp.answer(b"GET / HTTP/1.1")).message

    assert reading.load_der_ocsp_response(message).response_status is reading.OCSPResponseStatus.MALFORMED_REQUEST


async def test_a_database_that_is_away_gets_try_later(server: Server, key: keys.PublicKey) -> None:
    device = await server.identity(key)
    assert await server.status(device) == GOOD
    ca = await server.read(lambda tx: tx.lineages.version(device.issuer_version))  # type: ignore[arg-type]

    class Away(Meanwhile):
        async def read(self, _fn: Callable[[Tx], T]) -> T:
            raise Busy("The database is busy.")

    away = OCSP(replace(server.installation, store=Away(server.installation.store)))
    message = (await away.answer(request(device, ca))).message
    assert reading.load_der_ocsp_response(message).response_status is reading.OCSPResponseStatus.TRY_LATER


async def test_responders_are_shared_and_replaced_when_half_their_life_has_passed(
    servers: tuple[Server, Server], key: keys.PublicKey
) -> None:
    first, second = servers
    device = await first.identity(key)

    async def responder(server: Server) -> int:
        await server.status(device)
        return (await server.ask(device)).certificates[0].serial_number

    used = {}
    for hours in (0, 3 * 24, 4 * 24, 30 * 24):
        first.clock.moment = NOW + hours * HOUR
        used[hours] = {await responder(first), await responder(second)}
        await Revocations(await Live.start(first.installation)).upkeep([])

    assert all(len(each) == 1 for each in used.values())
    assert used[0] == used[3 * 24]
    assert len(set.union(*used.values())) == 3
    lineage = await first.read(lambda tx: tx.lineages.find(Kind.OCSP_RESPONDER, "identity-ca"))
    assert lineage is not None
    versions = await first.read(lambda tx: tx.lineages.versions(lineage.id))
    assert [each.state for each in versions] == [VersionState.RETIRED, VersionState.RETIRED, VersionState.ACTIVE]


async def test_a_responder_loses_its_key_a_day_after_its_end(server: Server, key: keys.PublicKey) -> None:
    device = await server.identity(key)
    await server.ask(device)
    upkeep = Revocations(await Live.start(server.installation)).upkeep
    lineage = await server.read(lambda tx: tx.lineages.find(Kind.OCSP_RESPONDER, "identity-ca"))
    assert lineage is not None

    async def first() -> Version:
        return (await server.read(lambda tx: tx.lineages.versions(lineage.id)))[0]

    made = await first()
    assert made.not_after is not None
    assert made.key_id is not None
    end = made.not_after + timedelta(days=1)
    for moment, state in ((end, VersionState.SUPERSEDED), (end + timedelta(seconds=1), VersionState.RETIRED)):
        server.clock.moment = moment
        await upkeep([])
        kept = await server.read(lambda tx: tx.keys.get(made.key_id))  # type: ignore[arg-type]
        assert ((await first()).state, kept is not None) == (state, state is VersionState.SUPERSEDED)

    assert replace(await first(), key_id=made.key_id, state=made.state, changed_at=made.changed_at, reason="") == made
    await upkeep([])  # nothing is left to do
    assert len(await server.read(lambda tx: tx.events.find(kind=EventKind.CERTIFICATE_RETIRED))) == 1
    assert await server.status(device) == GOOD


async def test_so_does_one_that_nothing_has_replaced(server: Server, key: keys.PublicKey) -> None:
    """As that of a CA that has ended, or whose key was taken away."""
    device = await server.identity(key)
    await server.ask(device)
    server.clock.moment = NOW + timedelta(days=30)

    await retire_responders(server.installation, actor="test")

    lineage = await server.read(lambda tx: tx.lineages.find(Kind.OCSP_RESPONDER, "identity-ca"))
    assert lineage is not None
    (responder,) = await server.read(lambda tx: tx.lineages.versions(lineage.id))
    assert (responder.state, responder.key_id) == (VersionState.RETIRED, None)
    assert await server.status(device) == GOOD


async def test_a_device_cannot_answer_for_its_ca(server: Server, key: keys.PublicKey) -> None:
    """The responder's usage is what makes it one: no identity carries it."""
    device = certificate_of(await server.identity(key))
    response = await server.ask(await server.identity(key))

    def usages(certificate: x509.Certificate) -> list[str]:
        return [usage.dotted_string for usage in certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value]

    assert usages(response.certificates[0]) == ["1.3.6.1.5.5.7.3.9"]
    assert usages(device) == ["1.3.6.1.5.5.7.3.2"]
    assert x509.OCSPNoCheck() in [each.value for each in response.certificates[0].extensions]


async def test_every_ca_is_counted_with_what_it_has_issued(server: Server, key: keys.PublicKey) -> None:
    devices = [await server.identity(key) for _ in range(3)] + [await server.identity(key, lifetime=timedelta(days=29))]
    await server.move(devices[0], VersionState.REVOKED, RevocationReason.UNSPECIFIED)
    await server.move(devices[1], VersionState.SUSPENDED)
    newer = await server.installation.store.run(lambda tx: another_ca(tx, server.installation, same_key=True))
    await server.identity(key, by=newer)

    found = {each.issuer.name: each for each in await authority_status.statuses(server.installation)}

    assert list(found) == ["root", "identity-ca", "https-ca", "signer-ca"]
    assert found["identity-ca"].tally == Tally(issued=5, active=3, expiring=1, suspended=1, revoked=1)
    assert found["root"].tally.issued == 4
    assert found["identity-ca"].crl is None
    await server.published()
    assert (await authority_status.statuses(server.installation))[1].crl is not None


def test_dates_are_judged_by_the_moment_alone() -> None:
    life = 24 * HOUR
    crl = PublishedCRL(VersionID("ca"), 7, NOW, NOW + life, b"")
    at: list[tuple[str | None, datetime, bool]] = [
        ("7", NOW, False),
        ("7", NOW + 11 * HOUR, False),
        ("7", NOW + 12 * HOUR, True),
        ("7", NOW + 48 * HOUR, True),
        ("7", NOW - HOUR, True),
        ("6", NOW, True),
        ("changed x", NOW, True),
        (None, NOW, True),
    ]
    assert [revocation.due(crl, mark, now, life) for mark, now, _due in at] == [due for _mark, _now, due in at]
