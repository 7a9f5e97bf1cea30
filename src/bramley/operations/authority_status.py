"""How our CAs stand: what each has issued, and what it last told of revocation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Final

from bramley.model.revocation import PublishedCRL, Tally
from bramley.operations import issuers
from bramley.operations.installation import Installation
from bramley.operations.issuers import Issuer
from bramley.storage.protocols import Tx

SOON: Final = timedelta(days=30)
"""What ends before it has passed is expiring."""


@dataclass(frozen=True, slots=True)
class AuthorityStatus:
    """A CA with what it has issued under this key; `crl` is its latest, None where nobody has needed one yet."""

    issuer: Issuer
    tally: Tally
    crl: PublishedCRL | None


async def statuses(installation: Installation) -> Sequence[AuthorityStatus]:
    """All of them, the root first. Reads every certificate there is: seconds for a million."""
    now = installation.clock.now()
    return await installation.store.read(lambda tx: [_status(tx, issuer, now) for issuer in issuers.read(tx)])


def _status(tx: Tx, issuer: Issuer, now: datetime) -> AuthorityStatus:
    counts = [astuple(tx.revocations.tally(version, now, now + SOON)) for version in issuer.versions]
    return AuthorityStatus(issuer, Tally(*map(sum, zip(*counts, strict=True))), tx.revocations.crl(issuer.id))
