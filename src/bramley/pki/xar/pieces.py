"""The parts of a table of contents while they are read, and what becomes of them: seals and chunks, with numbers for texts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from bramley.pki.xar.errors import BadXar
from bramley.pki.xar.header import DIGESTS
from bramley.pki.xar.table import Chunk, Seal, Span

_NUMBER: Final = re.compile(r"\s*([0-9]{1,18})\s*", re.ASCII)
_SHOWN: Final = 80
_LONGEST_PATH: Final = 1024
"""That of macOS; and what stands in many paths must not be long."""


@dataclass(slots=True)
class File:
    """A file of the archive; `parent` is its folder, where it is in one, and `depth` the elements open in it, itself included."""

    parent: File | None
    depth: int
    name: str = ""
    has_data: bool = False

    @property
    def path(self) -> str:
        parts: list[str] = []
        at: File | None = self
        while at is not None:
            parts.append(at.name)
            at = at.parent
        if sum(map(len, parts)) + len(parts) > _LONGEST_PATH:
            raise BadXar(f"Expected paths of at most {_LONGEST_PATH} characters; that of '{shown(self.name)}' has more.")
        return "/".join(reversed(parts))


@dataclass(slots=True)
class Piece:
    """A seal or a chunk while it is read: the texts in it by their names, where its offset and itself are, and its depth."""

    tag: str
    depth: int
    file: File | None = None
    style: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    digest: str = ""
    certificates: list[bytes] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    offset_at: list[int] = field(default_factory=list)


def seal(piece: Piece) -> Seal:
    """The seal that was read. Raises BadXar where its numbers are none."""
    offset, size = _number(piece, "offset"), _number(piece, "size")
    return Seal(piece.style, offset, size, tuple(piece.certificates), span(piece.at))


def chunk(piece: Piece) -> Chunk:
    """The chunk that was read. Raises BadXar where its numbers are none, or no known digest of its bytes comes with it."""
    assert piece.file is not None
    path = piece.file.path
    offset, length = _number(piece, "offset"), _number(piece, "length")
    try:
        checksum = bytes.fromhex(piece.texts.get("archived-checksum", ""))
    except ValueError:
        checksum = b""
    if length and (piece.digest not in DIGESTS or len(checksum) != DIGESTS[piece.digest]):
        raise BadXar(
            f"Expected a checksum of each file's bytes by {', '.join(DIGESTS)}; {shown(path)} has none: "
            "a signature would not cover it.",
            advice="Build the package again with current tools.",
        )
    return Chunk(path, offset, length, piece.digest, checksum, span(piece.offset_at))


def _number(piece: Piece, name: str) -> int:
    text = piece.texts.get(name, "")
    found = _NUMBER.fullmatch(text)
    if found is None:
        whose = f" of {shown(piece.file.path)}" if piece.file is not None else ""
        raise BadXar(f"Expected a number of bytes as <{name}> in <{piece.tag}>{whose}; found '{shown(text)}'.")
    return int(found[1])


def span(place: list[int]) -> Span:
    """Both ends of what was read to its end."""
    start, stop = place
    return start, stop


def shown(text: str) -> str:
    """A stranger's text as a message may hold it."""
    return repr(text[:_SHOWN])[1:-1]
