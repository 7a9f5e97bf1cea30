"""From a file's octets to a finding: the form first, then the family that knows it."""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import replace
from datetime import datetime
from typing import Final
from warnings import catch_warnings, simplefilter

from bramley.apple.push_certificate import APPLE_ROOTS
from bramley.operations.inspection.certificates import of_certificate
from bramley.operations.inspection.finding import KEYS_OPENED, MOST_INSIDE, Finding, Question, What, details
from bramley.operations.inspection.key_files import of_archive, of_private_key, of_public_key, of_ssh_key
from bramley.operations.inspection.messages import of_enveloped, of_other, of_signed
from bramley.operations.inspection.profiles import of_binary_plist, of_plist
from bramley.operations.inspection.requests import of_push_request, of_request, of_revocation_list
from bramley.operations.inspection.tokens import of_json, of_message
from bramley.pki.errors import BadFile
from bramley.pki.forms import BOM, KEYS, Form, form_of
from bramley.pki.pieces import Piece, take_apart

LARGEST: Final = 50 * 1024 * 1024
"""Bytes in a file that is worth a look."""

_FIRST_OCTETS: Final = 8


def inspect(data: bytes, *, password: str | None, now: datetime, roots: frozenset[str] = APPLE_ROOTS) -> Finding:
    """What a file of at most `LARGEST` bytes is. Never raises: what nothing recognizes is `What.UNKNOWN`.

    `password` is tried on keys and archives; one that it does not open is still recognized, and called locked. `roots` are
    the SHA-256 of certificates that count as Apple's roots in a push request.
    """
    with catch_warnings():
        simplefilter("ignore")  # `cryptography` warns of odd names that it takes all the same
        return _look(data, Question(password, now, roots, _look))


def _look(data: bytes, question: Question) -> Finding:
    try:
        pieces = take_apart(data)
    except BadFile as error:
        return _unknown(data, error.message)
    if len(pieces) > 1:
        return _several(pieces, question)
    return _of_piece(pieces[0], question)


def _several(pieces: tuple[Piece, ...], question: Question) -> Finding:
    """A PEM text of more than one block; parameters of a key, which stand before it, do not count."""
    counted = [piece for piece in pieces if piece.form is not Form.PARAMETERS]
    if len(counted) == 1:
        return _of_piece(counted[0], question)
    inside: list[Finding] = []
    keys_seen = 0
    for piece in counted[:MOST_INSIDE]:
        keys_seen += piece.form in KEYS
        if piece.form in KEYS and keys_seen > KEYS_OPENED:
            inside.append(Finding(What.PRIVATE_KEY, "Not opened: there are many of them.", details=details(locked=True)))
        else:
            inside.append(_of_piece(piece, question))
    more = len(counted) - len(inside)
    first = next((each for each in inside if each.command), None)
    return Finding(
        What.SEVERAL,
        "Several things in one text, such as a certificate, its chain and its key.",
        owner=first.owner if first else "",
        not_before=first.not_before if first else None,
        not_after=first.not_after if first else None,
        command=first.command if first else "",
        details=details(things=len(counted)),
        warnings=(f"{more} more were not looked at.",) if more else (),
        inside=tuple(inside),
    )


def _of_piece(piece: Piece, question: Question) -> Finding:
    """What one piece is, by its form; the families below take over from here."""
    content, now = piece.content, question.now
    match piece.form:
        case Form.CERTIFICATE:
            return of_certificate(content, now)
        case Form.PRIVATE_KEY | Form.ENCRYPTED_KEY:
            return of_private_key(piece, question)
        case Form.PUBLIC_KEY:
            return of_public_key(content)
        case Form.SSH_KEY:
            return of_ssh_key()
        case Form.PARAMETERS:
            return Finding(What.PARAMETERS, "Parameters of a key, without the key: nothing takes them.")
        case Form.PKCS12:
            return of_archive(content, question)
        case Form.REQUEST:
            return of_request(content)
        case Form.CRL:
            return of_revocation_list(content, now)
        case Form.SIGNED:
            return of_signed(content, question)
        case Form.ENVELOPED:
            return of_enveloped(content)
        case Form.CMS:
            return of_other(content)
        case _:
            return _of_text(piece, question)


def _of_text(piece: Piece, question: Question) -> Finding:
    content = piece.content
    match piece.form:
        case Form.PLIST:
            return of_plist(content, question, LARGEST)
        case Form.BINARY_PLIST:
            return of_binary_plist()
        case Form.JSON:
            return of_json(content, question)
        case Form.MIME:
            return of_message(content, question)
        case Form.HEX:
            return _in_hexadecimal(content, question)
        case Form.BASE64:
            return _in_base64(content, question)
        case Form.HTML:
            return Finding(What.HTML, "A web page, saved in place of a file: perhaps one that asks to sign in.")
        case Form.EMPTY:
            return Finding(What.EMPTY, "There is nothing in it.")
        case Form.UNKNOWN if piece.label == "MESSAGE":
            return of_json(content.strip(), question)
        case Form.UTF16:
            return _unknown(content, "It is text in UTF-16: save it as UTF-8.")
        case Form.ZEROS:
            return _unknown(content, "It holds nothing but zero bytes: it was not written to its end.")
        case _:
            return _unknown(content, f"Its label says {piece.label}." if piece.label else "")


def _in_hexadecimal(text: bytes, question: Question) -> Finding:
    digits = b"".join(text.split())
    content = bytes.fromhex(digits[: len(digits) & ~1].decode("ascii"))
    if len(digits) % 2:
        return _unknown(text, "It is hexadecimal text with an odd number of digits: it is cut short.")
    if form_of(content) is Form.ENVELOPED:
        return of_enveloped(
            content,
            what=What.MDMCERT_REPLY,
            purpose="What mdmcert.download mails: a signed request for identity.apple.com, encrypted to whoever asked.",
            command="bramley push mdmcert decrypt",
        )
    return _wrapped(content, text, "hexadecimal", question)


def _in_base64(text: bytes, question: Question) -> Finding:
    try:
        content = a2b_base64(b"".join(text.split()), strict_mode=True)
    except Base64Error:
        return _unknown(text, "It looks like base64 and cannot be decoded: it may be cut short.")
    form = form_of(content)
    if form is Form.PLIST:
        inner = question.inside(content)
        if inner and inner[0].what is What.PUSH_REQUEST:
            return of_push_request(text.removeprefix(BOM), question)
    if form is Form.SIGNED:
        return of_signed(content, question, in_base64=True)
    return _wrapped(content, text, "base64", question)


def _wrapped(content: bytes, text: bytes, encoding: str, question: Question) -> Finding:
    """What text stands for; the text itself is unknown where that is."""
    inner = question.inside(content)
    if not inner or inner[0].what in (What.UNKNOWN, What.EMPTY):
        return _unknown(text, f"It can be read as {encoding}, and stands for nothing known.")
    return replace(inner[0], details={**inner[0].details, "encoding": encoding})


def _unknown(data: bytes, why: str) -> Finding:
    return Finding(
        What.UNKNOWN,
        "Nothing that is known here.",
        details=details(first_octets=data[:_FIRST_OCTETS].hex(" ")),
        warnings=(why,) if why else (),
    )
