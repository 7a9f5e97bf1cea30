"""Who is held up, for how long, and who never is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from bramley.mdm.commands import SecurityInfo
from bramley.operations import commands
from bramley.pki import csr, keys, names
from bramley.pki.scep.client import SCEPClient
from bramley.pki.scep.errors import Refused
from bramley.settings import Limits
from bramley.web.addresses import origin
from bramley.web.app import Application
from bramley.web.errors import TooMany
from bramley.web.limits import SUCCESS, Bucket, Buckets, Gate, Limit, Rate
from bramley.web.metrics import Metrics
from tests.scep_http import SCEPOverHTTP
from tests.web.test_observe import samples
from tests.web.world import Device, World

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
RATE = Rate(burst=10, per_second=0.5)
API = "/api/v1/devices"


@dataclass
class Clock:
    moment: datetime = field(default=NOW)

    def now(self) -> datetime:
        return self.moment

    async def sleep_until(self, moment: datetime) -> None:
        self.moment = max(self.moment, moment)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class TestABucket:
    def test_is_full_at_first_and_empty_after_its_burst(self) -> None:
        buckets = Buckets(RATE)
        for _ in range(10):
            assert buckets.wait("a", NOW) == 0
            buckets.take("a", NOW)

        assert buckets.wait("a", NOW) == 1  # a token takes two seconds, and half of one is enough
        assert buckets.wait("b", NOW) == 0

    def test_fills_with_time_and_never_beyond_its_size(self) -> None:
        bucket = Bucket(0, NOW)

        assert bucket.level(RATE, after(4)) == 2
        assert bucket.level(RATE, after(10_000)) == RATE.burst

    def test_lets_through_as_many_failures_as_it_holds_also_after_a_success(self) -> None:
        buckets, failures = Buckets(RATE), 0
        buckets.take("a", NOW, SUCCESS)
        while not buckets.wait("a", after(failures / 1000)):
            buckets.take("a", after(failures / 1000))
            failures += 1

        assert failures == RATE.burst

    def test_goes_into_debt_when_many_failed_at_once_and_no_deeper_than_its_size(self) -> None:
        bucket = Bucket(RATE.burst, NOW)
        for _ in range(1000):
            bucket = bucket.take(RATE, NOW, 1)

        assert bucket.tokens == -RATE.burst
        assert bucket.wait(RATE, NOW) == 21

    def test_is_filled_by_no_clock_that_is_set_back(self) -> None:
        bucket = Bucket(0, NOW)

        assert bucket.level(RATE, after(-3600)) == 0
        assert bucket.take(RATE, after(-3600), 1).level(RATE, after(-3600)) == -1

    @given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5)), max_size=50))
    def test_lets_through_no_more_than_burst_and_time_allow(self, asked: list[tuple[float, float]]) -> None:
        bucket, seconds, spent = Bucket(RATE.burst, NOW), 0.0, 0.0
        for pause, cost in asked:
            seconds += pause
            if bucket.wait(RATE, after(seconds)) == 0:
                spent += cost
                bucket = bucket.take(RATE, after(seconds), cost)

        assert spent <= RATE.burst + seconds * RATE.per_second + 5 + 1e-3  # what was begun with a token left may cost more

    def test_is_forgotten_where_there_are_too_many(self) -> None:
        buckets = Buckets(RATE, remembered=100)
        for number in range(1000):
            buckets.take(str(number), NOW)

        assert len(buckets) == 100


def test_a_fleet_that_wakes_at_once_behind_one_address_is_not_held_up() -> None:
    gate = Gate(Limits(), Clock(), Metrics())

    for _ in range(10_000):
        gate.require(Limit.SCEP_ADDRESS, "203.0.113.1")
        gate.take(Limit.SCEP_ADDRESS, "203.0.113.1", SUCCESS)


def test_what_is_left_out_is_told_with_the_time_to_come_back() -> None:
    clock, metrics = Clock(), Metrics()
    gate = Gate(Limits(failures=2, failures_per_minute=6), clock, metrics)
    for _ in range(2):
        gate.take(Limit.LINK_ADDRESS, "a")

    with pytest.raises(TooMany) as caught:
        gate.require(Limit.LINK_ADDRESS, "a")
    assert caught.value.retry_after == 5
    gate.require(Limit.SIGN_IN_ADDRESS, "a")

    clock.moment = after(10)
    gate.require(Limit.LINK_ADDRESS, "a")


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_a_sender_is_an_address_or_the_network_that_one_host_has_to_itself(address: str, meant: str) -> None:
    assert origin(address) == meant


@pytest.fixture
async def strict(world: World) -> World:
    """A server that forgives three failures at once."""
    await limited(world, failures=3)
    return world


async def limited(world: World, **limits: int) -> None:
    """From now on, the server has these limits."""
    settings = world.installation.settings
    world.live.installation = replace(world.installation, settings=replace(settings, limits=replace(settings.limits, **limits)))
    world.app = Application(world.live)
    await at(world, "192.0.2.1")


async def at(world: World, address: str) -> None:
    """From now on, requests come from this address."""
    transport = httpx2.ASGITransport(world.app.main, client=(address, 50000))
    world.http = httpx2.AsyncClient(transport=transport, base_url=str(world.http.base_url))


async def test_guessed_tokens_get_429_and_the_right_one_always_gets_in(strict: World) -> None:
    wrong = [await strict.http.get(API, headers={"Authorization": f"Bearer {n}"}) for n in range(5)]

    assert [answer.status_code for answer in wrong] == [401, 401, 401, 429, 429]
    assert wrong[-1].headers["retry-after"] == "1"
    assert "Try again" in wrong[-1].json()["advice"]
    assert (await strict.http.get(API, headers=strict.as_admin)).status_code == 200
    assert (await samples(strict))["bramley_limited_requests_total", "sign-in-address"] == 2


async def test_guessed_links_get_429_and_whoever_has_one_is_served(strict: World) -> None:
    guessed = [await strict.http.get(f"/enroll/{n}") for n in range(4)]

    assert [answer.status_code for answer in guessed] == [404, 404, 404, 429]
    assert guessed[-1].headers["retry-after"] == "1"
    assert guessed[-1].text.startswith("Expected fewer requests")
    assert (await strict.http.get(await strict.link())).status_code == 200

    await at(strict, "192.0.2.2")
    assert (await strict.http.get("/enroll/x")).status_code == 404


async def test_one_link_is_not_opened_without_end(world: World) -> None:
    await limited(world, fetches_per_link=2)
    link, other = await world.link(uses=10), await world.link()

    assert [(await world.http.get(link)).status_code for _ in range(3)] == [200, 200, 429]
    assert (await world.http.get(other)).status_code == 200
    world.clock.moment += timedelta(hours=0.6)
    assert (await world.http.get(link)).status_code == 200


async def guess_challenge(world: World, key: keys.PrivateKey) -> None:
    client = SCEPClient(SCEPOverHTTP(world.http))
    request = csr.build(key, names.make("device"), challenge_password="guessed")
    ca = world.live.current().authorities.identity.authority.certificate
    with pytest.raises(Refused):
        await client.enroll(key, request, ca=ca, now=world.clock.now())


async def renew(world: World, device: Device) -> None:
    assert device.certificate is not None
    assert isinstance(device.key, rsa.RSAPrivateKey)
    ca = world.live.current().authorities.identity.authority.certificate
    await SCEPClient(SCEPOverHTTP(world.http)).enroll(
        device.key,
        csr.build(device.key, names.make("device")),
        ca=ca,
        now=world.clock.now(),
        signer=(device.certificate, device.key),
        renewal=True,
    )


async def test_wrong_challenges_get_429_and_enrolled_devices_beside_them_still_renew_and_check_in(
    strict: World, device: Device
) -> None:
    await device.enroll()
    for _ in range(3):
        await guess_challenge(strict, device.key)

    refused = await strict.http.post("/scep?operation=PKIOperation", content=b"no pkiMessage")
    assert (refused.status_code, refused.content, refused.headers["retry-after"]) == (429, b"", "1")

    await renew(strict, device)
    await commands.send(strict.installation, device.udid, SecurityInfo(), actor="cli")
    assert b"SecurityInfo" in (await device.report("Idle")).content


async def test_a_device_that_renews_in_a_loop_is_held_up_alone(world: World, device: Device, device_key: keys.PrivateKey) -> None:
    await limited(world, identities_per_enrollment=2)
    await device.enroll()

    for _ in range(2):
        await renew(world, device)
    with pytest.raises(AssertionError):  # not 200
        await renew(world, device)

    assert (await samples(world))["bramley_limited_requests_total", "scep-enrollment"] == 1
    await Device(world, device_key, "00008030-000000000000002F").get_identity()


async def test_no_check_in_and_no_report_is_ever_answered_429(strict: World, device: Device) -> None:
    await device.enroll()
    for _ in range(50):
        garbage = await strict.http.put("/mdm/connect", content=b"x", headers={"Mdm-Signature": "AAAA"})
        assert garbage.status_code == 400

    assert (await device.report("Idle")).status_code == 200
