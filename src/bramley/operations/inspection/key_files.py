"""Keys by themselves, and PKCS#12 archives. One that is locked is told as such; nothing of a key but its kind is shown."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from bramley.operations.inspection.certificates import of_certificate
from bramley.operations.inspection.finding import MOST_INSIDE, Finding, Question, What, details
from bramley.pki import certificates, keys, pkcs12
from bramley.pki.errors import NoPrivateKey, PasswordNeeded, PKIError, WrongPassword
from bramley.pki.forms import Form
from bramley.pki.pieces import Piece
from bramley.pki.private_keys import open_one

_PURPOSE = "The secret half of a certificate: give both together. Keep it to yourself."
_IMPORT = "bramley push import"


def of_private_key(piece: Piece, question: Question) -> Finding:
    """A private key of any form. Opening one may cost seconds, a locked one as much again."""
    encrypted = piece.form is Form.ENCRYPTED_KEY
    try:
        key = open_one([piece], question.password)
    except (PasswordNeeded, WrongPassword) as error:
        return Finding(
            What.PRIVATE_KEY,
            _PURPOSE,
            command=_IMPORT,
            details=details(encrypted=True, locked=True),
            warnings=() if isinstance(error, PasswordNeeded) else (error.message,),
        )
    except PKIError as error:
        return Finding(What.PRIVATE_KEY, _PURPOSE, details=details(encrypted=encrypted), warnings=(error.message,))
    return _of_key(key, encrypted=encrypted)


def of_archive(data: bytes, question: Question) -> Finding:
    """A PKCS#12 archive, and what is in it if the password opens it."""
    purpose = "A certificate with its private key and its chain, under a password."
    try:
        bundle = pkcs12.read(data, question.password or "")
    except WrongPassword as error:
        tried = () if question.password is None else (error.message,)
        return Finding(What.PKCS12, purpose, command=_IMPORT, details=details(locked=True), warnings=tried)
    except NoPrivateKey as error:
        return Finding(What.PKCS12, "Certificates without a private key.", warnings=(error.message,))
    except PKIError as error:
        return Finding(What.PKCS12, purpose, warnings=(error.message,))
    first = of_certificate(certificates.der(bundle.certificate), question.now)
    others = tuple(of_certificate(certificates.der(each), question.now) for each in bundle.others[:MOST_INSIDE])
    return Finding(
        What.PKCS12,
        f"{purpose} {first.purpose}",
        owner=first.owner,
        not_before=first.not_before,
        not_after=first.not_after,
        command=first.command,
        details=details(locked=False, certificates=1 + len(bundle.others), key=keys.describe(bundle.key.public_key())),
        warnings=first.warnings,
        inside=(first, _of_key(bundle.key, encrypted=True), *others),
    )


def of_public_key(der: bytes) -> Finding:
    """A public key: SubjectPublicKeyInfo, or PKCS#1."""
    try:
        key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return Finding(What.PUBLIC_KEY, "A public key of a kind that is not known here.")
    return Finding(
        What.PUBLIC_KEY,
        "The open half of a key: nothing of MDM takes it by itself.",
        details=details(key=keys.describe(key), SPKI_SHA_256=keys.spki_sha256(key) if isinstance(key, keys.PublicKey) else None),
    )


def of_ssh_key() -> Finding:
    """A key of SSH, private or public."""
    return Finding(What.SSH_KEY, "Not usable here: certificates are not made with SSH's own forms of key.")


def _of_key(key: keys.PrivateKey, *, encrypted: bool) -> Finding:
    public = key.public_key()
    return Finding(
        What.PRIVATE_KEY,
        _PURPOSE,
        command=_IMPORT,
        details=details(key=keys.describe(public), encrypted=encrypted, SPKI_SHA_256=keys.spki_sha256(public)),
    )
