"""What the table of contents of a xar archive says, as far as signing and verifying need it; plain values.

Each value that signing changes keeps the place of its octets in the XML, so that all others stay exactly as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Span = tuple[int, int]
"""Octets of the XML, first and behind the last."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the heap that belongs to a file: its data, or an extended attribute. `checksum` is of the stored bytes."""

    file: str
    offset: int
    length: int
    digest: str
    checksum: bytes
    offset_at: Span


@dataclass(frozen=True, slots=True)
class Seal:
    """The table's checksum or a signature over it: where in the heap it is. Certificates are DER, the signer's first."""

    style: str
    offset: int
    size: int
    certificates: tuple[bytes, ...]
    at: Span


@dataclass(frozen=True, slots=True)
class Table:
    """The table: `inside` is the first octet behind its opening tag; `stale` is what goes with a signature that is replaced.

    `files` counts files and folders, `names` has those at the top.
    """

    xml: bytes
    inside: int
    checksum: Seal
    rsa: Seal | None
    cms: Seal | None
    stale: tuple[Span, ...]
    files: int
    names: frozenset[str]
    chunks: tuple[Chunk, ...]

    @property
    def is_signed(self) -> bool:
        return self.rsa is not None or self.cms is not None

    def rewritten(self, seals: bytes, offsets: Sequence[int]) -> bytes:
        """The XML with other seals, and with another offset for each chunk, in their order."""
        old = [seal.at for seal in (self.checksum, self.rsa, self.cms) if seal is not None]
        edits = [(span, b"") for span in (*old, *self.stale)]
        edits.append(((self.inside, self.inside), seals))
        edits += [(chunk.offset_at, b"%d" % offset) for chunk, offset in zip(self.chunks, offsets, strict=True)]
        return b"".join(_spliced(self.xml, sorted(edits)))


def _spliced(xml: bytes, edits: Iterable[tuple[Span, bytes]]) -> Iterable[bytes]:
    done = 0
    for (start, stop), replacement in edits:
        yield xml[done:start]
        yield replacement
        done = stop
    yield xml[done:]
