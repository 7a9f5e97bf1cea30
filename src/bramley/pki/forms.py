"""What the octets of a file are, told from how they look: never from a file's name, and without believing any of it.

Only as much is read as tells one form from another, so that a message can say what came instead of what was expected.
"""

from __future__ import annotations

import re
from binascii import a2b_base64
from enum import StrEnum
from typing import Final

from bramley.pki import oids
from bramley.pki.cms import ber, values
from bramley.pki.cms.ber import Node
from bramley.pki.cms.errors import Malformed

LIMITS: Final = ber.Limits(size=64 * 1024 * 1024, depth=32, elements=100_000)
"""What telling a form may cost."""

BOM: Final = b"\xef\xbb\xbf"
"""What some editors write before UTF-8."""


class Form(StrEnum):
    """What a file, or a piece of one, is; the value names it in a message."""

    CERTIFICATE = "a certificate"
    REQUEST = "a certificate signing request"
    CRL = "a certificate revocation list"
    PRIVATE_KEY = "a private key"
    ENCRYPTED_KEY = "an encrypted private key"
    PUBLIC_KEY = "a public key"
    SSH_KEY = "an SSH key"
    PARAMETERS = "parameters of a key"
    PKCS12 = "a PKCS#12 archive"
    SIGNED = "a PKCS#7 or CMS message (SignedData)"
    ENVELOPED = "an encrypted CMS message (EnvelopedData)"
    CMS = "a CMS message"
    HTML = "a web page"
    JSON = "JSON"
    PLIST = "a property list"
    BINARY_PLIST = "a binary property list"
    MIME = "a mail message"
    PEM = "PEM text"
    HEX = "hexadecimal text"
    BASE64 = "base64 text"
    UTF16 = "text in UTF-16"
    ZEROS = "nothing but zero bytes"
    EMPTY = "nothing"
    UNKNOWN = "something unknown"


KEYS: Final = frozenset({Form.PRIVATE_KEY, Form.ENCRYPTED_KEY})
"""The forms that a private key may have here."""

_TIMES: Final = frozenset({0x17, 0x18})
_EXPLICIT: Final = 0xA0
_RSA_NUMBERS, _DSA_NUMBERS = 9, 6
_CONTENT_TYPES: Final = {oids.SIGNED_DATA: Form.SIGNED, oids.ENVELOPED_DATA: Form.ENVELOPED}

_SPACE: Final = b" \t\r\n\f\v"
_PRINTABLE: Final = bytes(range(0x20, 0x7F)) + _SPACE
_HTML: Final = re.compile(rb"(<!--[^>]{0,4096}-->\s*)*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_XHTML: Final = re.compile(rb"<\?xml[^>]{0,4096}>\s*(<!--[^>]{0,4096}-->\s*)*<(!doctype\s+html|html)\b", re.IGNORECASE)
_XML: Final = re.compile(rb"<(\?xml|!DOCTYPE\s+plist|plist|dict)\b")
_MIME: Final = re.compile(rb"^(Content-Type|MIME-Version):", re.IGNORECASE | re.MULTILINE)
_SSH: Final = re.compile(rb"(ssh-|ecdsa-sha2-|sk-|---- BEGIN SSH2|PuTTY-User-Key-File)")
_HEX: Final = b"0123456789ABCDEFabcdef"
_BASE64: Final = _HEX + b"GHIJKLMNOPQRSTUVWXYZghijklmnopqrstuvwxyz+/"
_SHORTEST: Final = 32
"""Digits or letters in text that passes for hexadecimal or base64: below, any word would."""
_HEAD: Final = 4096


def form_of(data: bytes) -> Form:
    """What a whole file is. PEM text is told as such: `pieces.take_apart` says what is in it."""
    data = data.removeprefix(BOM)
    if not data.strip(_SPACE):
        return Form.EMPTY
    if data[:1] == b"\x30" and not is_text(data[:_HEAD]):
        return form_of_der(data)
    return _form_of_text(data)


def is_text(data: bytes) -> bool:
    """Whether all of it is ASCII that prints: DER of any length that matters is not."""
    return not data.translate(None, _PRINTABLE)


def is_pem(data: bytes) -> bool:
    """Whether it is text with a mark of PEM in it; a file of zeros and ones may enclose one too, as a .zip does."""
    at = min((at for at in (data.find(b"-----BEGIN"), data.find(b"-----END")) if at >= 0), default=-1)
    return at >= 0 and b"\0" not in data[:at]


def form_inside(data: bytes, form: Form) -> Form:
    """What hexadecimal or base64 text stands for; `UNKNOWN` for other forms, and for what cannot be decoded."""
    text = data.removeprefix(BOM).translate(None, _SPACE)
    try:
        if form is Form.HEX:
            return form_of(bytes.fromhex(text.decode("ascii")))
        return form_of(a2b_base64(text, strict_mode=True)) if form is Form.BASE64 else Form.UNKNOWN
    except ValueError:
        return Form.UNKNOWN


def form_of_der(data: bytes) -> Form:
    """What one element of BER is, by the tags in it; `UNKNOWN` for what is none of these or not well-formed."""
    try:
        return _by_tags(ber.sequence(ber.parse(data, LIMITS), "a file"))
    except (Malformed, IndexError):
        return Form.UNKNOWN


def _form_of_text(data: bytes) -> Form:
    head = data.lstrip(_SPACE)[:_HEAD]
    found = _form_of_letters(data)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"-\0-\0-" in head or head[:3] in (b"<\0?", b"\0<\0"):
        found = Form.UTF16
    elif not data.strip(b"\0"):
        found = Form.ZEROS
    elif data.startswith(b"bplist0"):
        found = Form.BINARY_PLIST
    elif _HTML.match(head):
        found = Form.HTML
    elif _XML.match(head):
        found = Form.HTML if _XHTML.match(head) else Form.PLIST
    elif head[:1] in (b"{", b"["):
        found = Form.JSON
    elif is_pem(data):
        found = Form.PEM
    elif _SSH.match(head):
        found = Form.SSH_KEY
    elif _MIME.search(head):
        found = Form.MIME
    return found


def _form_of_letters(data: bytes) -> Form:
    """Whether all of it is hexadecimal or base64, white space aside."""
    letters = data.translate(None, _SPACE)
    if len(letters) < _SHORTEST or letters.rstrip(b"=").translate(None, _BASE64):
        return Form.UNKNOWN
    return Form.BASE64 if letters.translate(None, _HEX) else Form.HEX


def _by_tags(top: list[Node]) -> Form:
    """By the elements of the outermost SEQUENCE. Each line is the structure of one RFC."""
    match [node.tag for node in top]:
        case [ber.OBJECT_IDENTIFIER, 0xA0]:  # ContentInfo, RFC 5652 section 3
            form = _CONTENT_TYPES.get(values.oid(top[0]), Form.CMS)
            return Form.CMS if form is Form.ENVELOPED and not _has_recipients(top[1]) else form
        case [ber.INTEGER, ber.SEQUENCE, ber.OCTET_STRING, *_]:  # PrivateKeyInfo, RFC 5208 section 5
            return Form.PRIVATE_KEY
        case [ber.INTEGER, ber.SEQUENCE] | [ber.INTEGER, ber.SEQUENCE, ber.SEQUENCE]:  # PFX, RFC 7292 section 4
            return Form.PKCS12 if _tags(top[1]) == [ber.OBJECT_IDENTIFIER, _EXPLICIT] else Form.UNKNOWN
        case [ber.INTEGER, ber.OCTET_STRING, *_]:  # ECPrivateKey, RFC 5915 section 3
            return Form.PRIVATE_KEY
        case [ber.INTEGER, ber.INTEGER]:  # RSAPublicKey, RFC 8017 appendix A.1.1
            return Form.PUBLIC_KEY
        case [ber.SEQUENCE, ber.OCTET_STRING]:  # EncryptedPrivateKeyInfo, RFC 5208 section 6
            return Form.ENCRYPTED_KEY if _tags(top[0]) == [ber.OBJECT_IDENTIFIER, ber.SEQUENCE] else Form.UNKNOWN
        case [ber.SEQUENCE, 0x03]:  # SubjectPublicKeyInfo, RFC 5280 section 4.1
            return Form.PUBLIC_KEY
        case [ber.SEQUENCE, ber.SEQUENCE, 0x03]:
            return _by_signed_tags(_tags(top[0]))
        case tags if set(tags) == {ber.INTEGER} and len(tags) in (_RSA_NUMBERS, _DSA_NUMBERS):  # RFC 8017 appendix A.1.2
            return Form.PRIVATE_KEY
    return Form.UNKNOWN


def _has_recipients(content: Node) -> bool:
    """Whether an EnvelopedData has recipients and a content for them (RFC 5652 section 6.1)."""
    parts = [each for each in content.children[0].children if each.tag != _EXPLICIT]
    return [each.tag for each in parts[:3]] == [ber.INTEGER, ber.SET, ber.SEQUENCE] and bool(parts[1].children)


def _by_signed_tags(tags: list[int]) -> Form:
    """Certificate, request or CRL, which are alike outside: by the elements of what is signed."""
    if tags[0] == _EXPLICIT:  # the version of TBSCertificate, RFC 5280 section 4.1
        return Form.CERTIFICATE
    if len(tags) >= 3 and (tags[2] in _TIMES or (tags[0] == ber.INTEGER and len(tags) > 3 and tags[3] in _TIMES)):
        return Form.CRL  # thisUpdate comes third, or fourth after a version, RFC 5280 section 5.1
    if tags in ([ber.INTEGER, ber.SEQUENCE, ber.SEQUENCE], [ber.INTEGER, ber.SEQUENCE, ber.SEQUENCE, _EXPLICIT]):
        return Form.REQUEST  # CertificationRequestInfo, RFC 2986 section 4.1
    return Form.CERTIFICATE if tags[:4] == [ber.INTEGER, ber.SEQUENCE, ber.SEQUENCE, ber.SEQUENCE] else Form.UNKNOWN


def _tags(node: Node) -> list[int]:
    return [each.tag for each in node.children]
