"""Devices of a former MDM: who may go on here, what is written down of them, and how they are renewed."""

from __future__ import annotations

import json
import plistlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.mdm.connect import payload_place
from bramley.mdm.errors import Refused
from bramley.mdm.identity import SKEW
from bramley.mdm.records import secret_place
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentState, Purpose
from bramley.model.events import EventKind
from bramley.model.lineages import VersionState
from bramley.operations import devices, former_checks, former_mdm, former_records, identities, trusted_cas
from bramley.operations.errors import Conflict
from bramley.operations.former_lines import read_lines
from bramley.operations.former_mdm import Imported
from bramley.operations.live import Live
from bramley.pki import certificates, keys, names, oids
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.ca.profiles import DEVICE_IDENTITY, HTTPS_SERVER, IDENTITY_CA
from bramley.pki.cms import parse_signed_data
from bramley.profiles.errors import BadProfile
from tests.conftest import NOW, SetClock

from .conftest import enrolled

Keys = list[keys.PrivateKey]
A, B, C = (f"0000803{n}-001A35E40212802E" for n in range(3))
LONG_AGO = NOW - timedelta(days=200)


@dataclass(frozen=True, slots=True)
class FormerMDM:
    """What the admin of one has in hand."""

    ca: Authority
    topic: str

    def identity(self, key: keys.PrivateKey, name: str = "device", **how: Any) -> x509.Certificate:
        made = {"now": LONG_AGO, **how}
        return issue(self.ca, made.pop("profile", DEVICE_IDENTITY), key.public_key(), subject=names.make(name), **made)

    def line(self, udid: str, certificate: x509.Certificate | None, **changed: Any) -> dict[str, Any]:
        said = {
            "udid": udid, "serial_number": f"S{udid[7]}", "topic": self.topic, "push_magic": f"magic of {udid}",
            "push_token": b64encode(udid.encode()).decode(), "unlock_token": b64encode(b"unlock it").decode(),
            "bootstrap_token": b64encode(b"boot it").decode(),
            "certificate": certificate and certificates.pem(certificate).decode(), **changed,
        }  # fmt: skip
        return {name: value for name, value in said.items() if value is not None}

    def channel(self, udid: str, user: str) -> dict[str, Any]:
        plain = {"serial_number": None, "unlock_token": None, "bootstrap_token": None}
        return self.line(udid, None, user_id=user, user_short_name="jo", **plain)

    def profile(self, host: str, **mdm: Any) -> bytes:
        def payload(kind: str, uuid: str, **rest: Any) -> dict[str, Any]:
            return {"PayloadType": kind, "PayloadVersion": 1, "PayloadIdentifier": f"old.{uuid}", "PayloadUUID": uuid, **rest}

        scep = payload("com.apple.security.scep", "SCEP", PayloadContent={"URL": "https://old/scep", "Challenge": "old secret"})
        base = f"https://{host}/mdm"
        managed = payload(
            "com.apple.mdm", "MDM", IdentityCertificateUUID="SCEP", Topic=self.topic, ServerURL=f"{base}/connect",
            CheckInURL=f"{base}/checkin", SignMessage=True, AccessRights=8191, **mdm,
        )  # fmt: skip
        return plistlib.dumps(payload("Configuration", "TOP", PayloadContent=[scep, managed]))


@pytest.fixture(scope="module")
def ca() -> Authority:
    """The CA of a former MDM, which vouches for itself."""
    key = keys.generate(keys.KeyAlgorithm.RSA_2048)
    lifetime = timedelta(days=365 * 20)
    return Authority(self_signed(IDENTITY_CA, key, names.make("Old CA"), now=LONG_AGO, lifetime=lifetime), key)


@pytest.fixture
def old(ca: Authority, topic: str) -> FormerMDM:
    return FormerMDM(ca, topic)


@pytest.fixture
async def trusting(live: Live, old: FormerMDM) -> Live:
    """An installation that trusts the former CA."""
    await trusted_cas.trust(live.installation, old.ca.certificate, actor="test")
    await live.refresh()
    return live


async def bring(live: Live, *lines: dict[str, Any], **how: Any) -> Imported:
    data = "\n".join(map(json.dumps, lines)).encode()
    done = await former_mdm.import_enrollments(live.installation, read_lines(data, "f"), actor="test", **how)
    await live.refresh()
    return done


async def enrollment(live: Live, device: str) -> Enrollment | None:
    return await live.installation.store.read(lambda tx: tx.enrollments.by_id(EnrollmentID(device)))


async def test_a_device_goes_on_as_it_was(trusting: Live, old: FormerMDM, device_keys: Keys) -> None:
    certificate = old.identity(device_keys[0])
    done = await bring(trusting, old.channel(A, "U-1"), old.line(A, certificate))
    assert done.written.brought == (A, f"{A}:U-1")
    assert (done.problems, len(done.warnings)) == ((), 1)
    shown = await devices.show(trusting.installation, A)
    found, (version,), (channel,) = shown.enrollment, shown.identities, shown.channels
    assert (found.state, found.udid, found.serial_number, found.topic) == (EnrollmentState.ACTIVE, A, "S0", old.topic)
    assert (found.push_token, found.push_magic, found.token_updated_at) == (A.encode(), f"magic of {A}", NOW)
    assert (version.state, version.sha256, version.key_id) == (VersionState.ACTIVE, certificates.sha256(certificate), None)
    assert (channel.parent, channel.user_id, channel.udid, channel.user_short_name) == (found.key, "U-1", A, "jo")

    def read(tx: Any) -> Any:
        ca = tx.lineages.by_sha256(certificates.sha256(old.ca.certificate))
        lineage = tx.lineages.get(version.lineage_id)
        events = tx.events.find(enrollment_key=found.key)
        return tx.enrollments.binding(version.sha256), ca.id, lineage, [event.kind for event in events]

    binding, ca_version, lineage, events = await trusting.installation.store.read(read)
    assert (binding.enrollment_key, binding.purpose) == (found.key, Purpose.ENROLL)
    assert (version.issuer_version, lineage.route, lineage.name) == (ca_version, "imported", found.key)
    assert await trusting.installation.store.read(lambda tx: trusted_cas.relying(tx, ca_version)) == 1
    assert events == [EventKind.ENROLLMENT_IMPORTED, EventKind.CERTIFICATE_IMPORTED]

    open_ = trusting.installation.sealer.open
    assert found.unlock_token is not None
    assert found.bootstrap_token is not None
    assert open_(found.unlock_token, secret_place(found.key, "unlock-token")) == b"unlock it"
    assert open_(found.bootstrap_token, secret_place(found.key, "bootstrap-token")) == b"boot it"


async def test_again_changes_nothing_and_goes_on_where_it_was(trusting: Live, old: FormerMDM, device_keys: Keys) -> None:
    first, second = (old.line(udid, old.identity(key)) for udid, key in zip((A, B), device_keys, strict=False))
    await bring(trusting, first)
    before = await enrollment(trusting, A)
    done = await bring(trusting, first | {"push_magic": "another"}, second, old.channel(A, "U-1"))
    assert (done.written.brought, done.written.known) == ((f"{A}:U-1", B), (A,))
    assert await enrollment(trusting, A) == before
    again = await bring(trusting, first, second, old.channel(A, "U-1"))
    assert (again.written.brought, again.written.known) == ((), (A, f"{A}:U-1", B))


async def test_what_enrolled_here_or_has_left_is_left_alone(trusting: Live, old: FormerMDM, device_keys: Keys) -> None:
    await enrolled(trusting, device_keys[0], A)
    mine = await enrollment(trusting, A)
    lines = old.line(A, old.identity(device_keys[1])), old.channel(A, "U-1"), old.line(B, old.identity(device_keys[2], "b"))
    done = await bring(trusting, *lines)
    assert (done.written.brought, done.written.known) == ((B,), (A, f"{A}:U-1"))
    assert await enrollment(trusting, A) == mine
    await identities.revoke(trusting.installation, B, reason="sold", actor="test")
    again = await bring(trusting, *lines, profile=old.profile(trusting.installation.host))
    assert again.written.known == (A, f"{A}:U-1", B)
    assert await enrollment(trusting, B) is None


def self_made(key: keys.PrivateKey, name: str = "alone", **how: Any) -> x509.Certificate:
    made = {"now": LONG_AGO, "lifetime": timedelta(days=3650), **how}
    return self_signed(made.pop("profile", DEVICE_IDENTITY), key, names.make(name), **made)


async def test_a_self_signed_identity_is_trusted_for_itself_alone(live: Live, old: FormerMDM, device_keys: Keys) -> None:
    alone, its_like = self_made(device_keys[0]), self_made(device_keys[1])
    trust = live.current().trust
    done = await bring(live, old.line(A, alone))
    assert done.written.brought == (A,)
    admit = live.current().trust.admit
    assert live.current().trust is not trust
    assert admit(certificates.der(alone), NOW, SKEW).sha256 == certificates.sha256(alone)
    # of the same name, and signed by its key: of no use
    issued = _issued_by(alone, device_keys[0], device_keys[2])
    for stranger in (its_like, issued):
        with pytest.raises(Refused):
            admit(certificates.der(stranger), NOW, SKEW)
    kept = live.current().trust
    await bring(live, old.line(A, alone))
    assert live.current().trust is kept
    await identities.revoke(live.installation, A, reason="lost", actor="test")
    await bring(live, old.line(B, self_made(device_keys[2])))
    with pytest.raises(Refused):
        live.current().trust.admit(certificates.der(alone), NOW, SKEW)


def _issued_by(above: x509.Certificate, key: keys.PrivateKey, for_key: keys.PrivateKey) -> x509.Certificate:
    builder = x509.CertificateBuilder().subject_name(names.make("below")).issuer_name(above.subject)
    builder = builder.public_key(for_key.public_key()).serial_number(5)
    builder = builder.not_valid_before(LONG_AGO).not_valid_after(NOW + timedelta(days=9))
    usage = x509.ExtendedKeyUsage([x509.ObjectIdentifier(oids.CLIENT_AUTH)])
    return builder.add_extension(usage, critical=False).sign(key, hashes.SHA256())


def _weak() -> keys.PrivateKey:
    return rsa.generate_private_key(65537, 1024)


def _weak_identity(old: FormerMDM) -> x509.Certificate:
    return _issued_by(old.ca.certificate, old.ca.key, _weak())


NO_USAGE = replace(DEVICE_IDENTITY, extended_key_usage=())
Lines = Callable[[FormerMDM, Keys], list[dict[str, Any]]]
SOON = timedelta(hours=1)
BAD: dict[str, tuple[Lines, list[tuple[int, str, str]]]] = {
    "unknown CA": (lambda old, k: [old.line(A, _issued_by(self_made(k[1], "Stranger"), k[1], k[0]))],
                   [(1, "certificate", "identity ca trust")]),
    "no certificate": (lambda old, k: [old.line(A, None) | {"certificate": "AAAA"}], [(1, "certificate", "DER or PEM")]),
    "weak": (lambda old, k: [old.line(A, _weak_identity(old))], [(1, "certificate", "1024 bits")]),
    "of a server": (lambda old, k: [old.line(A, old.identity(k[0], profile=replace(HTTPS_SERVER, san_required=False)))],
                    [(1, "certificate", "extended key usage")]),
    "not yet": (lambda old, k: [old.line(A, old.identity(k[0], now=NOW + timedelta(days=2)))],
                [(1, "certificate", "valid from")]),
    "alone and a CA": (lambda old, k: [old.line(A, self_made(k[0], profile=IDENTITY_CA))],
                       [(1, "certificate", "more of its like")]),
    "alone and of no use": (lambda old, k: [old.line(A, self_made(k[0], profile=NO_USAGE))],
                            [(1, "certificate", "extended key usage")]),
    "alone and ended": (lambda old, k: [old.line(A, self_made(k[0], lifetime=SOON))], [(1, "certificate", "expired")]),
    "topic": (lambda old, k: [old.line(A, old.identity(k[0]), topic="com.apple.mgmt.other")], [(1, "topic", "push import")]),
    "twice": (lambda old, k: [old.line(A, old.identity(k[0])), old.line(A, old.identity(k[1]))], [(2, "udid", "f, line 1")]),
    "shared": (lambda old, k: [old.line(udid, shared) for shared in [old.identity(k[0])] for udid in (A, B)],
               [(1, "certificate", "2 devices have this one identity"), (2, "certificate", "2 devices")]),
    "a channel alone": (lambda old, k: [old.channel(B, "U"), old.line(A, old.identity(k[0]))], [(1, "udid", "its device")]),
    "a channel twice": (lambda old, k: [old.line(A, old.identity(k[0])), old.channel(A, "U"), old.channel(A, "U")],
                        [(3, "user_id", "f, line 2")]),
    "a channel's topic": (lambda old, k: [old.line(A, old.identity(k[0])), old.channel(A, "U") | {"topic": "com.apple.mgmt.o"}],
                          [(2, "topic", "com.apple.mgmt.o")]),
    "a CA's": (lambda old, k: [old.line(A, old.ca.certificate)], [(1, "certificate", "a CA")]),
    "a bad line": (lambda old, k: [{"udid": A, "what": 1}], [(1, "'what'", "no such field")]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
async def test_a_line_that_cannot_be_believed_stops_all(trusting: Live, old: FormerMDM, device_keys: Keys, case: str) -> None:
    lines, expected = BAD[case]
    good = old.line(C, old.identity(device_keys[2], "good"))
    given = [*lines(old, device_keys), good]
    done = await bring(trusting, *given)
    assert [(problem.where, problem.field) for problem in done.problems] == [(f"f, line {n}", field) for n, field, _ in expected]
    for problem, (_n, _field, words) in zip(done.problems, expected, strict=True):
        assert words in f"{problem.message} {problem.advice}"
        assert "magic of" not in str(problem)
    assert done.written.brought == ()
    assert await enrollment(trusting, C) is None

    skipped = await bring(trusting, *given, skip_bad=True)
    assert skipped.problems == done.problems
    assert C in skipped.written.brought
    bad = {given[n - 1]["udid"] for n, field, _ in expected if not given[n - 1].get("user_id") and field != "udid"}
    for udid in bad:
        assert await enrollment(trusting, udid) is None


async def test_a_certificate_that_is_somebody_else_s(trusting: Live, old: FormerMDM, device_keys: Keys) -> None:
    certificate = old.identity(device_keys[0])
    await bring(trusting, old.line(A, certificate))
    done = await bring(trusting, old.line(B, certificate))
    assert [(p.field, p.message) for p in done.problems] == [("certificate", f"It is on record as the identity of {A}.")]
    assert await enrollment(trusting, B) is None


async def test_an_ended_identity_may_still_fetch_its_renewal(
    trusting: Live, old: FormerMDM, device_keys: Keys, clock: SetClock
) -> None:
    ended = old.line(A, old.identity(device_keys[0], lifetime=timedelta(days=30)))
    done = await bring(trusting, ended)
    assert done.written.brought == (A,)
    assert any("1 devices have ended" in warning for warning in done.warnings)
    clock.moment += timedelta(days=400)
    late = await bring(trusting, old.line(B, old.identity(device_keys[1], lifetime=timedelta(days=30))))
    assert [(p.field, "too long ago" in p.message) for p in late.problems] == [("certificate", True)]


async def test_pages_are_written_one_after_the_other(
    trusting: Live, old: FormerMDM, device_keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(former_mdm, "PAGE", 1)
    lines = [old.line(udid, old.identity(key)) for udid, key in zip((A, B, C), device_keys, strict=True)]
    assert (await bring(trusting, *lines)).written.brought == (A, B, C)


class TestTheirProfile:
    async def test_without_it_no_renewal_and_with_it_later_one(self, trusting: Live, old: FormerMDM, device_keys: Keys) -> None:
        line, host = old.line(A, old.identity(device_keys[0])), trusting.installation.host
        await bring(trusting, line)
        with pytest.raises(Conflict, match="former MDM") as caught:
            await identities.renew(trusting, A, actor="test")
        assert "--profile" in caught.value.advice
        done = await bring(trusting, line, profile=old.profile(host))
        assert (done.written.completed, done.warnings) == ((A,), ())
        assert (await bring(trusting, line, profile=old.profile(host))).written.known == (A,)

        command = await identities.renew(trusting, A, actor="test")
        found = await enrollment(trusting, A)
        assert found is not None
        assert found.invariants.startswith("former:")
        request = plistlib.loads(_opened(trusting, command))
        sent = plistlib.loads(parse_signed_data(request["Command"]["Payload"]).content or b"")
        managed = next(each for each in sent["PayloadContent"] if each["PayloadType"] == "com.apple.mdm")
        assert (sent["PayloadIdentifier"], sent["PayloadUUID"]) == ("old.TOP", "TOP")
        assert (managed["PayloadUUID"], managed["ServerURL"]) == ("MDM", f"https://{host}/mdm/connect")
        scep = next(each for each in sent["PayloadContent"] if each["PayloadType"] == "com.apple.security.scep")
        assert managed["IdentityCertificateUUID"] == scep["PayloadUUID"]
        assert scep["PayloadContent"]["URL"] == f"{trusting.installation.url}/scep"
        assert "old.SCEP" not in [each["PayloadIdentifier"] for each in sent["PayloadContent"]]

    async def test_it_is_kept_once_and_sealed(self, trusting: Live, old: FormerMDM, device_keys: Keys) -> None:
        profile = old.profile(trusting.installation.host)
        lines = [old.line(udid, old.identity(key)) for udid, key in zip((A, B), device_keys, strict=False)]
        await bring(trusting, *lines, profile=profile)
        first, second = [await enrollment(trusting, udid) for udid in (A, B)]
        assert first is not None
        assert second is not None
        assert first.invariants == second.invariants
        note = await trusting.installation.store.read(lambda tx: tx.notes.get(f"former-profile:{first.invariants[7:]}"))
        assert note is not None
        database = b"".join(path.read_bytes() for path in trusting.installation.settings.data.glob("*.sqlite3*"))
        for secret in (b"old secret", b"old.TOP", b"unlock it", b"boot it", b64encode(b"old.TOP")[:8]):
            assert secret not in database

    async def test_of_another_topic_than_a_line_s_or_ours(self, trusting: Live, old: FormerMDM, device_keys: Keys) -> None:
        line = old.line(A, old.identity(device_keys[0]))
        with pytest.raises(BadProfile, match="Topic"):
            await bring(trusting, line, profile=replace(old, topic="com.apple.mgmt.other").profile(trusting.installation.host))
        with pytest.raises(BadProfile, match="ServerURL"):
            await bring(trusting, line, profile=old.profile("old.example"))
        assert await enrollment(trusting, A) is None


def _opened(live: Live, command: Any) -> bytes:
    """A queued command as its device gets it."""
    return live.installation.sealer.open(command.payload, payload_place(command.uuid))


async def test_something_else_that_came_in_between_stops_the_page(trusting: Live, old: FormerMDM, device_keys: Keys) -> None:
    certificate = old.identity(device_keys[0])
    lines = read_lines(json.dumps(old.line(B, certificate)).encode(), "f")
    snapshot = trusting.current()
    rules = former_checks.Rules(snapshot.trust, snapshot.topics, NOW, SKEW, None)
    (late,), _problems = former_checks.candidates(lines, rules)
    await bring(trusting, old.line(A, certificate))
    desk = former_records.Desk(trusting.installation, None, NOW, "test")
    with pytest.raises(Conflict, match="came in between"):
        await trusting.installation.store.run(lambda tx: former_records.write(tx, desk, [late]))
