"""For which devices a profile is encrypted, as far as their certificates are known here."""

from __future__ import annotations

from bramley.model.enrollments import Enrollment
from bramley.model.kinds import OF_DEVICES
from bramley.model.networks import owner_of
from bramley.pki import certificates, cms
from bramley.pki.cms import Malformed
from bramley.pki.forms import LIMITS
from bramley.profiles.documents import Document
from bramley.storage.protocols import Tx


def addressees(tx: Tx, document: Document) -> list[Enrollment]:
    """The devices that have, or had, a certificate that the profile is encrypted to; none for one in clear."""
    envelope = _envelope(document) if document.encrypted else None
    if envelope is None:
        return []
    found: dict[str, Enrollment] = {}
    for serial in _serials(envelope):
        for version in tx.lineages.by_serial(f"{serial:x}"):
            lineage = tx.lineages.get(version.lineage_id)
            if lineage is None or lineage.kind not in OF_DEVICES or version.certificate is None:
                continue
            # a serial number is one of its issuer's alone
            if cms.is_for(envelope, certificates.load(version.certificate), limits=LIMITS):
                owner = tx.enrollments.get(owner_of(lineage.name))
                found |= {owner.key: owner} if owner is not None else {}
    return list(found.values())


def _envelope(document: Document) -> bytes | None:
    if document.content is not None:
        found = document.content.get("EncryptedPayloadContent")
        return found if isinstance(found, bytes) else None
    return cms.parse_signed_data(document.raw, limits=LIMITS).content if document.signed else document.raw


def _serials(envelope: bytes) -> tuple[int, ...]:
    try:
        return cms.serials(envelope, limits=LIMITS)
    except Malformed:
        return ()
