"""The heap of a xar archive: which stretches of it hold the files, and going over them, once, byte by byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, Final

from bramley.pki.xar.errors import BadXar
from bramley.pki.xar.table import Chunk, Table

Progress = Callable[[int], None]
"""Told how many more bytes have been gone over."""

_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of the heap, and the chunks that they are: several where files share them."""

    offset: int
    length: int
    chunks: tuple[Chunk, ...]


def stretches(table: Table, size: int) -> tuple[Stretch, ...]:
    """The stretches of a heap of `size` bytes, in its order, without empty ones.

    Raises BadXar for what lies beyond its end, and for what overlaps without being the same.
    """
    shared: dict[tuple[int, int], list[Chunk]] = {}
    for chunk in table.chunks:
        _require_inside(chunk.offset, chunk.length, size, chunk.file)
        if chunk.length:
            shared.setdefault((chunk.offset, chunk.length), []).append(chunk)
    taken = [(*place, chunks[0].file) for place, chunks in shared.items()]
    for seal, name in ((table.checksum, "the checksum"), (table.rsa, "the RSA signature"), (table.cms, "the CMS signature")):
        if seal is not None:
            _require_inside(seal.offset, seal.size, size, name)
            taken.append((seal.offset, seal.size, name))
    _require_apart(sorted(taken))
    return tuple([Stretch(*place, tuple(shared[place])) for place in sorted(shared)])


def placed(table: Table, kept: Iterable[Stretch], start: int) -> list[int]:
    """The offset of each chunk of the table, in its order, where the stretches follow one another from `start`."""
    offsets: dict[tuple[int, int], int] = {}
    for stretch in kept:
        offsets[stretch.offset, stretch.length] = start
        start += stretch.length
    return [offsets.get((chunk.offset, chunk.length), start) for chunk in table.chunks]


def altered(stream: BinaryIO, base: int, stretch: Stretch, sink: Callable[[bytes], object], progress: Progress) -> list[str]:
    """Goes over one stretch of the heap that begins at `base`, handing its bytes to `sink`.

    Gives the files whose bytes are not those of the table's checksum. Raises BadXar where the file has ended meanwhile.
    """
    digests = {name: hashlib.new(name) for name in {chunk.digest for chunk in stretch.chunks}}
    for block in _blocks(stream, base + stretch.offset, stretch.length):
        for digest in digests.values():
            digest.update(block)
        sink(block)
        progress(len(block))
    return [chunk.file for chunk in stretch.chunks if digests[chunk.digest].digest() != chunk.checksum]


def _blocks(stream: BinaryIO, position: int, length: int) -> Iterator[bytes]:
    stream.seek(position)
    while length:
        block = stream.read(min(_BLOCK, length))
        if not block:
            raise BadXar("The file became shorter while it was read.", advice="Wait until whoever writes it is done.")
        length -= len(block)
        yield block


def _require_inside(offset: int, length: int, size: int, name: str) -> None:
    if offset + length > size:
        raise BadXar(
            f"Expected {name!r} in the {size} bytes after the table of contents; it should end at {offset + length}.",
            advice="The file is cut short: fetch it again.",
        )


def _require_apart(taken: Sequence[tuple[int, int, str]]) -> None:
    for (offset, length, name), (following, _, other) in pairwise(taken):
        if following < offset + length:
            raise BadXar(f"Expected every part of the archive in a place of its own; {name!r} and {other!r} overlap.")
