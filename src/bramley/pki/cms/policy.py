"""What a signature must be worth, use by use: allow-lists as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bramley.pki import oids
from bramley.pki.cms.algorithms import DIGESTS_BY_OID, PKCS1V15, Digest
from bramley.pki.cms.errors import SignatureInvalid, SignatureReason
from bramley.pki.keys import PublicKey

_SHA_2: Final = frozenset({"sha256", "sha384", "sha512"})


@dataclass(frozen=True, slots=True)
class SignaturePolicy:
    """What to accept: digests by name, whether signed attributes may be absent, RSA sizes in bits, curves by name.

    The upper bound on RSA is there because the check runs before we know who signed: a giant key is a cheap way to keep a
    server busy.
    """

    digests: frozenset[str]
    allow_without_attributes: bool
    minimum_rsa_bits: int = 2048
    maximum_rsa_bits: int = 8192
    curves: frozenset[str] = frozenset({"secp256r1", "secp384r1", "secp521r1"})

    def digest(self, oid: str) -> Digest:
        """The allowed digest of this identifier; SignatureInvalid else."""
        digest = DIGESTS_BY_OID.get(oid)
        if digest is None or digest.name not in self.digests:
            raise SignatureInvalid(
                f"Expected a digest of {', '.join(sorted(self.digests))}; found {digest.name if digest else oid}.",
                reason=SignatureReason.ALGORITHM_NOT_ALLOWED,
            )
        return digest

    def require_signature(self, key: PublicKey, algorithm: str, signature: bytes, message: bytes, digest: Digest) -> None:
        """SignatureInvalid unless the key is strong enough, the algorithm belongs to key and digest, and the signature is good.

        RSASSA-PKCS1-v1_5 under its own or the plain key's identifier (RFC 3370 section 3.2), or ECDSA (RFC 5753 section 2).
        """
        try:
            if isinstance(key, rsa.RSAPublicKey):
                self._judge_rsa(key, algorithm, digest)
                key.verify(signature, message, PKCS1V15, digest.hash)
            else:
                self._judge_ec(key, algorithm, digest)
                key.verify(signature, message, digest.ecdsa)
        except InvalidSignature:
            raise SignatureInvalid(
                "The signature does not match the signer's key and what it should cover.", reason=SignatureReason.BAD_SIGNATURE
            ) from None

    def _judge_rsa(self, key: rsa.RSAPublicKey, algorithm: str, digest: Digest) -> None:
        if not self.minimum_rsa_bits <= key.key_size <= self.maximum_rsa_bits:
            raise SignatureInvalid(
                f"Expected an RSA key of {self.minimum_rsa_bits} to {self.maximum_rsa_bits} bits; "
                f"the signer's has {key.key_size}.",
                reason=SignatureReason.WEAK_KEY,
            )
        if algorithm not in (oids.RSA_ENCRYPTION, digest.rsa_oid):
            raise _mismatch(algorithm, "RSA", digest)

    def _judge_ec(self, key: ec.EllipticCurvePublicKey, algorithm: str, digest: Digest) -> None:
        if key.curve.name not in self.curves:
            raise SignatureInvalid(
                f"Expected a key on {', '.join(sorted(self.curves))}; the signer's is on {key.curve.name}.",
                reason=SignatureReason.WEAK_KEY,
            )
        if algorithm != digest.ecdsa_oid:
            raise _mismatch(algorithm, "EC", digest)


def _mismatch(algorithm: str, kind: str, digest: Digest) -> SignatureInvalid:
    return SignatureInvalid(
        f"The signature algorithm {algorithm} does not go with an {kind} key and {digest.name}.",
        reason=SignatureReason.ALGORITHM_NOT_ALLOWED,
    )


STRICT: Final = SignaturePolicy(digests=_SHA_2, allow_without_attributes=False)
"""What we make ourselves, and everything else that has no reason to be older."""

DEVICE: Final = SignaturePolicy(digests=_SHA_2 | {"sha1"}, allow_without_attributes=True)
"""What real Macs send in `Mdm-Signature`: SHA-1 over the body, without signed attributes; newer ones may do better."""

SCEP_REQUEST: Final = SignaturePolicy(digests=_SHA_2 | {"sha1"}, allow_without_attributes=False)
"""A SCEP request: SHA-1 still comes in; its attributes are the protocol (RFC 8894 section 3.2)."""
