"""Doors tell a refusal from a door that is broken, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import httpx2
import pytest

from bramley.errors import OutsideTrouble
from bramley.model.kinds import Kind
from bramley.model.lineages import Version
from bramley.operations import live as live_module
from bramley.operations.live import Live
from bramley.operations.push import importing
from bramley.pki import certificates, keys
from bramley.rehearsal.push_cycle import doors
from bramley.rehearsal.push_cycle.doors import HalfRestoredBackup, Operation, OutOfOrder
from bramley.rehearsal.push_cycle.parts import Said
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.sandbox.kept_files import key_pem


class Whatever:
    """Differs from nothing."""

    def __ne__(self, other: object) -> bool:
        return False


@pytest.fixture
def files(apple: SandboxAppleCA, push_key: keys.PrivateKey, live: Live) -> Sequence[bytes]:
    """A certificate of another topic, with its key."""
    issued = apple.issue_push_certificate(push_key.public_key(), topic=new_topic(), now=live.installation.clock.now())
    return [certificates.pem(issued), key_pem(push_key)]


async def versions(live: Live) -> list[Version]:
    def read(tx: object) -> list[Version]:
        found = tx.lineages  # type: ignore[attr-defined]
        return [version for lineage in found.of_kind(Kind.PUSH) for version in found.versions(lineage.id)]

    return await live.installation.store.read(read)


async def test_a_half_restored_backup_is_not_used_and_is_mended(live: Live, files: Sequence[bytes], topic: str) -> None:
    before, used = await versions(live), live.current().pushes[topic].fingerprint
    door = HalfRestoredBackup(live, live.installation.settings.data / "bramley.sqlite3")

    said = await door(files, None)

    assert not said.accepted
    assert topic in said.words
    assert await versions(live) == before
    assert live.current().pushes[topic].fingerprint == used


async def test_a_server_that_used_it_would_be_found_out(
    live: Live, files: Sequence[bytes], topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "topic_of", lambda _certificate: Whatever())
    before = await versions(live)

    said = await HalfRestoredBackup(live, live.installation.settings.data / "bramley.sqlite3")(files, None)

    assert said == Said(True)
    assert await versions(live) == before


async def test_a_refusal_is_told_and_trouble_is_not_taken_for_one(
    live: Live, files: Sequence[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Operation(live.installation)
    assert (await door([b"<html>"], None)).accepted is False
    assert await door(files, None) == Said(True), "no device listens to any topic yet"

    async def fail(*_given: object, **_named: object) -> None:
        raise OutsideTrouble("The disk is full.")

    monkeypatch.setattr(importing, "import_files", fail)
    with pytest.raises(OutsideTrouble):
        await door(files, None)


@pytest.mark.parametrize(
    ("status", "said"),
    [(201, Said(True)), (200, None), (400, Said(False, "no")), (409, Said(False, "no")), (401, None), (404, None), (503, None)],
)
def test_an_answer_is_a_yes_a_no_or_a_broken_door(status: int, said: Said | None) -> None:
    answer = httpx2.Response(status, json={"error": "no", "advice": ""})
    if said is None:
        with pytest.raises(OutOfOrder, match=str(status)):
            doors._said(answer, taken=201)
    else:
        assert doors._said(answer, taken=201) == said


def test_doors_show_no_token() -> None:
    import ssl

    door = doors.API("https://mdm.example.test", "secret-token", ssl.create_default_context())
    assert "secret-token" not in repr(door)
    assert "secret-token" not in repr(replace(door, url="https://other.example.test"))
