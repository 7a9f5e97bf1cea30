"""What a device will say of a profile's signature: Verified, Unverified or Not Signed, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509

from bramley.pki import certificates, chains, names
from bramley.pki.errors import BadCertificate, ChainError, ChainReason
from bramley.profiles.documents import Document


class Shown(StrEnum):
    """Apple's words, in the list of profiles and before one is installed."""

    VERIFIED = "Verified"
    UNVERIFIED = "Unverified"
    NOT_SIGNED = "Not Signed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is shown and why. `chain` leads from the signer to the root that is trusted, or as far as it goes."""

    shown: Shown
    why: str
    chain: tuple[x509.Certificate, ...] = ()


def judge(document: Document, *, ours: Sequence[x509.Certificate], public: Sequence[x509.Certificate], now: datetime) -> Verdict:
    """How devices judge the signer that a document names. Its signature was checked when the document was read.

    `ours` are the roots that enrolled devices have from this server, `public` those that devices come with. Devices go by their
    own list, which may differ. Intermediates have to come in the message: devices fetch none.
    """
    signer = document.signer
    if signer is None:
        return Verdict(Shown.NOT_SIGNED, "Nobody has signed it.")
    begins, ends = signer.not_valid_before_utc, signer.not_valid_after_utc
    if not begins <= now <= ends:
        when = f"ended on {ends:%Y-%m-%d}" if now > ends else f"begins on {begins:%Y-%m-%d}"
        why = f"The signer's certificate {when}. Devices that have the profile keep it as it is."
        return Verdict(Shown.UNVERIFIED, why, (signer,))
    brought = [found for each in document.certificates if (found := _readable(each)) is not None]
    for anchors, words in ((ours, "Enrolled devices trust {}."), (public, "Devices trust {} from the start.")):
        chain = _chain(signer, brought, anchors, now)
        if chain and not certificates.may_sign(signer):
            why = "The key usage of the signer's certificate allows no signatures (digitalSignature)."
            return Verdict(Shown.UNVERIFIED, why, chain)
        if chain:
            return Verdict(Shown.VERIFIED, words.format(names.text(chain[-1].subject)), chain)
    return _unverified(signer, brought, [*ours, *public], now)


def _unverified(
    signer: x509.Certificate, brought: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate], now: datetime
) -> Verdict:
    """Why not: the first thing that somebody could mend."""
    if signer.subject == signer.issuer:
        return Verdict(Shown.UNVERIFIED, "The signer vouches for itself, and no device trusts it for that.", (signer,))
    chain = _chain(signer, brought, [each for each in brought if each.subject == each.issuer], now)
    if chain:
        why = f"It chains to {names.text(chain[-1].subject)}, which devices trust only where it was installed."
        return Verdict(Shown.UNVERIFIED, why, chain)
    try:
        chains.verify(signer, intermediates=brought, anchors=trusted, at=now)
    except ChainError as error:
        if error.reason is not ChainReason.UNKNOWN_ISSUER:
            return Verdict(Shown.UNVERIFIED, error.message, (signer,))
    chain = chains.chain_of(signer, brought)
    issuer = names.text(chain[-1].issuer)
    why = (
        f"{issuer}, which issued {names.text(chain[-1].subject)}, is neither enclosed nor a root that is known here. "
        "If it is a root, --anchor names it; if not, the profile should be signed with the whole chain."
    )
    return Verdict(Shown.UNVERIFIED, why, chain)


def _chain(
    signer: x509.Certificate, brought: Sequence[x509.Certificate], anchors: Sequence[x509.Certificate], now: datetime
) -> tuple[x509.Certificate, ...]:
    """From the signer to an anchor; empty where there is no way."""
    try:
        return chains.verify(signer, intermediates=brought, anchors=anchors, at=now)
    except ChainError:
        return ()


def _readable(certificate: bytes) -> x509.Certificate | None:
    """None for one that plays no part, being too odd to be read."""
    try:
        return certificates.load(certificate)
    except BadCertificate:
        return None
