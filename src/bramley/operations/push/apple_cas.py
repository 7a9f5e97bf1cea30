"""Apple's CA certificates: which roots are believed, and what is at hand to complete a chain with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography import x509

from bramley.apple import push_certificate as apple
from bramley.apple.http import HTTP
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, VersionState
from bramley.operations import records, setting_files
from bramley.operations.installation import Installation
from bramley.pki import certificates, names
from bramley.settings import Settings
from bramley.storage.protocols import Tx


def roots(settings: Settings) -> frozenset[str]:
    """SHA-256 of the roots that count as Apple's: the pinned ones, or those of `apple.roots_file`."""
    return frozenset(map(certificates.sha256, _stand_ins(settings))) or apple.APPLE_ROOTS


async def chain(
    installation: Installation, leaf: x509.Certificate, given: Sequence[x509.Certificate], *, fetch: bool
) -> tuple[x509.Certificate, ...]:
    """The chain of a certificate that Apple issued, root last, verified up to a believed root.

    Made of what is given, what is on record, and, where that is not enough and `fetch` allows it, what Apple's web server
    has. Raises PushCertificateError where no chain comes of it, ServiceTrouble where that server is no help.
    """
    settings, now = installation.settings, installation.clock.now()
    known = await installation.store.read(_on_record)
    candidates = [*given, *known, *_stand_ins(settings)]
    try:
        return apple.build_chain(leaf, candidates, roots=roots(settings), now=now)
    except apple.MissingIssuer:
        if not fetch:
            raise
    places = apple.Places(settings.apple.intermediates_url, settings.apple.root_url)
    http = HTTP(proxy=settings.apple.proxy or None)
    return (leaf, *await apple.fetch_cas(leaf, now=now, places=places, http=http, roots=roots(settings)))


def keep(tx: Tx, cas: Sequence[x509.Certificate], *, now: datetime, actor: str) -> None:
    """Puts CA certificates on record, so that the next chain needs no network."""
    for certificate in cas:
        digest = certificates.sha256(certificate)
        if tx.lineages.by_sha256(digest) is not None:
            continue
        name = f"{names.text(certificate.subject)} {digest[:16]}"
        lineage = records.lineage(tx, Kind.APPLE_ROOT, name, Policy(), now=now)
        version = records.record(
            tx, lineage, certificate, state=VersionState.ISSUED, now=now, actor=actor, event=EventKind.CERTIFICATE_IMPORTED
        )
        records.promote(tx, version, now=now, actor=actor)


def _on_record(tx: Tx) -> list[x509.Certificate]:
    rows = tx.lineages.certificates(kind=Kind.APPLE_ROOT, states=[VersionState.ACTIVE])
    return [certificates.load(row.version.certificate) for row in rows if row.version.certificate]


def _stand_ins(settings: Settings) -> Sequence[x509.Certificate]:
    """What `apple.roots_file` holds; nothing where it is not set."""
    pem = setting_files.read("apple.roots_file", settings.apple.roots_file)
    return () if pem is None else certificates.load_chain(pem)
