"""Profiles with an MDM payload that operators send by hand: none leaves that its device would refuse, and nothing is queued."""

from __future__ import annotations

import plistlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from bramley.mdm.commands import InstallProfile, Raw, RemoveProfile, Request
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState, Purpose
from bramley.model.profiles import InstallState, TargetKind
from bramley.operations import device_commands, enrollment_profiles, former_profiles, outside_identities, replacements
from bramley.operations.enrollment_profiles import ByChallenge, Recipient
from bramley.operations.errors import Conflict, Invalid, NotFound, NotReady
from bramley.operations.live import Live
from bramley.operations.profiles import assigning, delivery, keeping
from bramley.operations.profiles.assigning import Target
from bramley.pki import cms, keys, names
from bramley.pki.ca.authority import issue
from bramley.pki.ca.profiles import DEVICE_IDENTITY
from bramley.profiles import former
from bramley.profiles.encrypt import encrypt
from bramley.profiles.errors import BadProfile
from bramley.profiles.sign import sign
from tests.conftest import NOW, URL
from tests.profiles.changes import REFUSED, TAKEN, changed, path, place

MOVED = REFUSED["server"][0]


@dataclass(frozen=True, slots=True)
class Desk:
    """An operator's desk: a server with one device, and that device's enrollment profile, to be tampered with."""

    live: Live
    device: Enrollment
    profile: dict[str, Any]

    async def send(self, profile: dict[str, Any] | bytes, device: str = "udid") -> str:
        data = profile if isinstance(profile, bytes) else plistlib.dumps(profile)
        sent = await device_commands.send(self.live.installation, device, InstallProfile(data), as_is=True, actor="test")
        return sent.command.enrollment_key

    async def refuses(self, profile: dict[str, Any] | bytes, error: type[Exception] = BadProfile, device: str = "udid") -> Any:
        """The error; and that nothing waits for a device, is pushed, or is told to have been queued."""
        store = self.live.installation.store
        before = await store.read(lambda tx: [each.id for each in tx.events.find(limit=1000)])
        with pytest.raises(error) as caught:
            await self.send(profile, device)
        assert await store.read(lambda tx: (tx.commands.count_pending(), tx.jobs.of_kind("push"))) == (0, [])
        assert await store.read(lambda tx: [each.id for each in tx.events.find(limit=1000)]) == before
        return caught.value

    def signed(self, content: bytes) -> bytes:
        signer = self.live.current().signer
        return sign(content, certificate=signer.certificate, key=signer.key, chain=signer.chain, now=NOW)

    async def change(self, **fields: Any) -> None:
        await self.live.installation.store.run(lambda tx: tx.enrollments.update(replace(self.device, **fields)))


Sit = Callable[..., Awaitable[Desk]]


@pytest.fixture
def sit(live: Live, topic: str) -> Sit:
    """A desk for a device of some invariants."""

    async def make(invariants: str = "") -> Desk:
        device = Enrollment(
            EnrollmentKey("k"), EnrollmentState.ACTIVE, NOW, NOW, id=EnrollmentID("udid"), udid="udid", topic=topic,
            invariants=invariants,
        )  # fmt: skip
        await live.installation.store.run(lambda tx: tx.enrollments.add(device))
        recipient = Recipient(device.key, Purpose.ENROLL, topic, invariants)
        made = await enrollment_profiles.prepare(live.installation, live.current(), recipient, timedelta(hours=1), NOW)
        assert isinstance(made, ByChallenge)
        return Desk(live, device, plistlib.loads(cms.parse_signed_data(made.profile).content or b""))

    return make


@pytest.fixture
async def desk(sit: Sit) -> Desk:
    return await sit()


@pytest.fixture
async def former_desk(sit: Sit, live: Live, topic: str) -> Desk:
    """One whose device another MDM enrolled, with fewer rights than ours asks for and without users."""

    def payload(kind: str, uuid: str, **rest: Any) -> dict[str, Any]:
        return {"PayloadType": kind, "PayloadVersion": 1, "PayloadIdentifier": f"old.{uuid}", "PayloadUUID": uuid, **rest}

    scep = payload("com.apple.security.scep", "SCEP", PayloadContent={"URL": "https://old/scep", "Challenge": "old"})
    urls = {"ServerURL": f"{URL}/mdm/connect", "CheckInURL": f"{URL}/mdm/checkin"}
    mdm = payload("com.apple.mdm", "MDM", IdentityCertificateUUID="SCEP", Topic=topic, AccessRights=19, **urls)
    given = plistlib.dumps(payload("Configuration", "TOP", PayloadContent=[scep, mdm]))
    kept = former.read(given, host=live.installation.host, topics=[topic], paths=["/mdm/connect", "/mdm/checkin"])
    sealer = live.installation.sealer
    desk = await sit(await live.installation.store.run(lambda tx: former_profiles.keep(tx, sealer, kept)))
    return replace(desk, profile=plistlib.loads(given))


@pytest.mark.parametrize("form", ["plain", "signed"])
@pytest.mark.parametrize("case", REFUSED)
async def test_no_change_leaves_that_the_device_would_refuse(desk: Desk, case: str, form: str) -> None:
    change, key, rule = REFUSED[case]
    after = changed(desk.profile, change)
    data = plistlib.dumps(after)
    error = await desk.refuses(desk.signed(data) if form == "signed" else data)
    assert (error.key, error.rule) == (path(after, key), rule)
    assert f"The rule is {rule}" in error.advice


@pytest.mark.parametrize("form", ["plain", "signed"])
@pytest.mark.parametrize("case", TAKEN)
async def test_what_the_device_would_take_costs_it_its_identity(desk: Desk, case: str, form: str) -> None:
    data = plistlib.dumps(changed(desk.profile, TAKEN[case]))
    await _is_lost(desk, desk.signed(data) if form == "signed" else data)


async def _is_lost(desk: Desk, profile: dict[str, Any] | bytes) -> None:
    """It changes nothing that may not change, and is refused all the same, with what to do."""
    error = await desk.refuses(profile, Invalid)
    assert "another identity" in error.message
    assert "bramley identity renew udid" in error.advice
    assert "--replaces" in error.advice


@pytest.mark.parametrize("case", REFUSED)
async def test_a_device_of_a_former_mdm_is_held_to_that_ones_profile(former_desk: Desk, case: str) -> None:
    change, key, rule = REFUSED[case]
    after = changed(former_desk.profile, change)
    error = await former_desk.refuses(after)
    assert (error.key, error.rule) == (path(after, key), rule)


async def test_neither_its_own_profile_nor_ours_goes_out_to_it(former_desk: Desk, desk_of_ours: dict[str, Any]) -> None:
    error = await former_desk.refuses(desk_of_ours)
    assert (error.key, error.rule) == ("PayloadIdentifier", "same-identifier")
    more = await former_desk.refuses(changed(former_desk.profile, lambda _, mdm: mdm.update(AccessRights=27)))
    assert (more.rule, "adds 8." in more.message) == ("rights-never-grow", True)
    await _is_lost(former_desk, changed(former_desk.profile, lambda _, mdm: mdm.update(AccessRights=3)))


@pytest.fixture
async def desk_of_ours(live: Live, topic: str) -> dict[str, Any]:
    """An enrollment profile of this server."""
    recipient = Recipient(EnrollmentKey("other"), Purpose.ENROLL, topic)
    made = await enrollment_profiles.prepare(live.installation, live.current(), recipient, timedelta(hours=1), NOW)
    assert isinstance(made, ByChallenge)
    content: dict[str, Any] = plistlib.loads(cms.parse_signed_data(made.profile).content or b"")
    return content


async def test_where_the_former_profile_is_unknown_none_goes_out(desk: Desk) -> None:
    await desk.change(invariants=former_profiles.UNKNOWN)
    error = await desk.refuses(desk.profile, Conflict)
    assert "not known here" in error.message
    await desk.change(invariants=f"{former_profiles.UNKNOWN}:lost")
    await desk.refuses(desk.profile, NotReady)


async def test_a_token_in_the_urls_is_the_devices_own(sit: Sit, live: Live, desk_of_ours: dict[str, Any]) -> None:
    desk = await sit(outside_identities.INVARIANTS)
    url = desk.profile["PayloadContent"][place(desk.profile)]["ServerURL"]
    token = url.partition("?device=")[2]
    assert token
    other = await outside_identities.query_for(live.installation, EnrollmentKey("other"))
    for without in (desk_of_ours, changed(desk.profile, lambda _, mdm: mdm.update(ServerURL=url.replace(token, other)))):
        error = await desk.refuses(without)
        assert error.key.endswith(".ServerURL")
        assert token not in str(error)
        assert other not in str(error)
    await _is_lost(desk, desk.profile)


async def test_a_user_is_not_managed_by_profile(desk: Desk) -> None:
    key = EnrollmentKey("c")
    user = replace(desk.device, key=key, id=EnrollmentID("udid:jo"), parent=desk.device.key, user_id="jo", udid=None)
    await desk.live.installation.store.run(lambda tx: tx.enrollments.add(user))
    for profile in (desk.profile, changed(desk.profile, MOVED)):
        error = await desk.refuses(profile, device="udid:jo")
        assert (error.key, error.rule) == (path(profile, "PayloadType"), "device-channel")
    wifi = {**desk.profile, "PayloadContent": []}
    assert await desk.send(wifi, "udid:jo") == key


async def test_nobody_knows_what_one_was_enrolled_with_that_has_told_no_topic(desk: Desk) -> None:
    await desk.change(topic=None)
    error = await desk.refuses(desk.profile, Conflict)
    assert "no push topic" in error.message
    await desk.send({**desk.profile, "PayloadContent": []})


async def test_another_topic_of_ours_is_another(desk: Desk) -> None:
    await desk.change(topic="com.apple.mgmt.External.before")
    error = await desk.refuses(desk.profile)
    assert error.key == path(desk.profile, "Topic")


async def test_the_device_must_exist(desk: Desk) -> None:
    await desk.refuses(desk.profile, NotFound, device="nobody")


def _two(profile: dict[str, Any]) -> bytes:
    second = {**profile["PayloadContent"][place(profile)], "PayloadUUID": "SECOND", "PayloadIdentifier": "second"}
    return plistlib.dumps({**profile, "PayloadContent": [*profile["PayloadContent"], second]})


def _changed_after_signing(desk: Desk) -> bytes:
    return desk.signed(plistlib.dumps(desk.profile)).replace(b"bramley.enrollment", b"bramley.enrolment_")


UNREADABLE: dict[str, Callable[[Desk], bytes]] = {
    "two MDM payloads": lambda desk: _two(desk.profile),
    "binary": lambda desk: plistlib.dumps(desk.profile, fmt=plistlib.FMT_BINARY),
    "binary, signed": lambda desk: desk.signed(plistlib.dumps(desk.profile, fmt=plistlib.FMT_BINARY)),
    "no UUID": lambda desk: plistlib.dumps({k: v for k, v in desk.profile.items() if k != "PayloadUUID"}),
    "no type": lambda desk: plistlib.dumps({k: v for k, v in desk.profile.items() if k != "PayloadType"}),
    "two PayloadContents": lambda desk: plistlib.dumps(desk.profile).replace(
        b"<dict>", b"<dict><key>PayloadContent</key><array/>", 1
    ),
    "UTF-16": lambda desk: plistlib.dumps(desk.profile).decode().replace("UTF-8", "UTF-16").encode("utf-16"),
    "references to characters": lambda desk: plistlib.dumps(changed(desk.profile, MOVED)).replace(
        b"com.apple.mdm<", b"com.apple&#46;&#x6d;dm<"
    ) + b"<",
    "cut short": lambda desk: plistlib.dumps(desk.profile)[:-20],
    "changed after it was signed": _changed_after_signing,
    "encrypted and not": lambda desk: plistlib.dumps({**desk.profile, "EncryptedPayloadContent": b"x"}),
    "signed twice": lambda desk: desk.signed(desk.signed(plistlib.dumps(desk.profile))),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
async def test_what_manages_and_cannot_be_read_does_not_go_out(desk: Desk, case: str) -> None:
    error = await desk.refuses(UNREADABLE[case](desk))
    assert "com.apple.mdm is named in it" in error.message


def _wifi(**rest: Any) -> dict[str, Any]:
    wifi = {"PayloadType": "com.apple.wifi.managed", "PayloadVersion": 1, "PayloadIdentifier": "w", "PayloadUUID": "W", **rest}
    return {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": "x",
        "PayloadUUID": "X",
        "PayloadContent": [wifi],
    }


@pytest.mark.parametrize(
    "data",
    [
        b"no profile at all",
        b"0 or what begins like CMS",
        plistlib.dumps(_wifi()),
        plistlib.dumps(_wifi(SSID_STR="com.apple.mdm")),
        plistlib.dumps(_wifi(), fmt=plistlib.FMT_BINARY),
        plistlib.dumps(_wifi(Identifier="com.apple.mdmclient"), fmt=plistlib.FMT_BINARY),
        plistlib.dumps({"PayloadContent": [{"Identifier": "com.apple.mdm.token"}]}),
    ],
)
async def test_what_does_not_manage_goes_out_as_it_did(desk: Desk, data: bytes) -> None:
    await desk.send(data)
    await desk.change(invariants=former_profiles.UNKNOWN)
    await desk.send(data)


@pytest.mark.parametrize("signed", [False, True])
async def test_nothing_takes_the_place_of_the_enrollment_profile_and_ends_the_management(desk: Desk, signed: bool) -> None:
    others = [each for each in desk.profile["PayloadContent"] if each["PayloadType"] != "com.apple.mdm"]
    content = plistlib.dumps({**desk.profile, "PayloadContent": others})
    error = await desk.refuses(desk.signed(content) if signed else content)
    assert (error.key, error.rule) == ("PayloadContent", "one-MDM-payload")
    renamed = plistlib.dumps({**desk.profile, "PayloadIdentifier": "example.trust", "PayloadContent": others})
    assert await desk.send(renamed) == "k"


async def test_nor_that_of_a_former_mdms(former_desk: Desk) -> None:
    others = [each for each in former_desk.profile["PayloadContent"] if each["PayloadType"] != "com.apple.mdm"]
    error = await former_desk.refuses({**former_desk.profile, "PayloadContent": others})
    assert (error.key, error.rule) == ("PayloadContent", "one-MDM-payload")


async def test_what_is_encrypted_to_the_device_cannot_be_looked_into(desk: Desk, device_keys: list[keys.PrivateKey]) -> None:
    ca = desk.live.current().authorities.identity.authority
    identity = issue(ca, DEVICE_IDENTITY, device_keys[0].public_key(), subject=names.make("d"), now=NOW)
    sealed = encrypt(changed(desk.profile, MOVED), identity)
    await desk.send(sealed)
    await desk.send(desk.signed(sealed))


async def test_only_install_profile_brings_profiles(desk: Desk) -> None:
    payload = plistlib.dumps(changed(desk.profile, MOVED))
    request = Raw("OfTomorrow", {"RequestType": "OfTomorrow", "Payload": payload})
    await device_commands.send(desk.live.installation, "udid", request, actor="test")


async def test_no_kept_profile_takes_the_place_of_a_former_mdms_or_removes_it(former_desk: Desk, live: Live) -> None:
    here, key = live.installation, former_desk.device.key
    data = plistlib.dumps(
        {**_wifi(SSID_STR="Orchard", EncryptionType="None"), "PayloadIdentifier": former_desk.profile["PayloadIdentifier"]}
    )
    with pytest.raises(Invalid, match=r"old\.TOP"):
        await keeping.put(here, data, actor="test")

    # one that was kept before the devices of the former MDM came
    (name,) = await here.store.read(lambda tx: tx.notes.names("former-profile:"))
    note = await here.store.read(lambda tx: tx.notes.get(name))
    assert note is not None
    await here.store.run(lambda tx: tx.notes.delete(name))
    await keeping.put(here, data, actor="test")
    await here.store.run(lambda tx: tx.notes.set(name, note))
    targets = [Target(TargetKind.DEVICE, "udid")]
    await assigning.assign(here, "old.TOP", targets, actor="test")
    assert await delivery.deliver(live, key, actor="test") == 0
    (on,) = await here.store.read(lambda tx: tx.profiles.on_device(key))
    assert (on.state, "managed by a profile of that identifier" in on.problem) == (InstallState.FAILED, True)
    await assigning.unassign(here, "old.TOP", targets, actor="test")
    assert await delivery.deliver(live, key, actor="test") == 0
    assert await here.store.read(lambda tx: (tx.profiles.on_device(key), tx.commands.count_pending())) == ([], 0)


async def test_other_kept_profiles_go_to_a_device_of_a_former_mdm(former_desk: Desk, live: Live) -> None:
    here, key = live.installation, former_desk.device.key
    wifi = _wifi(SSID_STR="Orchard", EncryptionType="None")
    await keeping.put(here, plistlib.dumps(wifi), actor="test")
    await assigning.assign(here, "x", [Target(TargetKind.DEVICE, "udid")], actor="test")
    assert await delivery.deliver(live, key, actor="test") == 1
    await former_desk.change(invariants=former_profiles.UNKNOWN)
    await assigning.unassign(here, "x", [Target(TargetKind.DEVICE, "udid")], actor="test")
    assert await delivery.deliver(live, key, actor="test") == 1


async def _remove(desk: Desk, identifier: str, serial_number: str | None = None) -> str:
    request = RemoveProfile(identifier)
    sent = await device_commands.send(desk.live.installation, "udid", request, serial_number=serial_number, actor="test")
    return sent.destroys


OURS = "bramley.enrollment"


@pytest.mark.parametrize(
    "request_", [RemoveProfile(OURS), Raw("RemoveProfile", {"RequestType": "RemoveProfile", "Identifier": OURS})]
)
async def test_the_removal_of_the_enrollment_profile_must_be_meant(desk: Desk, request_: Request) -> None:
    here = desk.live.installation
    for serial in (None, "C02OTHER"):
        with pytest.raises(Invalid, match="serial number"):
            await device_commands.send(here, "udid", request_, serial_number=serial, actor="test")
    assert await here.store.read(lambda tx: tx.commands.count_pending()) == 0
    sent = await device_commands.send(here, "udid", request_, serial_number="udid", actor="test")
    assert sent.destroys == "ends the device's enrollment"
    assert await _remove(desk, "example.wifi") == ""


async def test_so_must_that_of_the_one_that_a_former_mdm_enrolled_it_with(former_desk: Desk) -> None:
    identifier = former_desk.profile["PayloadIdentifier"]
    with pytest.raises(Invalid, match="serial number"):
        await _remove(former_desk, identifier)
    assert await _remove(former_desk, identifier, "udid") == "ends the device's enrollment"
    assert await _remove(former_desk, OURS) == ""


@pytest.mark.parametrize("invariants", [former_profiles.UNKNOWN, f"{former_profiles.UNKNOWN}:lost"])
async def test_where_nobody_knows_which_that_is_any_removal_must_be_meant(desk: Desk, invariants: str) -> None:
    await desk.change(invariants=invariants)
    with pytest.raises(Invalid, match="serial number"):
        await _remove(desk, "example.wifi")
    assert "nobody knows" in await _remove(desk, "example.wifi", "udid")


@pytest.mark.parametrize("changes", [{"invariants": "former:1"}, {"key": EnrollmentKey("another")}])
async def test_a_removal_counts_for_the_enrollment_as_it_was(desk: Desk, changes: dict[str, Any]) -> None:
    removal = await replacements.removal(desk.live.installation, "udid", RemoveProfile("example.wifi"))
    assert removal is not None
    removal.require_same(replace(desk.device, device_name="renamed"))
    with pytest.raises(Conflict, match="changed while"):
        removal.require_same(replace(desk.device, **changes))
