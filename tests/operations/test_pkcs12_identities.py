"""Identities that are sent along: opened by others' programs, given out once, kept nowhere, and let go when nobody uses them."""

from __future__ import annotations

import asyncio
import plistlib
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from asn1crypto import pkcs12 as peer
from asn1crypto.core import OctetString
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization import pkcs12 as opener

from bramley.mdm.connect import payload_place
from bramley.mdm.errors import Refusal, Refused
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import EnrollmentKey, IdentityRoute, Purpose
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import RevocationReason, Version, VersionState
from bramley.operations import (
    devices,
    enrolling,
    enrollment_profiles,
    former_profiles,
    identities,
    identity_standing,
    outside_identities,
    pkcs12_identities,
    records,
    suspension,
)
from bramley.operations.enrollment_profiles import Recipient
from bramley.operations.errors import LinkUnusable
from bramley.operations.live import Live
from bramley.pki import certificates, cms, keys
from bramley.profiles.former import FormerProfile
from bramley.settings import Settings, load
from bramley.storage.protocols import Tx
from tests.conftest import SetClock

from .conftest import ask, challenge_for, enrolled

Keys = list[keys.PrivateKey]
UDID = "00008030-001A35E40212802E"
HOUR = timedelta(hours=1)


@pytest.fixture
def settings(installed: Path, tmp_path: Path) -> Settings:
    shutil.copytree(installed, tmp_path / "data")
    return load(environment={}, data=tmp_path / "data", identity={"source": "pkcs12"})


@pytest.fixture
async def device(live: Live, device_keys: Keys) -> EnrollmentKey:
    """An active device; its first identity came by SCEP."""
    switch(live, IdentityRoute.SCEP)
    key = await enrolled(live, device_keys[0], UDID)
    switch(live, IdentityRoute.PKCS12)
    return key


def switch(live: Live, source: IdentityRoute) -> None:
    """The setting is changed."""
    settings = live.installation.settings
    live.installation = replace(live.installation, settings=replace(settings, identity=replace(settings.identity, source=source)))


@dataclass(frozen=True, slots=True)
class Brought:
    """What a profile brings to whoever has it."""

    payload: dict[str, Any]
    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def secrets(self) -> Iterator[bytes]:
        """Whatever of it must stand nowhere: the password, the archive, and the key in its usual forms."""
        numbers = self.key.private_numbers()
        yield self.payload["Password"].encode()
        yield self.payload["Password"].encode("utf-16-be")
        yield self.payload["PayloadContent"]
        for number in (numbers.d, numbers.p, numbers.q):
            yield number.to_bytes((number.bit_length() + 7) // 8)
        for encoding in (Encoding.DER, Encoding.PEM):
            yield self.key.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())[-200:]


def opened(profile: bytes) -> Brought:
    content = cms.parse_signed_data(profile).content
    assert content is not None
    payloads = {each["PayloadType"]: each for each in plistlib.loads(content)["PayloadContent"]}
    assert "com.apple.security.scep" not in payloads
    found = payloads["com.apple.security.pkcs12"]
    assert payloads["com.apple.mdm"]["IdentityCertificateUUID"] == found["PayloadUUID"]
    key, certificate, others = opener.load_key_and_certificates(found["PayloadContent"], found["Password"].encode())
    assert isinstance(key, rsa.RSAPrivateKey)
    assert certificate is not None
    assert others == []
    return Brought(found, key, certificate)


async def link(live: Live, **changes: Any) -> str:
    given: dict[str, Any] = {"label": "", "uses": 1, "expires_in": timedelta(days=7), "actor": "test", **changes}
    return (await enrolling.create_link(live.installation, **given)).url.rsplit("/", 1)[1]


async def fetch(live: Live, token: str | None = None) -> Brought:
    return opened(await enrolling.profile_for_link(live, token or await link(live)))


async def version_of(live: Live, brought: Brought) -> Version:
    found = await live.installation.store.read(lambda tx: tx.lineages.by_sha256(certificates.sha256(brought.certificate)))
    assert found is not None
    return found


async def states(live: Live) -> list[VersionState]:
    found = (await devices.show(live.installation, UDID)).identities
    return [version.state for version in sorted(found, key=lambda version: version.number)]


def inside(live: Live, command: Command) -> Brought:
    """What a renewal brings, as the device would get it."""
    message = plistlib.loads(live.installation.sealer.open(command.payload, payload_place(command.uuid)))
    return opened(message["Command"]["Payload"])


async def sent(live: Live, command: Command) -> None:
    """The device was given the command."""
    live.installation.store.sent(command.uuid, live.installation.clock.now())
    for _ in range(500):
        found = await live.installation.store.read(lambda tx: tx.commands.get(command.enrollment_key, command.uuid))
        assert found is not None
        if found.sent_at is not None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the note was never written")


async def used(live: Live, key: EnrollmentKey, version: Version) -> None:
    now = live.installation.clock.now()
    await live.installation.store.run(lambda tx: records.promote(tx, version, now=now, actor="test", enrollment=key))


class TestTheArchive:
    async def test_openssl_opens_what_apples_systems_read(self, live: Live, tmp_path: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl command on this machine")
        brought = await fetch(live)
        authorities = live.current().authorities
        (tmp_path / "identity.p12").write_bytes(brought.payload["PayloadContent"])
        (tmp_path / "password").write_text(brought.payload["Password"])
        (tmp_path / "root.pem").write_bytes(certificates.pem(authorities.root.certificate))
        (tmp_path / "ca.pem").write_bytes(certificates.pem(authorities.identity.authority.certificate))
        shown = _run(tmp_path, "pkcs12", "-legacy", "-in", "identity.p12", "-passin", "file:password", "-nodes", "-info")
        assert "MAC: sha1" in shown.stderr
        assert shown.stderr.count("pbeWithSHA1And3-KeyTripleDES-CBC") == 2, "key and certificate"
        assert not any(word in shown.stderr for word in ("AES", "PBES2", "RC2", "sha256"))
        assert brought.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode() in shown.stdout
        (tmp_path / "leaf.pem").write_bytes(certificates.pem(brought.certificate))
        at = str(int(live.installation.clock.now().timestamp()))
        verified = _run(
            tmp_path, "verify", "-attime", at, "-purpose", "sslclient", "-CAfile", "root.pem", "-untrusted", "ca.pem", "leaf.pem"
        )
        assert verified.stdout == "leaf.pem: OK\n"

    async def test_a_parser_of_others_finds_nothing_but_triple_des(self, live: Live) -> None:
        pfx = peer.Pfx.load((await fetch(live)).payload["PayloadContent"], strict=True)
        assert pfx["mac_data"]["mac"]["digest_algorithm"]["algorithm"].native == "sha1"
        safe = peer.AuthenticatedSafe.load(pfx["auth_safe"]["content"].native)
        schemes = []
        for part in safe:
            if part["content_type"].native == "encrypted_data":
                schemes.append(part["content"]["encrypted_content_info"]["content_encryption_algorithm"])
                continue
            for bag in peer.SafeContents.load(part["content"].cast(OctetString).native):
                schemes.append(bag["bag_value"]["encryption_algorithm"])
        assert [each["algorithm"].native for each in schemes] == ["pkcs12_sha1_tripledes_3key"] * 2
        assert min(pfx["mac_data"]["iterations"].native, *(each.kdf_iterations for each in schemes)) >= 2048

    async def test_key_password_and_certificate_are_a_devices_own(self, live: Live) -> None:
        token = await link(live, uses=3)
        found = [await fetch(live, token) for _ in range(3)]
        assert len({each.payload["Password"] for each in found}) == 3
        assert len({each.payload["PayloadUUID"] for each in found}) == 3
        assert len({each.key.private_numbers().d for each in found}) == 3
        assert len({each.certificate.subject for each in found}) == 3
        for each in found:
            assert len(each.payload["Password"]) >= 32
            assert each.key.key_size == 2048
            assert each.key.public_key() == each.certificate.public_key()
            assert (each.payload["KeyIsExtractable"], each.payload["AllowAllAppsAccess"]) == (False, False)


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True, cwd=folder)


class TestKeptNowhere:
    async def test_neither_key_nor_password_is_in_a_table_an_event_or_the_log(
        self, live: Live, device: EnrollmentKey, settings: Settings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with structlog.testing.capture_logs() as logged:
            by_link = await fetch(live)
            renewal = await identities.renew(live, UDID, actor="test")
        by_renewal = inside(live, renewal)
        secrets = [*by_link.secrets, *by_renewal.secrets]
        kept = b"\n".join(_everything(settings))
        assert renewal.payload in kept, "the search does look into the tables"
        printed = "".join(capsys.readouterr()).encode() + repr(logged).encode() + repr(renewal).encode()
        for secret in secrets:
            assert secret not in kept
            assert secret not in printed
        for file in settings.data.iterdir():
            content = file.read_bytes() if file.is_file() else b""
            assert not any(secret in content for secret in secrets), file

    @pytest.mark.parametrize("end", ["answered", "withdrawn", "checked out"])
    async def test_a_renewal_that_has_ended_brings_nobody_anything(self, live: Live, device: EnrollmentKey, end: str) -> None:
        now, renewal = live.installation.clock.now(), await identities.renew(live, UDID, actor="test")
        if end == "answered":
            state = CommandState.ACKNOWLEDGED
            await live.installation.store.run(lambda tx: tx.commands.answer(device, renewal.uuid, state, b"<report/>", now))
        elif end == "withdrawn":
            await live.installation.store.run(lambda tx: identities.withdraw_renewals(tx, device, now))
        else:
            await identities.revoke(live.installation, UDID, reason="lost", actor="test")
        kept = await live.installation.store.read(lambda tx: tx.commands.get(device, renewal.uuid))
        assert kept is not None
        assert kept.payload == b""

    async def test_it_is_shown_in_no_repr(self, live: Live, device: EnrollmentKey) -> None:
        recipient = Recipient(device, Purpose.RENEW, next(iter(live.current().topics)))
        now = live.installation.clock.now()
        delivery = await enrollment_profiles.prepare(live.installation, live.current(), recipient, HOUR, now)
        assert isinstance(delivery, enrollment_profiles.ByPKCS12)
        key = delivery.key

        def issue(tx: Tx) -> pkcs12_identities.Parcel:
            return pkcs12_identities.issue(tx, live.installation, live.current(), key, device, Purpose.RENEW, now)

        parcel = await live.installation.store.run(issue)
        assert repr(key) not in repr(delivery)
        assert parcel.password not in repr(parcel)
        assert "archive" not in repr(parcel)

    async def test_what_is_recorded_twice_is_issued_once(self, live: Live, device: EnrollmentKey) -> None:
        """A transaction may be run again from the start; of its runs one counts."""
        recipient = Recipient(device, Purpose.RENEW, next(iter(live.current().topics)))
        now = live.installation.clock.now()
        delivery = await enrollment_profiles.prepare(live.installation, live.current(), recipient, HOUR, now)
        lost: list[bytes] = []

        def fails(tx: Tx) -> None:
            lost.append(delivery.record(tx))
            raise LinkUnusable("somebody else was faster")

        with pytest.raises(LinkUnusable):
            await live.installation.store.run(fails)
        kept = opened(await live.installation.store.run(delivery.record))
        assert await states(live) == [VersionState.ACTIVE, VersionState.ISSUED]
        assert (await version_of(live, kept)).state is VersionState.ISSUED
        former = certificates.sha256(opened(lost[0]).certificate)
        assert await live.installation.store.read(lambda tx: tx.lineages.by_sha256(former)) is None
        assert opened(lost[0]).payload["Password"] != kept.payload["Password"]


def _everything(settings: Settings) -> Iterator[bytes]:
    """Every value of every table."""
    (file,) = settings.data.glob("*.sqlite3")
    with sqlite3.connect(file) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        assert {"commands", "events", "versions", "keys", "notes", "jobs"} <= set(tables)
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                yield from (value if isinstance(value, bytes) else str(value).encode() for value in row)
    database.close()


class TestTheLink:
    async def test_is_used_by_the_first_use_of_the_identity_and_not_by_its_download(self, live: Live) -> None:
        token = await link(live)
        first, _second = await fetch(live, token), await fetch(live, token)
        now, version = live.installation.clock.now(), await version_of(live, first)
        key = await _enrollment_of(live, first)
        await live.installation.store.run(lambda tx: pkcs12_identities.use_link(tx, key, now))
        await used(live, key, version)
        with pytest.raises(LinkUnusable, match="used up"):
            await fetch(live, token)

    @pytest.mark.parametrize(
        ("later", "uses", "reason"),
        [(timedelta(), 1, Refusal.LINK_USED_UP), (timedelta(days=8), 2, Refusal.LINK_EXPIRED)],
        ids=["used up", "expired"],
    )
    async def test_lets_nobody_in_where_it_is_no_good_any_more(
        self, live: Live, clock: SetClock, later: timedelta, uses: int, reason: Refusal
    ) -> None:
        token = await link(live, uses=uses)
        first, second = [await _enrollment_of(live, await fetch(live, token)) for _ in range(2)]
        await live.installation.store.run(lambda tx: pkcs12_identities.use_link(tx, first, clock.now()))
        clock.moment += later
        with pytest.raises(Refused) as refused:
            await live.installation.store.run(lambda tx: pkcs12_identities.use_link(tx, second, clock.now()))
        assert refused.value.reason is reason


async def _enrollment_of(live: Live, brought: Brought) -> EnrollmentKey:
    sha256 = certificates.sha256(brought.certificate)
    binding = await live.installation.store.read(lambda tx: tx.enrollments.binding(sha256))
    assert binding is not None
    assert binding.purpose is Purpose.ENROLL
    return binding.enrollment_key


class TestNeverUsed:
    async def test_what_was_fetched_to_enroll_ends_with_the_life_of_a_challenge(
        self, live: Live, clock: SetClock, device: EnrollmentKey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pkcs12_identities, "_PAGE", 1)  # among many
        await ask(live, keys.generate(keys.KeyAlgorithm.RSA_2048), (await _by_scep(live)).secret)
        clock.moment += HOUR
        lost, taken = await fetch(live), await fetch(live)
        await used(live, await _enrollment_of(live, taken), await version_of(live, taken))
        await identities.renew(live, UDID, actor="test")
        clock.moment += 24 * HOUR
        later = await fetch(live)
        assert await pkcs12_identities.retire_unused(live.installation, actor="test") == 0
        clock.moment += timedelta(seconds=1)
        assert await pkcs12_identities.retire_unused(live.installation, actor="test") == 1
        ended = await version_of(live, lost)
        assert (ended.state, ended.reason) == (VersionState.RETIRED, "never used")
        assert (await version_of(live, taken)).state is VersionState.ACTIVE
        assert (await version_of(live, later)).state is VersionState.ISSUED
        assert await states(live) == [VersionState.ACTIVE, VersionState.ISSUED], "a renewal may be all that its device has"
        assert await pkcs12_identities.retire_unused(live.installation, actor="test") == 0

    async def test_what_came_by_scep_is_left_alone(self, live: Live, clock: SetClock, device_keys: Keys) -> None:
        by_scep = await ask(live, device_keys[0], (await _by_scep(live)).secret)
        clock.moment += 100 * HOUR
        await pkcs12_identities.retire_unused(live.installation, actor="test")
        found = await live.installation.store.read(lambda tx: tx.lineages.by_sha256(certificates.sha256(by_scep)))
        assert found is not None
        assert found.state is VersionState.ISSUED

    @pytest.mark.parametrize(("was_sent", "first"), [(False, VersionState.RETIRED), (True, VersionState.ISSUED)])
    async def test_a_renewal_that_is_replaced_takes_its_identity_back_unless_the_device_may_have_it(
        self, live: Live, clock: SetClock, device: EnrollmentKey, was_sent: bool, first: VersionState
    ) -> None:
        command = await identities.renew(live, UDID, actor="test")
        if was_sent:
            await sent(live, command)
        for _ in range(2):
            clock.moment += HOUR
            await identities.renew(live, UDID, actor="test")
        assert await states(live) == [VersionState.ACTIVE, first, VersionState.RETIRED, VersionState.ISSUED]


async def _by_scep(live: Live) -> enrollment_profiles.NewChallenge:
    """A challenge for a first identity."""
    switch(live, IdentityRoute.SCEP)
    made = await challenge_for(live)
    switch(live, IdentityRoute.PKCS12)
    return made


class TestACompromise:
    """Whoever has the key of the identity in use may have fetched the next one with it."""

    @pytest.fixture
    async def serial(self, live: Live, device: EnrollmentKey) -> str:
        """The serial number of the identity in use, over which a renewal has gone out and was answered."""
        renewal, now = await identities.renew(live, UDID, actor="test"), live.installation.clock.now()
        state = CommandState.ACKNOWLEDGED
        await live.installation.store.run(lambda tx: tx.commands.answer(device, renewal.uuid, state, b"<report/>", now))
        (active,) = [v for v in (await devices.show(live.installation, UDID)).identities if v.state is VersionState.ACTIVE]
        assert active.serial is not None
        return active.serial

    async def test_revoking_one_identity_revokes_what_was_sent_over_it(self, live: Live, serial: str) -> None:
        because = RevocationReason.KEY_COMPROMISE
        revoked = await identities.revoke(live.installation, serial, reason="copied", because=because, actor="test")
        assert [version.revoked_for for version in revoked] == [because, because]
        assert await states(live) == [VersionState.REVOKED, VersionState.REVOKED]

    async def test_suspending_one_identity_ends_what_was_sent_over_it(self, live: Live, serial: str) -> None:
        await suspension.suspend(live.installation, serial, reason="copied?", actor="test")
        assert await states(live) == [VersionState.SUSPENDED, VersionState.RETIRED]

    async def test_revoking_a_retired_identity_leaves_the_renewal_alone(
        self, live: Live, device: EnrollmentKey, clock: SetClock
    ) -> None:
        await identities.renew(live, UDID, actor="test")
        versions = sorted((await devices.show(live.installation, UDID)).identities, key=lambda each: each.number)
        await used(live, device, versions[1])
        clock.moment += 73 * HOUR
        await identities.retire_superseded(live.installation, actor="test")
        await identities.renew(live, UDID, actor="test")
        await identities.revoke(live.installation, versions[0].serial or "", reason="old", actor="test")
        assert await states(live) == [VersionState.REVOKED, VersionState.ACTIVE, VersionState.ISSUED]


class TestTheMark:
    async def test_is_on_the_device_from_the_issue_on(self, live: Live, device: EnrollmentKey) -> None:
        assert await _routes(live) == {IdentityRoute.SCEP}
        await identities.renew(live, UDID, actor="test")
        assert await _routes(live) == {IdentityRoute.PKCS12}

    async def test_stays_until_an_identity_by_scep_is_in_use(self, live: Live, device: EnrollmentKey, device_keys: Keys) -> None:
        """One that was issued and is not used yet does not make the one in force any stronger."""
        await identities.renew(live, UDID, actor="test")
        in_use = sorted((await devices.show(live.installation, UDID)).identities, key=lambda each: each.number)[0]
        assert in_use.certificate is not None
        await ask(live, device_keys[1], None, signer=(certificates.load(in_use.certificate), device_keys[0]))
        assert await _routes(live) == {IdentityRoute.PKCS12}

    async def test_is_written_down_with_the_issue(self, live: Live, device: EnrollmentKey) -> None:
        await fetch(live)
        events = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.CERTIFICATE_ISSUED, limit=2))
        assert [(each.detail["route"], "transaction" in each.detail) for each in events] == [("pkcs12", False), ("scep", True)]


async def _routes(live: Live) -> set[str]:
    """How the device's identities come, wherever it is told."""
    shown = await devices.show(live.installation, UDID)
    (standing,) = [each for each in await identity_standing.listing(live.installation) if each.version.state == "active"]
    rows = await live.installation.store.read(lambda tx: tx.lineages.certificates(kind=Kind.DEVICE_IDENTITY))
    return {shown.route, standing.route, *(row.lineage.route for row in rows if row.enrollment_id == UDID)}


class TestWhatMayNotChange:
    """A device that came in another way goes on with the enrollment profile that it has, whatever brings its identity."""

    async def test_urls_with_a_token_keep_it(self, live: Live, device: EnrollmentKey) -> None:
        await _put(live, device, outside_identities.INVARIANTS)
        mdm = _payloads(live, await identities.renew(live, UDID, actor="test"))["com.apple.mdm"]
        assert f"?device={device}." in mdm["ServerURL"]
        assert f"?device={device}." in mdm["CheckInURL"]

    async def test_a_former_profile_stays_but_for_the_identity(self, live: Live, device: EnrollmentKey) -> None:
        mdm = {"PayloadType": "com.apple.mdm", "PayloadIdentifier": "former.mdm", "PayloadUUID": "F1", "PayloadVersion": 1}
        mdm |= {"ServerURL": "https://mdm.example.test/former", "Topic": "t", "IdentityCertificateUUID": "gone"}
        profile = {"PayloadType": "Configuration", "PayloadIdentifier": "former", "PayloadUUID": "F0", "PayloadVersion": 1}
        kept = FormerProfile("0" * 16, "t", plistlib.dumps({**profile, "PayloadContent": [mdm]}))
        sealer = live.installation.sealer
        await _put(live, device, await live.installation.store.run(lambda tx: former_profiles.keep(tx, sealer, kept)))
        payloads = _payloads(live, await identities.renew(live, UDID, actor="test"))
        brought = payloads["com.apple.security.pkcs12"]
        assert payloads["com.apple.mdm"] == {**mdm, "IdentityCertificateUUID": brought["PayloadUUID"]}


async def _put(live: Live, key: EnrollmentKey, invariants: str) -> None:
    def change(tx: Tx) -> None:
        found = tx.enrollments.get(key)
        assert found is not None
        tx.enrollments.update(replace(found, invariants=invariants))

    await live.installation.store.run(change)


def _payloads(live: Live, command: Command) -> dict[str, Any]:
    """What a renewal's profile holds, by type."""
    message = plistlib.loads(live.installation.sealer.open(command.payload, payload_place(command.uuid)))
    content = cms.parse_signed_data(message["Command"]["Payload"]).content
    assert content is not None
    return {each["PayloadType"]: each for each in plistlib.loads(content)["PayloadContent"]}


async def test_the_setting_decides_each_time(live: Live, device: EnrollmentKey) -> None:
    """A device goes from one way to the other, and back, with its next renewal."""
    for source in (IdentityRoute.SCEP, IdentityRoute.PKCS12, IdentityRoute.SCEP):
        switch(live, source)
        kinds = set(_payloads(live, await identities.renew(live, UDID, actor="test")))
        assert kinds == {f"com.apple.security.{source}", "com.apple.security.root", "com.apple.mdm"}
