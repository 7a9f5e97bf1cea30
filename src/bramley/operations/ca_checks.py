"""Whether a certificate that was made elsewhere can be the identity CA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bramley.lifecycle import plans
from bramley.operations.errors import Invalid
from bramley.pki import certificates, chains, keys, names, oids
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import Authority, issue
from bramley.pki.errors import CannotIssue, ChainError


@dataclass(frozen=True, slots=True)
class Checked:
    """A certificate that can be the identity CA. `chain` is what stands above it up to a self-signed root, nearest first."""

    chain: tuple[x509.Certificate, ...]
    warnings: tuple[str, ...]


def check(
    certificate: x509.Certificate,
    key: keys.PrivateKey,
    others: Sequence[x509.Certificate],
    *,
    leaf_life: timedelta,
    now: datetime,
) -> Checked:
    """Checks a CA certificate with its key, and that its chain is whole among the `others`, which may include strangers.

    It has to be a CA that may sign certificates and CRLs (RFC 5280 4.2.1.3, 4.2.1.9), with a key of a kind that we make, valid
    now. An identity is issued and its chain verified as a device's would be: so path lengths, usages, constraints and dates all
    the way up count as they will later. `leaf_life` is how long identities live. Raises Invalid, and BadKey for the key.
    """
    keys.require_strong(key.public_key())
    keys.algorithm_of(key.public_key())
    shown = names.text(certificate.subject)
    constraints = certificates.extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise Invalid(f"{shown} is not a CA: its certificate lacks CA:TRUE.", advice="Have it issued as a subordinate CA.")
    usage = certificates.extension(certificate, x509.KeyUsage)
    if usage is None or not (usage.key_cert_sign and usage.crl_sign):
        raise Invalid(
            f"The key usage of {shown} lacks keyCertSign or cRLSign.",
            advice="Have it issued as a CA that signs certificates and CRLs.",
        )
    chain = _chain(certificate, key, others, now)
    return Checked(chain, tuple(_warnings(certificate, key, usage, leaf_life, now)))


def _chain(
    certificate: x509.Certificate, key: keys.PrivateKey, others: Sequence[x509.Certificate], now: datetime
) -> tuple[x509.Certificate, ...]:
    roots = [each for each in (certificate, *others) if certificates.issued_by(each, each)]
    if not roots:
        raise Invalid(
            f"The chain of {names.text(certificate.subject)} is not whole: it was issued by "
            f"{names.text(certificate.issuer)}, and no self-signed root is among the {len(others) + 1} certificate(s) given.",
            advice="Give the certificates above it as well, up to the root.",
        )
    probe_key = keys.generate(keys.KeyAlgorithm.P_256).public_key()
    try:
        probe = issue(Authority(certificate, key), profiles.DEVICE_IDENTITY, probe_key, subject=names.make("probe"), now=now)
        verified = chains.verify(
            probe,
            intermediates=[certificate, *others],
            anchors=roots,
            at=now,
            extended_key_usage=oids.CLIENT_AUTH,
        )
    except (CannotIssue, ChainError) as error:
        raise Invalid(f"No identity that it issues would be believed. {error.message}", advice=error.advice) from error
    return verified[2:]


def _warnings(
    certificate: x509.Certificate, key: keys.PrivateKey, usage: x509.KeyUsage, leaf_life: timedelta, now: datetime
) -> list[str]:
    found = []
    end = certificate.not_valid_after_utc
    if now >= plans.rollover_due_at(end, leaf_life):
        found.append(
            f"It ends on {end:%Y-%m-%d}: identities live for {leaf_life.days} days, so it is due to be rolled over at once."
        )
    if isinstance(key, rsa.RSAPrivateKey) and not (usage.digital_signature and usage.key_encipherment):
        found.append("Its key usage lacks digitalSignature or keyEncipherment, which SCEP needs unless `scep.mode` is `ra`.")
    return found
