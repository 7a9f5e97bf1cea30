"""A private key and its certificate out of whatever files they come in, in any order, told by content and never by name."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from bramley.pki import certificates, keys, names, pkcs12
from bramley.pki.cms import Malformed, parse_certs_only
from bramley.pki.errors import (
    BadCertificate,
    BadFile,
    NoCertificate,
    NoPrivateKey,
    PairMismatch,
    PasswordNeeded,
    SeveralKeys,
    SeveralMatches,
    WrongPassword,
)
from bramley.pki.forms import KEYS, Form
from bramley.pki.pieces import Piece, take_apart
from bramley.pki.pkcs12 import Bundle
from bramley.pki.private_keys import LARGEST, listed, open_one, read_key, require_size

__all__ = ["LARGEST", "read_certificates", "read_key", "read_pair"]

_SHOWN = 3

_ADVICE = {
    Form.HTML: "The download was answered by a web page, perhaps one that asks to sign in: open it in an editor.",
    Form.REQUEST: "A request has yet to be signed: give the certificate that came of it.",
    Form.PUBLIC_KEY: "Give the private key, and the certificate.",
    Form.SSH_KEY: "SSH keys serve another purpose: give the key that the certificate was requested with.",
    Form.UTF16: "Save it as UTF-8 or plain text, or copy the file again as it was.",
    Form.PLIST: "A profile is not a certificate: give the certificate that is in it, and its key.",
    Form.BASE64: "Text from between BEGIN and END lines needs those lines too.",
    Form.HEX: "Give the file as it was, not written out.",
    Form.ENVELOPED: "It has to be decrypted first.",
}
"""What to do about files in which neither a key nor a certificate is."""


def read_pair(files: Sequence[bytes], password: str | None) -> Bundle:
    """The one private key in these files, the certificate of that key, and the other certificates in the files' order.

    Takes PEM text with certificates and key in any order, DER, PKCS#12 archives and PKCS#7 bundles (RFC 5652 section 5,
    without signers). One password serves all files; those that need none do not look at it.

    Raises what `read_key` and `pkcs12.read` raise, and NoCertificate, PairMismatch, SeveralMatches; BadFile, naming the
    file by its position, for one that holds neither key nor certificate; BadCertificate for one that cannot be read.
    """
    key_pieces: list[Piece] = []
    bundles: list[Bundle] = []
    found: dict[x509.Certificate, None] = {}
    for position, data in enumerate(files, 1):
        try:
            for piece in _useful(data):
                if piece.form in KEYS:
                    key_pieces.append(piece)
                elif piece.form is Form.PKCS12:
                    bundles.append(_archive(piece.content, password))
                else:
                    found |= dict.fromkeys(_certificates(piece))
        except (BadFile, BadCertificate) as error:
            if len(files) > 1:
                raise type(error)(f"File {position} of {len(files)}: {error.message}", advice=error.advice) from None
            raise
    for bundle in bundles:
        found |= dict.fromkeys((bundle.certificate, *bundle.others))
    if not key_pieces and not bundles:
        raise NoPrivateKey(
            f"Expected a private key with the certificate; found {_counted(list(found))} and no key.",
            advice="Give its file too: the key was made with the certificate's request, on the machine where that was made.",
        )
    if not found:
        raise NoCertificate(
            "Expected a certificate with the private key; found a key alone.",
            advice="Give the certificate's file too.",
        )
    return _paired(_one_key(key_pieces, bundles, password), list(found))


def read_certificates(files: Sequence[bytes]) -> tuple[x509.Certificate, ...]:
    """The certificates in these files, PEM, DER or PKCS#7, in their order. Archives are not opened.

    Raises BadFile for a file that holds neither key nor certificate; BadCertificate for one that cannot be read.
    """
    plain = [piece for data in files for piece in _useful(data) if piece.form in (Form.CERTIFICATE, Form.SIGNED)]
    return tuple(certificate for piece in plain for certificate in _certificates(piece))


def _useful(data: bytes) -> list[Piece]:
    """The pieces of a file that a pair can be made of, at least one. Raises BadFile, saying what is there instead."""
    require_size(data)
    pieces = take_apart(data)
    useful = [piece for piece in pieces if piece.form in KEYS or piece.form in (Form.PKCS12, Form.CERTIFICATE)]
    useful += [piece for piece in pieces if piece.form is Form.SIGNED and _is_certs_only(piece.content)]
    if not useful:
        advice = next((_ADVICE[piece.form] for piece in pieces if piece.form in _ADVICE), "Is it the right file?")
        raise BadFile(f"Expected a certificate or a private key; the file holds {listed(pieces)}.", advice=advice)
    return useful


def _is_certs_only(data: bytes) -> bool:
    try:
        return bool(parse_certs_only(data))
    except Malformed:
        return False


def _certificates(piece: Piece) -> list[x509.Certificate]:
    ders = parse_certs_only(piece.content) if piece.form is Form.SIGNED else (piece.content,)
    return [certificates.load(der) for der in ders]


def _archive(data: bytes, password: str | None) -> Bundle:
    try:
        return pkcs12.read(data, password or "")
    except WrongPassword:
        if password is None:
            raise PasswordNeeded(
                "The PKCS#12 archive is encrypted, and no password was given.", advice="Give the password it was exported with."
            ) from None
        raise


def _one_key(pieces: list[Piece], bundles: list[Bundle], password: str | None) -> keys.PrivateKey:
    all_keys = [bundle.key for bundle in bundles]
    if pieces:
        all_keys.append(open_one(pieces, password))
    distinct = {keys.spki(key.public_key()): key for key in all_keys}
    if len(distinct) > 1:
        raise SeveralKeys(
            f"Expected one private key; the files hold {len(distinct)} different ones.",
            advice="Give the key of this certificate by itself.",
        )
    return all_keys[0]


def _paired(key: keys.PrivateKey, found: list[x509.Certificate]) -> Bundle:
    ours = [each for each in found if certificates.is_for(each, key.public_key())]
    if not ours:
        raise PairMismatch(
            f"Expected a certificate for this private key ({keys.describe(key.public_key())}); "
            f"found {_counted(found)}, for another key.",
            advice="Give the key that this certificate was requested with: they are made together, for each request anew.",
        )
    if len(ours) > 1:
        ends = ", ".join(f"{each.not_valid_after_utc:%Y-%m-%d}" for each in ours[:_SHOWN])
        raise SeveralMatches(
            f"Expected one certificate for the private key; found {len(ours)}, which end on {ends}.",
            advice="Give the one that is to be used, by itself.",
        )
    return Bundle(key, ours[0], tuple(each for each in found if each is not ours[0]))


def _counted(found: Sequence[x509.Certificate]) -> str:
    """Certificates by their common names, for a message: "the certificate of 'a' and 'b'"."""
    shown = [repr(_common_name(each)) for each in found[:_SHOWN]]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{'the certificate' if len(found) == 1 else f'{len(found)} certificates'} of {', '.join(shown)}{more}"


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else names.text(certificate.subject)
