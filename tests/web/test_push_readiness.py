"""What /readyz says of push certificates."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bramley.model.kinds import Kind
from bramley.operations import pushing, records
from bramley.sandbox.apple_ca import new_topic
from bramley.storage.protocols import Tx
from tests.web.world import TOPIC, World


async def warnings(world: World) -> list[str]:
    await world.live.refresh()
    answer = await world.http.get("/readyz")
    assert answer.status_code == 200  # devices are served all the same
    found: list[str] = answer.json()["warnings"]
    return found


async def test_a_paused_topic_deserves_a_look(world: World) -> None:
    now = world.clock.now()
    await world.installation.store.run(lambda tx: pushing.pause(tx, TOPIC, "BadCertificate", now=now))
    assert await warnings(world) == ["push-topic-paused"]
    assert TOPIC not in (await world.http.get("/readyz")).text


async def test_a_certificate_that_has_expired_does(world: World) -> None:
    end = world.live.current().pushes[TOPIC].certificate.not_valid_after_utc
    world.clock.moment = end
    assert "push-certificate-expired" not in (await world.http.get("/readyz")).json()["warnings"]
    world.clock.moment = end + timedelta(seconds=1)
    assert "push-certificate-expired" in (await world.http.get("/readyz")).json()["warnings"]


async def test_a_certificate_that_cannot_be_used_does(world: World) -> None:
    await world.installation.store.run(_rename)
    assert await warnings(world) == ["push-certificate-unusable"]


def _rename(tx: Tx) -> None:
    """Puts the certificate in force in the place of another topic's, as half a backup would."""
    lineage = tx.lineages.find(Kind.PUSH, TOPIC)
    assert lineage is not None
    tx.lineages.update(replace(lineage, name=new_topic()))
    records.touch(tx)
