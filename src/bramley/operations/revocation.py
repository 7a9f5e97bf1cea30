"""CRLs: published anew when half their life has passed, and as soon as what they say is no longer so.

What changes a certificate's state leaves a mark in the same transaction (`crl_due`). Whoever is asked for a CRL looks at the
mark first, so that the request after a revocation gets a CRL that has it, whichever process is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import RevocationReason
from bramley.model.revocation import PublishedCRL, Revoked
from bramley.operations import issuers
from bramley.operations.crl_due import note_name
from bramley.operations.installation import Installation
from bramley.operations.issuers import Issuer
from bramley.pki.ca.authority import Authority
from bramley.pki.revocation import crl as crls
from bramley.pki.revocation.entries import CRLReason, Revocation
from bramley.storage.errors import Conflict
from bramley.storage.protocols import Tx

_SECOND: Final = timedelta(seconds=1)
_TRIES: Final = 10
"""How often another process may have been faster; each time there is a newer CRL than before."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """What the next CRL is made of, and the mark as it was when that was read."""

    authority: Authority
    latest: PublishedCRL | None
    mark: str | None
    revoked: Sequence[Revoked]


async def current(installation: Installation, issuer: Issuer, *, life: timedelta | None = None, actor: str) -> PublishedCRL:
    """The CRL of an issuer that has every change committed before the call; published where there is none yet.

    One that is published is good for so long a `life`, by default as set. Of an issuer whose key is offline, the one that it left
    behind. NotReady where there is no key to sign one, CannotIssue where the issuer may not sign CRLs.
    """
    store, now = installation.store, installation.clock.now()
    life = life or timedelta(hours=installation.settings.revocation.crl_hours)
    for _ in range(_TRIES):
        draft = await store.read(lambda tx: _draft(tx, installation, issuer, now, life))
        if isinstance(draft, PublishedCRL):
            return draft
        made = await asyncio.to_thread(_make, draft, issuer, now, life, skew(installation))
        try:
            await store.run(partial(_store, made=made, draft=draft, now=now, actor=actor))
        except Conflict:
            continue  # another process has published: perhaps before the change that matters here
        return made
    raise Conflict(f"the CRL of {issuer.name} is published over and over by others.", advice="Look for a clock that jumps.")


async def publish_due(installation: Installation, *, actor: str) -> Sequence[PublishedCRL]:
    """The CRLs of the identity CAs, and those that somebody has asked for before, published anew where it is time."""
    now = installation.clock.now()

    def wanted(tx: Tx) -> Sequence[Issuer]:
        signing = [issuer for issuer in issuers.read(tx) if issuer.signs(now)]
        return [each for each in signing if each.kind is Kind.IDENTITY_CA or tx.notes.get(note_name(each.id)) is not None]

    return [await current(installation, issuer, actor=actor) for issuer in await installation.store.read(wanted)]


def due(crl: PublishedCRL, mark: str | None, now: datetime, life: timedelta) -> bool:
    """Whether the next one is to be published: something has changed, half the life has passed, or the life was made shorter."""
    left = crl.next_update - now
    return mark != str(crl.number) or left <= life / 2 or left > life


def skew(installation: Installation) -> timedelta:
    """How far back what is published is dated, for readers whose clock is slow: they refuse what begins in their future."""
    return timedelta(minutes=installation.settings.identity.clock_skew_minutes)


def as_entry(revoked: Revoked) -> Revocation:
    """In the words of the standards: a suspended certificate is on hold."""
    return Revocation(int(revoked.serial, 16), revoked.since, crl_reason(revoked.reason))


def crl_reason(reason: RevocationReason | None) -> CRLReason:
    """`certificateHold` where there is none."""
    return CRLReason.certificateHold if reason is None else CRLReason[reason.value]


def _draft(tx: Tx, installation: Installation, issuer: Issuer, now: datetime, life: timedelta) -> PublishedCRL | _Draft:
    latest, mark = tx.revocations.crl(issuer.id), tx.notes.get(note_name(issuer.id))
    if latest is not None and (not due(latest, mark, now, life) or (issuer.key_id is None and now < latest.next_update)):
        return latest
    # An entry stays until it was on a CRL published after its certificate's end (RFC 5280 section 3.3): for one life more.
    revoked = [each for version in issuer.versions for each in tx.revocations.of_issuer(version, now - life)]
    return _Draft(issuer.authority(tx, installation.sealer), latest, mark, revoked)


def _make(draft: _Draft, issuer: Issuer, now: datetime, life: timedelta, back: timedelta) -> PublishedCRL:
    now = now.replace(microsecond=0)
    # Seconds since 1970 rather than 1, 2, 3: numbers grow even where a backup of the database was restored.
    number, this_update = int(now.timestamp()), now - back
    if draft.latest is not None:
        number = max(number, draft.latest.number + 1)
        this_update = min(now, max(this_update, draft.latest.this_update + _SECOND))
    next_update = now + life
    entries = map(as_entry, draft.revoked)
    encoded = crls.build(draft.authority, entries, number=number, this_update=this_update, next_update=next_update)
    return PublishedCRL(issuer.id, number, this_update, next_update, encoded)


def _store(tx: Tx, *, made: PublishedCRL, draft: _Draft, now: datetime, actor: str) -> None:
    stored = tx.revocations.crl(made.issuer)
    if (stored and stored.number) != (draft.latest and draft.latest.number):
        raise Conflict(f"another CRL of {made.issuer} was published meanwhile.")
    tx.revocations.publish(made)
    if tx.notes.get(note_name(made.issuer)) == draft.mark:
        tx.notes.set(note_name(made.issuer), str(made.number))
    detail = {"number": made.number, "entries": len(draft.revoked)}
    tx.events.append(Event(now, EventKind.CRL_PUBLISHED, actor, version_id=made.issuer, detail=detail))
