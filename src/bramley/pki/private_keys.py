"""Private keys as people keep them: PEM or DER; PKCS#1 (RFC 8017), SEC 1 (RFC 5915), PKCS#8 (RFC 5208); encrypted or not.

No message repeats a byte of a key or of a password.
"""

from __future__ import annotations

from base64 import encodebytes
from collections.abc import Sequence
from math import prod
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from bramley.pki import keys, oids
from bramley.pki.cms import algorithms, ber, values
from bramley.pki.cms.algorithms import CIPHERS_BY_OID, SINGLE_DES
from bramley.pki.cms.ber import Node
from bramley.pki.cms.errors import Malformed
from bramley.pki.errors import BadFile, BadKey, NoPrivateKey, PasswordNeeded, SeveralKeys, WrongPassword
from bramley.pki.forms import KEYS, Form, form_inside
from bramley.pki.pieces import Piece, take_apart
from bramley.pki.pkcs12 import MOST_ITERATIONS

LARGEST: Final = 1024 * 1024
"""Bytes in a file of keys and certificates: some hundred times what one needs."""

_RSA_BITS: Final = 4096
"""A stranger's RSA key is checked whole, primes included: a third of a second at this size, and minutes far above it."""
_MOST_SCRYPT: Final = 1 << 20
"""The product of scrypt's N, r and p (RFC 7914): at most some 130 MB and three seconds. OpenSSL writes 2^17."""

_SCRYPT: Final = "1.3.6.1.4.1.11591.4.11"
# MD5 with DES (RFC 8018 appendix A.3); RC4, triple DES and 40-bit RC2 with SHA-1 (RFC 7292 appendix C)
_OLD: Final = frozenset({"1.2.840.113549.1.5.3", "1.2.840.113549.1.12.1.1", "1.2.840.113549.1.12.1.3", "1.2.840.113549.1.12.1.6"})
_LEGACY_CIPHERS: Final = frozenset({"DES-EDE3-CBC", "AES-128-CBC", "AES-256-CBC"})
_EXPECTED: Final = "Expected an RSA private key, or one on P-256 or P-384;"
_ADVICE: Final = "Make a new key: RSA 2048 is understood everywhere."
_REWRITE: Final = "`openssl pkcs8 -topk8 -v2 aes256 -in OLD -out NEW` writes it anew."


def read_key(data: bytes, password: str | None) -> keys.PrivateKey:
    """The one private key of a file, whatever else is there. A password for a key that is not encrypted is not used.

    Raises NoPrivateKey, saying what is there instead; SeveralKeys; PasswordNeeded; WrongPassword; BadKey for a kind that
    is not used here (`keys.require_strong`, RSA up to 4096 bits) and for one that is broken; BadFile for a file that is
    too large, cut short, or encrypted in a way that is not read or costs too much.
    """
    require_size(data)
    pieces = take_apart(data)
    found = [piece for piece in pieces if piece.form in KEYS]
    if not found:
        raise NoPrivateKey(
            f"Expected a private key; the file holds {listed(pieces)}.",
            advice="It begins with -----BEGIN PRIVATE KEY-----, BEGIN RSA PRIVATE KEY or BEGIN ENCRYPTED PRIVATE KEY.",
        )
    return open_one(found, password)


def open_one(pieces: Sequence[Piece], password: str | None) -> keys.PrivateKey:
    """The key that each of the pieces holds, once or repeated. Raises as `read_key` does."""
    distinct = list({piece.content: piece for piece in pieces}.values())
    if len(distinct) > 2:  # in clear and encrypted, at most; each one costs seconds
        raise _several(len(distinct))
    opened = {keys.spki(key.public_key()): key for key in (_open(piece, password) for piece in distinct)}
    if len(opened) > 1:
        raise _several(len(opened))
    return next(iter(opened.values()))


def require_size(data: bytes) -> None:
    """Returns for a file of a size that is worth reading. Raises BadFile."""
    if len(data) > LARGEST:
        raise BadFile(
            f"Expected a file of at most {LARGEST} bytes; this one has {len(data)}.",
            advice="A key with its certificates has some thousand bytes: is it the right file?",
        )


def listed(pieces: Sequence[Piece]) -> str:
    """What pieces are, for a message: "a certificate and a private key"."""
    names = list(dict.fromkeys(_name(piece) for piece in pieces))
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _name(piece: Piece) -> str:
    if piece.form is Form.UNKNOWN and piece.label:
        return f"a block {piece.label}"
    inside = form_inside(piece.content, piece.form)
    return piece.form.value if inside is Form.UNKNOWN else f"{piece.form}, which stands for {inside}"


def _open(piece: Piece, password: str | None) -> keys.PrivateKey:
    """The key of one piece, checked."""
    secret = _secret(piece, password) if piece.form is Form.ENCRYPTED_KEY else None
    try:
        if secret is not None and _is_legacy(piece):
            key = load_pem_private_key(_pem(piece), secret, unsafe_skip_rsa_key_validation=True)
        else:
            key = load_der_private_key(piece.content, secret, unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm:
        raise BadKey(f"{_EXPECTED} this one is of a kind that is not known here.", advice=_ADVICE) from None
    except (ValueError, TypeError):
        if secret is not None:
            raise WrongPassword(
                "The password does not open this private key.",
                advice="Check it for a space at its end and for the keyboard's layout; the key may also be damaged.",
            ) from None
        raise BadKey(f"{_EXPECTED} this one cannot be read.", advice="The file is damaged: copy it again.") from None
    return _checked(key)


def _checked(key: PrivateKeyTypes) -> keys.PrivateKey:
    """The key, once it is one that we use and its numbers belong together: checked only now, when their size is known."""
    if not isinstance(key, keys.PrivateKey):
        kind = type(key).__name__.lstrip("_").removesuffix("PrivateKey")
        raise BadKey(f"{_EXPECTED} this one is {kind}.", advice=_ADVICE)
    keys.require_strong(key.public_key())
    if not isinstance(key, rsa.RSAPrivateKey):
        return key
    numbers = key.private_numbers()
    if key.key_size > _RSA_BITS or max(numbers.p, numbers.q).bit_length() > _RSA_BITS // 2:
        raise BadKey(f"Expected an RSA key of at most {_RSA_BITS} bits, in two halves; this one is larger.", advice=_ADVICE)
    try:
        return numbers.private_key()
    except ValueError:
        raise BadKey(
            "Expected an RSA key whose numbers belong together; these do not.", advice="The file is damaged: copy it again."
        ) from None


def _secret(piece: Piece, password: str | None) -> bytes:
    """The password as octets, for a key that it can be tried on at a bounded cost."""
    if _is_legacy(piece):
        _require_legacy_cipher(piece.headers)
    else:
        _require_affordable(piece.content)
    if not password:
        raise PasswordNeeded("The private key is encrypted, and no password was given.", advice="Give its password.")
    try:
        return password.encode()
    except UnicodeEncodeError:
        raise WrongPassword("Expected the key's password as Unicode text; this one has half a surrogate pair.") from None


def _is_legacy(piece: Piece) -> bool:
    """Whether the headers of its block say how it is encrypted (RFC 1421 section 4.6.1.1), rather than its content."""
    return any(header.startswith("Proc-Type:") for header in piece.headers)


def _require_legacy_cipher(headers: Sequence[str]) -> None:
    """Returns for the ciphers of RFC 1421 and OpenSSL that are read. Their keys are derived in one round of MD5: no cost."""
    found = next((header.partition(":")[2].partition(",")[0].strip() for header in headers if header.startswith("DEK-Info:")), "")
    if found not in _LEGACY_CIPHERS:
        raise BadFile(
            f"Expected a key encrypted with {', '.join(sorted(_LEGACY_CIPHERS))}; this one's header says {found[:40]!r}.",
            advice=_REWRITE,
        )


def _require_affordable(der: bytes) -> None:
    """Returns for an EncryptedPrivateKeyInfo (RFC 5208 section 6) in a scheme that is read, and of a bounded cost."""
    try:
        scheme, parameters = _scheme(ber.sequence(ber.parse(der), "an EncryptedPrivateKeyInfo")[0])
        if scheme == oids.PBES2:
            derivation, encryption = ber.sequence(parameters, "PBES2-params")
            cipher = CIPHERS_BY_OID.get(algorithms.read_identifier(encryption)[0])
            scheme, parameters = _scheme(derivation)
            known = scheme in (oids.PBKDF2, _SCRYPT) and cipher is not None and cipher.name != SINGLE_DES
        else:
            known = scheme in _OLD
        counts = [values.integer(each) for each in ber.sequence(parameters, "parameters")[1:] if each.tag == ber.INTEGER]
    except (Malformed, IndexError, ValueError):
        raise BadKey("Expected an encrypted private key; this one cannot be read.", advice="Copy the file again.") from None
    if not known or not counts:
        raise BadFile(f"The private key is encrypted in a way that is not read here ({scheme}).", advice=_REWRITE)
    cost, most = (prod(counts[:3]), _MOST_SCRYPT) if scheme == _SCRYPT else (counts[0], MOST_ITERATIONS)
    if min(counts[:3]) < 1:
        raise BadKey("Expected an encrypted private key; its count of iterations is not positive.", advice="Copy the file again.")
    if cost > most:
        shown = str(cost) if cost.bit_length() <= 64 else f"a number of {cost.bit_length()} bits"
        raise BadFile(
            f"Expected a private key that costs at most {most} iterations to open; it asks for {shown}.", advice=_REWRITE
        )


def _scheme(node: Node) -> tuple[str, Node]:
    oid, parameters = algorithms.read_identifier(node)
    if parameters is None:
        raise Malformed(f"The scheme {oid} should come with parameters; it has none.")
    return oid, parameters


def _pem(piece: Piece) -> bytes:
    """The block as `cryptography` reads it: its headers, an empty line, its base64."""
    text = "\n".join((f"-----BEGIN {piece.label}-----", *(header.strip() for header in piece.headers), "", ""))
    return text.encode() + encodebytes(piece.content) + f"-----END {piece.label}-----\n".encode()


def _several(count: int) -> SeveralKeys:
    return SeveralKeys(
        f"Expected one private key; there are {count} different ones.", advice="Give the key of this certificate by itself."
    )
