"""The one door through which a push certificate comes in: never one that would lose the fleet.

Command line, API, NanoMDM's route and whatever else brings one: all of them end here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509

from bramley.apple.push_certificate import PushCertificate, check
from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, Policy, Version, VersionState
from bramley.model.push import Route
from bramley.operations import pushing, records, vault
from bramley.operations.errors import Invalid, TopicWouldChange
from bramley.operations.installation import Installation
from bramley.operations.push import lineages, trial
from bramley.pki import certificates, keys, pairs
from bramley.pki.errors import NoPrivateKey
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class Terms:
    """What whoever brings a push certificate says with it.

    `other_devices` repeats how many enrolled devices listen to other topics, which the certificate cannot reach: the only
    way to bring in one of another topic. `account` and `route` are kept on record; empty and None leave them as they are.
    """

    other_devices: int | None = None
    account: str = ""
    route: Route | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Import:
    """What came of an import. `version` is None on a dry run."""

    topic: str
    certificate: x509.Certificate
    version: Version | None
    warnings: tuple[str, ...]

    @property
    def on_trial(self) -> bool:
        """Whether the former certificate pushes on until this one has pushed once with success."""
        return self.version is not None and self.version.state is VersionState.ISSUED


async def import_files(
    installation: Installation, files: Sequence[bytes], password: str | None, *, actor: str, terms: Terms | None = None
) -> Import:
    """Brings in what files hold: PKCS#12, or certificate and key as PEM or DER, in any order.

    A certificate by itself is enough where this server made the key. Refused as `import_pair` does, and for files that hold
    no such thing (`pki.errors`).
    """
    try:
        # elsewhere: a password is made costly to try, and a key's numbers to check
        bundle = await asyncio.to_thread(pairs.read_pair, files, password)
        pair = bundle.certificate, bundle.key
    except NoPrivateKey:
        own = await _with_own_key(installation, files)
        if own is None:
            raise
        pair = own
    return await import_pair(installation, *pair, actor=actor, terms=terms)


async def import_pair(
    installation: Installation,
    certificate: x509.Certificate,
    key: keys.PrivateKey,
    *,
    actor: str,
    terms: Terms | None = None,
) -> Import:
    """Checks a push certificate with its key and takes it in.

    It is in force at once where none is, where no device listens to its topic yet, or where the one in force has expired or
    is refused by APNs. Else it is on trial: the former goes on until this one has pushed once with success (`push.trial`).

    Refused, with nothing changed: PushCertificateError for what is wrong with the certificate itself; TopicWouldChange for a
    topic that is not the enrolled devices'; Invalid for one that is here already or ends before the one in force. The one in
    force may be given again to end a pause of its topic, once what made APNs refuse it is gone.
    """
    terms = terms or Terms()
    now = installation.clock.now()
    checked = check(certificate, key, now)

    def put(tx: Tx) -> Import:
        known = tx.lineages.by_sha256(certificates.sha256(certificate))
        paused = tx.notes.get(pushing.paused_note(checked.topic)) is not None
        if known is not None and not (paused and known.state is VersionState.ACTIVE):
            raise Invalid(
                f"This push certificate is here already: {known.id}, {known.state}.",
                advice="`bramley push status` shows what is in force; `bramley push rollback` returns to the one before.",
            )
        listening = tx.enrollments.devices_by_topic()
        _require_reachable(tx, checked.topic, listening, terms.other_devices)
        current = records.active(tx, Kind.PUSH, checked.topic)
        if known is None:
            _require_later(current, certificate)
        warnings = (*checked.warnings, *_reused_key(tx, certificate))
        if terms.dry_run:
            return Import(checked.topic, certificate, None, warnings)
        version = known
        if version is None:
            version = _enter(tx, installation, checked, key, terms, now=now, actor=actor)
            if paused or current is None or current.expired(now) or not listening.get(checked.topic):
                version = records.promote(tx, version, now=now, actor=actor)
        if version.state is VersionState.ACTIVE:
            pace = installation.settings.push.wakes_per_second
            pushing.resume(tx, checked.topic, version, per_second=pace, now=now, actor=actor)
        else:
            trial.leave(tx, checked.topic, now)
        records.touch(tx)
        return Import(checked.topic, certificate, version, warnings)

    return await installation.store.run(put)


async def account_of(installation: Installation, topic: str) -> str:
    """The Apple Account on record for a topic; empty where nobody noted it."""
    lineage = await installation.store.read(lambda tx: tx.lineages.find(Kind.PUSH, topic))
    return lineage.owner if lineage else ""


def _enter(
    tx: Tx,
    installation: Installation,
    checked: PushCertificate,
    key: keys.PrivateKey,
    terms: Terms,
    *,
    now: datetime,
    actor: str,
) -> Version:
    """Records the certificate in the lineage of its topic, as the answer to the request of its key where there is one."""
    certificate, topic = checked.certificate, checked.topic
    asked_in, asked = _request_of(tx, certificate)
    lineage = tx.lineages.find(Kind.PUSH, topic)
    if lineage is None and asked_in is not None and lineages.topic_of(asked_in) is None:
        lineage = replace(asked_in, name=topic)
        tx.lineages.update(lineage)
    elif lineage is None:
        lineage = records.lineage(tx, Kind.PUSH, topic, Policy(), now=now)
    account = terms.account or (asked_in.owner if asked_in else "")
    route = terms.route or (asked_in.route if asked_in else "")
    lineages.note(tx, lineage, account=account, route=route, now=now, actor=actor)
    detail = {"topic": topic}
    if asked is not None and asked.lineage_id == lineage.id and asked.state in lineages.OPEN:
        return records.fulfil(tx, asked, certificate, now=now, actor=actor, detail=detail)
    if asked is not None and asked.state in lineages.OPEN:
        reason = f"Apple answered with the certificate of {topic}"
        records.move(tx, asked, VersionState.FAILED, now=now, actor=actor, reason=reason)
    held = asked.key_id if asked is not None else None
    return records.record(
        tx,
        lineage,
        certificate,
        state=VersionState.ISSUED,
        now=now,
        actor=actor,
        event=EventKind.CERTIFICATE_IMPORTED,
        key_id=held or vault.keep(tx, installation.sealer, key, Kind.PUSH, now=now, actor=actor),
        detail=detail,
    )


def _request_of(tx: Tx, certificate: x509.Certificate) -> tuple[Lineage | None, Version | None]:
    """The request that the certificate answers, with its lineage: the newest of its key that has no certificate."""
    spki = keys.spki_sha256(certificates.public_key(certificate))
    unanswered = [pair for pair in lineages.with_key(tx, spki) if pair[1].certificate is None]
    return unanswered[-1] if unanswered else (None, None)


def _require_reachable(tx: Tx, topic: str, listening: Mapping[str, int], said: int | None) -> None:
    """Returns where no enrolled device is left behind, or whoever asks has said how many are."""
    elsewhere = {other: count for other, count in listening.items() if other != topic}
    lost = sum(elsewhere.values())
    # A topic that is in force may be renewed beside others; a new one beside enrolled devices is the classic accident.
    if not lost or said == lost or records.active(tx, Kind.PUSH, topic) is not None:
        return
    expected = max(elsewhere, key=lambda other: elsewhere[other])
    owner = next((each.owner for each in tx.lineages.of_kind(Kind.PUSH) if each.name == expected), "")
    signed_in = f"signed in as {owner}" if owner else "signed in with the Apple Account that made it"
    miscounted = f" You said {said}." if said is not None else ""
    raise TopicWouldChange(
        f"The topic of this certificate is {topic}; {lost} enrolled device(s) listen to {', '.join(sorted(elsewhere))} "
        f"and cannot be reached with it.{miscounted}",
        devices=lost,
        advice=f"At identity.apple.com, {signed_in}, choose Renew, not Create, for the certificate whose topic is {expected}. "
        f"Only for a topic that is meant to stand beside it, repeat the number of devices: --other-devices {lost}.",
    )


def _require_later(current: Version | None, certificate: x509.Certificate) -> None:
    end = certificate.not_valid_after_utc
    if current is not None and current.not_after is not None and end < current.not_after:
        raise Invalid(
            f"This certificate ends on {end:%Y-%m-%d}, earlier than the one in force ({current.not_after:%Y-%m-%d}).",
            advice="Download the one that identity.apple.com issued last; `bramley push rollback` returns to the one before.",
        )


def _reused_key(tx: Tx, certificate: x509.Certificate) -> tuple[str, ...]:
    spki = keys.spki_sha256(certificates.public_key(certificate))
    if not any(version.certificate is not None for _lineage, version in lineages.with_key(tx, spki)):
        return ()
    return ("Its key has served another push certificate. Make a new one for the next renewal: `bramley push request` does.",)


async def _with_own_key(installation: Installation, files: Sequence[bytes]) -> tuple[x509.Certificate, keys.PrivateKey] | None:
    """The certificate in the files that belongs to a key of ours, with that key; None where there is none."""
    found = pairs.read_certificates(files)

    def look(tx: Tx) -> tuple[x509.Certificate, keys.PrivateKey] | None:
        for certificate in found:
            held = lineages.with_key(tx, keys.spki_sha256(certificates.public_key(certificate)))
            if held and (key_id := held[-1][1].key_id):
                return certificate, vault.take(tx, installation.sealer, key_id)
        return None

    return await installation.store.read(look)
