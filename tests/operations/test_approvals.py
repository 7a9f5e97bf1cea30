"""SCEP requests that a person decides."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.model.approvals import ApprovalState
from bramley.model.enrollments import EnrollmentState, Purpose
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.operations import approvals, enrolling, identities
from bramley.operations.approvals import Asked
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.live import Live
from bramley.pki import certificates, keys
from bramley.pki.names import make
from bramley.pki.scep import enrollment
from bramley.storage.protocols import Tx
from tests.conftest import SetClock

from .conftest import ask, challenge_for, challenge_of_link
from .scep_kit import Client, with_scep

Keys = list[keys.PrivateKey]
DENIED = "badRequest: request-denied"


@pytest.fixture
async def manual(live: Live) -> Live:
    """A server where a person has the last word."""
    return await with_scep(live, approval="manual")


async def waiting(live: Live) -> Asked:
    (asked,) = await approvals.listing(live.installation)
    return asked


async def issued(live: Live) -> int:
    return len(await live.installation.store.read(lambda tx: tx.lineages.certificates(kind=Kind.DEVICE_IDENTITY)))


async def events(live: Live, kind: EventKind) -> Sequence[Event]:
    return await live.installation.store.read(lambda tx: tx.events.find(kind=kind))


async def test_a_request_waits_until_it_is_approved_and_is_then_fetched(manual: Live, device_keys: Keys) -> None:
    given = await challenge_for(manual)
    client = Client.make(manual, device_keys[0], given.secret)

    assert [await client.send(), await client.send(), await client.poll()] == ["pending"] * 3
    asked = await waiting(manual)
    assert (asked.subject, asked.key) == ("CN=router", "RSA, 2048 bits, exponent 65537")
    assert await issued(manual) == 0

    decided = await approvals.approve(manual, asked.approval.id, actor="admin:ann")
    assert (decided.approval.state, decided.approval.decided_by) == (ApprovalState.APPROVED, "admin:ann")
    assert await issued(manual) == 1  # at once: a poll only fetches it

    first, again, by_poll = await client.send(), await client.send(), await client.poll()
    assert isinstance(first, x509.Certificate)
    assert first == again == by_poll
    assert await issued(manual) == 1
    binding = await manual.installation.store.read(lambda tx: tx.enrollments.binding(certificates.sha256(first)))
    assert binding is not None
    assert (binding.enrollment_key, binding.purpose) == (given.challenge.enrollment_key, Purpose.ENROLL)
    for kind, actor in ((EventKind.SCEP_HELD, "device:"), (EventKind.SCEP_APPROVED, "admin:ann")):
        (event,) = await events(manual, kind)
        assert (event.actor, event.enrollment_key, event.detail["approval"]) == (
            actor,
            given.challenge.enrollment_key,
            asked.approval.id,
        )


async def test_a_denied_request_hears_so_in_words(manual: Live, device_keys: Keys) -> None:
    client = Client.make(manual, device_keys[0], (await challenge_for(manual)).secret)
    await client.send()
    await approvals.deny(manual.installation, (await waiting(manual)).approval.id, reason="not ours", actor="cli")

    assert [await client.send(), await client.poll()] == [DENIED] * 2
    assert await issued(manual) == 0
    (event,) = await events(manual, EventKind.SCEP_DENIED)
    assert event.detail["reason"] == "not ours"
    with pytest.raises(Exception, match="denied this request"):
        await ask(manual, device_keys[0], None)


async def test_nothing_is_decided_twice_or_for_nobody(manual: Live, device_keys: Keys) -> None:
    client = Client.make(manual, device_keys[0], (await challenge_for(manual)).secret)
    await client.send()
    name = (await waiting(manual)).approval.id
    tries = [approvals.approve(manual, name, actor="a"), approvals.deny(manual.installation, name, reason="", actor="b")]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["Asked", "Conflict"]
    with pytest.raises(Conflict, match=r"was (approved by a|denied by b) at"):
        await approvals.approve(manual, name, actor="c")
    with pytest.raises(NotFound):
        await approvals.approve(manual, "nothing", actor="c")
    with pytest.raises(NotFound):
        await approvals.deny(manual.installation, "nothing", reason="", actor="c")


class TestWhoMayAsk:
    """A transactionID is no secret: the signer's key is what counts."""

    async def test_another_signer_learns_nothing(self, manual: Live, device_keys: Keys) -> None:
        client = Client.make(manual, device_keys[0], (await challenge_for(manual)).secret)
        await client.send()
        await approvals.approve(manual, (await waiting(manual)).approval.id, actor="cli")
        key = device_keys[1]
        assert isinstance(key, rsa.RSAPrivateKey)
        thief = enrollment.temporary_signer(key, make("router"), now=manual.installation.clock.now())

        assert await client.poll(signer=thief) == "badCertId: poll-unknown"
        assert await client.poll(transaction_id="ANOTHER") == "badCertId: poll-unknown"
        stolen = Client.make(manual, device_keys[0], None, thief)
        assert await stolen.send() == "badRequest: challenge-unknown"

    async def test_another_certificate_for_the_same_key_is_the_same_signer(self, manual: Live, device_keys: Keys) -> None:
        """Some clients make a new temporary certificate for each message, and a message of new octets with it."""
        given = await challenge_for(manual)
        client, again = (Client.make(manual, device_keys[0], given.secret) for _ in range(2))
        assert client.sent.signer.certificate != again.sent.signer.certificate
        assert [await client.send(), await again.send()] == ["pending"] * 2
        await approvals.approve(manual, (await waiting(manual)).approval.id, actor="cli")
        assert await again.poll() == await again.send() == await client.send()

    async def test_another_key_in_the_same_transaction_is_another_request(self, manual: Live, device_keys: Keys) -> None:
        given = await challenge_for(manual)
        client = Client.make(manual, device_keys[0], given.secret)
        await client.send()
        other = Client.make(manual, device_keys[1], given.secret, client.sent.signer)
        assert await other.send() == "badRequest: challenge-spent"

    async def test_a_poll_before_any_request_finds_nothing(self, manual: Live, device_keys: Keys) -> None:
        assert await Client.make(manual, device_keys[0], None).poll() == "badCertId: poll-unknown"


async def test_the_challenge_is_spent_on_the_request_and_its_link_used(manual: Live, device_keys: Keys) -> None:
    created = await enrolling.create_link(manual.installation, label="pilot", uses=1, expires_in=timedelta(days=1), actor="test")
    first, second = await challenge_of_link(manual, created.url), await challenge_of_link(manual, created.url)
    assert await Client.make(manual, device_keys[0], first.secret).send() == "pending"
    assert (await waiting(manual)).label == "pilot"

    assert await Client.make(manual, device_keys[1], first.secret).send() == "badRequest: challenge-spent"
    assert await Client.make(manual, device_keys[1], second.secret).send() == "badRequest: link-used-up"
    assert len(await approvals.listing(manual.installation, None)) == 1


async def test_of_many_at_once_one_is_kept(manual: Live, device_keys: Keys) -> None:
    given = await challenge_for(manual)
    answers = await asyncio.gather(*(Client.make(manual, device_keys[n % 3], given.secret).send() for n in range(9)))
    assert set(answers) == {"pending", "badRequest: challenge-spent"}
    assert answers.count("pending") == 3  # the three messages of one key are one request
    assert len(await approvals.listing(manual.installation, None)) == 1


async def test_what_is_kept_holds_no_challenge_in_clear(manual: Live, device_keys: Keys) -> None:
    given = await challenge_for(manual)
    await Client.make(manual, device_keys[0], given.secret).send()
    asked = await waiting(manual)
    assert given.secret.encode() not in asked.approval.request
    assert given.secret not in repr(asked)
    assert given.secret not in repr([event.detail for event in await events(manual, EventKind.SCEP_HELD)])


class TestRenewal:
    async def test_needs_nobody(self, manual: Live, device_keys: Keys) -> None:
        client = Client.make(manual, device_keys[0], (await challenge_for(manual)).secret)
        await client.send()
        await approvals.approve(manual, (await waiting(manual)).approval.id, actor="cli")
        first = await client.send()
        assert isinstance(first, x509.Certificate)
        assert await ask(manual, device_keys[1], None, signer=(first, device_keys[0])) != first

    async def test_with_the_same_key_is_not_answered_with_what_was_approved_before(self, manual: Live, device_keys: Keys) -> None:
        """The transaction is named by the key, so it has the same name."""
        client = Client.make(manual, device_keys[0], (await challenge_for(manual)).secret)
        await client.send()
        await approvals.approve(manual, (await waiting(manual)).approval.id, actor="cli")
        first = await client.send()
        assert isinstance(first, x509.Certificate)
        assert await ask(manual, device_keys[0], None, signer=(first, device_keys[0])) != first

    async def test_asked_for_by_the_server_needs_nobody_either(self, manual: Live, device_keys: Keys) -> None:
        given = await challenge_for(manual, purpose=Purpose.RENEW)
        assert (await ask(manual, device_keys[0], given.secret)).serial_number > 0


async def test_a_fresh_challenge_makes_a_new_request_of_a_denied_one(manual: Live, device_keys: Keys, clock: SetClock) -> None:
    """The same device with the same key, after its administrator has thought again."""
    await Client.make(manual, device_keys[0], (await challenge_for(manual)).secret).send()
    await approvals.deny(manual.installation, (await waiting(manual)).approval.id, reason="", actor="cli")
    clock.moment += timedelta(seconds=1)
    again = Client.make(manual, device_keys[0], (await challenge_for(manual)).secret)
    assert await again.send() == "pending"
    assert await again.poll() == "pending"


async def test_an_enrollment_that_has_ended_is_not_approved(manual: Live, device_keys: Keys) -> None:
    given = await challenge_for(manual)
    client = Client.make(manual, device_keys[0], given.secret)
    await client.send()

    def end(tx: Tx) -> None:
        found = tx.enrollments.get(given.challenge.enrollment_key)
        assert found is not None
        tx.enrollments.update(replace(found, state=EnrollmentState.CHECKED_OUT))

    await manual.installation.store.run(end)
    with pytest.raises(Conflict, match="has ended"):
        await approvals.approve(manual, (await waiting(manual)).approval.id, actor="cli")
    assert await client.poll() == "pending"


async def test_what_was_revoked_meanwhile_is_not_handed_out(manual: Live, device_keys: Keys) -> None:
    client = Client.make(manual, device_keys[0], (await challenge_for(manual)).secret)
    await client.send()
    approved = await approvals.approve(manual, (await waiting(manual)).approval.id, actor="cli")
    version_id = approved.approval.version_id
    assert version_id is not None
    version = await manual.installation.store.read(lambda tx: tx.lineages.version(version_id))
    assert version is not None
    assert version.state is VersionState.ISSUED
    await identities.revoke(manual.installation, version.serial or "", reason="lost", actor="cli")
    assert [await client.send(), await client.poll()] == [DENIED] * 2


async def test_what_nobody_decides_is_denied_in_time(manual: Live, device_keys: Keys, clock: SetClock) -> None:
    client = Client.make(manual, device_keys[0], (await challenge_for(manual)).secret)
    await client.send()
    after = timedelta(days=7)

    async def expire() -> int:
        return await manual.installation.store.run(
            lambda tx: approvals.expire(tx, now=clock.now(), after=after, actor="job:sweep")
        )

    clock.moment += after
    assert await expire() == 0
    clock.moment += timedelta(seconds=1)
    assert await expire() == 1
    assert await client.poll() == DENIED
    (event,) = await events(manual, EventKind.SCEP_DENIED)
    assert (event.actor, event.detail["reason"]) == ("job:sweep", "nobody decided in time")


async def test_without_the_setting_nothing_waits(live: Live, device_keys: Keys) -> None:
    client = Client.make(live, device_keys[0], (await challenge_for(live)).secret)
    assert isinstance(await client.send(), x509.Certificate)
    assert await approvals.listing(live.installation, None) == []
    assert await client.poll() == "badCertId: poll-unknown"
