"""The ways into Bramley: every one that is meant for a push certificate, and a half-restored backup, which is not."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2
import sqlalchemy as sa

from bramley.errors import BramleyError, OutsideTrouble
from bramley.model.kinds import Kind
from bramley.model.lineages import KeyID, Version
from bramley.operations import records, vault
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.operations.push import importing, lineages
from bramley.pki import certificates, keys
from bramley.rehearsal.push_cycle.desks import ACTOR
from bramley.rehearsal.push_cycle.parts import Door, Said
from bramley.rehearsal.push_cycle.ways import unpack
from bramley.rehearsal.stage import Stage
from bramley.sandbox.kept_files import key_pem
from bramley.storage import schema
from bramley.storage.errors import StorageError
from bramley.storage.protocols import Tx

Opener = Callable[[], Awaitable[Installation]]
"""Opens the installation of the rehearsal anew, with its clock, as a process of its own would."""

CommandLine = Callable[[Opener], Door]
"""Makes the door of the command line, which lies above this package."""

_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, which `ssl` has no name for."""


class OutOfOrder(BramleyError):
    """A door that neither takes a certificate nor says what is wrong with it."""


def doors(stage: Stage, command_line: CommandLine | None, opener: Opener) -> Mapping[str, Door]:
    """Every way in; that of the command line where there is one."""
    inside: dict[str, Door] = {
        "operation": Operation(stage.installation),
        "API": API(stage.installation.url, stage.first.admin_token, _trust(stage)),
        "NanoMDM's route": NanoMDMRoute(stage.installation.url, stage.first.admin_token, _trust(stage)),
    }
    return inside if command_line is None else {"command line": command_line(opener), **inside}


@dataclass(frozen=True, slots=True)
class Operation:
    """What all the others end in."""

    installation: Installation

    async def __call__(self, files: Sequence[bytes], password: str | None) -> Said:
        try:
            await importing.import_files(self.installation, files, password, actor=ACTOR)
        except (OutsideTrouble, StorageError):
            raise
        except BramleyError as error:
            return Said(False, error.message)
        return Said(True)


@dataclass(frozen=True, slots=True)
class API:
    """POST /api/v1/push/certificates."""

    url: str
    token: str = field(repr=False)
    trust: ssl.SSLContext = field(repr=False)

    async def __call__(self, files: Sequence[bytes], password: str | None) -> Said:
        body = {"files": [base64.b64encode(file).decode() for file in files], "password": password}
        headers = {"Authorization": f"Bearer {self.token}"}
        request = httpx2.Request("POST", f"{self.url}/api/v1/push/certificates", json=body, headers=headers)
        return _said(await _send(request, self.trust), taken=201)


@dataclass(frozen=True, slots=True)
class NanoMDMRoute:
    """PUT /v1/pushcert. It takes nothing but PEM, so whoever has PKCS#12 takes it apart first."""

    url: str
    token: str = field(repr=False)
    trust: ssl.SSLContext = field(repr=False)

    async def __call__(self, files: Sequence[bytes], password: str | None) -> Said:
        certificate, key = unpack(files, password)
        body = certificates.pem(certificate) + (key_pem(key) if key else b"")
        basic = base64.b64encode(f"nanomdm:{self.token}".encode()).decode()
        request = httpx2.Request("PUT", f"{self.url}/v1/pushcert", content=body, headers={"Authorization": f"Basic {basic}"})
        return _said(await _send(request, self.trust), taken=200)


class HalfRestoredBackup:
    """The certificate in force is replaced in the database, behind the server's back; and put back in the end.

    It was taken if the running server uses it meanwhile.
    """

    def __init__(self, live: Live, database: Path) -> None:
        self._live, self._database = live, database

    async def __call__(self, files: Sequence[bytes], password: str | None) -> Said:
        certificate, key = unpack(files, password)
        store = self._live.installation.store
        current, key_id = await store.run(lambda tx: self._place(tx, certificate, key))
        sha256 = certificates.sha256(certificate)
        other = {
            "certificate": certificates.der(certificate),
            "sha256": sha256,
            "spki_sha256": keys.spki_sha256(certificates.public_key(certificate)),
            "key_id": key_id,
        }
        former = await asyncio.to_thread(self._replace, current, other)
        try:
            await self._live.refresh()
            snapshot = self._live.current()
            used = sha256 in {identity.fingerprint for identity in snapshot.pushes.values()}
            words = " ".join(snapshot.unusable.values())
        finally:
            await asyncio.to_thread(self._replace, current, former)
            await self._live.refresh()
        return Said(used, words)

    def _place(self, tx: Tx, certificate: Any, key: keys.PrivateKey | None) -> tuple[Version, KeyID | None]:
        """The version in force, and the sealed key of the certificate that takes its place."""
        installation = self._live.installation
        now = installation.clock.now()
        current = in_force(tx)
        if current is None:
            raise OutOfOrder("There is no push certificate in force to replace.")
        if key is not None:
            return current, vault.keep(tx, installation.sealer, key, Kind.PUSH, now=now, actor=ACTOR)
        held = lineages.with_key(tx, keys.spki_sha256(certificates.public_key(certificate)))
        return current, held[-1][1].key_id if held else current.key_id

    def _replace(self, current: Version, values: Mapping[str, Any]) -> dict[str, Any]:
        """Writes the row as some other program would, has running servers look, and returns what stood there."""
        mine, notes = schema.versions.c.id == current.id, schema.notes
        engine = sa.create_engine(f"sqlite:///{self._database}", poolclass=sa.NullPool)
        with engine.begin() as connection:
            columns = [schema.versions.c[name] for name in values]
            former = connection.execute(sa.select(*columns).where(mine)).one()._asdict()
            connection.execute(sa.update(schema.versions).where(mine).values(**values))
            generation = connection.execute(sa.select(notes.c.value).where(notes.c.name == records.GENERATION_NOTE)).scalar_one()
            connection.execute(
                sa.update(notes).where(notes.c.name == records.GENERATION_NOTE).values(value=str(int(generation) + 1))
            )
        return former


def in_force(tx: Tx) -> Version | None:
    """The push certificate in force, the newest where several topics have one."""
    found = [records.active(tx, Kind.PUSH, lineage.name) for lineage in tx.lineages.of_kind(Kind.PUSH)]
    return max((version for version in found if version is not None), key=lambda version: version.id, default=None)


def _trust(stage: Stage) -> ssl.SSLContext:
    """Our root, whatever the machine's clock says: the server's own moves on."""
    root = stage.service.live.current().authorities.root.certificate
    context = ssl.create_default_context(cadata=certificates.pem(root).decode())
    context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


async def _send(request: httpx2.Request, trust: ssl.SSLContext) -> httpx2.Response:
    try:
        async with httpx2.AsyncClient(verify=trust, trust_env=False) as client:
            return await client.send(request)
    except httpx2.TransportError as error:
        raise OutOfOrder(f"No answer from {request.url}: {str(error) or type(error).__name__}.") from None


def _said(answer: httpx2.Response, *, taken: int) -> Said:
    if answer.status_code == taken:
        return Said(True)
    if answer.status_code not in (400, 409):
        raise OutOfOrder(f"Expected a certificate to be taken or refused; the answer is HTTP {answer.status_code}.")
    told = answer.json()
    return Said(False, str(told["error"]))
