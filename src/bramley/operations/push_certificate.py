"""Bringing in the push certificate, and never one that would lose the fleet."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from bramley.apple.push.topic import topic_of
from bramley.model.enrollments import EnrollmentState
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Policy, Version, VersionState
from bramley.operations import devices, pushing, records, vault
from bramley.operations.errors import Invalid, TopicWouldChange
from bramley.operations.installation import Installation
from bramley.pki import certificates, keys
from bramley.storage.protocols import Tx


async def import_pair(
    installation: Installation, certificate: x509.Certificate, key: keys.PrivateKey, *, actor: str, dry_run: bool = False
) -> Version | None:
    """Checks a push certificate with its key and puts it in force; the one before is superseded. None on a dry run.

    Refused (Invalid, TopicWouldChange), with nothing changed: a key of another certificate, a certificate outside its
    dates, one without an MDM topic, one whose topic is not the enrolled devices', and one that is here already. The one in
    force may be given again to end a pause of its topic, once what made APNs refuse it is gone.
    """
    now = installation.clock.now()
    topic = _check_pair(certificate, key, now)

    def put(tx: Tx) -> Version | None:
        _check_topic(tx, topic)
        digest = certificates.sha256(certificate)
        known = tx.lineages.by_sha256(digest)
        paused = tx.notes.get(pushing.paused_note(topic)) is not None
        if known is not None and not (paused and known.state is VersionState.ACTIVE):
            raise Invalid(f"This push certificate is here already: {known.id}, {known.state}.")
        if dry_run:
            return None
        if known is not None:
            pushing.resume(tx, topic, known, now=now, actor=actor)
            return known
        lineage = records.lineage(tx, Kind.PUSH, topic, Policy(), now=now)
        key_id = vault.keep(tx, installation.sealer, key, Kind.PUSH, now=now, actor=actor)
        version = records.record(
            tx,
            lineage,
            certificate,
            state=VersionState.ISSUED,
            now=now,
            actor=actor,
            event=EventKind.CERTIFICATE_IMPORTED,
            key_id=key_id,
            detail={"topic": topic},
        )
        version = records.promote(tx, version, now=now, actor=actor)
        pushing.resume(tx, topic, version, now=now, actor=actor)
        records.touch(tx)
        return version

    return await installation.store.run(put)


def _check_pair(certificate: x509.Certificate, key: keys.PrivateKey, now: datetime) -> str:
    if not certificates.matches(certificate, key.public_key()):
        raise Invalid(
            "The private key does not belong to this push certificate.",
            advice="Give the key that the request for identity.apple.com was made with.",
        )
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not begin <= now <= end:
        raise Invalid(
            f"This push certificate is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}; today is {now:%Y-%m-%d}.",
            advice="Renew it (not: create a new one) at identity.apple.com with the same Apple Account.",
        )
    return topic_of(certificate)


def _check_topic(tx: Tx, topic: str) -> None:
    lost: dict[str, int] = {}
    for state in (EnrollmentState.ACTIVE, EnrollmentState.QUARANTINED):
        for enrollment in devices.each(tx, state):
            other = enrollment.topic
            if other and other != topic and enrollment.parent is None:
                lost[other] = lost.get(other, 0) + 1
    if not lost:
        return
    # A topic that is here already may be renewed beside others; a new one beside enrolled devices is the classic accident.
    if tx.lineages.find(Kind.PUSH, topic) is not None:
        return
    (expected, count), *_rest = sorted(lost.items(), key=lambda item: -item[1])
    raise TopicWouldChange(
        f"The topic of this certificate is {topic}; {count} enrolled device(s) listen to {expected} and would be lost.",
        advice=f"At identity.apple.com choose Renew, not Create, for the certificate whose topic is {expected}.",
    )
