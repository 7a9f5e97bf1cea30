"""The state machine of a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from bramley.errors import BramleyError
from bramley.model.lineages import Turn, Version
from bramley.model.lineages import VersionState as S


class ImpossibleTransition(BramleyError):
    """A version was asked to go where its state doesn't lead; nothing was changed."""


FOLLOWS: Mapping[S, frozenset[S]] = MappingProxyType(
    {
        S.PLANNED: frozenset({S.REQUESTED, S.FAILED}),
        S.REQUESTED: frozenset({S.AWAITING, S.ISSUED, S.FAILED}),
        S.AWAITING: frozenset({S.ISSUED, S.FAILED}),
        S.ISSUED: frozenset({S.DISTRIBUTED, S.ACTIVE, S.SUPERSEDED, S.RETIRED, S.REVOKED, S.FAILED}),
        S.DISTRIBUTED: frozenset({S.ACTIVE, S.SUPERSEDED, S.RETIRED, S.REVOKED, S.FAILED}),
        S.ACTIVE: frozenset({S.SUSPENDED, S.SUPERSEDED, S.RETIRED, S.REVOKED}),
        S.SUSPENDED: frozenset({S.ACTIVE, S.REVOKED}),
        # Back to active: a rollback while the old one is still valid.
        S.SUPERSEDED: frozenset({S.ACTIVE, S.RETIRED, S.REVOKED}),
        # A retired certificate still exists somewhere, so it can still be compromised.
        S.RETIRED: frozenset({S.REVOKED}),
        S.REVOKED: frozenset(),
        S.FAILED: frozenset(),
    }
)

LIVE = frozenset({S.ISSUED, S.DISTRIBUTED, S.ACTIVE, S.SUPERSEDED})
"""States in which a certificate may be presented; the superseded one until its grace ends and it is retired."""


def enter(version: Version, state: S, now: datetime, *, reason: str = "", turn: Turn | None = None) -> Version:
    """The version in its next state; `turn` says whom an awaited one waits for.

    Raises ImpossibleTransition where the state machine has no such arrow.
    """
    if state not in FOLLOWS[version.state]:
        allowed = ", ".join(sorted(FOLLOWS[version.state])) or "nothing"
        raise ImpossibleTransition(
            f"Certificate version {version.id} is {version.state} and was asked to become {state}; it can become {allowed}."
        )
    return replace(version, state=state, changed_at=now, reason=reason, turn=turn)
