"""CMS (RFC 5652) on the primitives of `cryptography`: BER in, DER out.

Our own, because nothing else reads what Apple's devices send (indefinite lengths, strings in pieces, no signed attributes) and
writes what they need (certificates in a given order) at the speed of the signature itself.

`sign`, `parse_signed_data` and `verify` for SignedData; `encrypt` and `decrypt` for EnvelopedData; `certs_only` and
`parse_certs_only` for certificates alone. `ber`, `values` and `der` are the reader and the writer underneath.
"""

from bramley.pki.cms.ber import Limits
from bramley.pki.cms.certs_only import certs_only, parse_certs_only
from bramley.pki.cms.enveloped import Decrypted, decrypt, encrypt, is_for, serials
from bramley.pki.cms.errors import (
    CipherNotAllowed,
    CMSError,
    DecryptionFailed,
    Malformed,
    NotForUs,
    Refused,
    SignatureInvalid,
    SignatureReason,
    TooDeep,
    TooLarge,
)
from bramley.pki.cms.policy import DEVICE, SCEP_REQUEST, STRICT, SignaturePolicy
from bramley.pki.cms.signed import VerifiedSignature, verify
from bramley.pki.cms.signed_data import SignedData, SignerInfo, parse_signed_data
from bramley.pki.cms.signing import sign

__all__ = [
    "DEVICE",
    "SCEP_REQUEST",
    "STRICT",
    "CMSError",
    "CipherNotAllowed",
    "Decrypted",
    "DecryptionFailed",
    "Limits",
    "Malformed",
    "NotForUs",
    "Refused",
    "SignatureInvalid",
    "SignaturePolicy",
    "SignatureReason",
    "SignedData",
    "SignerInfo",
    "TooDeep",
    "TooLarge",
    "VerifiedSignature",
    "certs_only",
    "decrypt",
    "encrypt",
    "is_for",
    "parse_certs_only",
    "parse_signed_data",
    "serials",
    "sign",
    "verify",
]
