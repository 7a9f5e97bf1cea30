"""Who signs profiles: this installation's own signer, its HTTPS certificate, or an identity that was imported for it.

One of them is chosen. Where it cannot sign nothing goes out: no other one steps in by itself, since a device shows who signed,
and takes a new version of a profile that a person installed from the same signer only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Version
from bramley.operations import authorities, kept_signers, outside_chains, records, server_certificates
from bramley.operations.authorities import Authorities
from bramley.operations.errors import Conflict, Invalid, NotReady
from bramley.operations.installation import Installation
from bramley.operations.server_certificates import Pair
from bramley.pki import certificates, chains, keys, names, oids, pairs
from bramley.pki.errors import BadCertificate, ChainError
from bramley.pki.keystore import Sealer
from bramley.pki.pkcs12 import Bundle
from bramley.storage.protocols import Tx

LOOK_AHEAD: Final = timedelta(days=30)
"""How long before its end a signer deserves a look. What the server makes itself is replaced long before."""

_CHOSEN: Final = "profile-signer"
"""The note that names the one that signs; without it the own one does."""

_NAME: Final = "imported"
_APPLE_ROOTS: Final = frozenset({"Apple Root CA", "Apple Root CA - G2", "Apple Root CA - G3"})
_ANY_USAGE: Final = "2.5.29.37.0"
_USUAL: Final = frozenset({oids.EMAIL_PROTECTION, oids.CODE_SIGNING, _ANY_USAGE})


class Signer(StrEnum):
    """The identities that may sign profiles."""

    OWN = "own"
    HTTPS = "https"
    IMPORTED = "imported"


_LINEAGES: Final = {
    Signer.OWN: (Kind.PROFILE_SIGNER, authorities.NAME),
    Signer.HTTPS: (Kind.HTTPS, authorities.NAME),
    Signer.IMPORTED: (Kind.PROFILE_SIGNER, _NAME),
}


@dataclass(frozen=True, slots=True)
class Checked:
    """An identity that can sign profiles. `above` leads to the root, nearest CA first; `warnings` deserve a look."""

    above: tuple[x509.Certificate, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import. `signs` says that it is the chosen one, and signs from now on."""

    version: Version
    chain: tuple[x509.Certificate, ...]
    warnings: tuple[str, ...]
    signs: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """One of the signers, with the chain that goes into a profile; `ends` is when the first of it does."""

    signer: Signer
    signs: bool
    chain: tuple[x509.Certificate, ...]
    ends: datetime


def check(bundle: Bundle, *, public: Sequence[x509.Certificate], now: datetime) -> Checked:
    """Whether an identity can sign profiles, with a chain that is whole up to a root: devices fetch no intermediates.

    The root may be missing where it is one of `public`, which devices come with, or of Apple's. Raises BadKey for a key that
    is weak or of a kind that is not kept here; Invalid for a CA, a key usage without signatures, and a chain that is not whole
    or does not hold at `now`.
    """
    leaf = bundle.certificate
    keys.require_strong(bundle.key.public_key())
    keys.algorithm_of(bundle.key.public_key())
    shown = names.text(leaf.subject)
    try:
        if chains.is_ca(leaf):
            raise Invalid(f"{shown} is a CA: it signs certificates.", advice="Give a certificate that it issued, and its key.")
        if not certificates.may_sign(leaf):
            raise Invalid(
                f"The key usage of {shown} allows no signatures (digitalSignature).", advice="Give a certificate that may sign."
            )
        chain = _way_up(leaf, bundle.others, public, now)
        warnings = tuple(_warnings(chain, public, now))
    except (ChainError, BadCertificate) as error:
        raise Invalid(f"{shown} cannot sign profiles. {error.message}", advice=error.advice) from None
    top = chain[-1]
    if top.subject != top.issuer and not (len(chain) > 1 and _is_apples(top.issuer)):
        raise Invalid(
            f"The chain of {shown} is not whole: the issuer of {names.text(top.subject)} is missing, {names.text(top.issuer)}.",
            advice="Give it as another file, with what is above it up to the root: devices fetch no certificates for a profile.",
        )
    return Checked(chain[1:], warnings)


def pair_of(bundle: Bundle, checked: Checked) -> Pair:
    """An identity that was checked, as it signs."""
    return Pair(bundle.certificate, bundle.key, _below_root(checked.above))


async def import_files(
    installation: Installation, files: Sequence[bytes], password: str | None, *, public: Sequence[x509.Certificate], actor: str
) -> Imported:
    """Keeps an identity to sign profiles with: PKCS#12, or PEM and DER in any order. It takes the place of the former.

    Refused with nothing changed: what `check` refuses, a certificate that is here already (Invalid), and files that hold no
    key with its certificate (`pki.errors`).
    """
    now = installation.clock.now()
    # elsewhere: a password is made costly to try, and a key's numbers to check
    bundle = await asyncio.to_thread(pairs.read_pair, files, password)
    checked = check(bundle, public=public, now=now)

    def put(tx: Tx) -> Imported:
        version = kept_signers.keep(tx, installation, Kind.PROFILE_SIGNER, _NAME, bundle, checked.above, now=now, actor=actor)
        return Imported(version, (bundle.certificate, *checked.above), checked.warnings, chosen(tx) is Signer.IMPORTED)

    return await installation.store.run(put)


async def choose(installation: Installation, signer: Signer, *, actor: str) -> Standing:
    """From now on this one signs what goes out. What is on devices stays as it is: nothing is sent again for it.

    Conflict where there is none, or where it, or a CA above it, is not valid now.
    """
    now = installation.clock.now()

    def act(tx: Tx) -> Standing:
        found = _standing(tx, signer, signs=True)
        if found is None:
            raise Conflict(f"There is no signer {signer}.", advice="`bramley profile signer import` brings one in.")
        begins = max(each.not_valid_before_utc for each in found.chain)
        if not begins <= now <= found.ends:
            raise Conflict(
                f"{names.text(found.chain[0].subject)}, with what is above it, is valid from {begins:%Y-%m-%d} to "
                f"{found.ends:%Y-%m-%d}, not now.",
                advice="`bramley profile signer import` replaces an imported one.",
            )
        if chosen(tx) is not signer:
            tx.notes.set(_CHOSEN, signer)
            records.touch(tx)
            detail = {"signer": signer, "subject": names.text(found.chain[0].subject)}
            tx.events.append(Event(now, EventKind.PROFILE_SIGNER_CHOSEN, actor, detail=detail))
        return found

    return await installation.store.run(act)


async def standings(installation: Installation) -> Sequence[Standing]:
    """Every signer that there is."""

    def read(tx: Tx) -> list[Standing]:
        used = chosen(tx)
        return [found for each in Signer if (found := _standing(tx, each, signs=each is used)) is not None]

    return await installation.store.read(read)


def chosen(tx: Tx) -> Signer:
    """Which of them signs what goes out."""
    return Signer(tx.notes.get(_CHOSEN) or Signer.OWN)


def load(tx: Tx, sealer: Sealer, held: Authorities, signer: Signer) -> Pair:
    """A signer with its key. NotReady where there is none. Whether it may sign now is seen when it signs."""
    if signer is Signer.OWN:
        return server_certificates.load(tx, sealer, Kind.PROFILE_SIGNER, held.signer)
    if signer is Signer.HTTPS:
        return server_certificates.load(tx, sealer, Kind.HTTPS, held.https)
    found = kept_signers.take(tx, sealer, Kind.PROFILE_SIGNER, _NAME)
    if found is None:
        raise NotReady("No profile signer was imported.", advice="`bramley profile signer import` brings one in.")
    return Pair(found.certificate, found.key, _below_root(found.others))


def ends(chain: Sequence[x509.Certificate]) -> datetime:
    """When the first of a signer and the CAs in its profiles ends: from then on nothing is signed with it."""
    return min(each.not_valid_after_utc for each in chain)


def _standing(tx: Tx, signer: Signer, *, signs: bool) -> Standing | None:
    version = records.active(tx, *_LINEAGES[signer])
    if version is None or version.certificate is None:
        return None
    chain = (certificates.load(version.certificate), *_below_root(outside_chains.above(tx, version)))
    return Standing(signer, signs, chain, ends(chain))


def _way_up(
    leaf: x509.Certificate, others: Sequence[x509.Certificate], public: Sequence[x509.Certificate], now: datetime
) -> tuple[x509.Certificate, ...]:
    """A chain that holds, of several the one up to a root; where none does, ChainError, or one that is not whole."""
    # a CA may have a certificate by a former root besides: one way that holds is enough
    pool = [*public, *others, leaf]
    roots = [each for each in pool if each.subject == each.issuer]
    for anchors in (roots, [each for each in others if _is_apples(each.issuer)]):
        with suppress(ChainError):
            return chains.verify(leaf, intermediates=pool, anchors=anchors, at=now)
    chain = chains.chain_of(leaf, [*others, *public])
    chains.verify(leaf, intermediates=chain[1:], anchors=chain[-1:], at=now)
    return chain


def _below_root(above: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The CAs that go into a profile: a root that a device does not trust by itself, it would not trust for coming along."""
    return tuple(each for each in above if each.subject != each.issuer)


def _warnings(chain: Sequence[x509.Certificate], public: Sequence[x509.Certificate], now: datetime) -> list[str]:
    leaf, top, found = chain[0], chain[-1], []
    usages = certificates.extension(leaf, x509.ExtendedKeyUsage)
    if usages is not None and not _USUAL & {each.dotted_string for each in usages}:
        found.append(
            "Its extended key usages name neither emailProtection nor codeSigning. Apple documents none for profiles: "
            "try one on a device of each system first."
        )
    if top.subject == top.issuer and top not in public and not _is_apples(top.subject):
        found.append(f"Devices show its profiles as Verified only where they trust {names.text(top.subject)}.")
    end = ends(chain)
    if end < now + LOOK_AHEAD:
        found.append(f"It signs until {end:%Y-%m-%d} only.")
    return found


def _is_apples(name: x509.Name) -> bool:
    """Whether a name is of one of Apple's roots, which issue the CAs of Developer ID and which every device has."""
    common, organization = (
        {str(each.value) for each in name.get_attributes_for_oid(oid)} for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)
    )
    return organization == {"Apple Inc."} and bool(common & _APPLE_ROOTS)
