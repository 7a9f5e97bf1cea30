"""A file of keys and certificates, taken apart: the blocks of PEM text (RFC 7468, RFC 1421), or the one thing that DER is.

Text around the blocks, Windows line ends and a byte order mark of UTF-8 do no harm. What a block is, its content says; its
label only where the content does not.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass, field
from typing import Final

from bramley.pki.cms import ber
from bramley.pki.cms.errors import Malformed
from bramley.pki.errors import BadFile
from bramley.pki.forms import BOM, Form, form_of, form_of_der

_BOUNDARY: Final = re.compile(rb"-----(BEGIN|END) ([A-Z0-9 #.]{1,64})-----")
_OPENING: Final = b"-----BEGIN"
_LABELS: Final = {
    "CERTIFICATE": Form.CERTIFICATE,
    "X509 CERTIFICATE": Form.CERTIFICATE,
    "CERTIFICATE REQUEST": Form.REQUEST,
    "NEW CERTIFICATE REQUEST": Form.REQUEST,
    "X509 CRL": Form.CRL,
    "PRIVATE KEY": Form.PRIVATE_KEY,
    "RSA PRIVATE KEY": Form.PRIVATE_KEY,
    "EC PRIVATE KEY": Form.PRIVATE_KEY,
    "DSA PRIVATE KEY": Form.PRIVATE_KEY,
    "ENCRYPTED PRIVATE KEY": Form.ENCRYPTED_KEY,
    "PUBLIC KEY": Form.PUBLIC_KEY,
    "RSA PUBLIC KEY": Form.PUBLIC_KEY,
    "OPENSSH PRIVATE KEY": Form.SSH_KEY,
    "SSH2 ENCRYPTED PRIVATE KEY": Form.SSH_KEY,
    "PKCS7": Form.SIGNED,
    "PKCS12": Form.PKCS12,
    "CMS": Form.CMS,
    "EC PARAMETERS": Form.PARAMETERS,
    "DSA PARAMETERS": Form.PARAMETERS,
    "DH PARAMETERS": Form.PARAMETERS,
}
_SPACE: Final = re.compile(rb"\s+")
_MOST: Final = 1000
"""Blocks in one text: the CA certificates of a whole operating system are two hundred."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One block of a PEM text, or a whole file of another form.

    `content` is what the base64 of a block holds, or the file as it came; `label` and `headers` (RFC 1421) are those of the
    block, else empty.
    """

    form: Form
    content: bytes = field(repr=False)
    label: str = ""
    headers: tuple[str, ...] = ()


def take_apart(data: bytes) -> tuple[Piece, ...]:
    """The pieces of a file, in its order: at least one.

    Raises BadFile for PEM and DER that break off or are followed by more, for base64 that is none, and for too many blocks.
    """
    form = form_of(data)
    data = data.removeprefix(BOM)
    if form is Form.PEM:
        return tuple(_blocks(data))
    if form is Form.UNKNOWN and data[:1] == b"\x30":
        _require_whole(data)
    return (Piece(form, data),)


def _blocks(text: bytes) -> list[Piece]:
    marks = list(_BOUNDARY.finditer(text))
    if not marks or len(marks) % 2 or len(marks) // 2 != text.count(_OPENING):
        raise _cut_short(marks)
    if len(marks) > 2 * _MOST:
        raise BadFile(f"Expected at most {_MOST} blocks of PEM; {len(marks) // 2} came.", advice="Is it the right file?")
    found: list[Piece] = []
    for begin, end in zip(marks[::2], marks[1::2], strict=True):
        if (begin[1], end[1]) != (b"BEGIN", b"END"):
            raise _cut_short(marks)
        label, closing = begin[2].decode("ascii"), end[2].decode("ascii")
        if label != closing:
            raise BadFile(
                f"Expected a line END {label} after BEGIN {label}; END {closing} came.", advice="Copy the file again, whole."
            )
        found.append(_block(label, text[begin.end() : end.start()]))
    return found


def _block(label: str, body: bytes) -> Piece:
    lines = body.strip().splitlines()
    count = next((number for number, line in enumerate(lines) if b":" not in line and line[:1] not in b" \t"), len(lines))
    if label == "MESSAGE":  # text between PEM's marks, as Apple's server tokens have it
        return Piece(Form.UNKNOWN, body, label)
    try:
        content = a2b_base64(_SPACE.sub(b"", b"".join(lines[count:])), strict_mode=True)
    except Base64Error:
        raise BadFile(
            f"Expected base64 between BEGIN {label} and END {label}; there is something else, or some of it is missing.",
            advice="Copy the file again, whole: it may have been edited or sent as text.",
        ) from None
    headers = tuple(line.decode("ascii", "replace") for line in lines[:count])
    by_label, by_content = _LABELS.get(label, Form.UNKNOWN), form_of_der(content)
    if any(header.startswith("Proc-Type:") and "ENCRYPTED" in header for header in headers):
        form = Form.ENCRYPTED_KEY
    elif by_label is Form.PARAMETERS or by_content is Form.UNKNOWN:
        form = by_label
    else:
        form = by_content
    return Piece(form, content, label, headers)


def _cut_short(marks: list[re.Match[bytes]]) -> BadFile:
    label = marks[-1][2].decode("ascii") if marks else "something"
    return BadFile(
        f"Expected a BEGIN and an END line around each block of PEM; the last mark is {label!r}, and one is missing or broken.",
        advice="The file is cut short: copy it again, from -----BEGIN to -----END and the dashes after it.",
    )


def _require_whole(der: bytes) -> None:
    """Returns unless the octets are an element of BER that breaks off, or one with more after it. Raises BadFile."""
    try:
        _, body, length = ber.header(der, 0)
    except (IndexError, Malformed):
        return
    if length == ber.INDEFINITE:
        return
    if body + length > len(der):
        raise BadFile(
            f"Expected {body + length} bytes, as the beginning of the file says; {len(der)} came.",
            advice="The file is cut short: copy it again, as binary.",
        )
    if body + length < len(der):
        raise BadFile(
            f"Expected {body + length} bytes, as the beginning of the file says; {len(der) - body - length} more follow.",
            advice="Something was added to the file: copy it again, as binary.",
        )
