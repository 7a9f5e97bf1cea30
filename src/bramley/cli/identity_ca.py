"""`bramley identity ca status`: what our CAs have issued, and what they tell of revocation."""

from __future__ import annotations

import typer

from bramley.cli.session import Session
from bramley.cli.verbs import Verb
from bramley.operations import authority_status
from bramley.operations.authority_status import AuthorityStatus

_COLUMNS = (
    "CA",
    "state",
    "issued",
    "active",
    "expiring",
    "suspended",
    "revoked",
    "ends (UTC)",
    "key here",
    "CRL",
    "next CRL by (UTC)",
)


def register(app: typer.Typer) -> None:
    """Adds the verb to `bramley identity ca`."""
    app.command("status", cls=Verb)(status)


def status(ctx: typer.Context) -> None:
    """Show every CA of ours with what it has issued: how much is active, ends within 30 days, or is suspended or revoked."""
    session = Session(ctx)
    found = session.run(authority_status.statuses)
    if session.output.as_json:
        session.output.json([_as_json(each) for each in found])
        return
    session.output.table(
        _COLUMNS,
        [
            (
                each.issuer.name,
                each.issuer.state,
                *(each.tally.issued, each.tally.active, each.tally.expiring, each.tally.suspended, each.tally.revoked),
                each.issuer.not_after,
                each.issuer.key_id is not None,
                each.crl.number if each.crl else None,
                each.crl.next_update if each.crl else None,
            )
            for each in found
        ],
        empty="There is no CA.",
        spare=("CRL", "key here", "next CRL by (UTC)"),
    )


def _as_json(status: AuthorityStatus) -> dict[str, object]:
    issuer, tally, crl = status.issuer, status.tally, status.crl
    return {
        "name": issuer.name,
        "kind": issuer.kind,
        "state": issuer.state,
        "versions": list(issuer.versions),
        "not_after": issuer.not_after,
        "key_here": issuer.key_id is not None,
        "issued": tally.issued,
        "active": tally.active,
        "expiring": tally.expiring,
        "suspended": tally.suspended,
        "revoked": tally.revoked,
        "crl": {"number": crl.number, "this_update": crl.this_update, "next_update": crl.next_update} if crl else None,
    }
