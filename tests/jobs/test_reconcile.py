"""From the question to what is kept of the answer, on devices that tell the truth, and on some that do not."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from bramley.jobs.reconcile import Reconciliations
from bramley.jobs.renewal import Renewals
from bramley.mdm import plist
from bramley.mdm.connect import payload_place
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.jobs import DONE, Job, Outcome
from bramley.model.lineages import VersionState
from bramley.operations import devices, identities, reconcile, records
from bramley.operations.device_certificates import What
from bramley.operations.errors import Conflict
from bramley.operations.live import Live
from bramley.operations.reconcile import MOST_FINDINGS, MOST_IDENTITIES, RECONCILE, Reconciled
from bramley.pki import certificates, keys
from bramley.storage.protocols import Tx
from tests.conftest import SetClock
from tests.operations.conftest import ask, enrolled

UDID = "00008030-001A35E40212802E"
Entry = tuple[str, bool, bytes]
"""CommonName, IsIdentity, Data."""


@pytest.fixture
async def device(live: Live, device_keys: list[keys.PrivateKey]) -> EnrollmentKey:
    return await enrolled(live, device_keys[0], UDID)


@pytest.fixture
def jobs(live: Live, device: EnrollmentKey) -> Reconciliations:
    return Reconciliations(live)


async def _own(live: Live) -> list[bytes]:
    """The device's certificates, oldest first."""
    found = (await devices.show(live.installation, UDID)).identities
    return [v.certificate for v in sorted(found, key=lambda version: version.number) if v.certificate]


def _report(entries: Sequence[Entry]) -> bytes:
    listed = [{"CommonName": name, "IsIdentity": identity, "Data": data} for name, identity, data in entries]
    return plistlib.dumps({"Status": "Acknowledged", "UDID": UDID, "CertificateList": listed})


async def _answer(live: Live, report: bytes, state: CommandState = CommandState.ACKNOWLEDGED) -> Job:
    """The device answers what it was asked; the job that this releases."""
    now, (question, *_) = live.installation.clock.now(), await _questions(live)
    key = question.enrollment_key
    await live.installation.store.run(lambda tx: tx.commands.answer(key, question.uuid, state, report, now))
    return Job("reconcile-answered", now, now, {"enrollment_key": key, "command_uuid": question.uuid})


async def _questions(live: Live) -> list[Command]:
    """Newest first."""
    return [c for c in (await devices.show(live.installation, UDID)).commands if c.request_type == "CertificateList"]


async def _told(live: Live, jobs: Reconciliations, entries: Sequence[Entry]) -> Reconciled:
    await reconcile.reconcile(live.installation, UDID, actor="cli")
    assert await jobs.answered([await _answer(live, _report(entries))]) == [DONE]
    last = (await reconcile.standing(live.installation, UDID)).last
    assert last is not None
    return last


async def _events(live: Live) -> list[Event]:
    kind = EventKind.DEVICE_CERTIFICATES_RECONCILED
    return list(await live.installation.store.read(lambda tx: tx.events.find(kind=kind)))


async def _later(live: Live) -> list[Job]:
    return list(await live.installation.store.read(lambda tx: tx.jobs.of_kind(RECONCILE)))


async def test_the_question_asks_for_all_certificates_and_takes_the_place_of_an_earlier_one(
    live: Live, jobs: Reconciliations
) -> None:
    for _ in range(2):
        asked = await reconcile.reconcile(live.installation, UDID, actor="cli")
    message = plist.loads(live.installation.sealer.open(asked.payload, payload_place(asked.uuid)), max_bytes=10_000)
    assert message == {"CommandUUID": asked.uuid, "Command": {"RequestType": "CertificateList", "ManagedOnly": False}}
    assert [question.state for question in await _questions(live)] == [CommandState.QUEUED, CommandState.CANCELLED]
    assert len(await live.installation.store.read(lambda tx: tx.jobs.of_kind("push"))) == 1
    standing = await reconcile.standing(live.installation, UDID)
    assert standing.waiting is not None
    assert (standing.waiting.uuid, standing.last) == (asked.uuid, None)


@pytest.mark.parametrize("state", [EnrollmentState.PENDING, EnrollmentState.QUARANTINED, EnrollmentState.CHECKED_OUT])
async def test_only_an_active_device_is_asked(
    live: Live, device: EnrollmentKey, jobs: Reconciliations, state: EnrollmentState
) -> None:
    await _set_state(live, device, state)
    with pytest.raises(Conflict, match=state):
        await reconcile.reconcile(live.installation, UDID, actor="cli")
    now = live.installation.clock.now()
    assert await jobs.ask([Job(RECONCILE, now, now, {"enrollment_key": device})]) == [DONE]
    assert await _questions(live) == []


async def test_a_device_that_holds_what_it_should(live: Live, jobs: Reconciliations) -> None:
    (own,) = await _own(live)
    last = await _told(live, jobs, [("us", True, own), ("a CA", False, b"root")])
    assert (last.certificates, last.identities, last.findings, last.left_out) == (2, 1, (), 0)
    (event,) = await _events(live)
    assert event.detail == {"command": last.command_uuid, "certificates": 2, "found": {}}
    assert await _later(live) == []
    assert (await reconcile.standing(live.installation, UDID)).waiting is None


async def test_a_renewed_device_that_keeps_its_old_identity(
    live: Live, device: EnrollmentKey, jobs: Reconciliations, device_keys: list[keys.PrivateKey], clock: SetClock
) -> None:
    await _renewed(live, device, device_keys[0])
    old, new = await _own(live)
    clock.moment += timedelta(minutes=1)
    both = [("us", True, old), ("us", True, new)]
    assert (await _told(live, jobs, both)).findings == (), "its grace runs"
    (later,) = await _later(live)
    assert (later.run_at, later.args) == (clock.moment + timedelta(hours=74, minutes=-1), {"enrollment_key": device})

    clock.moment = later.run_at
    assert await identities.retire_superseded(live.installation, actor="test") == 1
    clock.moment += timedelta(minutes=1)
    assert await jobs.ask([later]) == [DONE]
    assert await jobs.answered([await _answer(live, _report(both))]) == [DONE]
    last = (await reconcile.standing(live.installation, UDID)).last
    assert last is not None
    assert [(one.what, one.state, one.sha256) for one in last.findings] == [
        (What.OLD_IDENTITY, VersionState.RETIRED, certificates.sha256(x509.load_der_x509_certificate(old)))
    ]
    assert (await _events(live))[0].detail["found"] == {"old-identity": 1}


async def test_identities_of_an_earlier_life_of_another_device_and_of_nobody(
    live: Live, jobs: Reconciliations, device_keys: list[keys.PrivateKey], clock: SetClock
) -> None:
    theirs = await enrolled(live, device_keys[1], "another-device")
    former = await enrolled(live, device_keys[2], "former")

    def replace_former(tx: Tx) -> None:
        found = tx.enrollments.get(former)
        assert found is not None
        ended = replace(found, id=EnrollmentID(UDID), state=EnrollmentState.CHECKED_OUT)
        tx.enrollments.update(ended)
        identities.retire_all(tx, former, now=clock.moment, actor="test")

    await live.installation.store.run(replace_former)

    async def certificate_of(key: EnrollmentKey) -> bytes:
        (version,) = (await devices.show(live.installation, key)).identities
        assert version.certificate is not None
        return version.certificate

    listed = [
        ("unknown\x07", True, b"unknown"),
        ("theirs", True, await certificate_of(theirs)),
        ("ours before", True, await certificate_of(former)),
    ]
    clock.moment += timedelta(minutes=1)
    last = await _told(live, jobs, [(name.replace("\x07", ""), *rest) for name, *rest in listed])  # type: ignore[misc]
    assert [(one.what, one.name) for one in last.findings] == [
        (What.IDENTITY_MISSING, last.findings[0].name),
        (What.OLD_IDENTITY, "ours before"),
        (What.IDENTITY_OF_ANOTHER, "theirs"),
        (What.UNKNOWN_IDENTITY, "unknown"),
    ]


async def test_a_list_full_of_strangers_is_cut_and_hides_nothing(live: Live, jobs: Reconciliations) -> None:
    strangers = [(f"{number}" * 500, True, f"{number}".encode()) for number in range(MOST_IDENTITIES + 10)]
    last = await _told(live, jobs, strangers)
    assert (last.certificates, last.identities) == (len(strangers), len(strangers))
    assert last.findings[0].what is What.IDENTITY_MISSING
    assert len(last.findings) == MOST_FINDINGS
    assert last.left_out == 10 + (MOST_IDENTITIES + 1 - MOST_FINDINGS)
    note = await live.installation.store.read(lambda tx: tx.notes.get(f"reconcile:{_key(tx)}"))
    assert note is not None
    assert len(note) < 32_000


async def test_its_own_identity_is_found_behind_any_number_of_strangers(live: Live, jobs: Reconciliations) -> None:
    (own,) = await _own(live)
    strangers: list[Entry] = [("s", True, f"{number}".encode()) for number in range(MOST_IDENTITIES + 1)]
    last = await _told(live, jobs, [*strangers, ("us", True, own)])
    assert What.IDENTITY_MISSING not in {one.what for one in last.findings}


@pytest.mark.parametrize(
    ("report", "state", "said"),
    [
        (b"<html>", CommandState.ACKNOWLEDGED, "cannot be read"),
        (plistlib.dumps({"Status": "Acknowledged"}), CommandState.ACKNOWLEDGED, "cannot be read"),
        (plistlib.dumps({"CertificateList": [1]}), CommandState.ACKNOWLEDGED, "cannot be read"),
        (
            plistlib.dumps({"CertificateList": [{"CommonName": "x", "IsIdentity": 1, "Data": b""}]}),
            CommandState.ACKNOWLEDGED,
            "cann",
        ),
        (plistlib.dumps({"CertificateList": [{"CommonName": "x", "IsIdentity": True}]}), CommandState.ACKNOWLEDGED, "cannot be"),
        (plistlib.dumps({"Status": "Error"}), CommandState.ERROR, "with error"),
    ],
)
async def test_what_is_no_answer_changes_nothing(
    live: Live, jobs: Reconciliations, report: bytes, state: CommandState, said: str
) -> None:
    await reconcile.reconcile(live.installation, UDID, actor="cli")
    (outcome,) = await jobs.answered([await _answer(live, report, state)])
    assert outcome.retry_after is None
    assert said in outcome.error
    assert (await reconcile.standing(live.installation, UDID)).last is None
    assert await _events(live) == []


async def test_an_answer_of_a_device_that_has_left_since_is_passed_over(
    live: Live, device: EnrollmentKey, jobs: Reconciliations
) -> None:
    await reconcile.reconcile(live.installation, UDID, actor="cli")
    job = await _answer(live, _report([]))
    await _set_state(live, device, EnrollmentState.CHECKED_OUT)
    assert await jobs.answered([job]) == [DONE]
    assert await _events(live) == []


async def test_findings_end_no_identity(live: Live, jobs: Reconciliations) -> None:
    await _told(live, jobs, [])
    assert [v.state for v in (await devices.show(live.installation, UDID)).identities] == [VersionState.ACTIVE]


@pytest.mark.parametrize("state", [CommandState.ACKNOWLEDGED, CommandState.ERROR])
async def test_after_an_answered_renewal_the_device_is_asked(live: Live, jobs: Reconciliations, state: CommandState) -> None:
    renewal = await identities.renew(live, UDID, actor="test")
    now = live.installation.clock.now()
    await live.installation.store.run(lambda tx: tx.commands.answer(renewal.enrollment_key, renewal.uuid, state, b"", now))
    job = Job("renewal-answered", now, now, {"enrollment_key": renewal.enrollment_key, "command_uuid": renewal.uuid})
    (outcome,) = await jobs.after(Renewals(live).answered)([job])
    assert (outcome == DONE) is (state is CommandState.ACKNOWLEDGED), "what the handler said goes on"
    assert isinstance(outcome, Outcome)
    assert [question.state for question in await _questions(live)] == [CommandState.QUEUED]


async def _set_state(live: Live, key: EnrollmentKey, state: EnrollmentState) -> None:
    def change(tx: Tx) -> None:
        found = tx.enrollments.get(key)
        assert found is not None
        tx.enrollments.update(replace(found, state=state))

    await live.installation.store.run(change)


async def _renewed(live: Live, device: EnrollmentKey, key: keys.PrivateKey) -> None:
    """The device has a new identity, which was used."""
    (own,) = await _own(live)
    certificate = await ask(live, key, None, signer=(x509.load_der_x509_certificate(own), key))

    def use(tx: Tx) -> None:
        version = tx.lineages.by_sha256(certificates.sha256(certificate))
        assert version is not None
        records.promote(tx, version, now=live.installation.clock.now(), actor="test", enrollment=device)

    await live.installation.store.run(use)


def _key(tx: Tx) -> EnrollmentKey:
    found = tx.enrollments.by_id(EnrollmentID(UDID))
    assert found is not None
    return found.key
