"""Devices that an outside CA gives their identities without us: the token in their URLs, and everything that is none."""

from __future__ import annotations

import asyncio
import plistlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from asn1crypto.cms import ContentInfo
from httpx2 import Response

from bramley.model.enrollments import EnrollmentKey, EnrollmentState, IdentityRoute, Purpose
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.operations import devices, identities, trusted_cas
from bramley.pki import certificates, keys, names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue, self_signed
from tests.web.world import CHECKIN, CONNECT, TOPIC, Device, World

UDID, OTHER = "00008030-001C2D3E4F50002E", "00008030-00000000000000FF"


@dataclass(slots=True)
class Outside:
    """A server whose devices go to an outside CA by themselves, and one device with its profile."""

    world: World
    ca: Authority
    key: keys.PrivateKey
    query: str
    enrollment: EnrollmentKey

    def holder(self, ca: Authority | None = None, udid: str = UDID, lifetime: timedelta | None = None) -> Device:
        """Somebody with a fresh certificate of a CA, by default of the outside one."""
        made, now = ca or self.ca, self.world.clock.now()
        certificate = issue(
            made, profiles.DEVICE_IDENTITY, self.key.public_key(), subject=names.make("device"), now=now, lifetime=lifetime
        )
        return Device(self.world, self.key, udid, certificate)

    async def says(self, who: Device, message_type: str = "Authenticate", query: str | None = None) -> int:
        """The status that a check-in is answered with."""
        told = self.query if query is None else query
        message = {"MessageType": message_type, "UDID": who.udid, "Topic": TOPIC, "Token": b"\x01" * 32, "PushMagic": "magic"}
        return (await who.put(message, content_type=CHECKIN, path=f"/mdm/checkin{told and '?'}{told}")).status_code

    async def asks(self, who: Device) -> Response:
        """What an idle device is told."""
        return await who.put({"Status": "Idle", "UDID": who.udid}, content_type=CONNECT, path=f"/mdm/connect?{self.query}")

    async def enrolled(self) -> Device:
        device = self.holder()
        assert (await self.says(device), await self.says(device, "TokenUpdate")) == (200, 200)
        return device

    async def identities(self) -> list[str]:
        """The routes by which identities on record came."""
        store = self.world.installation.store
        lineages = await store.read(lambda tx: tx.lineages.of_kind(Kind.DEVICE_IDENTITY))
        return [each.route for each in lineages]

    async def waiting(self, purpose: Purpose) -> int:
        """How many rights to an identity are unspent."""
        return len(await self.world.installation.store.read(lambda tx: tx.challenges.unspent(self.enrollment, purpose)))


async def profile_query(world: World) -> str:
    """What follows the question mark in the URLs of a profile that is fetched; the same in both."""
    fetched = await world.http.get(await world.link())
    content = plistlib.loads(ContentInfo.load(fetched.content)["content"]["encap_content_info"]["content"].native)
    mdm = next(each for each in content["PayloadContent"] if each["PayloadType"] == "com.apple.mdm")
    ((_, query), (_, again)) = (mdm[name].split("?") for name in ("ServerURL", "CheckInURL"))
    assert query == again
    return str(query)


def authority(world: World, name: str = "Corporate CA") -> Authority:
    key = keys.generate(keys.KeyAlgorithm.P_256)
    return Authority(self_signed(profiles.ROOT_CA, key, names.make(name), now=world.clock.now()), key)


@pytest.fixture
async def outside(world: World, device_key: keys.PrivateKey) -> Outside:
    ca, here = authority(world), world.installation
    await trusted_cas.trust(here, ca.certificate, actor="test")
    scep = replace(
        here.settings.scep,
        outside_url="https://ca.example/scep",
        outside_by="device",
        outside_ca=certificates.sha256(ca.certificate),
    )
    world.live.installation = replace(here, settings=replace(here.settings, scep=scep))
    await world.live.refresh()
    query = await profile_query(world)
    key = EnrollmentKey(query.removeprefix("device=").partition(".")[0])
    return Outside(world, ca, device_key, query, key)


async def test_a_token_and_a_certificate_make_a_device(outside: Outside) -> None:
    device = await outside.enrolled()
    shown = await devices.show(outside.world.installation, UDID)
    assert (shown.enrollment.key, shown.enrollment.state) == (outside.enrollment, EnrollmentState.ACTIVE)
    assert await outside.identities() == [IdentityRoute.OUTSIDE]
    # from then on the binding counts, and the token for nothing
    assert (await device.report("Idle")).status_code == 200
    assert await outside.waiting(Purpose.ENROLL) == 0
    assert await outside.says(outside.holder()) == 400
    token = outside.query.partition(".")[2]
    events = await outside.world.installation.store.read(lambda tx: tx.events.find(limit=1000))
    assert any(each.kind is EventKind.DEVICE_REFUSED for each in events)
    assert token not in repr(events)


@pytest.mark.parametrize(
    "query",
    [
        "", "device=", "device=x.y", "device={key}", "device={key}.", "device={key}.{theirs}", "device=%FF", "device=\xe9",
        "device={key}.{token}&device={key}.{token}", "other={key}.{token}", "device={key}.{token}x", "device={key}%00.{token}",
        "device={key}.{token}&x=" + "x" * 512,
    ],
)  # fmt: skip
async def test_no_other_token_will_do(outside: Outside, query: str) -> None:
    theirs = (await profile_query(outside.world)).partition(".")[2]
    token, device = outside.query.partition(".")[2], outside.holder()
    assert await outside.says(device, query=query.format(key=outside.enrollment, token=token, theirs=theirs)) == 400
    assert await outside.identities() == []
    assert await outside.says(device) == 200


async def of_a_ca_that_issues_nothing_now(outside: Outside) -> int:
    """One that is trusted for the identities of a former MDM, say."""
    other = authority(outside.world, "Former MDM")
    await trusted_cas.trust(outside.world.installation, other.certificate, actor="test")
    await outside.world.live.refresh()
    return await outside.says(outside.holder(other))


async def of_our_own_ca_and_on_no_record(outside: Outside) -> int:
    return await outside.says(outside.holder(outside.world.live.current().authorities.identity.authority))


async def of_a_stranger_with_the_name_of_the_ca(outside: Outside) -> int:
    return await outside.says(outside.holder(authority(outside.world)))


async def that_has_ended(outside: Outside) -> int:
    device = outside.holder(lifetime=timedelta(minutes=10))
    outside.world.clock.moment += timedelta(minutes=20)
    return await outside.says(device)


async def before_it_authenticates(outside: Outside) -> int:
    return await outside.says(outside.holder(), "TokenUpdate")


async def with_a_report(outside: Outside) -> int:
    return (await outside.asks(outside.holder())).status_code


@pytest.mark.parametrize(
    "attempt",
    [
        of_a_ca_that_issues_nothing_now, of_our_own_ca_and_on_no_record, of_a_stranger_with_the_name_of_the_ca, that_has_ended,
        before_it_authenticates, with_a_report,
    ],
)  # fmt: skip
async def test_a_refused_identity_is_bound_to_nothing(outside: Outside, attempt: Callable[[Outside], Awaitable[int]]) -> None:
    assert await attempt(outside) == 400
    assert await outside.identities() == []
    assert await outside.waiting(Purpose.ENROLL) == 1
    await outside.enrolled()


async def test_a_good_token_is_nothing_after_the_link_has_expired(outside: Outside) -> None:
    outside.world.clock.moment += timedelta(hours=2)
    assert await outside.says(outside.holder()) == 400
    assert await outside.identities() == []


async def test_of_two_at_once_one_is_the_device(outside: Outside) -> None:
    answers = await asyncio.gather(*(outside.says(outside.holder()) for _ in range(2)))
    assert sorted(answers) == [200, 400]


async def test_an_identity_bound_elsewhere_stays_what_it_is(outside: Outside) -> None:
    other = replace(outside, query=await profile_query(outside.world))
    theirs = other.holder(udid=OTHER)
    assert await other.says(theirs) == 200
    assert await outside.says(replace(theirs, udid=UDID)) == 400
    assert await outside.waiting(Purpose.ENROLL) == 1
    await outside.enrolled()


async def test_a_device_that_has_left_does_not_come_back_by_its_token(outside: Outside) -> None:
    device = await outside.enrolled()
    await identities.renew(outside.world.live, UDID, actor="test")
    assert await outside.says(device, "CheckOut") == 200
    assert await outside.says(outside.holder()) == 400


@pytest.mark.parametrize("first", ["Authenticate", "TokenUpdate", "a report"])
async def test_a_renewal_is_taken_when_it_was_asked_for_and_once(outside: Outside, first: str) -> None:
    async def comes(device: Device) -> int:
        return await outside.says(device, first) if first != "a report" else (await outside.asks(device)).status_code

    old, early = await outside.enrolled(), outside.holder()
    assert await comes(early) == 400
    await identities.renew(outside.world.live, UDID, actor="test")
    # that of another device spends nothing
    assert await comes(replace(early, udid=OTHER)) == 400
    assert await outside.waiting(Purpose.RENEW) == 1
    new = outside.holder()
    assert await comes(new) == 200
    assert await outside.waiting(Purpose.RENEW) == 0
    assert await comes(outside.holder()) == 400
    assert [(await each.report("Idle")).status_code for each in (old, new)] == [200, 200]
    assert (await devices.show(outside.world.installation, UDID)).enrollment.key == outside.enrollment


async def test_a_renewal_is_not_waited_for_forever(outside: Outside) -> None:
    await outside.enrolled()
    await identities.renew(outside.world.live, UDID, actor="test")
    outside.world.clock.moment += timedelta(days=15)
    assert await outside.says(outside.holder()) == 400
