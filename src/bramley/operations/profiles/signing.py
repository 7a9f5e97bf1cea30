"""Signing profiles on command: with one of this installation's signers, or an identity that comes along."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime

from cryptography import x509

from bramley.mdm.plist import PlistValue
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
from bramley.pki import certificates, names
from bramley.profiles import documents, validate, variables
from bramley.profiles.documents import DocumentKind
from bramley.profiles.encrypt import ContentCipher, encrypt
from bramley.profiles.errors import MissingVariable, NoRecipient
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

    Raises BadProfile for what is no profile or breaks a rule, Invalid for one that is signed or encrypted already, or that has
    variables; NoRecipient, also for one that is not valid at `now`; and CannotSign.
    """
    written, content = _plain(data)
    _require_no_variables(content)
    if recipient is not None:
        _require_in_force(recipient, now)
        written = encrypt(content, recipient, cipher=cipher)
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
    written, _ = _plain(data)
    return await asyncio.to_thread(making.make, Recipe(written, Handling.ENCRYPT, values, recipient, chosen), pair, now)


def _plain(data: bytes) -> tuple[bytes, Mapping[str, PlistValue]]:
    """A profile in clear: as it stands, and what it says."""
    document = documents.read(data)
    if document.kind is not DocumentKind.PLAIN or document.content is None:
        raise Invalid(
            f"Expected a profile in clear to sign; it is {document.kind} already.",
            advice="Take the one that it was made from: a second signature around it is no profile.",
        )
    validate.require(document.content)
    return document.raw, document.content


def _require_no_variables(content: Mapping[str, PlistValue]) -> None:
    """Braces that `variables.fill` would change, the literal ones too, mean something for one device only."""
    try:
        filled = variables.fill(content, {}) == content
        found = "two braces that stand for themselves"
    except MissingVariable as error:
        filled, found = False, f"{{{{ {error.name} }}}} at {error.path}"
    if not filled:
        raise Invalid(
            f"Expected a profile without variables, which would be signed as they stand; {found} came.",
            advice="Name the device that it is for with --device: they are filled in for it.",
        )


def _require_in_force(recipient: x509.Certificate, now: datetime) -> None:
    begins, ends = recipient.not_valid_before_utc, recipient.not_valid_after_utc
    if not begins <= now <= ends:
        raise NoRecipient(
            f"Expected a certificate that is valid now to encrypt to; {names.text(recipient.subject)} is valid "
            f"from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}.",
            advice="Give the one that took its place.",
        )
