"""The root's private key taken offline and brought back.

The root signs a CA every few years. In between its key is safer in a drawer than in a database: whoever holds it can make
identities, server certificates and signers that every enrolled device believes. Certificates of the root's stay good without it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Final

from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.revocation import PublishedCRL
from bramley.operations import authorities, issuers, records, revocation, vault
from bramley.operations.authorities import NAME
from bramley.operations.errors import Conflict, Invalid
from bramley.operations.installation import Installation
from bramley.operations.issuers import Issuer
from bramley.pki import certificates, keys, locked_keys
from bramley.pki.private_keys import read_key
from bramley.storage.protocols import Tx

OFFLINE_CRL: Final = timedelta(days=400)
"""Life of the CRL that the root leaves behind: nobody can sign another until its key is back."""

SHORTEST_PASSWORD: Final = 12


async def export(installation: Installation, password: str) -> bytes:
    """The root's key as encrypted PKCS#8 (PEM, RFC 5958). Invalid for a short password, Conflict where it is offline already."""
    if len(password) < SHORTEST_PASSWORD:
        raise Invalid(f"Expected a password of at least {SHORTEST_PASSWORD} characters for the root's key.")
    key = (await installation.store.read(lambda tx: authorities.load_root(tx, installation.sealer))).key
    if key is None:
        raise Conflict("The root's private key is offline already.")
    return await asyncio.to_thread(locked_keys.write, key, password)


async def forget(installation: Installation, exported: bytes, password: str, *, actor: str) -> PublishedCRL:
    """Deletes the root's key here, once the file `exported` has proved to hold it; the CRL that it leaves behind.

    Backups that were made before still hold it, sealed. Invalid where the file does not give the key back.
    """
    now = installation.clock.now()
    await _require_key(installation, exported, password)
    issuer = await installation.store.read(_issuer)
    crl = await revocation.current(installation, issuer, life=OFFLINE_CRL, actor=actor)

    def delete(tx: Tx) -> None:
        version = records.active(tx, Kind.ROOT_CA, NAME)
        if version is None or version.key_id is None:
            raise Conflict("The root's private key is offline already.")
        tx.keys.delete(version.key_id)
        tx.events.append(Event(now, EventKind.ROOT_KEY_OFFLINE, actor, version_id=version.id, detail={"key": version.key_id}))
        records.touch(tx)

    await installation.store.run(delete)
    return crl


async def bring_back(installation: Installation, exported: bytes, password: str | None, *, actor: str) -> None:
    """Keeps the root's key here again, sealed. Invalid for another key, Conflict where it is here."""
    now = installation.clock.now()
    key = await _require_key(installation, exported, password)

    def put(tx: Tx) -> None:
        version = records.active(tx, Kind.ROOT_CA, NAME)
        if version is None or version.key_id is not None:
            raise Conflict("The root's private key is here.")
        key_id = vault.keep(tx, installation.sealer, key, Kind.ROOT_CA, now=now, actor=actor)
        tx.lineages.update_version(replace(version, key_id=key_id))
        tx.events.append(Event(now, EventKind.ROOT_KEY_BACK, actor, version_id=version.id, detail={"key": key_id}))
        records.touch(tx)

    await installation.store.run(put)


async def lent(installation: Installation, exported: bytes, password: str | None) -> keys.PrivateKey:
    """The root's key out of its file, for one use. Invalid for another key."""
    return await _require_key(installation, exported, password)


def _issuer(tx: Tx) -> Issuer:
    found = next((each for each in issuers.read(tx) if each.kind is Kind.ROOT_CA), None)
    if found is None or found.key_id is None:
        raise Conflict("The root's private key is offline already.")
    return found


async def _require_key(installation: Installation, exported: bytes, password: str | None) -> keys.PrivateKey:
    # elsewhere: a password is made costly to try
    key = await asyncio.to_thread(read_key, exported, password)
    root = await installation.store.read(lambda tx: authorities.load_root(tx, installation.sealer))
    if not certificates.matches(root.certificate, key.public_key()):
        raise Invalid("Expected the private key of this installation's root; the file holds another.")
    return key
