"""An installation of Bramley: a data folder with the key that seals its secrets, a database there or elsewhere, and its URL."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bramley.clock import Clock
from bramley.errors import BadInput, OutsideTrouble
from bramley.model.events import Event, EventKind
from bramley.operations import admins, authorities, server_certificates
from bramley.operations.errors import NotReady
from bramley.pki import keystore
from bramley.pki.keystore import KeyEncryptionKey, Sealer
from bramley.settings import Settings
from bramley.storage.errors import NeverUsed
from bramley.storage.protocols import Store, Tx
from bramley.storage.sqlite import open_store

SEALING_KEY_NOTE = "sealing-key"
URL_NOTE = "url"


@dataclass(frozen=True, slots=True)
class Paths:
    """Where things lie in the data folder."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "bramley.sqlite3"

    @property
    def sealing_key(self) -> Path:
        return self.folder / "sealing.key"

    @property
    def recovery_copy(self) -> Path:
        return self.folder / "sealing-key.recovery"


@dataclass(frozen=True, slots=True)
class Installation:
    """What every operation works on. `url` has no trailing slash."""

    store: Store
    sealer: Sealer
    clock: Clock
    settings: Settings
    url: str

    @property
    def host(self) -> str:
        """The host name in the public URL."""
        return urlsplit(self.url).hostname or "localhost"


class Absent(NotReady):
    """There is no installation where one was named."""


class Unfinished(NotReady):
    """A first start that was cut short before its one transaction."""


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What a first start made, to be shown once."""

    folder: Path
    admin_token: str = field(repr=False)
    recovery_copy: Path | None


async def open_installation(settings: Settings, clock: Clock, environment: Mapping[str, str] | None = None) -> Installation:
    """Opens what `initialize` made. NotReady where there is nothing; SealError where the key is not the one that sealed."""
    paths = Paths(settings.data)
    store = await _open_existing(settings, paths)
    try:
        key_id, url = await store.read(lambda tx: (tx.notes.get(SEALING_KEY_NOTE), tx.notes.get(URL_NOTE)))
        if key_id is None or url is None:
            raise Unfinished(f"The installation in {_place(settings)} was never finished.", advice="`bramley serve` finishes it.")
        key = _read_key(paths, environment)
        _require_key(key, key_id)
        _require_url(settings, url)
    except BaseException:
        await store.close()
        raise
    return Installation(store, Sealer(key), clock, settings, url)


async def _open_existing(settings: Settings, paths: Paths) -> Store:
    """The store of an installation that should be there. Nothing is made in order to find out that it is not."""
    if settings.database:
        from bramley.storage import postgres  # its driver takes a quarter of a second to import

        try:
            return await postgres.open_store(settings.database, create=False)
        except NeverUsed:
            raise Absent("There is no Bramley installation in the database.", advice="`bramley serve` makes one.") from None
    if not paths.database.exists():
        raise Absent(
            f"There is no Bramley installation in {settings.data}.",
            advice="`bramley serve` makes one; --data or BRAMLEY_DATA names another folder.",
        )
    return await open_store(paths.database)


async def _open_to_make(settings: Settings, paths: Paths) -> Store:
    if settings.database:
        from bramley.storage import postgres  # as above

        return await postgres.open_store(settings.database)
    return await open_store(paths.database)


def _place(settings: Settings) -> str:
    return "the database" if settings.database else str(settings.data)


async def initialize(
    settings: Settings, clock: Clock, environment: Mapping[str, str] | None = None
) -> tuple[Installation, FirstStart]:
    """Makes the data folder (0700), the sealing key with its recovery copy, the schema, authorities, the HTTPS and
    profile-signing certificates, and the first admin token: all in one transaction, so a half-made installation does not exist.
    """
    paths = Paths(settings.data)
    _make_folder(paths.folder)
    recovery: Path | None = None
    if paths.sealing_key.exists() or "BRAMLEY_SEALING_KEY" in _environment(environment):
        key = _read_key(paths, environment)
        # an earlier start may have made it and come no further
        recovery = paths.recovery_copy if paths.recovery_copy.exists() else None
    else:
        recovery = paths.recovery_copy
        key = keystore.create_key_file(paths.sealing_key, recovery)
    sealer = Sealer(key)
    url = settings.url.rstrip("/") or _default_url(settings)
    store = await _open_to_make(settings, paths)
    now = clock.now()

    def first_start(tx: Tx) -> str:
        if tx.notes.get(SEALING_KEY_NOTE) is not None:
            raise BadInput(
                f"There is an installation in {_place(settings)} already.",
                advice="Start again to open it.",
            )
        tx.notes.set(SEALING_KEY_NOTE, key.key_id)
        tx.notes.set(URL_NOTE, url)
        made = authorities.create(tx, sealer, organization=settings.organization, now=now)
        server_certificates.ensure(
            tx, sealer, made, host=urlsplit(url).hostname or "", organization=settings.organization, now=now
        )
        tx.events.append(Event(now, EventKind.SERVER_INITIALIZED, "server", detail={"url": url, "sealing_key": key.key_id}))
        return admins.create(tx, "first", now=now, actor="server")

    try:
        token = await store.run(first_start)
    except BaseException:
        await store.close()
        raise
    return Installation(store, sealer, clock, settings, url), FirstStart(paths.folder, token, recovery)


async def open_or_initialize(
    settings: Settings, clock: Clock, environment: Mapping[str, str] | None = None
) -> tuple[Installation, FirstStart | None]:
    """Opens the installation, or makes it where there is none yet, or where its making was cut short."""
    try:
        return await open_installation(settings, clock, environment), None
    except (Absent, Unfinished):
        pass  # nothing was committed, so nothing relies on it
    return await initialize(settings, clock, environment)


def _environment(environment: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environment is None else environment


def _read_key(paths: Paths, environment: Mapping[str, str] | None) -> KeyEncryptionKey:
    text = _environment(environment).get("BRAMLEY_SEALING_KEY")
    return KeyEncryptionKey.from_text(text) if text else keystore.read_key_file(paths.sealing_key)


def _require_key(key: KeyEncryptionKey, key_id: str) -> None:
    if key.key_id != key_id:
        raise BadInput(
            f"This installation's secrets are sealed under the key {key_id}; the key given is {key.key_id}.",
            advice="Put the right sealing.key back (or its recovery copy); without it the secrets cannot be opened.",
        )


def _require_url(settings: Settings, url: str) -> None:
    if settings.url and settings.url.rstrip("/") != url:
        raise BadInput(
            f"This installation serves {url}; the settings say {settings.url}.",
            advice="Enrolled devices can never follow to another URL (ServerURL is immutable). Set url back.",
        )


def _default_url(settings: Settings) -> str:
    port = settings.listen.port
    if port == 0:
        raise BadInput("With listen.port = 0 the public URL cannot be guessed.", advice="Set url, or a port.")
    host = socket.getfqdn()
    if host in {"", "localhost.localdomain"} or host.endswith(".arpa"):
        host = socket.gethostname() or "localhost"
    return f"https://{host.lower()}" + ("" if port == 443 else f":{port}")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except (FileExistsError, NotADirectoryError):
        raise BadInput(f"The data folder {folder} cannot be made: a file is in the way.") from None
    except OSError as error:
        raise OutsideTrouble(
            f"The data folder {folder} cannot be made: {error.strerror}.", advice="--data or BRAMLEY_DATA names another folder."
        ) from None
