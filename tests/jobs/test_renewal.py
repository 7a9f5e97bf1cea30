"""Device identities: who is asked to renew, how often, and what ends."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bramley.jobs import renewal
from bramley.jobs.renewal import ASK_AGAIN_AFTER, TRY_AGAIN_AFTER, Renewals
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import EnrollmentKey, EnrollmentState
from bramley.model.events import EventKind
from bramley.model.jobs import DONE, Job
from bramley.model.lineages import VersionState
from bramley.operations import devices, identities, identity_standing, suspension
from bramley.operations.live import Live
from bramley.pki import keys
from bramley.storage.protocols import Tx
from tests.conftest import NOW, SetClock
from tests.operations.conftest import enrolled

UDID = "00008030-001A35E40212802E"
ROUND = [Job("renew-due", NOW, NOW)]
DUE = timedelta(days=270)
"""Into a life of a year: after two thirds, and the jitter."""


@pytest.fixture
async def device(live: Live, device_keys: list[keys.PrivateKey]) -> EnrollmentKey:
    return await enrolled(live, device_keys[0], UDID)


@pytest.fixture
def renewals(live: Live, device: EnrollmentKey) -> Renewals:
    return Renewals(live)


async def _commands(live: Live) -> list[Command]:
    return list((await devices.show(live.installation, UDID)).commands)


async def _pushes(live: Live) -> list[str]:
    """Takes the waiting pushes out of the queue; to whom they were."""

    def take(tx: Tx) -> list[str]:
        jobs = tx.jobs.claim("test", live.installation.clock.now(), timedelta(minutes=1), 100)
        for job in jobs:
            if job.id is not None:
                tx.jobs.finish(job.id, "test")
        return [job.args["enrollment_key"] for job in jobs if job.kind == "push"]

    return await live.installation.store.run(take)


async def _answer(live: Live, command: Command, state: CommandState, report: bytes = b"") -> None:
    now = live.installation.clock.now()
    await live.installation.store.run(lambda tx: tx.commands.answer(command.enrollment_key, command.uuid, state, report, now))


def _set_identity(live: Live, **values: Any) -> None:
    settings = live.installation.settings
    changed = replace(settings, identity=replace(settings.identity, **values))
    live.installation = replace(live.installation, settings=changed)


async def _set(live: Live, key: EnrollmentKey, **fields: Any) -> None:
    def change(tx: Tx) -> None:
        found = tx.enrollments.get(key)
        assert found is not None
        tx.enrollments.update(replace(found, **fields))

    await live.installation.store.run(change)


async def test_what_is_due_is_asked_for_and_the_device_woken(live: Live, renewals: Renewals, clock: SetClock) -> None:
    assert await renewals.renew_due(ROUND) == [DONE]
    assert await _commands(live) == []
    clock.moment += DUE
    assert await renewals.renew_due(ROUND) == [DONE]
    (command,) = await _commands(live)
    assert (command.request_type, command.created_by) == ("InstallProfile", "job:renewal")
    assert len(await _pushes(live)) == 1


async def test_one_whose_renewal_cannot_be_made_holds_up_no_other(
    live: Live, renewals: Renewals, device: EnrollmentKey, device_keys: list[keys.PrivateKey], clock: SetClock
) -> None:
    other = await enrolled(live, device_keys[1], "00008030-001A35E40212802F")
    await _set(live, device, invariants="former:gone")  # of a former MDM, whose profile is not there
    clock.moment += DUE
    (outcome,) = await renewals.renew_due(ROUND)
    assert device in outcome.error
    assert other not in outcome.error
    assert await _commands(live) == []
    assert len((await devices.show(live.installation, other)).commands) == 1


async def test_a_device_that_was_asked_lately_is_only_woken(live: Live, renewals: Renewals, clock: SetClock) -> None:
    clock.moment += DUE
    await renewals.renew_due(ROUND)
    await _pushes(live)
    clock.moment += timedelta(hours=1)
    await renewals.renew_due(ROUND)
    assert len(await _commands(live)) == 1
    assert len(await _pushes(live)) == 1


async def test_a_device_that_stays_silent_is_asked_anew_after_a_week(live: Live, renewals: Renewals, clock: SetClock) -> None:
    clock.moment += DUE
    await renewals.renew_due(ROUND)
    clock.moment += ASK_AGAIN_AFTER
    await renewals.renew_due(ROUND)
    assert [command.state for command in await _commands(live)] == [CommandState.QUEUED, CommandState.CANCELLED]


@pytest.mark.parametrize("state", [CommandState.ERROR, CommandState.ACKNOWLEDGED])
async def test_a_device_that_answered_without_renewing_is_not_asked_every_hour(
    live: Live, renewals: Renewals, clock: SetClock, state: CommandState
) -> None:
    clock.moment += DUE
    await renewals.renew_due(ROUND)
    await _answer(live, (await _commands(live))[0], state)
    await _pushes(live)
    clock.moment += timedelta(hours=1)
    await renewals.renew_due(ROUND)
    assert (len(await _commands(live)), await _pushes(live)) == (1, [])
    clock.moment += TRY_AGAIN_AFTER
    await renewals.renew_due(ROUND)
    assert len(await _commands(live)) == 2


@pytest.mark.parametrize("state", [EnrollmentState.QUARANTINED, EnrollmentState.CHECKED_OUT, EnrollmentState.PENDING])
async def test_only_active_devices_are_asked(
    live: Live, device: EnrollmentKey, renewals: Renewals, clock: SetClock, state: EnrollmentState
) -> None:
    await _set(live, device, state=state)
    clock.moment += DUE
    await renewals.renew_due(ROUND)
    assert (await _commands(live), await _pushes(live)) == ([], [])


@pytest.mark.parametrize(("days", "asked"), [(366, 1), (365 + 29, 1), (365 + 31, 0)])
async def test_an_expired_identity_is_asked_for_as_long_as_it_may_fetch_its_renewal(
    live: Live, renewals: Renewals, clock: SetClock, days: int, asked: int
) -> None:
    _set_identity(live, expired_days=30)
    clock.moment += timedelta(days=days)
    await renewals.renew_due(ROUND)
    assert len(await _commands(live)) == asked


async def test_nor_is_it_where_expired_identities_are_refused(live: Live, renewals: Renewals, clock: SetClock) -> None:
    _set_identity(live, expired="refuse")
    clock.moment += timedelta(days=366)
    await renewals.renew_due(ROUND)
    assert await _commands(live) == []


async def test_those_that_ended_long_ago_do_not_hide_the_rest(
    live: Live, renewals: Renewals, device_keys: list[keys.PrivateKey], clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "PAGE", 1)
    _set_identity(live, expired_days=30)
    clock.moment += timedelta(days=365 + 31)
    for number in range(2):
        await enrolled(live, device_keys[number], f"00008030-00000000000000{number:02}")
    clock.moment += DUE
    await renewals.renew_due(ROUND)
    started = await live.installation.store.read(lambda tx: tx.events.find(kind=EventKind.RENEWAL_STARTED))
    assert len(started) == 2


async def test_a_renewal_that_was_put_off_blocks_no_further_try(live: Live, renewals: Renewals, clock: SetClock) -> None:
    clock.moment += DUE
    await renewals.renew_due(ROUND)
    await _answer(live, (await _commands(live))[0], CommandState.NOT_NOW)
    clock.moment += ASK_AGAIN_AFTER
    await renewals.renew_due(ROUND)
    assert [command.state for command in await _commands(live)] == [CommandState.QUEUED, CommandState.CANCELLED]


async def test_a_challenge_is_replaced_while_it_is_still_good(live: Live, renewals: Renewals, clock: SetClock) -> None:
    settings = live.installation.settings
    live.installation = replace(
        live.installation, settings=replace(settings, scep=replace(settings.scep, renewal_challenge_days=2))
    )
    clock.moment += DUE
    for expected in (1, 1, 2):
        await renewals.renew_due(ROUND)
        assert len(await _commands(live)) == expected
        clock.moment += timedelta(hours=13)


async def test_a_device_that_keeps_failing_is_asked_ever_more_seldom(live: Live, renewals: Renewals, clock: SetClock) -> None:
    clock.moment += DUE
    begun, asked = clock.moment, list[int]()
    for _ in range(24 * 30):
        await renewals.renew_due(ROUND)
        latest = (await _commands(live))[0]
        if latest.state is CommandState.QUEUED:
            asked.append((clock.moment - begun) // timedelta(days=1))
            await _answer(live, latest, CommandState.ERROR)
        clock.moment += timedelta(hours=1)
    assert asked == [0, 1, 3, 7, 14, 21, 28]


async def test_a_silent_device_is_woken_ever_more_seldom(
    live: Live, device: EnrollmentKey, renewals: Renewals, clock: SetClock
) -> None:
    clock.moment += DUE
    begun, woken = clock.moment, list[int]()
    for _ in range(24 * 3):
        await renewals.renew_due(ROUND)
        if await _pushes(live):
            woken.append((clock.moment - begun) // timedelta(hours=1))
            await _set(live, device, last_push_at=clock.moment)
        clock.moment += timedelta(hours=1)
    assert woken == [0, 1, 2, 4, 8, 16, 32, 56]


async def test_suspended_devices_are_not_asked(live: Live, renewals: Renewals, clock: SetClock) -> None:
    await suspension.suspend(live.installation, UDID, reason="lost", actor="test")
    clock.moment += DUE
    assert await renewals.renew_due(ROUND) == [DONE]
    assert await _commands(live) == []


async def test_one_that_leaves_in_the_middle_of_a_round_does_not_end_it(
    live: Live,
    device: EnrollmentKey,
    renewals: Renewals,
    device_keys: list[keys.PrivateKey],
    clock: SetClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = await enrolled(live, device_keys[1], "00008030-000000000000002E")
    clock.moment += DUE
    asked: list[str] = []
    renew = identities.renew

    async def leave_first(live: Live, device: str, *, actor: str) -> Command:
        if not asked:
            await _set(live, EnrollmentKey(device), state=EnrollmentState.CHECKED_OUT)
        asked.append(device)
        return await renew(live, device, actor=actor)

    monkeypatch.setattr(identities, "renew", leave_first)
    assert await renewals.renew_due(ROUND) == [DONE]
    assert set(asked) == {device, other}
    assert await _pushes(live) == asked[1:]


async def test_the_answer_to_a_renewal_is_kept_with_its_job(live: Live, renewals: Renewals, device: EnrollmentKey) -> None:
    for state, error in ((CommandState.ACKNOWLEDGED, ""), (CommandState.ERROR, "with error")):
        command = await identities.renew(live, UDID, actor="test")
        await _answer(live, command, state)
        job = Job("renewal-answered", NOW, NOW, {"enrollment_key": device, "command_uuid": command.uuid})
        (outcome,) = await renewals.answered([job])
        assert outcome.retry_after is None
        assert outcome.error.endswith(error)
        assert bool(outcome.error) is bool(error)


async def test_the_devices_own_words_are_kept_with_it(live: Live, renewals: Renewals, device: EnrollmentKey) -> None:
    command = await identities.renew(live, UDID, actor="test")
    link = {"ErrorDomain": "MDM-SCEP", "ErrorCode": 15002, "LocalizedDescription": "No\n\u202e."}
    report = plistlib.dumps({"UDID": UDID, "Status": "Error", "CommandUUID": command.uuid, "ErrorChain": [link]})
    await _answer(live, command, CommandState.ERROR, report)
    job = Job("renewal-answered", NOW, NOW, {"enrollment_key": device, "command_uuid": command.uuid})
    (outcome,) = await renewals.answered([job])
    assert outcome.error.endswith("with error; MDM-SCEP 15002: No\ufffd\ufffd.")
    renewal = await identity_standing.renewal(live.installation, UDID)
    assert renewal is not None
    assert (renewal.state, renewal.errors[0].code) == (CommandState.ERROR, 15002)


async def test_the_identities_of_an_ended_enrollment_are_retired(live: Live, renewals: Renewals, device: EnrollmentKey) -> None:
    job = Job("retire-identities", NOW, NOW, {"enrollment_key": device})
    for state, expected in (
        (EnrollmentState.ACTIVE, VersionState.ACTIVE),  # it has come back meanwhile
        (EnrollmentState.CHECKED_OUT, VersionState.RETIRED),
    ):
        await _set(live, device, state=state)
        assert await renewals.retire_identities([job]) == [DONE]
        (identity,) = (await devices.show(live.installation, UDID)).identities
        assert identity.state is expected
