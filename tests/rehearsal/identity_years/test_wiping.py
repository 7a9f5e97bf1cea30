"""However far a renewal had come, nothing reaches the wiped device; and a server that hands something on is found out."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from bramley.mdm import authenticate, checkin
from bramley.mdm.answer import PLIST_TYPE, Answer
from bramley.model.commands import CommandState
from bramley.rehearsal.identity_years.fleet import Fleet
from bramley.rehearsal.identity_years.plan import DAY, Role
from bramley.rehearsal.identity_years.player import Interruption
from bramley.rehearsal.identity_years.wiping import inherited, is_being_renewed, wipe
from bramley.sandbox.device import messages
from bramley.sandbox.errors import ServerRefused
from bramley.storage import schema


async def test_a_wiped_device_starts_afresh(fleet: Fleet) -> None:
    assert not await is_being_renewed(fleet, fleet.players[0])
    await fleet.pass_time(280 * DAY)
    willing = [player for player in fleet.players if player.part.role is not Role.NOT_NOW]
    former, lives = [player.device for player in willing], []
    for player, point in zip(willing, Interruption, strict=True):
        assert await is_being_renewed(fleet, player)
        lives.append(await wipe(fleet, player, point))
    await fleet.converse()

    for player, device, life, point in zip(willing, former, lives, Interruption, strict=True):
        assert len(life.waiting) == 3, "the renewal, which was not answered, and what was put behind it"
        assert len(life.identities) == (1 if point is Interruption.ASKED else 2)
        assert not life.secret_handed_out
        assert inherited(player, life) == player.refusals == []
        assert player.device is not device
        assert not player.device.locked
        for identity in life.identities:
            device.holdings.identity = identity
            with pytest.raises(ServerRefused):
                await device.check_in(messages.get_bootstrap_token(device.sender()))
        await device.close()
    everybody = {player.name for player in fleet.players}
    assert await fleet.answering(fleet.players) == everybody


async def test_a_server_that_hands_on_what_was_waiting_is_found_out(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = authenticate._take_over

    def hand_on(tx: Any, device: Any, enrollment: Any, message: Any, now: Any) -> None:
        other = tx.enrollments.by_id(message.sender.device)
        waiting = [command.uuid for command in tx.commands.pending(other.key)] if other else []
        genuine(tx, device, enrollment, message, now)
        commands = schema.commands
        moved = sa.update(commands).where(commands.c.uuid.in_(waiting), commands.c.payload != b"")
        tx.commands._connection.execute(moved.values(enrollment_key=enrollment.key, state=CommandState.QUEUED, answered_at=None))

    def anything(*_given: Any) -> Answer:
        return Answer(b"<plist><dict><key>BootstrapToken</key><data>b2xk</data></dict></plist>", PLIST_TYPE)

    monkeypatch.setattr(authenticate, "_take_over", hand_on)
    monkeypatch.setattr(checkin, "_get_bootstrap_token", anything)
    await fleet.pass_time(280 * DAY)
    player = fleet.players[0]

    life = await wipe(fleet, player, Interruption.ISSUED)
    await fleet.converse()

    assert [words.partition(" ")[0] for words in inherited(player, life)] == ["DeviceLock", "InstallProfile"]
    assert life.secret_handed_out
