"""What a password opens: the MAC over an archive and its encrypted parts (RFC 7292 appendices B and C, RFC 8018 section 6.2)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from bramley.pki import oids
from bramley.pki.cms import algorithms, ber, values
from bramley.pki.cms.algorithms import CIPHERS_BY_OID, DIGESTS_BY_OID, SINGLE_DES, Digest
from bramley.pki.cms.ber import Node
from bramley.pki.cms.errors import CipherNotAllowed, Malformed, TooLarge
from bramley.pki.errors import WrongPassword
from bramley.pki.pkcs12 import rc2

MOST_ITERATIONS: Final = 5_000_000
"""What one archive may cost in all, in rounds of a digest: at most some three seconds. Programs write 2048 to 600,000 a part."""

_KEY, _IV, _MAC = 1, 2, 3
"""What a derived string is for (RFC 7292 appendix B.3)."""

_PBES2: Final = "1.2.840.113549.1.5.13"
_PBKDF2: Final = "1.2.840.113549.1.5.12"
_PRFS: Final = {
    "1.2.840.113549.2.7": "sha1",
    "1.2.840.113549.2.9": "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
}
_TRIPLE_DES: Final = "1.2.840.113549.1.12.1.3"
_COUNT_OCTETS: Final = 8
# the octets in the key of each RC2 scheme (RFC 7292 appendix C)
_RC2: Final = {"1.2.840.113549.1.12.1.5": 16, "1.2.840.113549.1.12.1.6": 5}


class Unlocking:
    """One password, tried on one archive, and the work that may still be spent on it.

    `authenticate` comes first: it finds out which of its two encodings an empty password has (appendix B.1 leaves both).
    """

    __slots__ = ("_left", "_most", "_text", "_wide")

    def __init__(self, password: str, most_iterations: int) -> None:
        try:
            self._text, self._wide = password.encode(), password.encode("utf-16-be") + b"\0\0"
        except UnicodeEncodeError:
            raise WrongPassword("Expected the archive's password as Unicode text; this one has half a surrogate pair.") from None
        self._left = self._most = most_iterations

    def authenticate(self, mac_data: Node, content: bytes) -> None:
        """Returns if the MacData fits the content (RFC 7292 section 4). Raises WrongPassword, Malformed."""
        digest_info, salt_node, *rest = ber.sequence(mac_data, "MacData")
        if len(rest) > 1:
            raise Malformed("A MacData should hold a digest, a salt and a count; this one holds more.")
        algorithm, expected = _pair(digest_info, "a DigestInfo")
        oid = algorithms.read_identifier(algorithm)[0]
        digest = DIGESTS_BY_OID.get(oid)
        if digest is None:
            raise CipherNotAllowed(f"Its MAC is made with {oid}, which is not read here; SHA-1, SHA-256, -384 and -512 are.")
        salt, count = values.octets(salt_node), _count(rest[0]) if rest else 1
        for wide in dict.fromkeys((self._wide, self._wide if self._text else b"")):
            key = self._derive(digest, _MAC, wide, salt, count, digest.new(b"").digest_size)
            if hmac.compare_digest(hmac.digest(key, content, digest.name), values.octets(expected)):
                self._wide = wide
                return
        raise WrongPassword(
            "The password does not open this PKCS#12 archive.",
            advice="Check it for a space at its end and for the keyboard's layout; the archive may also be damaged.",
        )

    def decrypt(self, algorithm: Node, encrypted: bytes) -> bytes:
        """The contents of an encrypted part, its padding removed. Raises Malformed; CipherNotAllowed for another scheme."""
        oid, parameters = algorithms.read_identifier(algorithm)
        if parameters is None:
            raise Malformed(f"The encryption scheme {oid} should come with parameters; it has none.")
        if oid == _PBES2:
            padded, block = self._pbes2(parameters, encrypted)
        elif oid == _TRIPLE_DES or oid in _RC2:
            padded, block = self._pbes1(oid, parameters, encrypted)
        else:
            raise CipherNotAllowed(f"A part is encrypted with {oid}, which is not read here; PBES2, triple DES and RC2 are.")
        unpadder = PKCS7(block * 8).unpadder()
        try:
            return unpadder.update(padded) + unpadder.finalize()
        except ValueError:
            raise Malformed("The password fits the archive and does not open all of its parts.") from None

    def _pbes1(self, oid: str, parameters: Node, encrypted: bytes) -> tuple[bytes, int]:
        """RFC 7292 appendix C: key and initialisation vector from the password, by SHA-1."""
        salt_node, count_node = _pair(parameters, "pkcs-12PbeParams")
        salt, count = values.octets(salt_node), _count(count_node)
        digest = DIGESTS_BY_OID[oids.SHA1]
        _require_blocks(encrypted, rc2.BLOCK)
        cipher = CIPHERS_BY_OID[oids.DES_EDE3_CBC]
        size = _RC2.get(oid, cipher.key_size)
        key = self._derive(digest, _KEY, self._wide, salt, count, size)
        iv = self._derive(digest, _IV, self._wide, salt, count, rc2.BLOCK)
        padded = rc2.decrypt_cbc(key, iv, encrypted) if oid in _RC2 else _decrypted(cipher, key, iv, encrypted)
        return padded, rc2.BLOCK

    def _pbes2(self, parameters: Node, encrypted: bytes) -> tuple[bytes, int]:
        """RFC 8018 section 6.2 with PBKDF2, under AES or triple DES."""
        derivation, scheme = _pair(parameters, "PBES2-params")
        kdf, kdf_parameters = algorithms.read_identifier(derivation)
        if kdf != _PBKDF2 or kdf_parameters is None:
            raise CipherNotAllowed(f"A key is derived by {kdf}, which is not read here; PBKDF2 is.")
        oid, iv_node = algorithms.read_identifier(scheme)
        cipher = CIPHERS_BY_OID.get(oid)
        if cipher is None or cipher.name == SINGLE_DES or iv_node is None:
            raise CipherNotAllowed(f"A part is encrypted with {oid}, which is not read here; AES-CBC and triple DES are.")
        salt, count, *rest = ber.sequence(kdf_parameters, "PBKDF2-params")
        if rest and rest[0].tag == ber.INTEGER:
            if values.integer(rest[0]) != cipher.key_size:
                raise Malformed(f"The key length of PBKDF2 should be the {cipher.key_size} octets of {cipher.name}; it is not.")
            rest = rest[1:]
        prf = _PRFS.get(algorithms.read_identifier(rest[0])[0]) if rest else "sha1"
        if prf is None or len(rest) > 1:
            raise CipherNotAllowed("PBKDF2 is used with a function that is not read here; HMAC with SHA-1 and SHA-2 is.")
        iv = values.octets(iv_node)
        if len(iv) != cipher.block_size:
            raise Malformed(f"The initialisation vector should have the {cipher.block_size} octets of {cipher.name}.")
        _require_blocks(encrypted, cipher.block_size)
        rounds = self._spend(_count(count), -(-cipher.key_size // hashlib.new(prf).digest_size))
        key = hashlib.pbkdf2_hmac(prf, self._text, values.octets(salt), rounds, cipher.key_size)
        return _decrypted(cipher, key, iv, encrypted), cipher.block_size

    def _derive(self, digest: Digest, purpose: int, wide: bytes, salt: bytes, count: int, size: int) -> bytes:
        """The key derivation of PKCS#12 (RFC 7292 appendix B.2)."""
        new = digest.new
        width, length = new(b"").block_size, new(b"").digest_size
        chunks = [*_filled(salt, width), *_filled(wide, width)]
        blocks = -(-size // length)
        self._spend(count, blocks)
        derived = b""
        for _ in range(blocks):
            block = bytes((purpose,)) * width + b"".join(chunks)
            for _ in range(count):
                block = new(block).digest()
            derived += block
            addend = int.from_bytes((block * width)[:width], "big") + 1
            chunks = [((int.from_bytes(chunk, "big") + addend) % (1 << 8 * width)).to_bytes(width, "big") for chunk in chunks]
        return derived[:size]

    def _spend(self, count: int, blocks: int) -> int:
        """The count, once it is known that there is work enough left for so many blocks of so many iterations."""
        if count < 1:
            raise Malformed(f"A count of iterations should be positive; it is {count}.")
        if count > self._left // blocks:
            raise TooLarge(f"It asks for {count} more iterations; an archive may have {self._most} in all.")
        self._left -= count * blocks
        return count


def _count(node: Node) -> int:
    """A count of iterations, of a size that can also be shown: Python refuses to write out integers of some kilobytes."""
    if node.stop - node.body > _COUNT_OCTETS:
        raise TooLarge(f"It asks for more iterations than {_COUNT_OCTETS} octets can count.")
    return values.integer(node)


def _pair(node: Node, what: str) -> tuple[Node, Node]:
    parts = ber.sequence(node, what)
    if len(parts) != 2:
        raise Malformed(f"Expected {what} of two elements; it has {len(parts)}.")
    return parts[0], parts[1]


def _filled(octets: bytes, width: int) -> list[bytes]:
    """The octets, repeated until they fill whole chunks of the width: none for none."""
    total = -(-len(octets) // width) * width
    repeated = (octets * width)[:total]
    return [repeated[at : at + width] for at in range(0, total, width)]


def _require_blocks(encrypted: bytes, size: int) -> None:
    if not encrypted or len(encrypted) % size:
        raise Malformed(f"An encrypted part should be whole blocks of {size} octets; it has {len(encrypted)} octets.")


def _decrypted(cipher: algorithms.ContentCipher, key: bytes, iv: bytes, encrypted: bytes) -> bytes:
    decryptor = Cipher(cipher.algorithm(key), CBC(iv)).decryptor()
    return decryptor.update(encrypted) + decryptor.finalize()
