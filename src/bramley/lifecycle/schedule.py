"""When a certificate's successor is due, and what has failed is tried again."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from bramley.model.lineages import Policy, Version

FIRST_RETRY: Final = timedelta(hours=1)
"""After a failure; twice as long after each further one."""

LONGEST_RETRY: Final = timedelta(days=7)


def due_at(version: Version, policy: Policy) -> datetime | None:
    """The moment from which a successor should be made; None for a version without an end.

    A share of the life (`policy.renew_at`), moved by up to `policy.jitter` of it either way. The move is read off the
    version's id, so the answer is the same at every call and on every server, and even over a fleet.
    """
    if version.not_before is None or version.not_after is None:
        return None
    life = version.not_after - version.not_before
    return version.not_before + life * (policy.renew_at + policy.jitter * _spread(version.id))


def due(version: Version, policy: Policy, now: datetime) -> bool:
    """Whether it is time to replace this version."""
    moment = due_at(version, policy)
    return moment is not None and now >= moment


def retry_at(attempts: int, failed_at: datetime) -> datetime:
    """When to have a device try again what has failed so many times in a row."""
    return failed_at + min(FIRST_RETRY * (1 << min(max(attempts - 1, 0), 16)), LONGEST_RETRY)


def _spread(seed: str) -> float:
    """A number in [-1, 1], even over seeds."""
    return int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8]) / (2**63) - 1.0
