"""Opening a xar archive: everything but the files' bytes is read and judged, and nothing of it is believed before."""

from __future__ import annotations

import hashlib
import hmac
import os
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from bramley.pki.xar import header, reading
from bramley.pki.xar.errors import BadXar
from bramley.pki.xar.header import DIGESTS
from bramley.pki.xar.heap import Stretch, stretches
from bramley.pki.xar.table import Seal, Table

_LARGEST_SIGNATURE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive that holds together; whether its checksum and signatures do, `verify` says.

    `stream` is at any position; the heap begins at `base`. `digest` names the digest of the table, and `table_digest` is what
    it gives; `checksum`, what the archive says it should be. `trailing` counts bytes behind all that the table knows of: Apple
    staples the ticket of a notarization there.
    """

    stream: BinaryIO = field(repr=False)
    base: int
    table: Table = field(repr=False)
    digest: str
    table_digest: bytes
    checksum: bytes
    stretches: tuple[Stretch, ...] = field(repr=False)
    trailing: int

    @property
    def is_sound(self) -> bool:
        """Whether the table of contents is the one that the checksum was made of."""
        return hmac.compare_digest(self.table_digest, self.checksum)

    @property
    def size(self) -> int:
        """The bytes of all files, as they are stored."""
        return sum(stretch.length for stretch in self.stretches)

    def read(self, seal: Seal) -> bytes:
        """The bytes of a seal."""
        self.stream.seek(self.base + seal.offset)
        return self.stream.read(seal.size)


def read(stream: BinaryIO) -> Archive:
    """The archive that a file is; it stays in use as long as the archive does. Raises BadXar where it is none, or hostile."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = header.read(stream)
    compressed = stream.read(head.compressed)
    if len(compressed) < head.compressed:
        raise BadXar(
            f"Expected a table of contents of {head.compressed} bytes; the file ends in it.",
            advice="The file is cut short: fetch it again.",
        )
    table = reading.parse(_inflated(compressed, head.uncompressed))
    _judge_seals(table, head.digest)
    base = head.size + head.compressed
    kept = stretches(table, end - base)
    seals = [seal for seal in (table.checksum, table.rsa, table.cms) if seal is not None]
    known = max([seal.offset + seal.size for seal in seals] + [each.offset + each.length for each in kept])
    stream.seek(base + table.checksum.offset)
    return Archive(
        stream=stream,
        base=base,
        table=table,
        digest=head.digest,
        table_digest=hashlib.new(head.digest, compressed).digest(),
        checksum=stream.read(table.checksum.size),
        stretches=kept,
        trailing=end - base - known,
    )


def _inflated(compressed: bytes, size: int) -> bytes:
    """The XML, which must have exactly the size that the header says; never more than that is made."""
    inflater = zlib.decompressobj()
    try:
        xml = inflater.decompress(compressed, size + 1)
    except zlib.error as error:
        raise BadXar(f"Expected a table of contents compressed with zlib; it cannot be read ({error}).") from None
    if len(xml) != size or not inflater.eof or inflater.unused_data:
        raise BadXar(f"Expected a table of contents of {size} bytes, compressed; it has another size, or is followed by more.")
    return xml


def _judge_seals(table: Table, digest: str) -> None:
    style, size = table.checksum.style.lower(), table.checksum.size
    if style != digest or size != DIGESTS[digest]:
        raise BadXar(f"Expected a checksum by {digest}, of {DIGESTS[digest]} bytes; the table has one by {style!r}, of {size}.")
    for seal, expected in ((table.rsa, "RSA"), (table.cms, "CMS")):
        if seal is not None and (seal.style != expected or seal.size > _LARGEST_SIGNATURE):
            raise BadXar(
                f"Expected a signature of style {expected!r}, of up to {_LARGEST_SIGNATURE} bytes; "
                f"found style {seal.style[:40]!r}, of {seal.size}."
            )
