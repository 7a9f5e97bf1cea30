"""Signing a xar archive as Apple's `productsign` does: an RSA signature and a CMS message over the table's digest.

The digest is SHA-256, whatever it was: macOS 10.12 and later take it, and current tools of Apple's write it.

A timestamp goes into the CMS message as an unsigned attribute (RFC 3161 appendix A), made over the message's signature. That
signature covers the table, and the table says how large the message is. So room is kept for the largest timestamp that there
may be, and what is left of it are zeros, which readers pass over. Apple's `productsign` keeps room too: a package of its making
gives the message 9216 bytes. Others ask the authority twice, the first time for something made up, to learn how large its
answers are, and keep some room all the same.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from textwrap import wrap
from typing import BinaryIO, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bramley.pki import certificates, cms, oids
from bramley.pki.cms.signing import with_unsigned_attribute
from bramley.pki.timestamps import LARGEST_TOKEN, VerifiedTimestamp
from bramley.pki.xar import header, heap
from bramley.pki.xar.archive import Archive
from bramley.pki.xar.errors import AlreadySigned, Damaged
from bramley.pki.xar.header import DIGESTS
from bramley.pki.xar.heap import Progress

Stamp = Callable[[bytes], VerifiedTimestamp]
"""From the value of a signature to a timestamp over it. What it raises stops the signing."""

_DIGEST: Final = "sha256"
_ROOM: Final = LARGEST_TOKEN + 64
"""What the largest timestamp adds to a message: itself, its attribute's type, and the longer lengths of all around it."""

_COLUMNS: Final = 72
_ADVICE: Final = "The file was changed or damaged after it was made: fetch or build it again."


@dataclass(frozen=True, slots=True)
class Identity:
    """Who signs: the key, and its certificate with those of its issuers, in that order."""

    key: rsa.RSAPrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...]


def sign(
    archive: Archive,
    target: BinaryIO,
    identity: Identity,
    *,
    now: datetime,
    replace: bool = False,
    stamp: Stamp | None = None,
    progress: Progress,
) -> VerifiedTimestamp | None:
    """Writes the archive to `target` with signatures of this identity, made at `now`; files are copied as they are stored.

    With `stamp`, the CMS signature gets its timestamp, which is returned: it is asked once, before anything is written.

    What lies behind the archive's end is left out, since the ticket of a notarization holds for one signature only.

    Raises AlreadySigned unless `replace` allows that, and Damaged for bytes that are not what a checksum of the archive
    promises; then what was written is to be thrown away.
    """
    table = archive.table
    if table.is_signed and not replace:
        raise AlreadySigned("The archive is signed already.", advice="Say that the signature is to be replaced.")
    if not archive.is_sound:
        raise Damaged("The table of contents is not the one that the archive's checksum was made of.", advice=_ADVICE)
    room = 0 if stamp is None else _ROOM
    sizes = (DIGESTS[_DIGEST], identity.key.key_size // 8, len(_cms(identity, bytes(DIGESTS[_DIGEST]), now)) + room)
    xml = table.rewritten(_seals(identity, sizes), heap.placed(table, archive.stretches, sum(sizes)))
    compressed = zlib.compress(xml)
    digest = hashlib.new(_DIGEST, compressed).digest()
    message, stamped = _cms(identity, digest, now), None
    if stamp is not None:
        stamped = stamp(cms.parse_signed_data(message).signers[0].signature)
        message = with_unsigned_attribute(message, oids.TIME_STAMP_TOKEN, stamped.token).ljust(sizes[2], b"\0")
    seals = (digest, identity.key.sign(compressed, padding.PKCS1v15(), hashes.SHA256()), message)
    assert tuple(map(len, seals)) == sizes
    for part in (header.write(len(compressed), len(xml)), compressed, *seals):
        target.write(part)
    for stretch in archive.stretches:
        altered = heap.altered(archive.stream, archive.base, stretch, target.write, progress)
        if altered:
            raise Damaged(f"The bytes of {altered[0]!r} are not those that the archive's checksum was made of.", advice=_ADVICE)
    return stamped


def _cms(identity: Identity, digest: bytes, now: datetime) -> bytes:
    """The message, whose size depends on the identity alone: a key's signatures are all of one size."""
    leaf, *others = identity.chain
    return cms.sign(digest, key=identity.key, certificate=leaf, others=others, digest=_DIGEST, detached=True, signing_time=now)


def _seals(identity: Identity, sizes: Sequence[int]) -> bytes:
    """The elements of the table that describe checksum and signatures, which follow one another from the heap's beginning."""
    checksum, signature, message = sizes
    chain = "".join(
        f"<X509Certificate>{_base64(certificates.der(certificate))}</X509Certificate>\n" for certificate in identity.chain
    )
    key = f'<KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#">\n<X509Data>\n{chain}</X509Data>\n</KeyInfo>\n'
    return (
        _seal("checksum", _DIGEST, 0, checksum)
        + _seal("signature", "RSA", checksum, signature, key)
        + _seal("x-signature", "CMS", checksum + signature, message, key)
    ).encode("ascii")


def _seal(tag: str, style: str, offset: int, size: int, key: str = "") -> str:
    return f'\n<{tag} style="{style}">\n<offset>{offset}</offset>\n<size>{size}</size>\n{key}</{tag}>'


def _base64(data: bytes) -> str:
    return "\n".join(wrap(b64encode(data).decode("ascii"), _COLUMNS))
