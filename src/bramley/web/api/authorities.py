"""/authorities."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import msgspec
from litestar import get

from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState
from bramley.model.revocation import PublishedCRL
from bramley.operations import authority_status
from bramley.operations.authority_status import AuthorityStatus
from bramley.web.api.devices import LiveServer
from bramley.web.api.views import Page


class CRLView(msgspec.Struct, frozen=True, kw_only=True):
    """The latest CRL of a CA."""

    number: int
    this_update: datetime
    next_update: datetime

    @classmethod
    def of(cls, crl: PublishedCRL) -> Self:
        return cls(number=crl.number, this_update=crl.this_update, next_update=crl.next_update)


class AuthorityView(msgspec.Struct, frozen=True, kw_only=True):
    """A CA of ours: one name with one key. Its certificate is /pki/NAME.cer, its CRL /pki/NAME.crl.

    `versions` are its certificates, oldest first; `expiring` counts active certificates that end within 30 days.
    """

    name: str
    kind: Kind
    state: VersionState
    versions: list[str]
    not_after: datetime
    key_here: bool
    issued: int
    active: int
    expiring: int
    suspended: int
    revoked: int
    crl: CRLView | None

    @classmethod
    def of(cls, status: AuthorityStatus) -> Self:
        issuer, tally = status.issuer, status.tally
        return cls(
            name=issuer.name,
            kind=issuer.kind,
            state=issuer.state,
            versions=list(issuer.versions),
            not_after=issuer.not_after,
            key_here=issuer.key_id is not None,
            issued=tally.issued,
            active=tally.active,
            expiring=tally.expiring,
            suspended=tally.suspended,
            revoked=tally.revoked,
            crl=CRLView.of(status.crl) if status.crl else None,
        )


@get("/authorities")
async def list_authorities(live: LiveServer) -> Page[AuthorityView]:
    """Our CAs, the root first, with what each has issued."""
    found = await authority_status.statuses(live.installation)
    return Page(items=[AuthorityView.of(each) for each in found], next=None)


HANDLERS = (list_authorities,)
