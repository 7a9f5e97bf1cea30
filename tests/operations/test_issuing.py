"""Who gets an identity over SCEP, and that nobody else does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.model.enrollments import EnrollmentState, Purpose
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.operations import enrolling, identities, issuing, records, scep
from bramley.operations.enrollment_profiles import new_challenge
from bramley.operations.live import Live
from bramley.pki import certificates, chains, csr, keys, oids
from bramley.pki.ca.authority import Authority, issue, self_signed
from bramley.pki.ca.profiles import DEVICE_IDENTITY, IDENTITY_CA
from bramley.pki.names import make, text
from bramley.pki.scep import enrollment
from bramley.pki.scep.errors import Refused
from bramley.pki.scep.messages import FailInfo
from bramley.storage.errors import DiskTrouble
from bramley.storage.protocols import Tx
from tests.conftest import SetClock
from tests.pki.scep.kit import Messages

from .conftest import ask, challenge_for, challenge_of_link

Keys = list[keys.PrivateKey]


async def _count(live: Live) -> int:
    store = live.installation.store
    return len(await store.read(lambda tx: tx.lineages.certificates(kind=Kind.DEVICE_IDENTITY)))


async def _refusals(live: Live) -> list[object]:
    events = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.SCEP_REFUSED))
    return [event.detail["reason"] for event in events]


async def test_a_fresh_challenge_gets_an_identity_that_is_recorded_and_bound(live: Live, device_keys: Keys) -> None:
    issued = await challenge_for(live)
    certificate = await ask(live, device_keys[0], issued.secret)

    key = issued.challenge.enrollment_key
    assert text(certificate.subject) == f"CN={key},O=Bramley"
    root = live.current().authorities.root.certificate
    identity_ca = live.current().authorities.identity.authority.certificate
    chains.verify(
        certificate,
        intermediates=[identity_ca],
        anchors=[root],
        at=live.installation.clock.now(),
        extended_key_usage=oids.CLIENT_AUTH,
    )
    digest = certificates.sha256(certificate)
    binding = await live.installation.store.read(lambda tx: tx.enrollments.binding(digest))
    version = await live.installation.store.read(lambda tx: tx.lineages.by_sha256(digest))
    assert binding is not None
    assert (binding.enrollment_key, binding.purpose) == (key, Purpose.ENROLL)
    assert version is not None
    assert version.state is VersionState.ISSUED
    assert version.certificate == certificates.der(certificate)


async def test_a_challenge_is_spent_by_its_first_use(live: Live, device_keys: Keys) -> None:
    issued = await challenge_for(live)
    await ask(live, device_keys[0], issued.secret)
    with pytest.raises(Refused):
        await ask(live, device_keys[1], issued.secret)
    assert await _count(live) == 1
    assert await _refusals(live) == ["challenge-spent"]


async def test_of_many_at_once_one_gets_the_identity(live: Live, device_keys: Keys) -> None:
    issued = await challenge_for(live)
    answers = await asyncio.gather(*(ask(live, device_keys[n % 3], issued.secret) for n in range(12)), return_exceptions=True)
    assert sum(isinstance(answer, x509.Certificate) for answer in answers) == 1
    assert await _count(live) == 1


async def test_the_same_message_again_gets_the_same_certificate(live: Live, device_keys: Keys, clock: SetClock) -> None:
    """The answer was lost on its way: the device sends the very same bytes again."""
    issued = await challenge_for(live)
    ca = live.current().responder.certificate
    request_der = csr.build(device_keys[0], make("device"), challenge_password=issued.secret)
    who = enrollment.signer_for(device_keys[0], make("device"), None, renewal=False, now=clock.now())
    sent = enrollment.request(
        request_der, signer=who, ca=ca, ra=None, renewal=False, now=clock.now(), digest="sha256", cipher="aes-256-cbc"
    )
    first, again = [
        enrollment.accept((await scep.respond(live, sent.message)).message, sent, now=clock.now())[0] for _ in range(2)
    ]
    assert first == again
    assert await _count(live) == 1
    clock.moment += issuing.RESEND_WINDOW + timedelta(seconds=1)
    with pytest.raises(Refused):
        enrollment.accept((await scep.respond(live, sent.message)).message, sent, now=clock.now())


async def test_an_expired_challenge_gets_nothing(live: Live, device_keys: Keys, clock: SetClock) -> None:
    issued = await challenge_for(live, life=timedelta(hours=1))
    clock.moment += timedelta(hours=2)
    with pytest.raises(Refused):
        await ask(live, device_keys[0], issued.secret)
    assert await _refusals(live) == ["challenge-expired"]


@pytest.mark.parametrize("challenge", [None, "", "wrong"])
async def test_no_or_a_wrong_challenge_gets_nothing(live: Live, device_keys: Keys, challenge: str | None) -> None:
    with pytest.raises(Refused) as refused:
        await ask(live, device_keys[0], challenge)
    assert refused.value.fail_info is FailInfo.badRequest
    assert refused.value.text is None  # the client is not told which
    assert await _count(live) == 0


async def test_a_failed_request_spends_nothing(live: Live, device_keys: Keys) -> None:
    issued = await challenge_for(live)
    with pytest.raises(Refused):
        await ask(live, device_keys[0], issued.secret + "x")
    assert (await ask(live, device_keys[0], issued.secret)).serial_number > 0


async def test_a_link_for_one_device_serves_one(live: Live, device_keys: Keys) -> None:
    created = await enrolling.create_link(live.installation, label="", uses=1, expires_in=timedelta(days=1), actor="test")
    first, second = await challenge_of_link(live, created.url), await challenge_of_link(live, created.url)
    await ask(live, device_keys[0], first.secret)
    with pytest.raises(Refused):
        await ask(live, device_keys[1], second.secret)
    assert await _refusals(live) == ["link-used-up"]
    assert await _count(live) == 1


class TestRenewal:
    async def test_a_live_identity_renews_itself_by_either_message_type(self, live: Live, device_keys: Keys) -> None:
        issued = await challenge_for(live)
        first = await ask(live, device_keys[0], issued.secret)
        second = await ask(live, device_keys[1], None, signer=(first, device_keys[0]), renewal=True)
        third = await ask(live, device_keys[2], None, signer=(second, device_keys[1]))
        bindings = await live.installation.store.read(lambda tx: tx.enrollments.bindings(issued.challenge.enrollment_key))
        purposes = {binding.certificate_sha256: binding.purpose for binding in bindings}
        assert purposes == {
            certificates.sha256(first): Purpose.ENROLL,
            certificates.sha256(second): Purpose.RENEW,
            certificates.sha256(third): Purpose.RENEW,
        }

    async def test_the_spent_challenge_of_its_enrollment_does_not_disturb(self, live: Live, device_keys: Keys) -> None:
        issued = await challenge_for(live)
        first = await ask(live, device_keys[0], issued.secret)
        renewed = await ask(live, device_keys[1], issued.secret, signer=(first, device_keys[0]))
        assert renewed.subject == first.subject

    async def test_not_with_someone_elses_challenge(self, live: Live, device_keys: Keys) -> None:
        first = await ask(live, device_keys[0], (await challenge_for(live)).secret)
        other = await challenge_for(live)
        with pytest.raises(Refused):
            await ask(live, device_keys[1], other.secret, signer=(first, device_keys[0]))
        assert await _refusals(live) == ["challenge-of-another"]
        served = await ask(live, device_keys[2], other.secret)  # it is still good for whom it was made
        assert served.subject != first.subject

    async def test_not_by_a_revoked_identity_even_with_a_good_challenge(self, live: Live, device_keys: Keys) -> None:
        first = await ask(live, device_keys[0], (await challenge_for(live)).secret)
        await identities.revoke(live.installation, f"{first.serial_number:x}", reason="stolen", actor="test")
        other = await challenge_for(live)
        for renewal in (True, False):
            with pytest.raises(Refused) as refused:
                await ask(live, device_keys[1], other.secret, signer=(first, device_keys[0]), renewal=renewal)
            assert refused.value.fail_info is FailInfo.badCertId
        assert await _refusals(live) == ["signer-not-live", "signer-not-live"]

    async def test_not_by_an_expired_identity(self, live: Live, device_keys: Keys, clock: SetClock) -> None:
        first = await ask(live, device_keys[0], (await challenge_for(live)).secret)
        clock.moment += timedelta(days=366)
        with pytest.raises(Refused) as refused:
            await ask(live, device_keys[1], None, signer=(first, device_keys[0]), renewal=True)
        assert refused.value.fail_info is FailInfo.badTime

    @pytest.mark.parametrize(
        ("purpose", "days", "changed", "state", "served"),
        [
            (Purpose.RENEW, 1, {}, EnrollmentState.ACTIVE, True),
            (Purpose.RENEW, 400, {}, EnrollmentState.ACTIVE, True),
            (Purpose.RENEW, 401, {}, EnrollmentState.ACTIVE, False),
            (Purpose.RENEW, 1, {"expired": "refuse"}, EnrollmentState.ACTIVE, False),
            (Purpose.RENEW, 1, {}, EnrollmentState.QUARANTINED, False),
            (Purpose.RENEW, 1, {}, EnrollmentState.PENDING, False),
            (Purpose.ENROLL, 1, {}, EnrollmentState.ACTIVE, False),
            (None, 1, {}, EnrollmentState.ACTIVE, False),
        ],
    )
    async def test_an_expired_one_needs_a_challenge_for_its_renewal(
        self,
        live: Live,
        device_keys: Keys,
        clock: SetClock,
        purpose: Purpose | None,
        days: int,
        changed: Any,
        state: EnrollmentState,
        served: bool,
    ) -> None:
        issued = await challenge_for(live)
        first = await ask(live, device_keys[0], issued.secret)
        await _use(live, first)

        def stands(tx: Tx) -> None:
            enrollment = tx.enrollments.get(issued.challenge.enrollment_key)
            assert enrollment is not None
            tx.enrollments.update(replace(enrollment, state=state))

        await live.installation.store.run(stands)
        clock.moment = first.not_valid_after_utc + timedelta(days=days)
        asked = new_challenge(issued.challenge.enrollment_key, purpose or Purpose.RENEW, clock.now(), timedelta(days=1))
        await live.installation.store.run(lambda tx: tx.challenges.add(asked.challenge))
        tree = live.installation.settings
        tree = replace(tree, identity=replace(tree.identity, **changed))
        server = await Live.start(replace(live.installation, settings=tree))

        async def renew() -> x509.Certificate:
            return await ask(server, device_keys[1], asked.secret if purpose else None, signer=(first, device_keys[0]))

        if served:
            assert (await renew()).subject == first.subject
        else:
            with pytest.raises(Refused) as refused:
                await renew()
            assert refused.value.fail_info is FailInfo.badTime

    async def test_an_expired_one_that_was_superseded_renews_nothing(
        self, live: Live, device_keys: Keys, clock: SetClock
    ) -> None:
        issued = await challenge_for(live)
        first = await ask(live, device_keys[0], issued.secret)
        second = await ask(live, device_keys[1], None, signer=(first, device_keys[0]))
        await _use(live, first)
        await _use(live, second)
        clock.moment = first.not_valid_after_utc + timedelta(days=1)
        asked = new_challenge(issued.challenge.enrollment_key, Purpose.RENEW, clock.now(), timedelta(days=1))
        await live.installation.store.run(lambda tx: tx.challenges.add(asked.challenge))
        with pytest.raises(Refused) as refused:
            await ask(live, device_keys[2], asked.secret, signer=(first, device_keys[0]))
        assert refused.value.fail_info is FailInfo.badTime

    async def test_not_by_a_look_alike_authority(self, live: Live, device_keys: Keys) -> None:
        """Same name, own key: what it signs is on no record of ours."""
        await ask(live, device_keys[0], (await challenge_for(live)).secret)
        ours = live.current().authorities.identity.authority
        now = live.installation.clock.now()
        fake = Authority(self_signed(IDENTITY_CA, device_keys[2], ours.certificate.subject, now=now), device_keys[2])
        forged = issue(fake, DEVICE_IDENTITY, device_keys[1].public_key(), subject=make("victim"), now=now)
        with pytest.raises(Refused) as refused:
            await ask(live, device_keys[1], None, signer=(forged, device_keys[1]), renewal=True)
        assert refused.value.fail_info is FailInfo.badCertId

    async def test_a_superseded_identity_needs_a_challenge(self, live: Live, device_keys: Keys) -> None:
        """Whoever has got hold of the key that was replaced must not come back with it; the device itself is asked anew."""
        issued = await challenge_for(live)
        first = await ask(live, device_keys[0], issued.secret)
        second = await ask(live, device_keys[1], None, signer=(first, device_keys[0]))
        await _use(live, first)
        await _use(live, second)
        for renewal in (True, False):
            with pytest.raises(Refused) as refused:
                await ask(live, device_keys[2], None, signer=(first, device_keys[0]), renewal=renewal)
            assert refused.value.fail_info is FailInfo.badCertId
        assert await _refusals(live) == ["signer-superseded", "signer-superseded"]

        now = live.installation.clock.now()
        asked = new_challenge(issued.challenge.enrollment_key, Purpose.RENEW, now, timedelta(days=1))
        await live.installation.store.run(lambda tx: tx.challenges.add(asked.challenge))
        assert (await ask(live, device_keys[2], asked.secret, signer=(first, device_keys[0]))).subject == first.subject

    async def test_not_by_a_retired_identity_even_with_a_good_challenge(
        self, live: Live, device_keys: Keys, clock: SetClock
    ) -> None:
        issued = await challenge_for(live)
        first = await ask(live, device_keys[0], issued.secret)
        second = await ask(live, device_keys[1], None, signer=(first, device_keys[0]))
        await _use(live, first)
        await _use(live, second)
        clock.moment += timedelta(days=30)
        assert await identities.retire_superseded(live.installation, actor="test") == 1
        asked = new_challenge(issued.challenge.enrollment_key, Purpose.RENEW, clock.now(), timedelta(days=1))
        await live.installation.store.run(lambda tx: tx.challenges.add(asked.challenge))
        with pytest.raises(Refused):
            await ask(live, device_keys[2], asked.secret, signer=(first, device_keys[0]))
        assert await _refusals(live) == ["signer-not-live"]


async def test_a_challenge_of_an_enrollment_that_has_ended_gets_nothing(live: Live, device_keys: Keys) -> None:
    """Both of them: the one that its profile held, and a renewal's that was still on its way."""
    issued = await challenge_for(live)
    key, now = issued.challenge.enrollment_key, live.installation.clock.now()
    renewal = new_challenge(key, Purpose.RENEW, now, timedelta(days=30))

    def end(tx: Tx) -> None:
        tx.challenges.add(renewal.challenge)
        enrollment = tx.enrollments.get(key)
        assert enrollment is not None
        identities.end(tx, enrollment, now=now, actor="test")

    await live.installation.store.run(end)
    for secret in (issued.secret, renewal.secret):
        with pytest.raises(Refused):
            await ask(live, device_keys[0], secret)
    assert await _refusals(live) == ["enrollment-ended", "enrollment-ended"]
    assert await _count(live) == 0


async def test_a_challenge_outlives_neither_its_link_nor_a_full_disk(
    live: Live, device_keys: Keys, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    issued = await challenge_for(live, life=timedelta(days=30))

    async def full(_fn: object) -> None:
        raise DiskTrouble("The disk is full.")

    with monkeypatch.context() as patch, pytest.raises(DiskTrouble):
        patch.setattr(live.installation.store, "run", full)
        await ask(live, device_keys[0], issued.secret)
    assert await _count(live) == 0
    clock.moment += timedelta(days=8)
    with pytest.raises(Refused):
        await ask(live, device_keys[0], issued.secret)
    assert await _refusals(live) == ["link-expired"]


async def _use(live: Live, certificate: x509.Certificate) -> None:
    def promote(tx: Tx) -> None:
        version = tx.lineages.by_sha256(certificates.sha256(certificate))
        assert version is not None
        records.promote(tx, version, now=live.installation.clock.now(), actor="test")

    await live.installation.store.run(promote)


@pytest.mark.parametrize("kind", [b"18", b"3", b"23"])
async def test_updatereq_gets_nothing_even_with_a_good_challenge(live: Live, device_keys: Keys, kind: bytes) -> None:
    """A server that asked for the challenge of some types alone issued to whoever chose another."""
    issued = await challenge_for(live)
    key, now, responder = device_keys[0], live.installation.clock.now(), live.current().responder
    assert isinstance(key, rsa.RSAPrivateKey)
    request = csr.build(key, make("device"), challenge_password=issued.secret)
    messages = Messages(responder, enrollment.temporary_signer(key, make("device"), now=now), request, now)

    reply = await scep.respond(live, messages.sign(attributes=messages.attributes(kind)))

    assert reply.refused == "MessageTypeRefused"
    assert await _count(live) == 0
    assert (await ask(live, key, issued.secret)).serial_number > 0  # nothing was spent
