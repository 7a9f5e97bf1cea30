"""Every wrong turn leads to what it is named for, and the right one does not; and the control works while nobody errs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from cryptography import x509

from bramley.apple.push import topic_of
from bramley.model.push import Route
from bramley.pki import certificates
from bramley.rehearsal.push_cycle.control import naive_fleet
from bramley.rehearsal.push_cycle.desks import HandDesk
from bramley.rehearsal.push_cycle.ways import ACCOUNT, COLLEAGUE, Delivery, Way, unpack, way
from bramley.sandbox.apple_ca import SandboxAppleCA
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.portals import SandboxApple

ROUTES = [Route.VENDOR, Route.PROFILE_MANAGER]


@pytest.fixture(scope="module")
def clock() -> ShiftedClock:
    return ShiftedClock()


@pytest.fixture(scope="module")
def ca(clock: ShiftedClock) -> SandboxAppleCA:
    return SandboxAppleCA.make(clock.now())


@pytest.fixture
def apple(ca: SandboxAppleCA, clock: ShiftedClock) -> SandboxApple:
    """New portals, that nobody has been to."""
    return SandboxApple(ca, clock)


def owner(apple: SandboxApple, topic: str) -> str:
    return next(name for name in (ACCOUNT, COLLEAGUE) if topic in [row.topic for row in apple.identity.list(name)])


def is_pair(delivery: Delivery) -> bool:
    certificate, key = unpack(delivery.files, delivery.password)
    assert key is not None
    assert certificate == delivery.certificate
    return certificates.matches(certificate, key.public_key())


TURNS: dict[str, tuple[Callable[[Way], Callable[[str], Awaitable[Delivery]]], bool, str, bool]] = {
    "renew": (lambda road: road.renew, True, ACCOUNT, True),
    "create": (lambda road: road.create, False, ACCOUNT, True),
    "other account": (lambda road: road.with_other_account, False, COLLEAGUE, True),
    "other key": (lambda road: road.with_other_key, True, ACCOUNT, False),
}
"""The turn; whether the topic stays, who owns it then, and whether the key fits."""


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("turn", TURNS)
async def test_each_turn_leads_where_its_name_says(apple: SandboxApple, clock: ShiftedClock, route: Route, turn: str) -> None:
    take, same_topic, account, fits = TURNS[turn]
    road = way(route, apple, HandDesk(apple, clock))
    first = await road.first()
    topic = topic_of(first.certificate)
    assert is_pair(first)

    taken = await take(road)(topic)

    found = topic_of(taken.certificate)
    assert (found == topic, owner(apple, found), is_pair(taken)) == (same_topic, account, fits)


@pytest.mark.parametrize("route", ROUTES)
async def test_who_does_not_notice_renews_the_wrong_one(apple: SandboxApple, clock: ShiftedClock, route: Route) -> None:
    road = way(route, apple, HandDesk(apple, clock))
    wrong = await road.with_other_account(topic_of((await road.first()).certificate))

    renewed = await road.renew(topic_of(wrong.certificate))

    assert topic_of(renewed.certificate) == topic_of(wrong.certificate)


def test_a_delivery_shows_no_key_and_no_password(apple: SandboxApple, clock: ShiftedClock) -> None:
    certificate = apple.ca.root
    assert isinstance(certificate, x509.Certificate)
    shown = repr(Delivery(certificate, [b"-----BEGIN PRIVATE KEY-----"], "hunter2"))
    assert "PRIVATE" not in shown
    assert "hunter2" not in shown


async def test_a_server_without_checks_serves_a_fleet_as_long_as_nobody_errs() -> None:
    async with naive_fleet(Route.PROFILE_MANAGER, 2) as (fleet, road):
        for _year in range(2):
            await fleet.pass_until((await fleet.in_force()).not_valid_after_utc - timedelta(days=30))
            renewed = await road.renew(topic_of(await fleet.in_force()))
            assert (await fleet.upload(renewed.files, renewed.password)).accepted
            assert await fleet.call() == ""
            assert await fleet.answering() == fleet.names == {"device 1", "device 2"}
        wrong = await road.with_other_key(topic_of(await fleet.in_force()))
        assert (await fleet.upload(wrong.files, wrong.password)).accepted
        assert "another private key" in await fleet.call()
        assert await fleet.answering() == frozenset()
