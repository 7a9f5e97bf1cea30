"""Signing profiles on command: with one of this installation's signers, or an identity that comes along."""

from __future__ import annotations

import asyncio
from datetime import datetime

from cryptography import x509

from bramley.model.enrollments import Enrollment
from bramley.model.lineages import Version
from bramley.model.profiles import Handling
from bramley.operations import devices, signers
from bramley.operations.errors import Invalid
from bramley.operations.identities import device_of
from bramley.operations.live import Live
from bramley.operations.profiles import making
from bramley.operations.profiles.making import Recipe
from bramley.operations.profiles.recipients import recipient_of
from bramley.operations.server_certificates import Pair
from bramley.operations.signers import Signer
from bramley.pki import certificates
from bramley.profiles import documents, validate
from bramley.profiles.documents import DocumentKind
from bramley.profiles.encrypt import ContentCipher, encrypt
from bramley.profiles.sign import sign
from bramley.storage.protocols import Tx


async def pair_of(live: Live, signer: Signer | None) -> Pair:
    """One of this installation's signers; without a name the one that signs what goes out. NotReady where there is none."""
    snapshot, here = live.current(), live.installation
    if signer is None:
        return snapshot.signer
    return await here.store.read(lambda tx: signers.load(tx, here.sealer, snapshot.authorities, signer))


def sign_file(
    data: bytes,
    pair: Pair,
    recipient: x509.Certificate | None,
    now: datetime,
    *,
    cipher: ContentCipher = ContentCipher.AES_128,
) -> bytes:
    """A plain profile signed as it stands, octet for octet; or its payloads encrypted to the recipient before.

    Raises BadProfile for what is no profile or breaks a rule, Invalid for one that is signed or encrypted already, NoRecipient,
    and CannotSign.
    """
    written = _plain(data)
    if recipient is not None:
        content = documents.read(data).content
        written = encrypt(dict(content or {}), recipient, cipher=cipher)
    return sign(written, certificate=pair.certificate, key=pair.key, chain=pair.chain, now=now)


async def sign_for_device(
    live: Live, data: bytes, device: str, pair: Pair, now: datetime, *, cipher: ContentCipher | None = None
) -> bytes:
    """A plain profile as one device would get it: variables filled in, encrypted to it, signed. NotFound, and as `sign_file`.

    `cipher` is by default that of the setting.
    """

    def read(tx: Tx) -> tuple[Enrollment, Enrollment, Version | None]:
        channel = devices.resolve(tx, device)
        owner = device_of(tx, channel)
        return channel, owner, recipient_of(tx, owner.key, now)

    channel, owner, version = await live.installation.store.read(read)
    recipient = certificates.load(version.certificate) if version is not None and version.certificate else None
    chosen = cipher or ContentCipher(live.installation.settings.profiles.cipher)
    values = making.values_for(owner, live.installation.settings.organization, channel=channel)
    return await asyncio.to_thread(making.make, Recipe(_plain(data), Handling.ENCRYPT, values, recipient, chosen), pair, now)


def _plain(data: bytes) -> bytes:
    document = documents.read(data)
    if document.kind is not DocumentKind.PLAIN or document.content is None:
        raise Invalid(
            f"Expected a profile in clear to sign; it is {document.kind} already.",
            advice="Take the one that it was made from: a second signature around it is no profile.",
        )
    validate.require(document.content)
    return document.raw
