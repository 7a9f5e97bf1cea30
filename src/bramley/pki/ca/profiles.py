"""What each kind of certificate holds. A profile decides everything but key, names and the moment (RFC 5280 section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from bramley.pki import oids


@dataclass(frozen=True, slots=True)
class CertificateProfile:
    """The fixed part of a kind of certificate.

    `lifetime` runs from the moment of issue; a caller may choose another up to `longest`. `backdate` lets devices whose
    clock is slow accept it at once. `path_length` counts the CAs allowed below a CA; None sets no limit. `key_usage`
    holds field names of `cryptography.x509.KeyUsage`; key_encipherment is left out of certificates for EC keys, which
    cannot do it (RFC 8813 section 3). `extended_key_usage` holds dotted identifiers; empty leaves the extension out.
    `no_revocation_check` is id-pkix-ocsp-nocheck.
    """

    name: str
    lifetime: timedelta
    longest: timedelta
    key_usage: frozenset[str]
    extended_key_usage: tuple[str, ...] = ()
    is_ca: bool = False
    path_length: int | None = None
    backdate: timedelta = field(default=timedelta(hours=1))
    san_required: bool = False
    no_revocation_check: bool = False


_YEAR: Final = timedelta(days=365)
_CA_USAGE: Final = frozenset({"key_cert_sign", "crl_sign"})


def _issuing_ca(name: str, further_usage: frozenset[str] = frozenset()) -> CertificateProfile:
    return CertificateProfile(
        name=name,
        lifetime=10 * _YEAR,
        longest=20 * _YEAR,
        key_usage=_CA_USAGE | further_usage,
        is_ca=True,
        path_length=0,
    )


ROOT_CA: Final = CertificateProfile(
    name="root-ca",
    lifetime=20 * _YEAR,
    longest=30 * _YEAR,
    key_usage=_CA_USAGE,
    is_ca=True,
    path_length=1,
)

# SCEP without an RA: devices encrypt to this CA's key and expect its signature on the answer (RFC 8894 section 2.1.2).
IDENTITY_CA: Final = _issuing_ca("identity-ca", frozenset({"digital_signature", "key_encipherment"}))
HTTPS_CA: Final = _issuing_ca("https-ca")
SIGNER_CA: Final = _issuing_ca("signer-ca")

DEVICE_IDENTITY: Final = CertificateProfile(
    name="device-identity",
    lifetime=_YEAR,
    longest=10 * _YEAR,
    key_usage=frozenset({"digital_signature", "key_encipherment"}),
    extended_key_usage=(oids.CLIENT_AUTH,),
)

# Apple's systems refuse more than 825 days behind a private CA, counted from notBefore to notAfter (HT210176): 824 leaves
# room for backdating. 397 days is what they take from a public one.
HTTPS_SERVER: Final = CertificateProfile(
    name="https",
    lifetime=timedelta(days=397),
    longest=timedelta(days=824),
    key_usage=frozenset({"digital_signature", "key_encipherment"}),
    extended_key_usage=(oids.SERVER_AUTH,),
    san_required=True,
)

# Without extended key usages: certmonger checks the signature on an answer as that of a mail, which any usage but
# emailProtection would forbid. It is nobody's identity all the same, since none is bound to it.
SCEP_RA: Final = CertificateProfile(
    name="scep-ra",
    lifetime=2 * _YEAR,
    longest=5 * _YEAR,
    key_usage=frozenset({"digital_signature", "key_encipherment"}),
)

# emailProtection is what `openssl cms -verify` demands of a signer by default (purpose smimesign). Apple documents no
# usage for profile signers. Leaving the extension out would suit both, but allow TLS with this key as well.
PROFILE_SIGNER: Final = CertificateProfile(
    name="profile-signer",
    lifetime=2 * _YEAR,
    longest=5 * _YEAR,
    key_usage=frozenset({"digital_signature"}),
    extended_key_usage=(oids.EMAIL_PROTECTION,),
)

# Macs encrypt recovery keys to it, and nothing else is done with it. It has to last: what was encrypted to it is kept.
FILEVAULT_ESCROW: Final = CertificateProfile(
    name="filevault-escrow",
    lifetime=10 * _YEAR,
    longest=20 * _YEAR,
    key_usage=frozenset({"key_encipherment"}),
)

# Profiles are encrypted to it, and nothing else is done with it. emailProtection is what OpenSSL demands of a recipient; without
# usages the key would do for more.
PROFILE_RECIPIENT: Final = CertificateProfile(
    name="profile-recipient",
    lifetime=_YEAR,
    longest=5 * _YEAR,
    key_usage=frozenset({"key_encipherment"}),
    extended_key_usage=(oids.EMAIL_PROTECTION,),
)

# Nobody asks whether it is revoked (RFC 6960 section 4.2.2.2.1): what makes up for that is its short life.
OCSP_RESPONDER: Final = CertificateProfile(
    name="ocsp-responder",
    lifetime=timedelta(days=7),
    longest=timedelta(days=30),
    key_usage=frozenset({"digital_signature"}),
    extended_key_usage=(oids.OCSP_SIGNING,),
    no_revocation_check=True,
)
