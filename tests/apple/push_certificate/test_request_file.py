"""The file for identity.apple.com, octet by octet, and every other file refused."""

from __future__ import annotations

import base64
import plistlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bramley.apple.push_certificate import (
    BadRequestFile,
    PushCertificateError,
    SignedRequest,
    read_request,
    verify_request,
)
from bramley.pki import certificates
from tests.apple.push_certificate.making import AppleLike
from tests.conftest import NOW

PARTS = ("PushCertCertificateChain", "PushCertRequestCSR", "PushCertSignature")


def strings(signed: SignedRequest) -> dict[str, str]:
    found: dict[str, str] = plistlib.loads(base64.b64decode(signed.to_file()))
    return found


def file(values: dict[str, Any]) -> bytes:
    """A request file by the standard library's writer, which is not ours."""
    return base64.b64encode(plistlib.dumps(values))


def test_the_file_has_exactly_these_octets(signed: SignedRequest, apple_like: AppleLike) -> None:
    written = signed.to_file()
    assert base64.b64encode(base64.b64decode(written, validate=True)) == written  # one line, no line feed
    values = strings(signed)
    pem = "".join(certificates.pem(each).decode() for each in apple_like.chain)
    assert values["PushCertCertificateChain"] == pem
    assert base64.b64decode(written).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
        '<plist version="1.0">\n<dict>\n'
        f"  <key>PushCertCertificateChain</key>\n  <string>{pem}</string>\n"
        f"  <key>PushCertRequestCSR</key>\n  <string>{values['PushCertRequestCSR']}</string>\n"
        f"  <key>PushCertSignature</key>\n  <string>{values['PushCertSignature']}</string>\n"
        "</dict>\n</plist>\n"
    )
    for part in PARTS[1:]:
        assert "\n" not in values[part]
    assert "PushCertSignature" not in repr(signed)
    assert repr(signed.signature) not in repr(signed)


def test_lines_of_the_chain_have_64_columns(signed: SignedRequest, apple_like: AppleLike) -> None:
    lines = strings(signed)["PushCertCertificateChain"].split("\n")
    assert lines.pop() == ""
    begins = [at for at, line in enumerate(lines) if line == "-----BEGIN CERTIFICATE-----"]
    ends = [at for at, line in enumerate(lines) if line == "-----END CERTIFICATE-----"]
    assert len(begins) == len(ends) == len(apple_like.chain)
    for begin, end in zip(begins, ends, strict=True):
        *full, last = lines[begin + 1 : end]
        assert {len(line) for line in full} == {64}
        assert 0 < len(last) <= 64


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data,
        lambda data: b"\r\n ".join(data[at : at + 76] for at in range(0, len(data), 76)) + b"\n",
        lambda data: b"\n\t" + data + b" \n\n",
        base64.b64decode,
        lambda data: base64.b64decode(data).replace(b"\n", b"\r\n"),
        lambda data: file(plistlib.loads(base64.b64decode(data))),
        lambda data: base64.b64encode(b"\n" + base64.b64decode(data)),
    ],
    ids=["as written", "wrapped", "white space around", "bare XML", "CRLF", "another writer", "a blank line first"],
)
def test_reading_minds_no_white_space(signed: SignedRequest, change: Callable[[bytes], bytes]) -> None:
    assert read_request(change(signed.to_file())) == signed


def test_wrapped_base64_inside_is_read(signed: SignedRequest) -> None:
    """Apple's own sample has it so."""
    values = strings(signed)
    for part in PARTS[1:]:
        values[part] = "\n" + "\n".join(values[part][at : at + 64] for at in range(0, len(values[part]), 64)) + "\n"
    assert read_request(file(values)) == signed


def rewrapped(text: str, columns: int) -> str:
    blocks = certificates.load_chain(text.encode())
    lines: list[str] = []
    for each in blocks:
        body = base64.b64encode(certificates.der(each)).decode()
        lines += ["-----BEGIN CERTIFICATE-----", *(body[at : at + columns] for at in range(0, len(body), columns))]
        lines += ["-----END CERTIFICATE-----"]
    return "\n".join(lines) + "\n"


def xml(signed: SignedRequest) -> bytes:
    return base64.b64decode(signed.to_file())


def changed(**values: Any) -> Callable[[SignedRequest], bytes]:
    """The file with these strings in place of its own; None leaves one out, a function makes it of the old one."""

    def make(signed: SignedRequest) -> bytes:
        old: dict[str, Any] = strings(signed)
        new = old | {key: value(old[key]) if callable(value) else value for key, value in values.items()}
        return file({key: value for key, value in new.items() if value is not None})

    return make


ENTITY = b'<!DOCTYPE plist [<!ENTITY a "MII">]>'

BAD: dict[str, tuple[Callable[[SignedRequest], bytes], str]] = {
    "nothing": (lambda s: b"", "something else"),
    "an HTML page": (lambda s: b"<!doctype html><html></html>", "something else"),
    "text": (lambda s: b"Please find attached", "neither"),
    "too large": (lambda s: s.to_file() + b"\n" * 256 * 1024, "at most 262144"),
    "a binary property list": (lambda s: plistlib.dumps(strings(s), fmt=plistlib.FMT_BINARY), "neither"),
    "binary in base64": (
        lambda s: base64.b64encode(plistlib.dumps(strings(s), fmt=plistlib.FMT_BINARY)),
        "something else",
    ),
    "cut off": (lambda s: s.to_file()[:3000], "cut off"),
    "cut off in a quartet": (lambda s: s.to_file()[:3001], "neither"),
    "twice": (lambda s: s.to_file() * 2, "neither|cannot be read|processing"),
    "something after": (lambda s: base64.b64encode(xml(s) + b"<plist/>"), "cannot be read"),
    "entities": (lambda s: xml(s).replace(b"<plist", ENTITY + b"<plist", 1), "entities"),
    "entities in UTF-16": (lambda s: xml(s).decode().replace("UTF-8", "UTF-16").encode("utf-16"), "neither|something else"),
    "UTF-16 without a mark": (lambda s: xml(s).decode().encode("utf-16-le"), "something else"),
    "an instruction": (lambda s: xml(s).replace(b"<dict>", b"<?run it?><dict>"), "processing instructions"),
    "not ASCII": (lambda s: xml(s).replace(b"<dict>", "<dict><!-- ü -->".encode()), "plain ASCII"),
    "an array": (lambda s: base64.b64encode(plistlib.dumps([strings(s)])), "a list"),
    "an empty dictionary": (lambda s: file({}), "has nothing"),
    "no chain": (changed(PushCertCertificateChain=None), "exactly"),
    "one key more": (changed(PushCertFriendlyName="x"), "PushCertFriendlyName"),
    "data for the CSR": (changed(PushCertRequestCSR=base64.b64decode), "PushCertRequestCSR as a <string>; it is a bytes"),
    "data for the signature": (changed(PushCertSignature=base64.b64decode), "PushCertSignature as a <string>"),
    "a number": (changed(PushCertSignature=1), "PushCertSignature as a <string>; it is a int"),
    "CSR not base64": (changed(PushCertRequestCSR="MII!"), "Expected base64 in PushCertRequestCSR"),
    "CSR as PEM": (changed(PushCertRequestCSR="-----BEGIN CERTIFICATE REQUEST-----"), "Expected base64"),
    "CSR with more behind": (
        changed(PushCertRequestCSR=lambda old: base64.b64encode(base64.b64decode(old) + b"\0").decode()),
        "DER certification request",
    ),
    "CSR that is a certificate": (
        lambda s: changed(PushCertRequestCSR=base64.b64encode(certificates.der(s.chain[0])).decode())(s),
        "DER certification request",
    ),
    "signature not base64": (changed(PushCertSignature="a=b"), "Expected base64 in PushCertSignature"),
    "signature not ASCII": (changed(PushCertSignature="é"), "plain ASCII"),
    "chain of nothing": (changed(PushCertCertificateChain=""), "PushCertCertificateChain"),
    "76 columns": (changed(PushCertCertificateChain=lambda old: rewrapped(old, 76)), "exactly 64 characters"),
    "60 columns": (changed(PushCertCertificateChain=lambda old: rewrapped(old, 60)), "exactly 64 characters"),
    "words between": (changed(PushCertCertificateChain=lambda old: "subject=CN\n" + old), "nothing between"),
    "a space at a line's end": (changed(PushCertCertificateChain=lambda old: old.replace("\n", " \n")), "exactly 64|PEM"),
    "chain in DER": (
        lambda s: changed(PushCertCertificateChain=base64.b64encode(certificates.der(s.chain[0])).decode())(s),
        "PEM",
    ),
}


@pytest.mark.parametrize("row", BAD)
def test_any_other_file_is_refused(signed: SignedRequest, row: str) -> None:
    make, said = BAD[row]
    with pytest.raises(BadRequestFile, match=said) as caught:
        read_request(make(signed))
    assert caught.value.advice


def columns(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    return "\n".join(text[at : at + 64] for at in range(0, len(text), 64))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("part", ["PushCertRequestCSR", "PushCertSignature", "0", "1", "2"])
def test_one_changed_octet_anywhere_is_refused(signed: SignedRequest, apple_like: AppleLike, part: str) -> None:
    """In the CSR, in the signature, and in each certificate of the chain."""
    values = strings(signed)
    old = certificates.der(signed.chain[int(part)]) if part.isdigit() else base64.b64decode(values[part])
    for at in range(0, len(old), 13):
        changed_octets = flipped(old, at)
        if part.isdigit():
            pem = values["PushCertCertificateChain"].replace(columns(old), columns(changed_octets))
            new = values | {"PushCertCertificateChain": pem}
        else:
            new = values | {part: base64.b64encode(changed_octets).decode()}
        assert new != values
        with pytest.raises(PushCertificateError):
            verify_request(read_request(file(new)), roots=apple_like.roots, now=NOW)


@given(st.binary(max_size=300), st.sampled_from([b"", b"<?xml", b"<plist>", b"<!DOCTYPE plist", b"PD94bWwg"]))
def test_whatever_comes_there_is_one_error(tail: bytes, head: bytes) -> None:
    with pytest.raises(BadRequestFile):
        read_request(head + tail)


@pytest.mark.parametrize(
    "body", ["<integer>x</integer>", "<date>x</date>", "<dict><key>a</key></dict>", "<key>a</key>", "<x/>", "<true/>"]
)
def test_odd_property_lists_are_one_error(body: str) -> None:
    for text in (f"<plist>{body}</plist>", f"<plist><dict><key>a</key>{body}</dict></plist>", f"<plist><array>{body}" * 2000):
        with pytest.raises(BadRequestFile):
            read_request(text.encode())
