"""The header of a xar archive: how long the table of contents is, and which digest binds it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, Final

from bramley.pki.xar.errors import BadXar

LARGEST_COMPRESSED: Final = 4 * 1024 * 1024
LARGEST: Final = 16 * 1024 * 1024
"""Most bytes of a table of contents, as it is stored and as XML: a package of a thousand files needs one megabyte."""

DIGESTS: Final = {"sha1": 20, "sha256": 32, "sha512": 64}
"""The digests that an archive may rely on, with their sizes in bytes."""

_FIELDS: Final = struct.Struct(">4sHHQQI")
_MAGIC: Final = b"xar!"
_VERSION: Final = 1
_LONGEST: Final = 64
_SHA256: Final = 3
"""In headers longer than the usual, another branch of xar means by this number the digest whose name follows."""
_NUMBERS: Final = {1: "sha1", _SHA256: "sha256", 4: "sha512"}


@dataclass(frozen=True, slots=True)
class Header:
    """Sizes in bytes: of the header itself, of the table as it is stored, and of its XML. `digest` is a key of DIGESTS."""

    size: int
    compressed: int
    uncompressed: int
    digest: str


def read(stream: BinaryIO) -> Header:
    """The header at the stream's beginning, which is left behind it. Raises BadXar for anything else or an unusable one."""
    data = stream.read(_FIELDS.size)
    if not data.startswith(_MAGIC):
        raise BadXar(
            f"Expected a xar archive, which begins with {_MAGIC.decode()!r}; found {data[:4]!r}.",
            advice="A package that is a folder has to be made flat first: pkgutil --flatten.",
        )
    if len(data) < _FIELDS.size:
        raise BadXar(f"Expected a header of {_FIELDS.size} bytes; the file ends after {len(data)}.")
    _, size, version, compressed, uncompressed, number = _FIELDS.unpack(data)
    if version != _VERSION or not _FIELDS.size <= size <= _LONGEST:
        raise BadXar(
            f"Expected version {_VERSION} and a header of {_FIELDS.size} to {_LONGEST} bytes; "
            f"found version {version} and {size} bytes."
        )
    if not 0 < compressed <= LARGEST_COMPRESSED or not 0 < uncompressed <= LARGEST:
        raise BadXar(
            f"Expected a table of contents of up to {LARGEST_COMPRESSED} bytes, and {LARGEST} as XML; "
            f"the header claims {compressed} and {uncompressed}."
        )
    rest = stream.read(size - _FIELDS.size)
    if len(rest) < size - _FIELDS.size:
        raise BadXar(f"Expected a header of {size} bytes; the file ends in it.")
    name = rest.split(b"\0", 1)[0].decode("latin-1") if number == _SHA256 else ""
    digest = name or _NUMBERS.get(number, f"number {number}")
    if digest not in DIGESTS:
        raise BadXar(
            f"Expected a checksum by {', '.join(DIGESTS)}; the archive has {digest!r}, which protects nothing.",
            advice="Build the package again with current tools.",
        )
    return Header(size, compressed, uncompressed, digest)


def write(compressed: int, uncompressed: int) -> bytes:
    """The header of an archive whose table has these sizes and is bound by SHA-256, as Apple's tools number it."""
    return _FIELDS.pack(_MAGIC, _FIELDS.size, _VERSION, compressed, uncompressed, _SHA256)
