"""What a device is sent, what it answers, and what profiles are encrypted to on it: whatever is not certain is not sent."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.mdm.connect import payload_place
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.kinds import Kind
from bramley.model.lineages import Version, VersionState
from bramley.model.networks import RECIPIENT
from bramley.model.profiles import Handling, Installation, InstallState, TargetKind
from bramley.operations import records
from bramley.operations.errors import Conflict
from bramley.operations.live import Live
from bramley.operations.network import sending, settling
from bramley.operations.profiles import assigning, delivery, keeping, recipients
from bramley.operations.profiles.assigning import Target
from bramley.pki import certificates, cms, keys, names
from bramley.pki.ca.authority import issue
from bramley.pki.ca.profiles import DEVICE_IDENTITY
from bramley.storage.protocols import Tx
from tests.conftest import NOW, SetClock

from .conftest import ask, enrolled
from .test_profile_checks import UDID, change, read, waiting
from .test_profiles import PAYLOAD, written

Keys = list[keys.PrivateKey]
REFUSED = {"Status": "Error", "ErrorChain": [{"ErrorCode": 4001, "ErrorDomain": "MCInstallation", "LocalizedDescription": "No."}]}


@pytest.fixture
async def device(live: Live, device_keys: Keys) -> EnrollmentKey:
    """A device that shall have a profile, and has been sent nothing yet."""
    key = await enrolled(live, device_keys[0], UDID)
    await keeping.put(live.installation, written(), actor="test")
    await assigning.assign(live.installation, "example.wifi", [Target(TargetKind.DEVICE, UDID)], actor="test")
    return key


async def deliver(live: Live, key: EnrollmentKey) -> int:
    return await delivery.deliver(live, key, actor="test")


async def keep(live: Live, organization: str, *, encrypt: bool = False) -> None:
    """The next revision of the profile."""
    await keeping.put(live.installation, written(PayloadOrganization=organization), encrypt=encrypt, actor="test")


async def standing(live: Live, key: EnrollmentKey) -> Installation:
    (on,) = await read(live, lambda tx: tx.profiles.on_device(key))
    return on


async def settled(live: Live, command: Command, state: CommandState, said: dict[str, Any]) -> Installation:
    """How the profile stands once the device has answered."""

    def act(tx: Tx) -> None:
        now, words = live.installation.clock.now(), plistlib.dumps({"UDID": UDID, "CommandUUID": command.uuid, **said})
        answered = tx.commands.answer(command.enrollment_key, command.uuid, state, words, now)
        assert answered is not None
        delivery.settle(tx, answered, now=now)

    await live.installation.store.run(act)
    return await standing(live, command.enrollment_key)


def sent(live: Live, command: Command) -> dict[str, Any]:
    """The profile that a command brings."""
    message = plistlib.loads(live.installation.sealer.open(command.payload, payload_place(command.uuid)))
    signed = cms.verify(cms.parse_signed_data(message["Command"]["Payload"]), policy=cms.STRICT)
    content: dict[str, Any] = plistlib.loads(signed.content)
    return content


class TestAnswers:
    @pytest.mark.parametrize(
        ("state", "said", "words"),
        [
            (CommandState.ERROR, REFUSED, "No."),
            (CommandState.COMMAND_FORMAT_ERROR, {"Status": "CommandFormatError"}, ""),
        ],
    )
    async def test_what_the_device_refuses_does_not_stand_on_it(
        self, live: Live, device: EnrollmentKey, clock: SetClock, state: CommandState, said: dict[str, Any], words: str
    ) -> None:
        assert await deliver(live, device) == 1
        (install,) = await waiting(live, device, "InstallProfile")
        on = await settled(live, install, state, said)
        assert (on.state, on.attempts, on.command_uuid) == (InstallState.FAILED, 1, None)
        assert on.problem.startswith(state)
        assert words in on.problem
        assert await deliver(live, device) == 0
        clock.moment += timedelta(days=1)
        assert await deliver(live, device) == 1
        assert (await standing(live, device)).attempts == 1
        await keep(live, "Orchard")
        assert await deliver(live, device) == 1
        assert (await standing(live, device)).attempts == 0, "another revision may succeed at once"

    async def test_what_it_does_not_remove_stays_on_record(self, live: Live, device: EnrollmentKey, clock: SetClock) -> None:
        await deliver(live, device)
        (install,) = await waiting(live, device, "InstallProfile")
        on = await settled(live, install, CommandState.ACKNOWLEDGED, {"Status": "Acknowledged"})
        assert (on.state, on.attempts, on.problem) == (InstallState.INSTALLED, 0, "")
        await assigning.unassign(live.installation, "example.wifi", [Target(TargetKind.DEVICE, UDID)], actor="test")
        assert await deliver(live, device) == 1
        (remove,) = await waiting(live, device, "RemoveProfile")
        on = await settled(live, remove, CommandState.ERROR, REFUSED)
        assert (on.state, on.attempts, on.command_uuid) == (InstallState.REMOVING, 1, None)
        clock.moment += timedelta(days=1)
        assert await deliver(live, device) == 1

    async def test_the_answer_to_what_was_replaced_settles_nothing(self, live: Live, device: EnrollmentKey) -> None:
        await deliver(live, device)
        (first,) = await waiting(live, device, "InstallProfile")
        await keep(live, "Orchard")
        await deliver(live, device)
        late = replace(first, state=CommandState.ACKNOWLEDGED, answer=plistlib.dumps({"Status": "Acknowledged"}))
        before = await standing(live, device)
        await live.installation.store.run(lambda tx: delivery.settle(tx, late, now=NOW))
        assert await standing(live, device) == before


@pytest.mark.parametrize("state", [EnrollmentState.PENDING, EnrollmentState.QUARANTINED, EnrollmentState.CHECKED_OUT])
async def test_only_an_active_device_is_made_and_sent_profiles(live: Live, device: EnrollmentKey, state: EnrollmentState) -> None:
    await change(live, device, state)
    assert await deliver(live, device) == 0
    assert await read(live, lambda tx: (tx.commands.pending(device), tx.profiles.on_device(device))) == ([], [])
    await change(live, device, EnrollmentState.ACTIVE)
    assert await deliver(live, device) == 1


@pytest.mark.parametrize("whose", ["device", "channel"])
async def test_a_user_is_sent_profiles_while_user_and_device_are_active(live: Live, device: EnrollmentKey, whose: str) -> None:
    user = Enrollment(
        EnrollmentKey("c"), EnrollmentState.ACTIVE, NOW, NOW, id=EnrollmentID(f"{UDID}:jo"), parent=device, user_id="jo"
    )

    def act(tx: Tx) -> None:
        mac = tx.enrollments.get(device)
        assert mac is not None
        tx.enrollments.update(replace(mac, product_name="Mac14,2", os_version="15.1"))
        tx.enrollments.add(user)

    await live.installation.store.run(act)
    await keeping.put(live.installation, written(PayloadScope="User"), actor="test")
    stopped = device if whose == "device" else user.key
    await change(live, stopped, EnrollmentState.QUARANTINED)
    assert await deliver(live, device) == 0
    assert await read(live, lambda tx: (tx.commands.pending(user.key), tx.profiles.on_device(user.key))) == ([], [])
    await change(live, stopped, EnrollmentState.ACTIVE)
    assert await deliver(live, device) == 1
    assert len(await waiting(live, user.key, "InstallProfile")) == 1


async def test_the_next_revision_takes_the_place_of_what_waits(live: Live, device: EnrollmentKey) -> None:
    await deliver(live, device)
    (first,) = await waiting(live, device, "InstallProfile")
    await keep(live, "Orchard")
    assert await deliver(live, device) == 1
    assert [job.args["enrollment_key"] for job in await read(live, lambda tx: tx.jobs.of_kind("push"))] == [device]
    (second,) = await waiting(live, device, "InstallProfile")
    assert second.uuid != first.uuid
    assert sent(live, second)["PayloadOrganization"] == "Orchard"
    former = await read(live, lambda tx: tx.commands.get(device, first.uuid))
    assert former is not None
    assert former.state is CommandState.CANCELLED


async def test_a_removal_takes_the_place_of_what_waits(live: Live, device: EnrollmentKey) -> None:
    await deliver(live, device)
    await assigning.unassign(live.installation, "example.wifi", [Target(TargetKind.DEVICE, UDID)], actor="test")
    assert await deliver(live, device) == 1
    assert [each.request_type for each in await read(live, lambda tx: tx.commands.pending(device))] == ["RemoveProfile"]


async def test_what_stands_on_a_device_is_not_forgotten_before_it_is_removed(live: Live, device: EnrollmentKey) -> None:
    await deliver(live, device)
    (install,) = await waiting(live, device, "InstallProfile")
    await settled(live, install, CommandState.ACKNOWLEDGED, {"Status": "Acknowledged"})
    await assigning.unassign(live.installation, "example.wifi", [Target(TargetKind.DEVICE, UDID)], actor="test")
    with pytest.raises(Conflict, match="on 1 device"):
        await keeping.remove(live.installation, "example.wifi", actor="test")
    await deliver(live, device)
    with pytest.raises(Conflict, match="on 1 device"):
        await keeping.remove(live.installation, "example.wifi", actor="test")


async def test_what_is_to_be_encrypted_from_now_on_is_sent_again(live: Live, device: EnrollmentKey, device_keys: Keys) -> None:
    """The same octets, handled in another way, are another revision."""
    await deliver(live, device)
    (clear,) = await waiting(live, device, "InstallProfile")
    assert sent(live, clear)["PayloadContent"] == [PAYLOAD]
    kept = await keeping.put(live.installation, written(), encrypt=True, actor="test")
    assert (kept.changed, kept.profile.revision, kept.profile.handling) == (True, 2, Handling.ENCRYPT)
    assert await deliver(live, device) == 1
    (install,) = await waiting(live, device, "InstallProfile")
    content = sent(live, install)
    assert "PayloadContent" not in content
    recipient = await recipient_of(live, device)
    assert recipient is not None
    assert recipient.certificate is not None
    assert isinstance(device_keys[0], rsa.RSAPrivateKey)
    opened = cms.decrypt(
        content["EncryptedPayloadContent"], certificate=certificates.load(recipient.certificate), key=device_keys[0]
    )
    assert plistlib.loads(opened.content) == [PAYLOAD]


async def recipient_of(live: Live, key: EnrollmentKey) -> Version | None:
    return await read(live, lambda tx: recipients.recipient_of(tx, key, live.installation.clock.now()))


class TestFetched:
    """A device whose identity is elliptic: only what it fetches can be encrypted to."""

    @pytest.fixture
    async def elliptic(self, live: Live, device: EnrollmentKey) -> EnrollmentKey:
        ca = live.current().authorities.identity.authority
        public = keys.generate(keys.KeyAlgorithm.P_256).public_key()
        certificate = issue(ca, DEVICE_IDENTITY, public, subject=names.make("d"), now=NOW)

        def act(tx: Tx) -> None:
            lineage = tx.lineages.find(Kind.DEVICE_IDENTITY, device)
            assert lineage is not None
            version = records.record(tx, lineage, certificate, state=VersionState.ISSUED, now=NOW, actor="test")
            records.promote(tx, version, now=NOW, actor="test", enrollment=device)

        await live.installation.store.run(act)
        return device

    @pytest.fixture
    async def fetched(self, live: Live, elliptic: EnrollmentKey, device_keys: Keys) -> Version:
        (told,) = await sending.assign(live, RECIPIENT, [UDID], actor="test")
        assert told.command is not None
        command = told.command
        scep = sent(live, command)["PayloadContent"][0]["PayloadContent"]
        await ask(live, device_keys[1], scep["Challenge"])

        def acknowledged(tx: Tx) -> None:
            said = plistlib.dumps({"Status": "Acknowledged", "UDID": UDID, "CommandUUID": command.uuid})
            answered = tx.commands.answer(elliptic, command.uuid, CommandState.ACKNOWLEDGED, said, NOW)
            assert answered is not None
            settling.answered(tx, answered, now=NOW, actor="test")

        await live.installation.store.run(acknowledged)
        version = await recipient_of(live, elliptic)
        assert version is not None
        return version

    async def test_what_is_to_be_encrypted_waits_and_the_device_is_told_to_fetch(
        self, live: Live, elliptic: EnrollmentKey
    ) -> None:
        await keep(live, "Orchard", encrypt=True)
        assert await deliver(live, elliptic) == 0
        on = await standing(live, elliptic)
        assert on.state is InstallState.FAILED
        assert "waits for the RSA certificate" in on.problem
        assert await read(live, lambda tx: tx.networks.get(elliptic, RECIPIENT)) is not None
        (told,) = await waiting(live, elliptic, "InstallProfile")
        assert sent(live, told)["PayloadContent"][0]["PayloadType"] == "com.apple.security.scep"

    async def test_what_is_only_signed_does_not_wait(self, live: Live, elliptic: EnrollmentKey) -> None:
        assert await deliver(live, elliptic) == 1
        assert await read(live, lambda tx: tx.networks.get(elliptic, RECIPIENT)) is None

    async def test_nothing_is_encrypted_to_it_once_it_has_expired(
        self, live: Live, clock: SetClock, elliptic: EnrollmentKey, fetched: Version
    ) -> None:
        assert fetched.not_after is not None
        clock.moment = fetched.not_after
        assert await recipient_of(live, elliptic) == fetched
        clock.moment += timedelta(seconds=1)
        assert await recipient_of(live, elliptic) is None
        await keep(live, "Orchard", encrypt=True)
        assert await deliver(live, elliptic) == 0
        assert (await standing(live, elliptic)).state is InstallState.FAILED


class TestListed:
    """What the device says that it has."""

    async def listed(self, live: Live, key: EnrollmentKey, *identifiers: str) -> int:
        return await live.installation.store.run(lambda tx: delivery.listed(tx, key, identifiers, at=NOW, now=NOW))

    @pytest.fixture
    async def having(self, live: Live, device: EnrollmentKey) -> EnrollmentKey:
        await deliver(live, device)
        (install,) = await waiting(live, device, "InstallProfile")
        await settled(live, install, CommandState.ACKNOWLEDGED, {"Status": "Acknowledged"})
        return device

    async def test_what_it_has_lost_is_sent_again(self, live: Live, having: EnrollmentKey) -> None:
        assert await self.listed(live, having, "example.wifi") == 0
        assert (await standing(live, having)).state is InstallState.INSTALLED
        assert await self.listed(live, having, "another") == 1
        assert (await standing(live, having)).state is InstallState.MISSING
        assert await deliver(live, having) == 1

    async def test_what_it_has_no_more_need_not_be_removed(self, live: Live, having: EnrollmentKey) -> None:
        await assigning.unassign(live.installation, "example.wifi", [Target(TargetKind.DEVICE, UDID)], actor="test")
        await deliver(live, having)
        assert await self.listed(live, having, "example.wifi") == 0
        assert len(await waiting(live, having, "RemoveProfile")) == 1
        assert await self.listed(live, having) == 0
        assert await waiting(live, having, "RemoveProfile") == []
        assert await read(live, lambda tx: tx.profiles.on_device(having)) == []

    async def test_what_waits_for_it_is_not_lost(self, live: Live, device: EnrollmentKey) -> None:
        await deliver(live, device)
        assert await self.listed(live, device) == 0
        assert (await standing(live, device)).state is InstallState.SENT
