"""Archives from strangers: each that is refused, with the reason; no row may cost memory or time that it does not have."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

import pytest

from bramley.pki import xar
from bramley.pki.xar import header, reading
from tests.pki.xar.building import FILES, build

Row = Callable[[], bytes]


def swapped(old: str, new: str, count: int = 1) -> Row:
    """An archive whose table has one text in the place of another, under a checksum that fits."""

    def edit(xml: str) -> str:
        assert old in xml
        return xml.replace(old, new, count)

    return lambda: build(edit=edit)


def bomb(xml: bytes) -> bytes:
    """More than the header says, in little room."""
    return zlib.compress(xml + b" " * 50_000_000, 9)


SEAL = '<{0} style="{1}"><offset>{2}</offset><size>{3}</size></{0}>'
INFO = len(FILES["PackageInfo"])

HOSTILE: dict[str, tuple[Row, str]] = {
    "empty": (lambda: b"", "begins with 'xar!'"),
    "a zip": (lambda: b"PK\x03\x04" + bytes(60), "begins with 'xar!'"),
    "half a header": (lambda: build()[:20], "ends after 20"),
    "half a long header": (lambda: build(name=b"sha256" + bytes(26), number=3)[:40], "ends in it"),
    "another version": (lambda: build(version=2), "version 2"),
    "a huge header": (lambda: build(name=bytes(40)), "68 bytes"),
    "no checksum": (lambda: build(digest="none"), "protects nothing"),
    "MD5": (lambda: build(digest="md5"), "protects nothing"),
    "an unknown checksum": (lambda: build(number=9), "'number 9'"),
    "a checksum of another name": (lambda: build(name=b"sha224\0\0", number=3), "'sha224'"),
    "another checksum than the header's": (lambda: build(digest="sha256", number=1), "checksum by sha1"),
    "a checksum of another style": (swapped('sum style="sha1">\n', 'sum style="md5">\n'), "one by 'md5'"),
    "a checksum of another size": (swapped("<size>20</size>", "<size>19</size>"), "of 20 bytes"),
    "a table of nothing": (lambda: build(sizes=(0, 0)), "claims 0 and 0"),
    "a table of gigabytes": (lambda: build(sizes=(1 << 40, 1 << 50)), "claims"),
    "a table of the largest size": (lambda: build(sizes=(header.LARGEST_COMPRESSED, header.LARGEST)), "file ends in it"),
    "a bomb": (lambda: build(compress=bomb), "another size"),
    "more than the size": (
        lambda: build(
            compress=lambda xml: zlib.compress(xml + b" "),
        ),
        "another size",
    ),
    "less than the size": (lambda: build(compress=lambda xml: zlib.compress(xml[:-1])), "another size"),
    "bytes after the table": (lambda: build(compress=lambda xml: zlib.compress(xml) + b"x"), "followed by more"),
    "no zlib": (lambda: build(compress=bytes.swapcase), "zlib"),
    "no XML": (swapped("</toc>", "</tok>"), "not well-formed"),
    "nothing in it": (lambda: build(edit=lambda _: "<xar/>"), "with a checksum"),
    "another root": (lambda: build(edit=lambda _: "<plist/>"), "outermost"),
    "UTF-16": (
        lambda: build(compress=lambda xml: zlib.compress(xml.decode().encode("utf-16"))),
        "another size|UTF-8",
    ),
    "another encoding": (swapped('encoding="UTF-8"', 'encoding="ISO-8859-1"'), "says that it is in ISO-8859-1"),
    "bytes that are not UTF-8": (swapped("PackageInfo", "\udcff"), "not well-formed"),
    "an entity": (swapped("<xar>", '<!DOCTYPE xar [<!ENTITY a "b">]><xar>'), "document type"),
    "an entity from outside": (swapped("<xar>", '<!DOCTYPE xar SYSTEM "file:///etc/passwd"><xar>'), "document type"),
    "an instruction": (swapped("<toc>", "<toc><?php ?>"), "processing instruction"),
    "too deep": (swapped("</toc>", "<a>" * 70 + "</a>" * 70 + "</toc>"), "nested 64 deep"),
    "two tables": (swapped("</toc>", "</toc><toc></toc>"), "one table"),
    "two checksums": (swapped("</toc>", SEAL.format("checksum", "sha1", 0, 20) + "</toc>"), "one <checksum>"),
    "two signatures": (swapped("</toc>", SEAL.format("signature", "RSA", 20, 1) * 2 + "</toc>"), "one <signature>"),
    "a signature of another style": (swapped("</toc>", SEAL.format("signature", "DSA", 20, 1) + "</toc>"), "style 'DSA'"),
    "a huge signature": (swapped("</toc>", SEAL.format("x-signature", "CMS", 20, 1_100_000) + "</toc>"), "of 1100000"),
    "a signature in the data": (swapped("</toc>", SEAL.format("signature", "RSA", 25, 8) + "</toc>"), "overlap"),
    "a signature beyond the end": (swapped("</toc>", SEAL.format("signature", "RSA", 9**9, 8) + "</toc>"), "cut short"),
    "a certificate that is no base64": (
        swapped("</checksum>", "<KeyInfo><X509Data><X509Certificate>!</X509Certificate></X509Data></KeyInfo></checksum>"),
        "base64",
    ),
    "too many certificates": (
        swapped(
            "</checksum>",
            f"<KeyInfo><X509Data>{'<X509Certificate>AAAA</X509Certificate>' * 17}</X509Data></KeyInfo></checksum>",
        ),
        "at most 16",
    ),
    "data twice": (swapped("</data>", "</data><data></data>"), "one <data>"),
    "an offset twice": (swapped("</data>", "<offset>20</offset></data>"), "one <offset>"),
    "an offset that is no number": (swapped("<offset>20<", "<offset>0x14<"), "found '0x14'"),
    "an offset below zero": (swapped("<offset>20<", "<offset>-1<"), "found '-1'"),
    "an offset of other digits": (swapped("<offset>20<", "<offset>٢٠<"), "as <offset>"),
    "an offset in pieces": (swapped("<offset>20<", "<offset>2<b/>0<"), "Expected text in <offset>"),
    "an empty offset": (swapped("<offset>20</offset>", "<offset/>"), "found ''"),
    "no offset": (swapped("<offset>20</offset>", ""), "as <offset>"),
    "no length": (swapped(f"<length>{INFO}</length>", ""), "as <length>"),
    "a huge length": (swapped(f"<length>{INFO}</length>", f"<length>{10**17}</length>"), "cut short"),
    "a longer number than there are": (swapped(f"<length>{INFO}</length>", f"<length>{10**30}</length>"), "as <length>"),
    "overlapping files": (swapped(f"<length>{INFO}</length>", f"<length>{INFO + 1}</length>"), "overlap"),
    "a file over the checksum": (swapped("<offset>20</offset>", "<offset>19</offset>", 2), "overlap"),
    "a file without a checksum": (lambda: build(file_digest="md5"), "would not cover it"),
    "a checksum that is cut": (swapped('<archived-checksum style="sha1">', '<archived-checksum style="sha1">ab'), "cover"),
    "a checksum that is no hexadecimal": (swapped('checksum style="sha1">', 'checksum style="sha1">zz', 2), "cover|text"),
    "an offset of something unknown": (swapped("</toc>", "<x><offset>20</offset></x></toc>"), "<x> has one"),
    "an offset in a file": (swapped("</file>", "<offset>20</offset></file>"), "<file> has one"),
    "an offset deep in data": (swapped("</data>", "<x><offset>20</offset></x></data>"), "<x> has one"),
    "a file twice": (swapped("<name>Payload<", "<name>PackageInfo<"), "comes twice"),
    "a path longer than macOS has": (swapped("<name>Payload<", f"<name>{'x' * 1024}<"), "1024 characters"),
    "cut in the data": (lambda: build()[:-1], "cut short"),
    "cut in the checksum": (lambda: build({})[:-1], "cut short"),
    "cut in the table": (lambda: build()[:100], "file ends in it"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_with_the_reason(name: str) -> None:
    make, reason = HOSTILE[name]
    with pytest.raises(xar.BadXar, match=reason):
        xar.read(io.BytesIO(make()))


def test_no_octet_of_the_header_or_the_end_can_be_missing() -> None:
    made = build()
    for size in (*range(60), *range(len(made) - 60, len(made))):
        with pytest.raises(xar.BadXar):
            xar.read(io.BytesIO(made[:size]))


def test_a_table_has_at_most_so_many_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_ELEMENTS", 40)
    with pytest.raises(xar.BadXar, match="at most 40 elements"):
        xar.read(io.BytesIO(build()))


@pytest.mark.parametrize(
    "make",
    [
        build,
        lambda: build(digest="sha256", file_digest="sha512"),
        lambda: build(digest="sha512", name=bytes(36)),
        lambda: build(digest="sha256", name=b"sha256" + bytes(30)),
        lambda: build(digest="sha512", name=b"sha512" + bytes(30), number=3),
        swapped('style="sha1"', 'style="SHA1"', 9),
        swapped("<xar>", "<xar><subdoc subdoc_name='x'><a/></subdoc>"),
        swapped("<name>Payload<", "<name>Other</name><name>Pay<![CDATA[load]]><"),
        lambda: build(trailing=b"ticket"),
    ],
)
def test_what_is_unusual_and_harmless_is_taken(make: Row) -> None:
    archive = xar.read(io.BytesIO(make()))
    assert archive.is_sound
    assert archive.table.names == {name.split("/")[0] for name in FILES}
    assert archive.table.files == len(FILES) + 1
    assert archive.size == sum(map(len, FILES.values()))
    found = xar.verify(archive, progress=lambda _: None)
    assert found == xar.Verification(checksum_holds=True, altered=(), rsa=None, cms=None)
