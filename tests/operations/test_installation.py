"""The first start, and opening what it made."""

from __future__ import annotations

import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from bramley.errors import BadInput
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.operations import admins, certificates, server_certificates
from bramley.operations.errors import NotReady
from bramley.operations.installation import Installation, Paths, initialize, open_installation, open_or_initialize
from bramley.operations.live import Live
from bramley.pki.keystore import KeyEncryptionKey, create_key_file
from bramley.settings import Settings, load
from tests.conftest import URL, SetClock


async def test_a_first_start_makes_everything_and_shows_the_token_once(tmp_path: Path, clock: SetClock) -> None:
    settings = load(environment={}, data=tmp_path / "new" / "data", url=URL)
    installation, first = await open_or_initialize(settings, clock, {})
    assert first is not None
    assert first.admin_token.startswith("bramley_")
    rows = await certificates.listing(installation)
    assert {row.lineage.kind for row in rows} == {
        Kind.ROOT_CA,
        Kind.IDENTITY_CA,
        Kind.HTTPS_CA,
        Kind.SIGNER_CA,
        Kind.HTTPS,
        Kind.PROFILE_SIGNER,
    }
    assert all(row.version.state is VersionState.ACTIVE for row in rows)
    assert await admins.authorize(installation, first.admin_token) is not None
    assert await admins.authorize(installation, first.admin_token + "x") is None
    await installation.store.close()

    paths = Paths(settings.data)
    assert stat.S_IMODE(settings.data.stat().st_mode) == 0o700
    for file in (paths.database, paths.sealing_key, paths.recovery_copy):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert first.admin_token.encode() not in paths.database.read_bytes()

    again, nothing = await open_or_initialize(settings, clock, {})
    assert nothing is None
    await again.store.close()


async def test_no_private_key_rests_in_clear(settings: Settings) -> None:
    content = Paths(settings.data).database.read_bytes()
    # the DER of every RSA PKCS#8 key and every EC one begins like this
    assert b"\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01" not in content
    assert b"\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01" not in content
    assert b"PRIVATE KEY" not in content


async def test_the_wrong_sealing_key_is_named(settings: Settings, clock: SetClock, tmp_path: Path) -> None:
    paths = Paths(settings.data)
    paths.sealing_key.unlink()
    create_key_file(paths.sealing_key, tmp_path / "recovery")
    with pytest.raises(BadInput, match=r"sealed under the key [0-9a-f]{16}; the key given is [0-9a-f]{16}"):
        await open_installation(settings, clock, {})


async def test_the_recovery_copy_opens_it(settings: Settings, clock: SetClock) -> None:
    paths = Paths(settings.data)
    paths.sealing_key.unlink()
    paths.recovery_copy.rename(paths.sealing_key)
    installation = await open_installation(settings, clock, {})
    identity_ca = (await Live.start(installation)).current().responder.certificate
    assert "Device Identity CA" in identity_ca.subject.rfc4514_string()
    await installation.store.close()


async def test_a_key_from_the_environment_leaves_no_file(tmp_path: Path, clock: SetClock) -> None:
    settings = load(environment={}, data=tmp_path / "data", url=URL)
    create_key_file(tmp_path / "key", tmp_path / "copy")
    text = (tmp_path / "key").read_text().strip().splitlines()[-1]
    environment = {"BRAMLEY_SEALING_KEY": text}
    assert KeyEncryptionKey.from_text(text).key_id
    installation, first = await initialize(settings, clock, environment)
    await installation.store.close()
    assert first.recovery_copy is None
    assert not Paths(settings.data).sealing_key.exists()
    await (await open_installation(settings, clock, environment)).store.close()


async def test_nothing_there(tmp_path: Path, clock: SetClock) -> None:
    with pytest.raises(NotReady, match="There is no Bramley installation in"):
        await open_installation(load(environment={}, data=tmp_path), clock, {})


async def test_a_first_start_cut_short_is_finished_by_the_next(tmp_path: Path, clock: SetClock) -> None:
    """The sealing key and an empty database are there, the one transaction never happened."""
    settings = load(environment={}, data=tmp_path / "data", url=URL)
    installation, _first = await initialize(settings, clock, {})
    await installation.store.close()
    with sqlite3.connect(Paths(settings.data).database) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if not table.startswith(("sqlite_", "alembic")):
                connection.execute(f"DELETE FROM {table}")
    connection.close()
    again, first = await open_or_initialize(settings, clock, {})
    assert first is not None
    assert (await Live.start(again)).current().topics == frozenset()
    await again.store.close()


async def test_another_url_is_refused_since_devices_cannot_follow(settings: Settings, clock: SetClock) -> None:
    with pytest.raises(BadInput, match="ServerURL is immutable"):
        await open_installation(replace(settings, url="https://other.example.test"), clock, {})


async def test_a_file_in_the_way(tmp_path: Path, clock: SetClock) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(BadInput, match="a file is in the way"):
        await initialize(load(environment={}, data=tmp_path / "data", url=URL), clock, {})


async def test_own_certificates_are_replaced_when_due_and_not_before(installation: Installation, clock: SetClock) -> None:
    live = await Live.start(installation)
    before = live.current().https.certificate

    async def ensure() -> int:
        held, now = live.current().authorities, clock.now()
        made = await installation.store.run(
            lambda tx: server_certificates.ensure(
                tx, installation.sealer, held, host=installation.host, organization="Bramley", now=now
            )
        )
        return len(made)

    assert await ensure() == 0
    assert await live.refresh() is False
    clock.moment = before.not_valid_after_utc.replace(microsecond=0) - (before.not_valid_after_utc - clock.moment) / 4
    assert await ensure() == 1
    assert await live.refresh() is True
    assert live.current().https.certificate != before
