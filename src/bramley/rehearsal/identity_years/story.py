"""The story of a fleet and its identities, year after year: the same one whatever server it is played with."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from bramley.errors import BramleyError
from bramley.model.plans import PlanStage
from bramley.operations import ca_rollover, identities
from bramley.operations.ca_plan import Mode
from bramley.rehearsal.identity_years import wiping
from bramley.rehearsal.identity_years.fleet import ACTOR, Fleet
from bramley.rehearsal.identity_years.outcome import FleetOutcome
from bramley.rehearsal.identity_years.plan import ROLLOVER_AFTER, SILENCE, YEAR, Plan, Role
from bramley.rehearsal.identity_years.player import Interruption, Player, Replaced
from bramley.rehearsal.identity_years.thief import Copy, Thief, Why
from bramley.rehearsal.identity_years.wiping import FormerLife
from bramley.sandbox.device import DeviceIdentity, Identity

Told = Callable[[float], None]
"""Hears which share of a step is done, from 0 to 1."""

_GRACE_IS_OVER: Final = timedelta(hours=2)
"""After the end of the grace: a server looks every hour for identities to be retired."""

_TO_USE: Final = timedelta(minutes=2)
"""After which a new CA that is trusted is used."""


class Audience(Protocol):
    """Whoever is told how the story goes on."""

    def step(self, text: str, failures: Sequence[str]) -> AbstractContextManager[Told]:
        """Around each step. It went wrong if something was added to `failures` meanwhile, or if it raised."""
        ...


@dataclass(slots=True)
class Story:
    """A fleet on its way through the years; filled while it goes on. `wrong` says in words what a good server prevents."""

    fleet: Fleet
    plan: Plan
    thief: Thief
    began: datetime
    renewed: int = 0
    rescued: int = 0
    in_mid_renewal: int = 0
    rollover_begun: bool = False
    rolled_over: bool = False
    expired_reachable: set[str] = field(default_factory=set)
    locked_out: set[str] = field(default_factory=set)
    former_lives: dict[Player, FormerLife] = field(default_factory=dict)
    stolen: set[Player] = field(default_factory=set)
    inherited: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def elapsed(self) -> timedelta:
        return self.fleet.clock.now() - self.began

    @property
    def present(self) -> list[tuple[Identity, DeviceIdentity]]:
        """The identities in use, and the devices that have them."""
        there = [player.device for player in self.fleet.players if player.there]
        return [(device.identity, device.device) for device in there if device.identity is not None]

    def fail(self, what: str) -> None:
        self.failures.append(what)
        self.wrong.append(what)

    def note(self, replaced: Sequence[tuple[Player, Replaced]]) -> None:
        """Identities that were replaced: the thief has copies."""
        grace = timedelta(hours=self.fleet.stage.installation.settings.identity.grace_hours)
        for player, given_up in replaced:
            self.renewed += 1
            self.rescued += given_up.had_ended
            void_from = given_up.at + grace + _GRACE_IS_OVER
            self.thief.copies.append(Copy(given_up.identity, player.device.device, Why.REPLACED, void_from))

    def outcome(self) -> FleetOutcome:
        players = self.fleet.players
        return FleetOutcome(
            roles=Counter(player.part.role for player in players),
            renewed=self.renewed,
            rescued=self.rescued,
            wiped=self.in_mid_renewal,
            expired_reachable=sorted(self.expired_reachable),
            locked_out=sorted(self.locked_out),
            wrongly_accepted=self.thief.accepted,
            attempts=self.thief.attempts,
            inherited=self.inherited,
            rolled_over=self.rolled_over,
            refusals=[refusal for player in players for refusal in player.refusals],
            failures=self.failures,
        )


async def play(fleet: Fleet, plan: Plan, audience: Audience) -> FleetOutcome:
    """All the years. What breaks the story off is one of the outcome's failures."""
    with audience.step(f"{plan.devices} devices enroll, with clocks that are 90 seconds off", ()) as told:
        await fleet.enroll(told)
    chance = random.Random(f"{plan.seed} thief")  # noqa: S311 - chance for a simulation
    story = Story(fleet, plan, fleet.thief(chance), fleet.clock.now())
    try:
        await fleet.converse()
        for year in range(plan.years):
            in_it = year * YEAR <= ROLLOVER_AFTER < (year + 1) * YEAR
            text = f"year {year + 1}: identities are renewed{', and the CA is replaced' if in_it else ''}"
            with audience.step(text, story.wrong) as told:
                await _year(story, year, told)
        with audience.step("every device is called, and every old identity tried", story.wrong) as told:
            await _end(story)
    except BramleyError as error:
        story.fail(str(error))
    finally:
        await story.thief.close()
    return story.outcome()


async def _year(story: Story, year: int, told: Told) -> None:
    while (left := (year + 1) * YEAR - story.elapsed) > timedelta():
        await story.fleet.pass_time(min(left, story.plan.step))
        await _turn(story)
        told(min(1.0, story.elapsed / YEAR - year))


async def _turn(story: Story) -> None:
    """What happens on one day: people and devices do what is their part, then whoever was woken answers."""
    before = set(_amiss(story))
    _look_for_ended(story)  # of those who were there all the time until now
    if not story.rollover_begun and story.elapsed >= ROLLOVER_AFTER:
        story.rollover_begun = True
        await ca_rollover.begin(story.fleet.stage.installation, Mode.NEW_KEY, actor=ACTOR)
        for _ in ("trusted", "used"):
            await story.fleet.rest()
            await story.fleet.follow()
            await story.fleet.pass_time(_TO_USE)
    for player in story.fleet.players:
        await _act(story, player)
    story.note(await story.fleet.converse())
    _look_for_ended(story)
    await story.thief.try_some(story.present, _lapsed(story))
    story.wrong += [what for what in _amiss(story) if what not in before]


async def _act(story: Story, player: Player) -> None:
    """The part of a device, if this is its day."""
    since = story.elapsed - player.part.begins
    match player.part.role:
        case Role.SILENT:
            away = timedelta() <= since < SILENCE
            if away and player.there:
                await player.leave()
            elif not away and not player.there:
                player.come()
        case Role.STOLEN if since >= timedelta() and player not in story.stolen:
            story.stolen.add(player)
            await _revoke(story, player)
        case Role.WIPED if since >= timedelta() and player not in story.former_lives:
            await _wipe(story, player, at_last=since >= YEAR)


async def _revoke(story: Story, player: Player) -> None:
    await identities.revoke(story.fleet.stage.installation, player.name, reason="stolen", actor=ACTOR)
    if player.device.identity is not None:
        void_from = story.fleet.clock.now()
        story.thief.copies.append(Copy(player.device.identity, player.device.device, Why.REVOKED, void_from))
    await player.leave()


async def _wipe(story: Story, player: Player, *, at_last: bool) -> None:
    """While a renewal waits for it; or `at_last` without, on a server that renews nothing."""
    renewing = await wiping.is_being_renewed(story.fleet, player)
    if not renewing and not at_last:
        return
    points = list(Interruption)
    point = points[player.part.number % len(points)] if renewing else Interruption.ASKED
    former = await wiping.wipe(story.fleet, player, point)
    story.former_lives[player] = former
    story.in_mid_renewal += renewing
    now = story.fleet.clock.now()
    story.thief.copies += [Copy(identity, player.device.device, Why.WIPED, now) for identity in former.identities]
    if former.secret_handed_out:
        story.fail(f"{player.name} was given the bootstrap token of the life before it was wiped")


async def _end(story: Story) -> None:
    """Everybody who should be there is called; everything that should be of no use is tried."""
    fleet = story.fleet
    expected = [player for player in fleet.players if player not in story.stolen]
    before = set(_amiss(story))
    story.locked_out = {player.name for player in expected} - await fleet.answering(expected)
    story.wrong += [f"{name} is locked out" for name in sorted(story.locked_out)]
    await story.thief.try_everything(story.present)
    for player, former in story.former_lives.items():
        story.inherited += wiping.inherited(player, former)
    story.wrong += [*(what for what in _amiss(story) if what not in before), *story.inherited]
    latest = await fleet.stage.installation.store.read(lambda tx: tx.plans.recent(limit=1))
    story.rolled_over = bool(latest) and latest[0].stage is PlanStage.WITHDRAWN


def _look_for_ended(story: Story) -> None:
    story.expired_reachable |= {player.name for player in story.fleet.players if player.there and player.has_ended_identity}


def _lapsed(story: Story) -> list[Copy]:
    """Copies of the identities of those who are away, and whose identity has ended meanwhile, by any clock."""
    skew = timedelta(minutes=story.fleet.stage.installation.settings.identity.clock_skew_minutes)
    away = [player.device for player in story.fleet.players if not player.there and player not in story.stolen]
    held = [(device.device, device.identity) for device in away if device.identity is not None]
    copies = [Copy(its, device, Why.LAPSED, its.certificate.not_valid_after_utc + skew) for device, its in held]
    return [copy for copy in copies if story.fleet.clock.now() > copy.void_from]


def _amiss(story: Story) -> list[str]:
    """What has gone wrong so far that is written down elsewhere."""
    return [
        *story.thief.accepted,
        *(refusal for player in story.fleet.players for refusal in player.refusals),
        *(f"{name} is there with an identity that has ended" for name in sorted(story.expired_reachable)),
    ]
