"""Signing profiles: the whole plist becomes the content of a DER CMS SignedData (Apple, "Signing a profile")."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509

from bramley.pki import certificates, cms, keys
from bramley.profiles.errors import CannotSign


def sign(
    profile: bytes,
    *,
    certificate: x509.Certificate,
    key: keys.PrivateKey,
    chain: Sequence[x509.Certificate] = (),
    now: datetime,
) -> bytes:
    """The profile in a signed CMS message, with the signer's certificate first and then `chain`, nearest CA first.

    Without its intermediates a device shows a profile as unverified. Raises CannotSign where the key is not the
    certificate's, or the certificate, or one of `chain`, is not valid at `now`: the profile is then not to be sent.
    """
    for one in (certificate, *chain):
        begin, end = one.not_valid_before_utc, one.not_valid_after_utc
        if not begin <= now <= end:
            raise CannotSign(
                f"Expected a certificate that is valid at {now:%F %T} UTC to sign a profile; "
                f"{certificates.sha256(one)} is valid from {begin:%F %T} to {end:%F %T}.",
                advice="Renew the profile signer.",
            )
    if not certificates.matches(certificate, key.public_key()):
        raise CannotSign("Expected the private key of the profile signer's certificate; another key came.")
    return cms.sign(profile, key=key, certificate=certificate, others=chain, signing_time=now)
