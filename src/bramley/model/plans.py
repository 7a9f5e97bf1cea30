"""Plans: the ordered steps of a replacement, which survive a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType

from bramley.model.lineages import LineageID, VersionID

PlanID = NewType("PlanID", str)


class PlanKind(StrEnum):
    """What a plan replaces."""

    CA_ROLLOVER = "ca-rollover"


class PlanState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


class PlanStage(StrEnum):
    """How far a replacement is: the new one is trusted beside the old, then used, then the old is withdrawn."""

    PREPARED = "prepared"
    TRUSTED = "trusted"
    USED = "used"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Plan:
    """One replacement under way: of the version `old` by the version `new` of a lineage.

    `stage` is what has been reached; what comes next, `lifecycle.plans` decides. `detail` holds what the kind needs, JSON-able.
    """

    id: PlanID
    kind: PlanKind
    lineage_id: LineageID
    old: VersionID
    new: VersionID
    stage: PlanStage
    state: PlanState
    created_at: datetime
    created_by: str
    changed_at: datetime
    detail: Mapping[str, object] = field(default_factory=dict)
