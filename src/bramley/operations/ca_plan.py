"""The plan by which an identity CA takes over from another: entered in one transaction, then taken step by step.

`lifecycle.plans` decides what comes next; each step is a transaction of its own, which looks again at how far the plan is. So
it does not matter who takes a step, nor whether it was cut short.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography import x509

from bramley.lifecycle import plans, states
from bramley.lifecycle.plans import Act, Facts, Step
from bramley.model import ids
from bramley.model.events import Event, EventKind
from bramley.model.jobs import Job
from bramley.model.kinds import OF_DEVICES, Kind
from bramley.model.lineages import Version, VersionID
from bramley.model.lineages import VersionState as S
from bramley.model.plans import Plan, PlanID, PlanKind, PlanStage, PlanState
from bramley.operations import authorities, records, scep_ra
from bramley.operations.errors import Conflict
from bramley.operations.installation import Installation
from bramley.pki import certificates
from bramley.storage.protocols import Tx

ADVANCE: Final = "advance-plans"
"""The job that takes the steps that are due."""

_RELYING: Final = states.LIVE | {S.SUSPENDED}
"""States of an identity that needs its CA: a suspended one may be reinstated."""


class Mode(StrEnum):
    """What a rollover keeps of the CA before."""

    SAME_KEY = "same-key"
    NEW_KEY = "new-key"


@dataclass(frozen=True, slots=True)
class Rollover:
    """A rollover with its two CAs, and its next step; None where it has ended."""

    plan: Plan
    old: Version
    new: Version
    step: Step | None

    @property
    def mode(self) -> Mode:
        return Mode.SAME_KEY if self.old.spki_sha256 == self.new.spki_sha256 else Mode.NEW_KEY


def enter(tx: Tx, new: Version, *, use_after: timedelta, now: datetime, actor: str) -> Rollover:
    """The plan by which an issued identity CA takes over, left to whoever takes its steps.

    A rollover that uses its new CA already, and waits for the last identities of the one before, is taken over by this one.
    Conflict where one is under way that is not as far.
    """
    lineage, old = authorities.identity_in_force(tx)
    former = running(tx)
    if former is not None and former.stage is not PlanStage.USED:
        raise Conflict(
            f"A rollover of the identity CA is under way since {former.created_at:%Y-%m-%d %H:%M} UTC.",
            advice="`bramley identity ca rollover` shows how far it is; with --cancel it is given up.",
        )
    stage, state, detail = PlanStage.PREPARED, PlanState.RUNNING, {"use_from": (now + use_after).isoformat()}
    plan = Plan(PlanID(ids.fresh(now)), PlanKind.CA_ROLLOVER, lineage.id, old.id, new.id, stage, state, now, actor, now, detail)
    if former is not None:
        tx.plans.update(replace(former, state=PlanState.DONE, detail={**former.detail, "continued_by": plan.id}))
    tx.plans.add(plan)
    tx.events.append(Event(now, EventKind.PLAN_STARTED, actor, version_id=new.id, detail={"plan": plan.id, "kind": plan.kind}))
    tx.jobs.add(Job(ADVANCE, now, now, dedup_key=f"{ADVANCE}:{plan.id}"))
    records.touch(tx)
    return describe(tx, plan, 0, now)


async def standing(installation: Installation) -> Rollover | None:
    """The rollover under way; None where there is none."""
    plan = await installation.store.read(running)
    if plan is None:
        return None
    needing, now = await _needing(installation, plan), installation.clock.now()
    return await installation.store.read(lambda tx: describe(tx, tx.plans.get(plan.id) or plan, needing, now))


async def advance(installation: Installation, *, actor: str) -> datetime | None:
    """Takes every step of the rollover that is due, each in a transaction; when to look again, None where nobody knows.

    Called again, by whomever and as often as one likes, it does what is left to do.
    """
    while (plan := await installation.store.read(running)) is not None:
        needing, now = await _needing(installation, plan), installation.clock.now()

        def take(tx: Tx, plan: Plan = plan, needing: int = needing, now: datetime = now) -> Step | None:
            current = tx.plans.get(plan.id)
            if current is None or current.stage is not plan.stage:
                return None  # somebody else has taken it
            step = plans.next_step(current, _facts(tx, current, needing), now)
            if step is not None and step.due:
                _take(tx, installation, current, step, now=now, actor=actor)
            return step

        step = await installation.store.run(take)
        if step is not None and not step.due:
            return step.at
    return None


def running(tx: Tx) -> Plan | None:
    """The plan under way; there is at most one."""
    lineage = tx.lineages.find(Kind.IDENTITY_CA, authorities.NAME)
    return next(iter(tx.plans.running(lineage.id)), None) if lineage else None


def describe(tx: Tx, plan: Plan, needing: int, now: datetime) -> Rollover:
    """A plan with what there is to know of it; `needing` says how many identities rely on what is to be withdrawn."""
    step = plans.next_step(plan, _facts(tx, plan, needing), now)
    return Rollover(plan, version_of(tx, plan.old), version_of(tx, plan.new), step)


def _take(tx: Tx, installation: Installation, plan: Plan, step: Step, *, now: datetime, actor: str) -> None:
    new = version_of(tx, plan.new)
    match step.act:
        case Act.TRUST:
            tx.lineages.update_version(states.enter(new, S.DISTRIBUTED, now))
        case Act.USE:
            records.promote(tx, new, now=now, actor=actor)
            # an RA is of the CA that issues: clients check that it is
            scep_ra.ensure(tx, installation, authorities.load(tx, installation.sealer), now=now, actor=actor)
        case Act.WITHDRAW:
            for old in _superseded(tx, plan):
                records.move(tx, old, S.RETIRED, now=now, actor=actor, reason="withdrawn: no identity needs it")
    state = PlanState.DONE if step.reaches is PlanStage.WITHDRAWN else plan.state
    tx.plans.update(replace(plan, stage=step.reaches, state=state, changed_at=now))
    detail = {"plan": plan.id, "stage": step.reaches}
    tx.events.append(Event(now, EventKind.PLAN_STEP_TAKEN, actor, version_id=new.id, detail=detail))
    records.touch(tx)


def _facts(tx: Tx, plan: Plan, needing: int) -> Facts:
    replaced = _superseded(tx, plan) or [version_of(tx, plan.old)]
    return Facts(
        needing=needing,
        old_ends=max(certificate_of(old).not_valid_after_utc for old in replaced),
        use_from=datetime.fromisoformat(str(plan.detail["use_from"])),
    )


def _superseded(tx: Tx, plan: Plan) -> list[Version]:
    """The CAs before the new one that are not withdrawn yet: the old one, and those of rollovers that this one has taken over."""
    return [version for version in tx.lineages.versions(plan.lineage_id) if version.state is S.SUPERSEDED]


async def _needing(installation: Installation, plan: Plan) -> int:
    """How many identities rely on the CAs that are to be withdrawn. Of interest only once they issue no more.

    One that has expired still does, for as long as it may fetch its renewal. Their number only falls from then on, so it is
    counted before the step is taken, without holding up who writes.
    """
    if plan.stage is not PlanStage.USED:
        return 0
    useful = installation.clock.now() - (installation.settings.identity.after_end or timedelta())

    def count(tx: Tx) -> int:
        withdrawn = _relied_on(tx, plan)
        return tx.lineages.count_issued(OF_DEVICES, issuers=withdrawn, states=_RELYING, ending_from=useful)

    return await installation.store.read(count)


def _relied_on(tx: Tx, plan: Plan) -> frozenset[VersionID]:
    """The CAs to be withdrawn whose identities do not chain to the new one as well."""
    new = version_of(tx, plan.new)
    return frozenset(old.id for old in _superseded(tx, plan) if not _same_issuer(old, new))


def _same_issuer(one: Version, other: Version) -> bool:
    """Whether what one has issued chains to the other as well: by name, key, and what that key is called."""
    first, second = certificate_of(one), certificate_of(other)
    identifiers = [certificates.extension(each, x509.SubjectKeyIdentifier) for each in (first, second)]
    return (
        one.spki_sha256 == other.spki_sha256
        and first.subject.public_bytes() == second.subject.public_bytes()
        and identifiers[0] == identifiers[1]
    )


def version_of(tx: Tx, version_id: VersionID) -> Version:
    """The version that a plan names."""
    found = tx.lineages.version(version_id)
    if found is None:
        raise AssertionError("a plan's versions exist")
    return found


def certificate_of(version: Version) -> x509.Certificate:
    """The certificate of a CA that was in force, or is to be."""
    if version.certificate is None:
        raise AssertionError("such a version has a certificate")
    return certificates.load(version.certificate)
