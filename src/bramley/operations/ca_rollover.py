"""The identity CA rolled over: the next one made, or the rollover given up; and whether one is due."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from bramley.lifecycle import plans
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import VersionState as S
from bramley.model.plans import PlanStage, PlanState
from bramley.operations import authorities, ca_plan, records, vault
from bramley.operations.ca_plan import Mode, Rollover
from bramley.operations.errors import Conflict
from bramley.operations.installation import Installation
from bramley.pki import certificates, keys
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import issue
from bramley.storage.protocols import Tx


async def begin(
    installation: Installation,
    mode: Mode,
    *,
    algorithm: keys.KeyAlgorithm | None = None,
    use_after: timedelta = timedelta(),
    root_key: keys.PrivateKey | None = None,
    actor: str,
) -> Rollover:
    """Makes the next identity CA under our root, and the plan by which it takes over.

    With the same key it has the same name, and lives longer: identities chain to either. A new key, of the algorithm in force
    where none is named, comes with a name of its own. `use_after` keeps it prepared for so long at least, for clients that ask
    for the next CA (GetNextCACert). `root_key` is lent for this where the root's own is offline. Conflict where that makes no
    sense, or another rollover is not as far as using its new CA; NotReady without the root's key.
    """
    if mode is Mode.SAME_KEY and algorithm is not None:
        raise Conflict("The same key has the algorithm that it has.", advice="Choose an algorithm for a new key only.")
    now = installation.clock.now()
    leaf_life = timedelta(days=installation.settings.identity.lifetime_days)
    profile = profiles.IDENTITY_CA
    lifetime = min(profile.longest, max(profile.lifetime, 2 * leaf_life))
    fresh = None
    if mode is Mode.NEW_KEY:
        wanted = await installation.store.read(_algorithm_in_force) if algorithm is None else algorithm
        fresh = await asyncio.to_thread(keys.generate, wanted)

    def put(tx: Tx) -> Rollover:
        held = authorities.load(tx, installation.sealer)
        old, (lineage, active) = held.identity.authority, authorities.identity_in_force(tx)
        key, subject, key_id = old.key, old.certificate.subject, active.key_id
        if fresh is not None:
            key, subject = fresh, authorities.next_name(tx, installation.settings.organization)
            key_id = vault.keep(tx, installation.sealer, key, Kind.IDENTITY_CA, now=now, actor=actor)
        root = held.root.authority(root_key)
        certificate = issue(root, profile, key.public_key(), subject=subject, now=now, lifetime=lifetime)
        end = certificate.not_valid_after_utc
        if fresh is None and end <= old.certificate.not_valid_after_utc:
            raise Conflict(
                f"With the same key the identity CA would end on {end:%Y-%m-%d}, no later than it does now.",
                advice="It lives for ten years from now at most, and never longer than the root above it.",
            )
        issuer = held.root.version
        new = records.record(tx, lineage, certificate, state=S.ISSUED, now=now, actor=actor, key_id=key_id, issuer=issuer)
        return ca_plan.enter(tx, new, use_after=use_after, now=now, actor=actor)

    return await installation.store.run(put)


async def cancel(installation: Installation, *, actor: str) -> Rollover:
    """Gives up a rollover whose new CA has issued nothing yet. Conflict where there is none to give up."""
    now = installation.clock.now()

    def act(tx: Tx) -> Rollover:
        plan = ca_plan.running(tx)
        if plan is None:
            raise Conflict("No rollover of the identity CA is under way.")
        if plan.stage not in (PlanStage.PREPARED, PlanStage.TRUSTED):
            raise Conflict(
                "The new identity CA issues already, so devices rely on it.",
                advice="Nothing is wrong with waiting: the old one is withdrawn once nobody needs it. Or begin another rollover.",
            )
        new = ca_plan.version_of(tx, plan.new)
        records.move(tx, new, S.FAILED, now=now, actor=actor, reason="the rollover was cancelled")
        ended = replace(plan, state=PlanState.CANCELLED, changed_at=now)
        tx.plans.update(ended)
        tx.events.append(Event(now, EventKind.PLAN_CANCELLED, actor, version_id=new.id, detail={"plan": plan.id}))
        records.touch(tx)
        return ca_plan.describe(tx, ended, 0, now)

    return await installation.store.run(act)


async def watch_over(installation: Installation, *, actor: str) -> bool:
    """Says once of each identity CA that it is due to be rolled over; whether it has said so now.

    Keeps the lineage's policy in step with the lifetime of what the CA issues, so that every list shows the same date.
    """
    now = installation.clock.now()
    leaf_life = timedelta(days=installation.settings.identity.lifetime_days)

    def look(tx: Tx) -> bool:
        lineage, active = authorities.identity_in_force(tx)
        certificate = ca_plan.certificate_of(active)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        due = plans.rollover_due_at(ends, leaf_life)
        policy = replace(lineage.policy, renew_at=max(0.0, (due - begins) / (ends - begins)))
        if policy != lineage.policy:
            tx.lineages.update(replace(lineage, policy=policy))
        if now < due:
            return False
        if ca_plan.running(tx) is not None or tx.events.find(kind=EventKind.CA_ROLLOVER_DUE, version_id=active.id, limit=1):
            return False
        detail = {"due": due.isoformat(), "ends": ends.isoformat()}
        tx.events.append(Event(now, EventKind.CA_ROLLOVER_DUE, actor, version_id=active.id, detail=detail))
        return True

    return await installation.store.run(look)


def _algorithm_in_force(tx: Tx) -> keys.KeyAlgorithm:
    _lineage, active = authorities.identity_in_force(tx)
    return keys.algorithm_of(certificates.public_key(ca_plan.certificate_of(active)))
