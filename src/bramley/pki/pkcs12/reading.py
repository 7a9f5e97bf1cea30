"""Reading PKCS#12 archives (RFC 7292 section 4) of old and new programs, from the outermost element to key and certificates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from bramley.pki import certificates, keys, oids
from bramley.pki.cms import ber, der, values
from bramley.pki.cms.ber import Node
from bramley.pki.cms.errors import Malformed
from bramley.pki.errors import BadArchive, BadCertificate, NoPrivateKey
from bramley.pki.pkcs12.bundle import Bundle
from bramley.pki.pkcs12.unlocking import MOST_ITERATIONS, Unlocking

LIMITS: Final = ber.Limits(size=256 * 1024, depth=32, elements=5_000)
"""What an archive, and each part of it, may cost to read. One with a key and its chain has about 5 kB."""

_VERSION: Final = 3
_EXPLICIT: Final = 0xA0
_ENCRYPTED_CONTENT: Final = 0x80
_ENCRYPTED_DATA: Final = "1.2.840.113549.1.7.6"
_KEY_BAG: Final = "1.2.840.113549.1.12.10.1.1"
_SHROUDED_KEY_BAG: Final = "1.2.840.113549.1.12.10.1.2"
_CERTIFICATE_BAG: Final = "1.2.840.113549.1.12.10.1.3"
_X509_CERTIFICATE: Final = "1.2.840.113549.1.9.22.1"
_CURVES: Final = frozenset({"1.2.840.10045.3.1.7", "1.3.132.0.34"})  # P-256 and P-384
_RSA_BITS: Final = 4096
"""A stranger's RSA key is checked whole, primes included: a third of a second at this size, and minutes far above it."""


def read(data: bytes, password: str, *, most_iterations: int = MOST_ITERATIONS) -> Bundle:
    """The one private key of a PKCS#12 archive, the certificate of that key, and the other certificates.

    Takes BER and DER; a MAC with SHA-1 or SHA-2, and no archive without one; PBES2 (PBKDF2 with AES or triple DES), triple
    DES and RC2. Keys as `keys.require_strong` has them, RSA up to 4096 bits. `most_iterations` bounds what is spent on deriving
    keys, in rounds of a digest over the whole archive.

    Raises WrongPassword; NoPrivateKey for an archive of certificates alone; BadArchive for what is not PKCS#12 and for one
    that is broken, too costly, or not of one identity; BadKey for a key that is too weak.
    """
    unlocking = Unlocking(password, most_iterations)
    found_keys: list[Node] = []
    found: dict[x509.Certificate, None] = {}
    try:
        for kind, value in _bags(_safe_contents(data, unlocking)):
            if kind == _KEY_BAG:
                found_keys.append(value)
            elif kind == _SHROUDED_KEY_BAG:
                algorithm, encrypted = _parts(value, "an EncryptedPrivateKeyInfo", 2)
                found_keys.append(ber.parse(unlocking.decrypt(algorithm, values.octets(encrypted)), LIMITS))
            elif kind == _CERTIFICATE_BAG:
                kind_of_certificate, enclosed = _parts(value, "a CertBag", 2)
                if values.oid(kind_of_certificate) == _X509_CERTIFICATE:
                    found[certificates.load(values.octets(_inside(enclosed)))] = None
        if not found_keys:
            raise NoPrivateKey(
                f"Expected a private key in the archive; it holds {len(found)} certificates and no key.",
                advice="Export the certificate together with its private key: in Keychain Access, from under My Certificates.",
            )
        if len(found_keys) > 1:
            raise BadArchive(
                f"Expected one private key in the archive; it holds {len(found_keys)}.", advice="Export one identity by itself."
            )
        key = _private_key(found_keys[0])
    except (Malformed, BadCertificate) as error:
        raise BadArchive(
            f"Expected a PKCS#12 archive (.p12, .pfx); this one cannot be read. {error.message}",
            advice="Export it again; PEM files and certificates by themselves are not PKCS#12.",
        ) from error
    keys.require_strong(key.public_key())
    return _bundle(key, list(found))


def _bundle(key: keys.PrivateKey, found: list[x509.Certificate]) -> Bundle:
    ours = [each for each in found if certificates.is_for(each, key.public_key())]
    if len(ours) != 1:
        raise BadArchive(
            f"Expected one certificate for the archive's key among its {len(found)}; found {len(ours)}.",
            advice="Export the key together with the certificate that is in use.",
        )
    return Bundle(key, ours[0], tuple(each for each in found if each is not ours[0]))


def _safe_contents(data: bytes, unlocking: Unlocking) -> Iterator[Node]:
    """Each SafeContents, decrypted, once the MAC has shown that the password fits and nothing was changed."""
    version, safe, *mac_data = _parts(ber.parse(data, LIMITS), "a PFX", 2, 3)
    if values.integer(version) != _VERSION:
        raise Malformed(f"Its version should be {_VERSION}; it is another.")
    kind, content = _parts(safe, "its ContentInfo", 2)
    if values.oid(kind) != oids.DATA or not mac_data:
        raise Malformed("It is not protected by a password: it has a signature, or nothing, in place of a MAC.")
    authenticated = values.octets(_inside(content))
    unlocking.authenticate(mac_data[0], authenticated)
    for part in ber.sequence(ber.parse(authenticated, LIMITS), "an AuthenticatedSafe"):
        kind, content = _parts(part, "a ContentInfo", 2)
        match values.oid(kind):
            case oids.DATA:
                yield ber.parse(values.octets(_inside(content)), LIMITS)
            case oid if oid == _ENCRYPTED_DATA:
                _, info = _parts(_inside(content), "an EncryptedData", 2, 3)[:2]
                _, algorithm, encrypted = _parts(info, "an EncryptedContentInfo", 3)
                yield ber.parse(unlocking.decrypt(algorithm, values.octets(encrypted, _ENCRYPTED_CONTENT)), LIMITS)
            case oid:
                raise Malformed(f"A part of it is of the type {oid}; plain and password-encrypted ones are read.")


def _bags(contents: Iterator[Node]) -> Iterator[tuple[str, Node]]:
    """Kind and value of each SafeBag (section 4.2). CRLs, secrets and nested contents come too, and are the caller's to leave."""
    for content in contents:
        for bag in ber.sequence(content, "a SafeContents"):
            kind, value, *_ = _parts(bag, "a SafeBag", 2, 3)
            yield values.oid(kind), _inside(value)


def _private_key(info: Node) -> keys.PrivateKey:
    """The key in a PrivateKeyInfo (RFC 5208 section 5). What would be costly to check is refused before it is loaded."""
    _, algorithm, octets, *_ = _parts(info, "a PrivateKeyInfo", 3, 4, 5)
    content = values.octets(octets)
    kind, *parameters = _parts(algorithm, "an AlgorithmIdentifier", 1, 2)
    match values.oid(kind):
        case oids.RSA_ENCRYPTION:
            _require_checkable(ber.parse(content, LIMITS))
        case oids.EC_PUBLIC_KEY:
            if len(parameters) != 1 or values.oid(parameters[0]) not in _CURVES:
                raise Malformed("Its private key should be on P-256 or P-384, by name; it is not.")
        case other:
            raise Malformed(f"Its private key should be RSA or EC; it is of the kind {other}.")
    try:
        key = serialization.load_der_private_key(der.sequence(der.integer(0), algorithm.raw, der.octet_string(content)), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Malformed("Its private key is malformed, or its numbers do not belong together.") from None
    assert isinstance(key, keys.PrivateKey)
    return key


def _require_checkable(key: Node) -> None:
    """Returns for an RSAPrivateKey (RFC 8017 appendix A.1.2) of two primes, each of half the size that is accepted or less."""
    numbers = [values.integer(each) for each in _parts(key, "an RSAPrivateKey", 9)]
    if any(number.bit_length() > _RSA_BITS for number in numbers):
        raise Malformed(f"Its RSA key should have at most {_RSA_BITS} bits; it has more.")
    if any(prime.bit_length() > _RSA_BITS // 2 for prime in numbers[4:6]):
        raise Malformed("The primes of its RSA key should be of one size; they are not.")


def _parts(node: Node, what: str, *counts: int) -> list[Node]:
    """The children of a SEQUENCE that has one of these counts of them."""
    parts = ber.sequence(node, what)
    if len(parts) not in counts:
        raise Malformed(f"Expected {what} of {' or '.join(map(str, counts))} elements; it has {len(parts)}.")
    return parts


def _inside(node: Node) -> Node:
    """The one element under an explicit [0]."""
    if node.tag != _EXPLICIT:
        raise ber.unexpected(node, "[0] around one element")
    inside = node.children
    if len(inside) != 1:
        raise Malformed(f"Expected [0] around one element at octet {node.start}; there are {len(inside)}.")
    return inside[0]
