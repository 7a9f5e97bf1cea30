"""Who may sign installer packages: an identity with a key, the marks that Apple gives, and the chain above it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ObjectIdentifier

from bramley.model.kinds import Kind
from bramley.model.lineages import Version
from bramley.operations import kept_signers
from bramley.operations.authorities import NAME
from bramley.operations.errors import Invalid
from bramley.operations.installation import Installation
from bramley.pki import certificates, chains, keys, names, pairs, xar
from bramley.pki.errors import BadCertificate
from bramley.pki.pkcs12 import Bundle
from bramley.storage.protocols import Tx

DEVELOPER_ID_INSTALLER: Final = "1.2.840.113635.100.6.1.14"
INSTALLER_USAGE: Final = "1.2.840.113635.100.4.13"
"""Apple's marks of a Developer ID Installer certificate: an extension, and an extended key usage."""

_OTHERS: Final = (
    ("1.2.840.113635.100.6.1.13", "a Developer ID Application certificate, which signs apps: Macs do not take it on a package"),
    ("1.2.840.113635.100.4.9", "a Mac Installer Distribution certificate: Macs take it from the App Store only"),
)
_FOREIGN: Final = "not Apple's Developer ID Installer certificate: Macs take it only where a profile makes them trust its root"
_MUTE: Final = "The key usage of {} allows no signatures (digitalSignature)."


@dataclass(frozen=True, slots=True)
class PackageSigner:
    """An identity that signs packages, and what a Mac may have against it."""

    identity: xar.Identity
    warnings: tuple[str, ...]


def package_signer(bundle: Bundle, *, now: datetime) -> PackageSigner:
    """The identity of a key and its certificates, its chain put in order.

    Raises Invalid for a key other than RSA, a certificate of a CA, one whose key usage allows no signatures, one of the chain
    that is not valid at `now`, and a Developer ID certificate whose intermediate is missing.
    """
    leaf, key = bundle.certificate, bundle.key
    shown = names.text(leaf.subject)
    try:
        if chains.is_ca(leaf):
            raise Invalid(f"{shown} is a CA: it signs certificates.", advice="Give an installer certificate and its key.")
        if not certificates.may_sign(leaf):
            raise Invalid(_MUTE.format(shown), advice="Give an installer certificate and its key.")
        warnings = objections(leaf)
    except BadCertificate as error:
        raise Invalid(f"{shown} cannot sign packages. {error.message}", advice=error.advice) from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Invalid(
            f"Expected an RSA key: xar knows no other signatures. {shown} is for {keys.describe(key.public_key())}.",
            advice="Request an installer certificate with an RSA key.",
        )
    chain = chains.chain_of(leaf, bundle.others)
    for each in chain:
        _require_in_force(each, now)
    if not warnings and len(chain) == 1:
        raise Invalid(
            f"The issuer of {shown} is missing: {names.text(leaf.issuer)}. Without it no Mac can tell whose package it is.",
            advice="Download it from https://www.apple.com/certificateauthority/ and give it as another --identity.",
        )
    if warnings:
        warnings += open_end(chain)
    return PackageSigner(xar.Identity(key, chain), tuple(warnings))


def objections(leaf: x509.Certificate) -> list[str]:
    """What a Mac may have against a signer's certificate by itself; nothing of a Developer ID Installer. BadCertificate."""
    marks, shown = _marks(leaf), names.text(leaf.subject)
    found = [] if certificates.may_sign(leaf) else [_MUTE.format(shown)]
    if not {DEVELOPER_ID_INSTALLER, INSTALLER_USAGE} <= marks:
        found.append(f"{shown} is {next((text for mark, text in _OTHERS if mark in marks), _FOREIGN)}.")
    return found


async def import_files(
    installation: Installation, files: Sequence[bytes], password: str | None, *, actor: str
) -> tuple[Version, PackageSigner]:
    """Keeps an identity to sign packages with: PKCS#12, or PEM and DER in any order. It takes the place of the former.

    Refused with nothing changed: what `package_signer` refuses, a certificate that is here already (Invalid), and files that
    hold no key with its certificate (`pki.errors`).
    """
    now = installation.clock.now()
    bundle = await asyncio.to_thread(pairs.read_pair, files, password)
    signer = package_signer(bundle, now=now)
    above = signer.identity.chain[1:]

    def put(tx: Tx) -> Version:
        return kept_signers.keep(tx, installation, Kind.PACKAGE_SIGNER, NAME, bundle, above, now=now, actor=actor)

    return await installation.store.run(put), signer


async def kept(installation: Installation) -> PackageSigner | None:
    """The identity that is kept to sign packages with, None where there is none. Raises as `package_signer` does."""
    read = partial(kept_signers.take, sealer=installation.sealer, kind=Kind.PACKAGE_SIGNER, name=NAME)
    bundle = await installation.store.read(read)
    return None if bundle is None else package_signer(bundle, now=installation.clock.now())


def open_end(chain: Sequence[x509.Certificate]) -> list[str]:
    """A warning where the chain does not go up to a root."""
    top = chain[-1]
    if top.subject == top.issuer:
        return []
    return [f"The issuer of {names.text(top.subject)} is not included: {names.text(top.issuer)}. A device must have it."]


def _marks(certificate: x509.Certificate) -> set[str]:
    """The dotted identifiers of a certificate's extensions and extended key usages."""
    found: set[ObjectIdentifier] = {each.oid for each in certificates.extensions(certificate)}
    found.update(certificates.extension(certificate, x509.ExtendedKeyUsage) or ())
    return {each.dotted_string for each in found}


def _require_in_force(certificate: x509.Certificate, now: datetime) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    shown = names.text(certificate.subject)
    if now > end:
        raise Invalid(
            f"{shown} ended on {end:%Y-%m-%d}.", advice="Give one that is in force; installer certificates are renewed at Apple."
        )
    if now < begin:
        raise Invalid(f"{shown} begins on {begin:%Y-%m-%d %H:%M} UTC.", advice="Check this machine's clock.")
