"""A thief gets nowhere with old identities; where one is not retired, or one device's serves another, that is told."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bramley.mdm.binding import AuthenticatedDevice, authenticate
from bramley.mdm.identity import VerifiedSigner
from bramley.model.enrollments import Presented
from bramley.operations import identities
from bramley.rehearsal.identity_years.fleet import Fleet
from bramley.rehearsal.identity_years.plan import DAY, Plan
from bramley.rehearsal.identity_years.story import Story
from bramley.rehearsal.identity_years.thief import Why
from bramley.web.device import mdm


@pytest.fixture
async def story(fleet: Fleet) -> AsyncGenerator[Story]:
    """One in which every device has just renewed its identity."""
    story = Story(fleet, Plan(2, 5), fleet.thief(random.Random(1)), fleet.clock.now())
    for _ in range(4):
        await fleet.pass_time((270 if not story.renewed else 8) * DAY)
        story.note(await fleet.converse())
    assert story.renewed == len(fleet.players)
    yield story
    await story.thief.close()


async def everything(story: Story) -> dict[Why, int]:
    """How often what got through."""
    for _ in range(2):
        await story.thief.try_some(story.present, [])
    await story.thief.try_everything(story.present)
    accepted = story.thief.accepted
    return {why: found for why in Why if (found := sum(f"({why})" in words for words in accepted))}


async def test_nothing_gets_through(story: Story) -> None:
    await story.fleet.pass_time(5 * DAY)

    assert await everything(story) == {}
    assert story.thief.attempts[Why.REPLACED] >= len(story.fleet.players) + 18
    assert story.thief.attempts[Why.FOREIGN] >= len(story.fleet.players) + 16


async def test_within_the_grace_nothing_replaced_is_tried(story: Story) -> None:
    assert all(copy.void_from - story.fleet.clock.now() < timedelta(hours=74) for copy in story.thief.copies)
    story.thief.copies = [copy for copy in story.thief.copies if copy.void_from > story.fleet.clock.now()]

    assert await everything(story) == {}
    assert story.thief.attempts[Why.REPLACED] == 0


async def test_what_is_never_retired_gets_through(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_given: object, **_named: object) -> int:
        return 0

    monkeypatch.setattr(identities, "retire_superseded", none)
    await story.fleet.pass_time(5 * DAY)

    assert set(await everything(story)) == {Why.REPLACED}


async def test_an_identity_that_serves_any_device_gets_through(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    def believe(signer: VerifiedSigner, presented: Presented, message: Any, **named: Any) -> AuthenticatedDevice:
        return authenticate(signer, replace(presented, enrollment_id=message.sender.device), message, **named)

    monkeypatch.setattr(mdm, "authenticate", believe)
    await story.fleet.pass_time(5 * DAY)

    assert Why.FOREIGN in await everything(story)
