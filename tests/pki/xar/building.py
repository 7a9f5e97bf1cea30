"""xar archives made by other code than the one under test: plain string formatting, zlib and struct."""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Callable, Mapping

NUMBERS = {"none": 0, "sha1": 1, "md5": 2, "sha256": 3, "sha512": 4}
FILES: Mapping[str, bytes] = {
    "PackageInfo": b"<pkg-info identifier='example'/>",
    "Payload": bytes(range(256)) * 9000,
    "Empty": b"",
    "Résources/é&<.txt": b"hello\n",
}


def same(xml: str) -> str:
    return xml


def build(
    files: Mapping[str, bytes] = FILES,
    *,
    digest: str = "sha1",
    file_digest: str = "sha1",
    edit: Callable[[str], str] = same,
    compress: Callable[[bytes], bytes] = zlib.compress,
    number: int | None = None,
    name: bytes = b"",
    version: int = 1,
    sizes: tuple[int, int] | None = None,
    checksum: bytes | None = None,
    trailing: bytes = b"",
) -> bytes:
    """An archive of these files, "folder/name" among them. `edit` changes the XML before the checksum is made of it."""
    size = hashlib.new(digest).digest_size if digest in hashlib.algorithms_available else 0
    heap, offset, entries = [], size, []
    for count, (path, content) in enumerate(files.items(), 1):
        entries.append(_entry(path.split("/"), count, content, offset, file_digest))
        heap.append(content)
        offset += len(content)
    xml = edit(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<xar>\n <toc>\n  <creation-time>2026-11-24T12:00:00</creation-time>\n'
        f'  <checksum style="{digest}">\n   <offset>0</offset>\n   <size>{size}</size>\n  </checksum>\n'
        f"{''.join(entries)} </toc>\n</xar>\n"
    ).encode("utf-8", "surrogateescape")
    compressed = compress(xml)
    sizes = sizes or (len(compressed), len(xml))
    header = struct.pack(">4sHHQQI", b"xar!", 28 + len(name), version, *sizes, NUMBERS[digest] if number is None else number)
    made = hashlib.new(digest, compressed).digest() if size else b""
    return header + name + compressed + (made if checksum is None else checksum) + b"".join(heap) + trailing


def _entry(path: list[str], number: int, content: bytes, offset: int, digest: str) -> str:
    if len(path) > 1:
        inner = _entry(path[1:], number, content, offset, digest)
        return f'<file id="d{number}"><name>{_text(path[0])}</name><type>directory</type>{inner}</file>\n'
    checksum = f'<archived-checksum style="{digest}">{hashlib.new(digest, content).hexdigest()}</archived-checksum>'
    return (
        f'  <file id="{number}"><name>{_text(path[0])}</name><type>file</type>\n'
        f"   <data><length>{len(content)}</length><offset>{offset}</offset><size>{len(content)}</size>"
        f'<encoding style="application/octet-stream"/>{checksum}</data></file>\n'
    )


def _text(name: str) -> str:
    return name.replace("&", "&amp;").replace("<", "&lt;")


def unpacked(data: bytes) -> tuple[str, int, bytes]:
    """The table's XML, where the heap begins, and the compressed table, of any archive."""
    _, size, _, compressed, _, _ = struct.unpack(">4sHHQQI", data[:28])
    table = data[size : size + compressed]
    return zlib.decompress(table).decode(), size + compressed, table


def at(data: bytes, tag: str) -> int:
    """Where in the file the seal begins."""
    xml, base, _ = unpacked(data)
    match = re.search(rf"<{tag} style.*?<offset>(\d+)</offset>", xml, re.DOTALL)
    assert match is not None
    return base + int(match[1])
