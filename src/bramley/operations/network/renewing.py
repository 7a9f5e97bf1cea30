"""Renewal driven by this server, since macOS never renews a SCEP payload by itself (Apple, HT204836)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from bramley.errors import BramleyError
from bramley.mdm.token_update import leave_push
from bramley.model.enrollments import Enrollment, EnrollmentKey
from bramley.model.networks import NetworkAssignment
from bramley.operations import reconcile
from bramley.operations.live import Live
from bramley.operations.network import sending, templates
from bramley.operations.network.ending import end_all
from bramley.operations.network.sending import Parcel
from bramley.operations.network.settling import failed
from bramley.operations.network.standing import in_force
from bramley.operations.network.timing import Act, Move, move
from bramley.storage.protocols import Tx

PAGE: Final = 500


async def look_after(live: Live, *, actor: str) -> int:
    """Does what is due about every assignment whose moment has come; how many were sent anew."""
    here, now, sent = live.installation, live.installation.clock.now(), 0
    while due := await here.store.read(lambda tx: tx.networks.due(now, PAGE)):
        for assignment in due:
            sent += await _look_at(live, assignment.enrollment_key, assignment.template, now, actor)
    return sent


async def end_outlived(live: Live, *, actor: str) -> int:
    """Ends what belongs to enrollments that have ended, or begun anew, since; how many enrollments."""
    here, now, count = live.installation, live.installation.clock.now(), 0

    def act(tx: Tx) -> int:
        keys = {assignment.enrollment_key for assignment in tx.networks.outlived(PAGE)}
        for key in keys:
            end_all(tx, key, now=now, actor=actor)
        return len(keys)

    while done := await here.store.run(act):
        count += done
    return count


async def _look_at(live: Live, key: EnrollmentKey, template: str, now: datetime, actor: str) -> bool:
    """Does what is due about one; whether it was sent anew. Its `look_at` is later than `now` afterwards, or None."""
    here = live.installation

    def read(tx: Tx) -> Enrollment | None:
        found = _situation(tx, live, key, template, now)
        return found[0] if found is not None and found[2].act is Act.SEND else None

    to_send = await here.store.read(read)
    parcel: Parcel | None = None
    problem = ""
    if to_send is not None:
        try:
            opened = await here.store.read(lambda tx: templates.opened(tx, here.sealer, template))
            parcel = await sending.make(live, opened, to_send, now)
        except BramleyError as error:
            problem = f"not sent: {error.message}"

    def act(tx: Tx) -> bool:
        found = _situation(tx, live, key, template, now)
        if found is None:
            return False
        enrollment, assignment, due = found
        if due.act is Act.SEND and parcel is not None:
            sending.send(tx, here, enrollment, assignment, parcel, now=now, actor=actor)
            return True
        if due.act is Act.SEND and problem:
            failed(tx, assignment, problem, now)
            return False
        # what has changed since it was read is left to the next round
        tx.networks.put(replace(assignment, look_at=due.look_at))
        if due.act is Act.WAKE:
            leave_push(tx, key, now)
        elif due.act is Act.ASK:
            reconcile.ask(tx, here.sealer, enrollment, now=now, actor=actor)
        return False

    return await here.store.run(act)


def _situation(
    tx: Tx, live: Live, key: EnrollmentKey, template: str, now: datetime
) -> tuple[Enrollment, NetworkAssignment, Move] | None:
    """An assignment whose moment has come, and what is due about it; None where that was done meanwhile."""
    enrollment, assignment = tx.enrollments.get(key), tx.networks.get(key, template)
    if enrollment is None or assignment is None or assignment.look_at is None or assignment.look_at > now:
        return None
    due = move(
        assignment,
        enrollment.state,
        in_force(tx, key, template),
        now,
        patience=sending.patience(live.installation),
    )
    return enrollment, assignment, due
