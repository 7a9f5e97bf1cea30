"""A profile signer that has ended: told in time, and nothing goes out unsigned or signed by another."""

from __future__ import annotations

from datetime import timedelta

from structlog.testing import capture_logs

from bramley.operations import signers
from bramley.operations.signers import Signer
from tests.operations.signer_kit import PASSWORD, PKI
from tests.web.world import World


async def test_it_deserves_a_look_in_time_and_links_answer_503_once_it_has_ended(world: World) -> None:
    now, here = world.clock.now(), world.installation
    identity = PKI.at(now).signer(days=(-1, 40))
    await signers.import_files(here, [identity.file()], PASSWORD, public=(), actor="test")
    await signers.choose(here, Signer.IMPORTED, actor="test")
    await world.live.refresh()

    async def warned() -> bool:
        answer = await world.http.get("/readyz")
        assert answer.status_code == 200  # devices are served all the same
        return "profile-signer" in answer.json()["warnings"]

    assert await warned() is False
    world.clock.moment = now + timedelta(days=11)
    assert await warned() is True
    assert (await world.http.get(await world.link())).status_code == 200
    world.clock.moment = now + timedelta(days=41)
    assert await warned() is True
    before = len(await here.store.read(lambda tx: tx.enrollments.find()))
    with capture_logs() as logged:
        answer = await world.http.get(await world.link())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")
    assert b"Configuration" not in answer.content
    assert any("Expected a certificate that is valid" in str(line) for line in logged), logged
    assert len(await here.store.read(lambda tx: tx.enrollments.find())) == before
