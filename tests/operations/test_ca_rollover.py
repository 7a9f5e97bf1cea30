"""The identity CA replaced step by step: who is believed, who issues, what is held up by whom, and what a crash leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from cryptography import x509

from bramley.jobs.plans import EVERY, Plans
from bramley.lifecycle.plans import PACES, Act
from bramley.mdm.errors import Refusal
from bramley.mdm.errors import Refused as SignerRefused
from bramley.mdm.identity import SKEW
from bramley.model.enrollments import EnrollmentKey
from bramley.model.events import EventKind
from bramley.model.jobs import DONE, Job
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version, VersionState
from bramley.model.plans import PlanKind, PlanStage, PlanState
from bramley.operations import authorities, ca_plan, ca_rollover, issuers, records, revocation
from bramley.operations.ca_plan import Mode, Rollover
from bramley.operations.errors import Conflict
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.pki import certificates, csr, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import issue
from bramley.pki.scep import enrollment
from bramley.pki.scep.errors import BadReply
from bramley.storage.protocols import Store, Tx
from tests.conftest import SetClock

from .conftest import InProcess, ask, challenge_for, enrolled

T = TypeVar("T")
UDID = "00008030-001A35E40212802E"
PACE = PACES[PlanKind.CA_ROLLOVER]
SECOND = timedelta(seconds=1)
YEAR = timedelta(days=365)
Keys = list[keys.PrivateKey]


async def begin(live: Live, mode: Mode = Mode.NEW_KEY, **options: Any) -> Rollover:
    if mode is Mode.NEW_KEY:  # quicker to make than RSA, unless a test is about SCEP
        options = {"algorithm": keys.KeyAlgorithm.P_256} | options
    return await ca_rollover.begin(live.installation, mode, actor="test", **options)


async def advance(live: Live) -> Rollover | None:
    """Every step that is due is taken, and this server has heard of it."""
    await ca_plan.advance(live.installation, actor="test")
    await live.refresh()
    return await ca_plan.standing(live.installation)


async def until_used(live: Live, clock: SetClock) -> None:
    await advance(live)
    clock.moment += PACE.settle
    await advance(live)


async def until_withdrawn(live: Live, clock: SetClock) -> None:
    clock.moment += PACE.linger
    assert await advance(live) is None


def believes(live: Live, certificate: x509.Certificate) -> bool:
    """Whether whoever holds its key is heard; the only reason not to be is that its CA is a stranger."""
    try:
        live.current().trust.admit(certificates.der(certificate), live.installation.clock.now(), SKEW)
    except SignerRefused as error:
        if error.reason is not Refusal.UNKNOWN_ISSUER:
            raise
        return False
    return True


def issuing(live: Live) -> x509.Certificate:
    return live.current().authorities.identity.authority.certificate


async def ca_states(live: Live) -> list[VersionState]:
    """Of the identity CA's versions, oldest first."""
    found = await live.installation.store.read(authorities.identity_versions)
    return [version.state for version in reversed(found)]


async def identity(
    live: Live,
    key: EnrollmentKey,
    public: keys.PublicKey,
    state: VersionState = VersionState.ACTIVE,
    kind: Kind = Kind.DEVICE_IDENTITY,
) -> Version:
    """An identity put on record as issued by the CA in force."""
    held, now = live.current().authorities.identity, live.installation.clock.now()
    made = issue(held.authority, profiles.DEVICE_IDENTITY, public, subject=names.make(key), now=now, lifetime=YEAR)

    def put(tx: Tx) -> Version:
        lineage = records.lineage(tx, kind, key, Policy(YEAR), now=now)
        return records.record(tx, lineage, made, state=state, now=now, actor="test", issuer=held.version)

    return await live.installation.store.run(put)


def certificate_of(version: Version) -> x509.Certificate:
    assert version.certificate is not None
    return certificates.load(version.certificate)


async def test_a_new_key_is_believed_before_it_issues_and_the_old_one_until_nobody_needs_it(
    live: Live, clock: SetClock, device_keys: Keys
) -> None:
    public = device_keys[0].public_key()
    before = issuing(live)
    old = await identity(live, EnrollmentKey("a"), public)

    await begin(live)
    await live.refresh()
    ahead = live.current().next_identity
    assert ahead is not None
    assert names.text(ahead.subject) == "CN=Bramley Device Identity CA G2,O=Bramley"
    assert live.current().authorities.identity_certificates == (before,), "prepared is not yet trusted"

    trusted = await advance(live)
    assert trusted is not None
    assert trusted.step is not None
    assert (trusted.plan.stage, trusted.step.act, trusted.step.due) == (PlanStage.TRUSTED, Act.USE, False)
    assert live.current().authorities.identity_certificates == (before, ahead)
    assert (issuing(live), live.current().next_identity) == (before, ahead)

    clock.moment += PACE.settle - SECOND
    await advance(live)
    assert issuing(live) == before
    clock.moment += SECOND
    used = await advance(live)
    assert used is not None
    assert used.plan.stage is PlanStage.USED
    assert (issuing(live), live.current().next_identity) == (ahead, None)
    assert live.current().authorities.identity_certificates == (ahead, before)
    new = await identity(live, EnrollmentKey("b"), public)
    assert believes(live, certificate_of(old))
    assert believes(live, certificate_of(new))

    clock.moment += PACE.linger
    waiting = await advance(live)
    assert waiting is not None
    assert waiting.step is not None
    assert (waiting.step.due, waiting.step.waits_for) == (False, "1 that rely on the old one")
    await live.installation.store.run(lambda tx: records.move(tx, old, VersionState.RETIRED, now=clock.now(), actor="test"))
    assert await advance(live) is None
    assert await ca_states(live) == [VersionState.RETIRED, VersionState.ACTIVE]
    assert not believes(live, certificate_of(old))
    assert believes(live, certificate_of(new))
    events = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.PLAN_STEP_TAKEN))
    assert [event.detail["stage"] for event in reversed(events)] == ["trusted", "used", "withdrawn"]


@pytest.mark.parametrize("kind", [Kind.DEVICE_IDENTITY, Kind.NETWORK_IDENTITY, Kind.PROFILE_RECIPIENT])
@pytest.mark.parametrize(
    ("state", "relies"),
    [
        (VersionState.ISSUED, True),
        (VersionState.ACTIVE, True),
        (VersionState.SUPERSEDED, True),
        (VersionState.SUSPENDED, True),
        (VersionState.RETIRED, False),
        (VersionState.REVOKED, False),
    ],
)
async def test_who_relies_on_the_old_ca(
    live: Live, clock: SetClock, device_keys: Keys, state: VersionState, relies: bool, kind: Kind
) -> None:
    await identity(live, EnrollmentKey("a"), device_keys[0].public_key(), state, kind)
    await begin(live)
    await until_used(live, clock)
    clock.moment += PACE.linger
    assert (await advance(live) is not None) is relies


async def test_many_who_rely_are_counted(live: Live, clock: SetClock, device_keys: Keys) -> None:
    public = device_keys[0].public_key()
    for number in range(5):
        await identity(live, EnrollmentKey(f"old {number}"), public)
    await begin(live)
    await until_used(live, clock)
    await identity(live, EnrollmentKey("new"), public)
    clock.moment += PACE.linger
    waiting = await advance(live)
    assert waiting is not None
    assert waiting.step is not None
    assert waiting.step.waits_for == "5 that rely on the old one"


async def test_one_that_has_expired_relies_on_its_ca_for_as_long_as_it_may_renew(
    live: Live, clock: SetClock, device_keys: Keys
) -> None:
    after_end = live.installation.settings.identity.after_end
    assert after_end is not None
    version = await identity(live, EnrollmentKey("a"), device_keys[0].public_key())
    assert version.not_after is not None
    await begin(live)
    await until_used(live, clock)
    clock.moment = version.not_after + after_end
    assert await advance(live) is not None
    clock.moment += SECOND
    assert await advance(live) is None


async def test_what_ends_by_itself_is_waited_for_by_nobody(live: Live, clock: SetClock, device_keys: Keys) -> None:
    """An identity in force that no device ever renewed: it ends with its CA at the latest."""
    clock.moment = issuing(live).not_valid_after_utc - timedelta(days=30)
    stale = await identity(live, EnrollmentKey("a"), device_keys[0].public_key())
    assert certificate_of(stale).not_valid_after_utc == issuing(live).not_valid_after_utc
    await begin(live)
    await until_used(live, clock)
    clock.moment = certificate_of(stale).not_valid_after_utc + SECOND
    assert await advance(live) is None
    assert await ca_states(live) == [VersionState.RETIRED, VersionState.ACTIVE]
    assert not believes(live, certificate_of(stale))


async def test_with_the_same_key_identities_chain_to_either(live: Live, clock: SetClock, device_keys: Keys) -> None:
    before = issuing(live)
    old = await identity(live, EnrollmentKey("a"), device_keys[0].public_key())
    clock.moment += 5 * YEAR
    rolled = await begin(live, Mode.SAME_KEY)
    assert rolled.mode is Mode.SAME_KEY
    await until_used(live, clock)
    now = issuing(live)
    assert (now.subject, certificates.public_key(now)) == (before.subject, certificates.public_key(before))
    assert now.not_valid_after_utc > before.not_valid_after_utc
    assert rolled.new.key_id == rolled.old.key_id
    fresh = await identity(live, EnrollmentKey("b"), device_keys[0].public_key())
    certificate_of(old).verify_directly_issued_by(now)
    await until_withdrawn(live, clock)
    assert await ca_states(live) == [VersionState.RETIRED, VersionState.ACTIVE]
    assert believes(live, certificate_of(fresh))


async def test_the_same_key_after_the_former_certificate_has_ended(live: Live, clock: SetClock, device_keys: Keys) -> None:
    """Everybody is believed again at once, and nothing waits for the sake of what has ended."""
    before = issuing(live)
    clock.moment = before.not_valid_after_utc + YEAR
    await begin(live, Mode.SAME_KEY, use_after=YEAR)
    await until_used(live, clock)
    assert await ca_states(live) == [VersionState.RETIRED, VersionState.ACTIVE]
    assert believes(live, certificate_of(await identity(live, EnrollmentKey("a"), device_keys[0].public_key())))


async def test_the_same_key_makes_no_sense_where_it_would_not_last_longer(live: Live, clock: SetClock) -> None:
    root = live.current().authorities.root.certificate
    clock.moment = root.not_valid_after_utc - 5 * YEAR
    await begin(live)
    await until_used(live, clock)
    assert issuing(live).not_valid_after_utc == root.not_valid_after_utc
    await until_withdrawn(live, clock)
    with pytest.raises(Conflict, match="no later than it does now"):
        await begin(live, Mode.SAME_KEY)
    with pytest.raises(Conflict, match="algorithm that it has"):
        await begin(live, Mode.SAME_KEY, algorithm=keys.KeyAlgorithm.P_256)


async def test_it_stays_prepared_for_as_long_as_it_was_told(live: Live, clock: SetClock) -> None:
    await begin(live, use_after=timedelta(days=14))
    await advance(live)
    clock.moment += timedelta(days=14) - SECOND
    await advance(live)
    assert live.current().next_identity is not None
    clock.moment += SECOND
    await advance(live)
    assert live.current().next_identity is None


class TestSCEP:
    """Clients that asked for the CA certificate before the switch."""

    @pytest.mark.parametrize("algorithm", [keys.KeyAlgorithm.RSA_2048, keys.KeyAlgorithm.P_256])
    async def test_a_message_to_the_former_ca_is_answered_by_it_until_it_is_withdrawn(
        self, live: Live, clock: SetClock, device_keys: Keys, algorithm: keys.KeyAlgorithm
    ) -> None:
        former = issuing(live)
        await begin(live, algorithm=algorithm)
        await until_used(live, clock)

        async def send() -> x509.Certificate:
            challenge = (await challenge_for(live)).secret
            request = csr.build(device_keys[0], names.make("device"), challenge_password=challenge)
            signer = enrollment.signer_for(device_keys[0], names.make("device"), None, renewal=False, now=clock.now())
            sent = enrollment.request(request, signer=signer, ca=former, now=clock.now())
            _kind, reply = await InProcess(live).post("operation=PKIOperation", sent.message)
            # answered by whom it was sent to, with an identity of the CA that issues now
            return enrollment.accept(reply, replace(sent, ca=issuing(live)), now=clock.now())[0]

        issued = await send()
        issued.verify_directly_issued_by(issuing(live))
        version = await live.installation.store.read(lambda tx: tx.lineages.by_sha256(certificates.sha256(issued)))
        assert version is not None
        assert version.issuer_version == live.current().authorities.identity.version
        await until_withdrawn(live, clock)
        with pytest.raises(BadReply):  # nobody here signs as the former CA any more
            await send()
        events = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.SCEP_REFUSED))
        assert [event.detail["reason"] for event in events] == ["WrongRecipient"]

    async def test_who_asks_now_gets_an_identity_of_the_new_ca(self, live: Live, clock: SetClock, device_keys: Keys) -> None:
        key = await enrolled(live, device_keys[0], UDID)
        first = await _active_identity(live, key)
        await begin(live, algorithm=keys.KeyAlgorithm.RSA_2048)
        await until_used(live, clock)
        renewed = await ask(live, device_keys[1], None, signer=(first, device_keys[0]), renewal=True)
        renewed.verify_directly_issued_by(issuing(live))

    async def test_an_elliptic_ca_has_an_ra_from_the_moment_it_issues(
        self, live: Live, clock: SetClock, device_keys: Keys
    ) -> None:
        former = live.current().responder.certificate
        await begin(live, algorithm=keys.KeyAlgorithm.P_384)
        await advance(live)
        assert live.current().responder.certificate == former
        clock.moment += PACE.settle
        await advance(live)
        answering = live.current().responder.certificate
        answering.verify_directly_issued_by(issuing(live))
        assert isinstance(certificates.public_key(issuing(live)), keys.PublicKey)
        assert keys.algorithm_of(certificates.public_key(issuing(live))) is keys.KeyAlgorithm.P_384


async def _active_identity(live: Live, key: EnrollmentKey) -> x509.Certificate:
    def read(tx: Tx) -> Version | None:
        return records.active(tx, Kind.DEVICE_IDENTITY, key)

    found = await live.installation.store.read(read)
    assert found is not None
    return certificate_of(found)


@pytest.mark.parametrize(("mode", "count", "told"), [(Mode.NEW_KEY, 2, [[0], [1]]), (Mode.SAME_KEY, 1, [[0, 1]])])
async def test_each_key_tells_of_what_it_has_issued_that_is_revoked(
    live: Live, clock: SetClock, device_keys: Keys, mode: Mode, count: int, told: list[list[int]]
) -> None:
    """The CRL is of a key and a name, whichever certificates of a CA those come with (RFC 5280 6.3.3)."""
    clock.moment += timedelta(days=1)
    issued = [await identity(live, EnrollmentKey("a"), device_keys[0].public_key())]
    await begin(live, mode)
    await until_used(live, clock)
    issued.append(await identity(live, EnrollmentKey("b"), device_keys[0].public_key()))
    for version in issued:
        await live.installation.store.run(
            lambda tx, version=version: records.move(tx, version, VersionState.REVOKED, now=clock.now(), actor="test")  # type: ignore[misc]
        )
    await until_withdrawn(live, clock)
    found = await live.installation.store.read(issuers.read)
    ours = [issuer for issuer in found if issuer.kind is Kind.IDENTITY_CA]
    assert len({issuer.name for issuer in ours}) == count
    for issuer, expected in zip(ours, told, strict=True):
        published = await revocation.current(live.installation, issuer, actor="test")
        crl = x509.load_der_x509_crl(published.der)
        assert crl.is_signature_valid(certificates.public_key(issuer.x509))
        assert {f"{entry.serial_number:x}" for entry in crl} == {issued[place].serial for place in expected}


class TestOneAtATime:
    async def test_another_is_refused_until_the_new_ca_is_used(self, live: Live, clock: SetClock) -> None:
        first = await begin(live)
        for _ in range(2):
            with pytest.raises(Conflict, match="under way since 2026-11-24 12:00 UTC"):
                await begin(live)
            await advance(live)
        clock.moment += PACE.settle
        await advance(live)

        second = await begin(live)
        plans = await live.installation.store.read(lambda tx: tx.plans.recent())
        assert {plan.id: plan.state for plan in plans} == {first.plan.id: PlanState.DONE, second.plan.id: PlanState.RUNNING}
        assert [plan.detail.get("continued_by") for plan in plans if plan.id == first.plan.id] == [second.plan.id]

    async def test_the_later_one_withdraws_for_the_earlier(self, live: Live, clock: SetClock, device_keys: Keys) -> None:
        public = device_keys[0].public_key()
        oldest = await identity(live, EnrollmentKey("a"), public)
        await begin(live)
        await until_used(live, clock)
        clock.moment += PACE.linger
        await begin(live)
        await until_used(live, clock)
        assert await ca_states(live) == [VersionState.SUPERSEDED, VersionState.SUPERSEDED, VersionState.ACTIVE]
        clock.moment += PACE.linger
        assert await advance(live) is not None
        assert believes(live, certificate_of(oldest))
        await live.installation.store.run(lambda tx: records.move(tx, oldest, VersionState.REVOKED, now=clock.now(), actor="t"))
        assert await advance(live) is None
        assert await ca_states(live) == [VersionState.RETIRED, VersionState.RETIRED, VersionState.ACTIVE]

    async def test_it_can_be_given_up_until_it_is_used(self, live: Live, clock: SetClock) -> None:
        before = issuing(live)
        for steps in range(2):
            await begin(live)
            for _ in range(steps):
                await advance(live)
            ended = await ca_rollover.cancel(live.installation, actor="test")
            assert (ended.plan.state, ended.new.state, ended.step) == (PlanState.CANCELLED, VersionState.FAILED, None)
            clock.moment += YEAR
            await advance(live)
            assert live.current().authorities.identity_certificates == (before,)
            assert live.current().next_identity is None
        with pytest.raises(Conflict, match="No rollover"):
            await ca_rollover.cancel(live.installation, actor="test")
        await begin(live)
        await until_used(live, clock)
        with pytest.raises(Conflict, match="issues already"):
            await ca_rollover.cancel(live.installation, actor="test")

    async def test_no_two_keys_ever_share_a_name(self, live: Live) -> None:
        for _ in range(2):
            await begin(live)
            await ca_rollover.cancel(live.installation, actor="test")
        await begin(live)
        found = await live.installation.store.read(authorities.identity_versions)
        subjects = {names.text(certificate_of(version).subject) for version in found}
        assert len(subjects) == len({version.spki_sha256 for version in found}) == 4

    async def test_a_long_organization_still_has_a_name_for_it(self, live: Live) -> None:
        organization = "O" * 44
        name = await live.installation.store.read(lambda tx: authorities.next_name(tx, organization))
        assert names.text(name) == f"CN=Device Identity CA G2,O={organization}"


@dataclass(slots=True)
class Crashing:
    """A store whose process dies in the middle of a transaction, at the `at`-th one: nothing of it is kept."""

    store: Store
    at: int
    count: int = 0

    async def read(self, fn: Callable[[Tx], T]) -> T:
        return await self.store.read(fn)

    async def run(self, fn: Callable[[Tx], T]) -> T:
        self.count += 1

        def die(tx: Tx) -> T:
            result = fn(tx)
            if self.count == self.at:
                raise KeyboardInterrupt
            return result

        return await self.store.run(die)


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_crash_in_any_step_leaves_it_to_be_taken(live: Live, clock: SetClock, at: int) -> None:
    """`at` names the step: trust, use, withdraw."""
    await begin(live)
    moments = [timedelta(), PACE.settle, PACE.linger]
    taken = [PlanStage.PREPARED, PlanStage.TRUSTED, PlanStage.USED]
    for number, wait in enumerate(moments, 1):
        clock.moment += wait
        if number == at:
            crashing: Any = Crashing(live.installation.store, 1)
            with pytest.raises(KeyboardInterrupt):
                await ca_plan.advance(replace(live.installation, store=crashing), actor="test")
            (plan,) = await live.installation.store.read(lambda tx: tx.plans.running())
            assert plan.stage is taken[number - 1]
            again = await Live.start(live.installation)  # another process
            assert again.current().authorities.identity_certificates == live.current().authorities.identity_certificates
            live = again
        await advance(live)
    assert await ca_states(live) == [VersionState.RETIRED, VersionState.ACTIVE]


async def test_two_servers_follow_one_plan(live: Live, clock: SetClock) -> None:
    other = await Live.start(live.installation)
    await begin(live)
    for wait in (timedelta(), PACE.settle, PACE.linger):
        clock.moment += wait
        await advance(live)
        await advance(other)  # there is nothing left for it to do
        assert other.current().authorities.identity_certificates == live.current().authorities.identity_certificates
    events = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.PLAN_STEP_TAKEN))
    assert len(events) == 3


class TestTheJob:
    async def test_takes_the_steps_and_comes_back_when_the_next_is_due(self, live: Live, clock: SetClock) -> None:
        rollover = await begin(live)
        (left,) = await live.installation.store.read(lambda tx: tx.jobs.of_kind(ca_plan.ADVANCE))
        assert (left.run_at, left.dedup_key) == (clock.now(), f"{ca_plan.ADVANCE}:{rollover.plan.id}")
        plans = Plans(live)
        (outcome,) = await plans([left])
        assert outcome.retry_after == PACE.settle
        clock.moment += PACE.settle
        assert await plans([left]) == [DONE], "the next step is days away: the hourly round takes it"
        assert PACE.linger > EVERY

    async def test_has_nothing_to_do(self, live: Live, clock: SetClock) -> None:
        assert await Plans(live)([Job(ca_plan.ADVANCE, clock.now(), clock.now())]) == [DONE]


async def due_at(installation: Installation) -> list[object]:
    events = await installation.store.read(lambda tx: tx.events.find(kind=EventKind.CA_ROLLOVER_DUE))
    return [event.detail["due"] for event in events]


async def test_that_it_is_due_is_said_once_for_each_ca(live: Live, clock: SetClock) -> None:
    def says() -> Any:
        return ca_rollover.watch_over(live.installation, actor="test")

    life = timedelta(days=live.installation.settings.identity.lifetime_days)
    first = issuing(live).not_valid_after_utc - life - timedelta(days=90)
    clock.moment = first - SECOND
    assert not await says()
    lineage, active = await live.installation.store.read(authorities.identity_in_force)
    assert abs((_due(lineage.policy, active) - first).total_seconds()) < 1, "every list shows this date"
    clock.moment = first
    assert await says()
    assert not await says()
    assert await due_at(live.installation) == [first.isoformat()]
    await begin(live)
    await until_used(live, clock)
    assert not await says()
    clock.moment = issuing(live).not_valid_after_utc
    await until_withdrawn(live, clock)
    assert await says()
    assert len(await due_at(live.installation)) == 2


async def test_that_it_is_due_is_not_said_while_it_is_rolled_over(live: Live, clock: SetClock) -> None:
    clock.moment = issuing(live).not_valid_after_utc - SECOND * 60
    await begin(live)
    assert not await ca_rollover.watch_over(live.installation, actor="test")


async def test_identities_that_live_for_years_are_below_a_ca_that_lives_longer(live: Live, clock: SetClock) -> None:
    identities = replace(live.installation.settings.identity, lifetime_days=3650)
    installation = replace(live.installation, settings=replace(live.installation.settings, identity=identities))
    rolled = await ca_rollover.begin(installation, Mode.NEW_KEY, algorithm=keys.KeyAlgorithm.P_256, actor="test")
    assert rolled.new.not_after is not None
    assert rolled.new.not_after - clock.now() > timedelta(days=3650 + 90)


def _due(policy: Policy, version: Version) -> Any:
    assert version.not_before is not None
    assert version.not_after is not None
    return version.not_before + (version.not_after - version.not_before) * policy.renew_at
