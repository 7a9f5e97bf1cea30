"""What becomes of an assignment once its device has answered: in force, gone, or to be tried again later."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from bramley.lifecycle import schedule
from bramley.model.commands import Command, CommandState
from bramley.model.lineages import VersionState
from bramley.model.networks import NetworkAssignment, NetworkIssuer, NetworkState
from bramley.operations import reconcile
from bramley.operations.identity_standing import errors_of, in_words
from bramley.operations.network.learning import take_into_use
from bramley.operations.network.sending import WAKE_EVERY
from bramley.operations.network.standing import versions
from bramley.storage.protocols import Tx

LONGEST_PROBLEM: Final = 2000
_NOTHING_FETCHED: Final = "the device acknowledged the profile, and has fetched no identity"


def answered(tx: Tx, command: Command, *, now: datetime, actor: str) -> None:
    """Notes what a device answered to InstallProfile or RemoveProfile; what was replaced meanwhile changes nothing."""
    assignment = tx.networks.by_command(command.enrollment_key, command.uuid)
    if assignment is None:
        return
    words = in_words(errors_of(command))
    problem = "" if command.state is CommandState.ACKNOWLEDGED else f"{command.state}{words}"[:LONGEST_PROBLEM]
    if assignment.state is NetworkState.REMOVING:
        ended = replace(assignment, state=NetworkState.ENDED, changed_at=now, command_uuid=None, look_at=None)
        tx.networks.put(replace(ended, problem=problem))
    elif assignment.state in (NetworkState.SENT, NetworkState.INSTALLED):
        done = replace(assignment, command_uuid=None)
        if problem:
            failed(tx, done, problem, now)
        else:
            _acknowledged(tx, done, now, actor)


def failed(tx: Tx, assignment: NetworkAssignment, problem: str, now: datetime) -> None:
    """Notes that nothing came of it, and when to try again. Its challenge gets nobody a certificate any more."""
    tx.networks.void(assignment.enrollment_key, assignment.template, now)
    attempts = assignment.attempts + 1
    tx.networks.put(
        replace(
            assignment,
            state=NetworkState.FAILED,
            changed_at=now,
            look_at=schedule.retry_at(attempts, now),
            attempts=attempts,
            problem=problem[:LONGEST_PROBLEM],
        )
    )


def _acknowledged(tx: Tx, assignment: NetworkAssignment, now: datetime, actor: str) -> None:
    """The profile is on the device. Of what Bramley issued there is a record by now; of the rest the device has to tell."""
    fresh = [
        version
        for version in versions(tx, assignment.enrollment_key, assignment.template)
        if assignment.sent_at is not None
        and version.created_at >= assignment.sent_at
        and version.state in (VersionState.ISSUED, VersionState.ACTIVE)
    ]
    if fresh:
        take_into_use(tx, assignment, fresh[-1], now=now, actor=actor)
        return
    stored = tx.networks.template(assignment.template)
    if stored is None or stored.issuer is NetworkIssuer.BRAMLEY:
        failed(tx, assignment, _NOTHING_FETCHED, now)
        return
    installed = replace(assignment, state=NetworkState.INSTALLED, changed_at=now, look_at=now + WAKE_EVERY)
    tx.networks.put(installed)
    reconcile.leave(tx, assignment.enrollment_key, at=now, now=now)
