"""Signed archives against programs that are not ours: bsdtar makes them, bsdtar and 7-Zip read them, OpenSSL verifies."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from cryptography.hazmat.primitives import serialization

from bramley.pki import certificates, xar
from tests.pki.conftest import NOW, Hierarchy
from tests.pki.xar.building import FILES, build, unpacked
from tests.pki.xar.conftest import Sign

BSDTAR, SEVEN_ZIP = shutil.which("bsdtar"), shutil.which("7zz") or shutil.which("7z")
needs_bsdtar = pytest.mark.skipif(BSDTAR is None, reason="no bsdtar command on this machine")
needs_seven_zip = pytest.mark.skipif(SEVEN_ZIP is None, reason="no 7zz or 7z command on this machine")


def bsdtar(*arguments: object) -> bytes:
    return subprocess.run([str(BSDTAR), *map(str, arguments)], capture_output=True, check=True).stdout


def for_bsdtar(data: bytes) -> bytes:
    """The archive with a header that names no checksum: libarchive knows none by SHA-256, and all the rest it reads."""
    return data[:27] + b"\0" + data[28:]


def table(data: bytes) -> ET.Element:
    found = ET.fromstring(unpacked(data)[0]).find("toc")
    assert found is not None
    return found


def number(element: ET.Element | None, tag: str) -> int:
    text = element.findtext(tag) if element is not None else None
    assert text is not None
    return int(text)


def seal(data: bytes, tag: str) -> bytes:
    """What the table says is in the heap at <tag>."""
    element, base = table(data).find(tag), unpacked(data)[1]
    start = base + number(element, "offset")
    return data[start : start + number(element, "size")]


def contents(data: bytes) -> list[tuple[str | None, bytes]]:
    """Each file's stored bytes, as another XML reader finds them."""
    base = unpacked(data)[1]
    found = []
    for file in table(data).iter("file"):
        element = file.find("data")
        if element is not None:
            start = base + number(element, "offset")
            found.append((file.findtext("name"), data[start : start + number(element, "length")]))
    return found


@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha512"])
def test_openssl_accepts_both_signatures(
    digest: str, sign: Sign, identity: xar.Identity, hierarchy: Hierarchy, openssl: Callable[..., object], tmp_path: Path
) -> None:
    signed = sign(build(digest=digest))
    _, _, compressed = unpacked(signed)
    expected = hashlib.sha256(compressed).digest()
    assert seal(signed, "checksum") == expected
    assert int.from_bytes(signed[24:28], "big") == 3
    public = identity.key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for name, content in {
        "digest": expected,
        "rsa": seal(signed, "signature"),
        "cms": seal(signed, "x-signature"),
        "key.pem": public,
        "root.pem": certificates.pem(hierarchy.root.certificate),
    }.items():
        (tmp_path / name).write_bytes(content)
    openssl(
        *("pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "key.pem", "-pkeyopt", "digest:sha256"),
        *("-in", tmp_path / "digest", "-sigfile", tmp_path / "rsa"),
    )
    openssl(
        *("cms", "-verify", "-binary", "-inform", "DER", "-in", tmp_path / "cms", "-content", tmp_path / "digest"),
        *("-CAfile", tmp_path / "root.pem", "-purpose", "any", "-attime", int(NOW.timestamp()), "-out", tmp_path / "out"),
    )
    assert (tmp_path / "out").read_bytes() == expected


def test_the_table_names_signatures_and_chain_and_the_rest_of_it_stays(sign: Sign, identity: xar.Identity) -> None:
    before = build(edit=lambda xml: xml.replace("</checksum>", "</checksum><!-- kept <offset>1</offset> -->"))
    after = sign(before)
    xml = unpacked(after)[0]
    ders = [certificates.der(each) for each in identity.chain]
    for tag, style in (("signature", "RSA"), ("x-signature", "CMS")):
        element = table(after).find(tag)
        assert element is not None
        assert element.get("style") == style
        texts = [each.text or "" for each in element.iter("{http://www.w3.org/2000/09/xmldsig#}X509Certificate")]
        assert [base64.b64decode(text) for text in texts] == ders
        assert max(len(line) for text in texts for line in text.splitlines()) <= 72
    # nothing but seals and offsets differs: comments and entities are as they were
    assert "<!-- kept <offset>1</offset> -->" in xml
    assert erased(xml) == erased(unpacked(before)[0])
    assert contents(after) == contents(before)
    assert [content for _, content in contents(after)] == list(FILES.values())


def erased(xml: str) -> str:
    """The XML without seals, white space, and the digits of offsets."""
    xml = re.sub(r"<(checksum|signature|x-signature|signature-creation-time)\b.*?</\1>", "", xml, flags=re.DOTALL)
    return re.sub(r"<offset>\d+</offset>|\s", "", xml)


@pytest.mark.parametrize("options", ["checksum=sha1,toc-checksum=sha1", "compression=bzip2", "compression=none"])
@needs_bsdtar
def test_archives_of_bsdtar_are_signed_and_bsdtar_reads_them_again(options: str, sign: Sign, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "Resources").mkdir(parents=True)
    (tree / "PackageInfo").write_text("<pkg-info/>")
    (tree / "Payload").write_bytes(bytes(range(256)) * 20_000)
    (tree / "Hard").hardlink_to(tree / "Payload")
    (tree / "Soft").symlink_to("Payload")
    (tree / "Resources" / "empty").touch()
    (tree / "Resources" / "é & <").write_text("hello")
    made, signed = tmp_path / "made.xar", tmp_path / "signed.xar"
    given = ",".join(f"xar:{each}" for each in options.split(","))
    bsdtar("--format", "xar", "--options", given, "-C", tree, "-cf", made, ".")
    signed.write_bytes(for_bsdtar(sign(made.read_bytes())))
    assert bsdtar("-tvf", signed) == bsdtar("-tvf", made)
    (tmp_path / "out").mkdir()
    bsdtar("-C", tmp_path / "out", "-xf", signed)
    for path in (path for path in tree.rglob("*") if path.is_file()):
        assert (tmp_path / "out" / path.relative_to(tree)).read_bytes() == path.read_bytes()


@needs_seven_zip
def test_seven_zip_finds_every_file_of_a_signed_archive(sign: Sign, tmp_path: Path) -> None:
    (tmp_path / "signed.pkg").write_bytes(sign(build()))
    command = [str(SEVEN_ZIP), "x", f"-o{tmp_path / 'out'}", str(tmp_path / "signed.pkg")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout
    for name, content in FILES.items():
        assert (tmp_path / "out" / name).read_bytes() == content


@needs_bsdtar
def test_bsdtar_reads_what_the_tests_build(tmp_path: Path) -> None:
    """Or else the other tests would prove nothing."""
    (tmp_path / "a.xar").write_bytes(build())
    assert bsdtar("-xOf", tmp_path / "a.xar", "Payload") == FILES["Payload"]


def test_a_signature_is_replaced_only_on_request_and_a_ticket_does_not_stay(sign: Sign, identity: xar.Identity) -> None:
    once = sign(build())
    stapled = once + b"ticket of a notarization"
    assert xar.read(io.BytesIO(stapled)).trailing == 24
    with pytest.raises(xar.AlreadySigned, match="signed already"):
        sign(stapled)
    by_other = replace(identity, chain=identity.chain[:1])
    again = sign(stapled, replace=True, by=by_other)
    assert len(re.findall(r"<X509Certificate>", unpacked(again)[0])) == 2
    assert contents(again) == contents(once)
    assert xar.read(io.BytesIO(again)).trailing == 0
    assert xar.verify(xar.read(io.BytesIO(again)), progress=lambda _: None).rsa == xar.Proof("", by_other.chain)


def test_the_date_of_a_former_signature_goes_with_it(sign: Sign) -> None:
    def with_date(xml: str) -> str:
        return xml.replace("<file", "<signature-creation-time>7321</signature-creation-time><file", 1)

    assert "7321" not in unpacked(sign(build(edit=with_date)))[0]


def test_files_may_share_their_bytes_and_attributes_of_files_move_too(sign: Sign) -> None:
    """Hard links of some writers are two entries of one place; extended attributes are in the heap like data."""
    shared = b"the same"
    offset = 20 + len(FILES["PackageInfo"])
    checksum = f'<archived-checksum style="sha1">{hashlib.sha1(shared).hexdigest()}</archived-checksum>'
    extra = (
        f'<file id="9"><name>Twin</name><type>file</type><ea id="1"><name>com.example</name><offset> {offset}\n</offset>'
        f"<size>8</size><length>8</length>{checksum}</ea>"
        f"<data><offset><![CDATA[{offset}]]></offset><length>8</length>{checksum}</data></file>"
    )
    made = build({"PackageInfo": FILES["PackageInfo"], "Data": shared}, edit=lambda xml: xml.replace(" </toc>", extra + "</toc>"))
    signed = sign(made)
    base = unpacked(signed)[1]
    places = [number(each, "offset") for each in table(signed).iter() if each.tag in ("data", "ea")][1:]
    assert len(set(places)) == 1
    assert signed[base + places[0] :] == shared


@pytest.mark.parametrize("where", ["table", "file"])
def test_nothing_that_is_damaged_is_signed(where: str, sign: Sign) -> None:
    made = bytearray(build(checksum=bytes(20) if where == "table" else None))
    if where == "file":
        made[-1] ^= 1
    with pytest.raises(xar.Damaged, match="table of contents" if where == "table" else r"Résources/é&<\.txt"):
        sign(bytes(made))


def test_memory_does_not_grow_with_the_files(identity: xar.Identity, tmp_path: Path) -> None:
    """256 MB of which the disk holds nothing go through in blocks of a megabyte."""
    size, digest = 256 * 1024 * 1024, hashlib.sha1()
    for _ in range(256):
        digest.update(bytes(1 << 20))
    zeros = hashlib.sha1(b"").hexdigest()

    def large(xml: str) -> str:
        return xml.replace("<length>0</length>", f"<length>{size}</length>").replace(zeros, digest.hexdigest())

    path = tmp_path / "large.xar"
    path.write_bytes(build({"PackageInfo": b""}, edit=large))
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size + size)
    went: list[int] = []
    with path.open("rb") as opened, Path("/dev/null").open("wb") as target:
        tracemalloc.start()
        xar.sign(xar.read(opened), target, identity, now=NOW, progress=went.append)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert sum(went) == size
    assert peak < 8 * 1024 * 1024
