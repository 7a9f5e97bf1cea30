"""The story of a fleet and its push certificate, year after year: the same one whatever server it is played with.

Each year, a month before the certificate ends, people make every mistake there is with it; then somebody renews it properly.
In one of the years nobody does until it is too late. Who renews looks at the server for what is in force, and renews that: a
server which took a wrong certificate shows that one, and nothing about devices that fell silent. The year ends once the former
certificate has expired too, so that nothing but the renewal wakes a device.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from bramley.apple.push import topic_of
from bramley.errors import BramleyError
from bramley.model.push import Route
from bramley.pki import certificates
from bramley.rehearsal.push_cycle.outcome import Blunder, FleetOutcome, Mistake
from bramley.rehearsal.push_cycle.parts import Audience, Fleet
from bramley.rehearsal.push_cycle.ways import Delivery, Way
from bramley.sandbox.apns import APNs

LEAD: Final = timedelta(days=30)
"""So long before its end a certificate is renewed."""

LAPSE: Final = timedelta(days=14)
"""So long after its end, where nobody minded."""

AFTER: Final = timedelta(days=5)
"""So long after the end of the former certificate the year is judged."""

A_WHILE: Final = timedelta(hours=1)
"""For what the server tries again by itself."""

_TOLD: Final[Mapping[Blunder, str]] = MappingProxyType(
    {
        Blunder.WRONG_TOPIC: "Create instead of Renew",
        Blunder.WRONG_ACCOUNT: "signed in with another Apple Account",
        Blunder.SWAPPED_KEY: "the key of another request",
        Blunder.REFUSED: "a certificate that APNs refuses",
        Blunder.LATE: "the certificate is renewed, weeks after its end",
    }
)
_BY_HAND: Final = tuple(blunder for blunder in _TOLD if blunder is not Blunder.LATE)


@dataclass(slots=True)
class Story:
    """A fleet on its way through the years; filled while it goes on.

    `wrong` says in words what a good server would not have let happen, `failures` what should happen with none.
    """

    fleet: Fleet
    way: Way
    route: Route
    chance: random.Random
    audience: Audience
    renewals: int = 0
    mistakes: list[Mistake] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def made(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes += mistakes
        self.wrong += [str(mistake) for mistake in mistakes if not mistake.stopped]

    def fail(self, what: str) -> None:
        self.failures.append(what)
        self.wrong.append(what)


async def play(fleet: Fleet, way: Way, route: Route, *, years: int, chance: random.Random, audience: Audience) -> FleetOutcome:
    """All the years. What breaks the story off is one of the outcome's failures."""
    topic = topic_of(await fleet.in_force())
    story = Story(fleet, way, route, chance, audience)
    late = chance.randint(1, years)
    try:
        if not await _everybody_answers(fleet):
            story.fail("not every device answered before any mistake was made")
        for year in range(1, years + 1):
            await _year(story, year, late=year == late)
    except BramleyError as error:
        story.fail(str(error))
    return FleetOutcome(route, topic, len(fleet.names), story.renewals, story.mistakes, sorted(story.lost), story.failures)


async def _year(story: Story, year: int, *, late: bool) -> None:
    fleet, ends = story.fleet, (await story.fleet.in_force()).not_valid_after_utc
    await fleet.pass_until(ends - LEAD)
    for blunder in story.chance.sample(_BY_HAND, len(_BY_HAND)):
        with story.audience.step(f"year {year}: {_TOLD[blunder]}", story.wrong):
            story.made(await (_refused(story, year) if blunder is Blunder.REFUSED else _wrong(story, year, blunder)))
    with story.audience.step(f"year {year}: {_TOLD[Blunder.LATE] if late else 'the certificate is renewed'}", story.wrong):
        if late:
            story.made([await _renew_late(story, year, ends)])
        else:
            await _renew(story, year)
            await fleet.pass_until(ends + AFTER)
        await fleet.call()
        lost = fleet.names - await fleet.answering()
        story.lost |= lost
        story.wrong += [f"year {year}: {len(lost)} devices no longer answer"] if lost else []


async def _wrong(story: Story, year: int, blunder: Blunder) -> list[Mistake]:
    """One certificate that must not come into force, brought in through every door, and past them."""
    fleet, before = story.fleet, await story.fleet.in_force()
    wrong = await _turn(story.way, blunder)(topic_of(before))
    heard = []
    for name, door in {**fleet.doors, **fleet.breaches}.items():
        said = await door(wrong.files, wrong.password)
        await fleet.settle()
        heard.append((name, said, not said.accepted and await fleet.in_force() == before))
    unharmed = await _everybody_answers(fleet)
    return [Mistake(year, blunder, name, stopped and unharmed, said.words) for name, said, stopped in heard]


async def _refused(story: Story, year: int) -> list[Mistake]:
    """A certificate with nothing wrong about it, but that APNs does not take it."""
    fleet, before = story.fleet, await story.fleet.in_force()
    revoked = await story.way.renew(topic_of(before))
    fleet.apns.revoke(certificates.sha256(revoked.certificate))
    name = story.chance.choice(sorted(fleet.doors))
    said = await fleet.doors[name](revoked.files, revoked.password)
    await fleet.settle()
    stopped = await fleet.in_force() == before and await _everybody_answers(fleet)
    return [Mistake(year, Blunder.REFUSED, name, stopped, said.words)]


async def _renew(story: Story, year: int) -> None:
    """Properly, through another door each year: in three years three fleets have used each of four."""
    fleet, names = story.fleet, sorted(story.fleet.doors)
    renewed = await story.way.renew(topic_of(await fleet.in_force()))
    name = names[(year + list(Route).index(story.route)) % len(names)]
    said = await fleet.doors[name](renewed.files, renewed.password)
    await fleet.settle()
    if await fleet.in_force() == renewed.certificate:
        story.renewals += 1
    else:
        story.fail(f"year {year}: the renewed certificate is not in force ({name}: {said.words or 'taken'})")


async def _renew_late(story: Story, year: int, ends: datetime) -> Mistake:
    """Devices are away, the certificate ends, a call cannot be made; then it is renewed, and the devices come back."""
    fleet = story.fleet
    async with fleet.asleep():
        await fleet.pass_until(ends + LAPSE)
        before = _asked(fleet.apns)
        words = await fleet.call()
        bothered = _asked(fleet.apns) - before
        await _renew(story, year)
        await fleet.pass_until(ends + LAPSE + A_WHILE)
    back = await fleet.answering() == fleet.names
    return Mistake(year, Blunder.LATE, "", back and not bothered, f"{words} APNs was asked {bothered} times meanwhile.".strip())


async def _everybody_answers(fleet: Fleet) -> bool:
    await fleet.call()
    return await fleet.answering() == fleet.names


def _turn(way: Way, blunder: Blunder) -> Callable[[str], Awaitable[Delivery]]:
    return {
        Blunder.WRONG_TOPIC: way.create,
        Blunder.WRONG_ACCOUNT: way.with_other_account,
        Blunder.SWAPPED_KEY: way.with_other_key,
    }[blunder]


def _asked(apns: APNs) -> int:
    return apns.accepted + sum(apns.refused.values())
