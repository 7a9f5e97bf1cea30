"""Asking for a push certificate: key and request are made, and signed by a vendor, before a person takes them to Apple."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.apple import push_certificate as apple
from bramley.model.kinds import Kind
from bramley.model.lineages import KeyID, Lineage, Turn, Version
from bramley.model.lineages import VersionState as S
from bramley.model.push import Route
from bramley.operations import records, vault
from bramley.operations.errors import Conflict, Invalid, NotFound
from bramley.operations.installation import Installation
from bramley.operations.push import lineages
from bramley.pki import keys
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for.

    Without a topic, the renewal of the only push certificate there is, or a first one where there is none; with `further`
    a certificate of a topic of its own, beside those that are here. `account` is the Apple Account that will ask Apple,
    `email` stands in the request. `reuse_key` asks for the certificate in force to be renewed with its key.
    """

    route: Route
    account: str
    email: str
    country: str = "US"
    topic: str | None = None
    further: bool = False
    reuse_key: bool = False
    new_key: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """An open request. `found` says that it was open before, and is given again unchanged."""

    lineage: Lineage
    version: Version
    found: bool

    @property
    def topic(self) -> str | None:
        """The topic it renews; None for a first certificate."""
        return lineages.topic_of(self.lineage)

    @property
    def request(self) -> x509.CertificateSigningRequest:
        if self.version.request is None:
            raise AssertionError("an open request holds what was asked")
        return x509.load_der_x509_csr(self.version.request)


async def ask(installation: Installation, wanted: Wanted, *, actor: str, dry_run: bool = False) -> Asked:
    """Makes a key and a request, or finds the open ones: nothing that may already be with Apple is thrown away unasked.

    `new_key` gives an open request up and makes another; its key is kept, should its certificate come after all.
    """
    if wanted.reuse_key and wanted.new_key:
        raise Invalid("A request is for a new key or for the one in force, not for both.")
    now = installation.clock.now()
    fresh = None if wanted.reuse_key else await asyncio.to_thread(keys.generate, keys.KeyAlgorithm.RSA_2048)
    account = wanted.account.strip()

    def put(tx: Tx) -> Asked:
        lineage = _lineage(tx, wanted)
        if lineage is not None and (waiting := open_request(tx, lineage)) is not None:
            if not (wanted.new_key or wanted.reuse_key):
                lineage = lineages.note(tx, lineage, account=account, route=wanted.route, now=now, actor=actor)
                return Asked(lineage, waiting, found=True)
            records.move(tx, waiting, S.FAILED, now=now, actor=actor, reason="another request was made in its place")
        if lineage is None:
            lineage = lineages.unnamed(tx, now=now)
        lineage = lineages.note(tx, lineage, account=account, route=wanted.route, now=now, actor=actor)
        if not lineage.owner:
            raise Invalid(
                "Expected the Apple Account that this push certificate will belong to.",
                advice="Give --account; one that belongs to the organization, not to a person, with a second factor.",
            )
        key_id: KeyID
        if fresh is None:
            key_id = _key_in_force(tx, lineage)
            key = vault.take(tx, installation.sealer, key_id)
        else:
            key, key_id = fresh, vault.keep(tx, installation.sealer, fresh, Kind.PUSH, now=now, actor=actor)
        request = apple.customer_request(key, common_name=COMMON_NAME, email=wanted.email, country=wanted.country)
        made = records.plan(tx, lineage, request.public_bytes(Encoding.DER), key_id, now=now, actor=actor)
        return Asked(lineage, made, found=False)

    return await installation.store.run(put)


COMMON_NAME = "Bramley push"
"""In the request's subject. Apple puts its own subject into the certificate."""


async def opened(installation: Installation, topic: str | None) -> Asked:
    """The open request of a topic; without one, the only open request. NotFound, Invalid."""

    def look(tx: Tx) -> Asked:
        found = [(lineage, v) for lineage, v in lineages.versions(tx) if v.state in lineages.OPEN]
        if topic is not None:
            found = [(lineage, v) for lineage, v in found if lineage.name == topic]
        if not found:
            raise NotFound("There is no open request for a push certificate.", advice="`bramley push request` makes one.")
        if len(found) > 1:
            raise Invalid(f"There are {len(found)} open requests.", advice="Say for which topic by --topic.")
        return Asked(*found[0], found=True)

    return await installation.store.read(look)


async def mark_sent(installation: Installation, asked: Asked, *, actor: str) -> None:
    """A request is with somebody who signs it."""
    now = installation.clock.now()

    def move(tx: Tx) -> None:
        version = _still_open(tx, asked.version)
        if version.state is S.PLANNED:
            records.move(tx, version, S.REQUESTED, now=now, actor=actor)

    await installation.store.run(move)


async def mark_signed(installation: Installation, asked: Asked, *, actor: str) -> None:
    """A request is signed, and waits for a person to upload it at identity.apple.com."""
    now = installation.clock.now()

    def move(tx: Tx) -> None:
        version = _still_open(tx, asked.version)
        if version.state is S.PLANNED:
            version = records.move(tx, version, S.REQUESTED, now=now, actor=actor)
        if version.state is S.REQUESTED:
            records.move(tx, version, S.AWAITING, now=now, actor=actor, turn=Turn.HUMAN)

    await installation.store.run(move)


def open_request(tx: Tx, lineage: Lineage) -> Version | None:
    """The version of a lineage that waits for its certificate, the newest if there are several."""
    waiting = [version for version in tx.lineages.versions(lineage.id) if version.state in lineages.OPEN]
    return waiting[-1] if waiting else None


def _lineage(tx: Tx, wanted: Wanted) -> Lineage | None:
    """Which lineage the request is for; None for a new one."""
    known = tx.lineages.of_kind(Kind.PUSH)
    named: Sequence[Lineage] = [lineage for lineage in known if lineages.topic_of(lineage) is not None]
    unnamed = [lineage for lineage in known if lineages.topic_of(lineage) is None and open_request(tx, lineage)]
    if wanted.further:
        if wanted.topic is not None:
            raise Invalid("A further certificate gets its topic from Apple.", advice="Leave --topic out.")
        return unnamed[-1] if unnamed else None
    if wanted.topic is not None or named:
        return lineages.of_topic(tx, wanted.topic)
    return unnamed[-1] if unnamed else None


def _key_in_force(tx: Tx, lineage: Lineage) -> KeyID:
    current = records.active(tx, Kind.PUSH, lineage.name)
    if current is None or current.key_id is None:
        raise Conflict(f"There is no key to use again: no push certificate of {lineage.name} is in force.")
    return current.key_id


def _still_open(tx: Tx, asked: Version) -> Version:
    version = tx.lineages.version(asked.id)
    if version is None or version.state not in lineages.OPEN:
        raise Conflict("This request is no longer open.", advice="`bramley push status` shows what is.")
    return version
