"""Queueing commands for devices."""

from __future__ import annotations

import uuid
from datetime import datetime

from bramley.mdm import answer_secrets
from bramley.mdm.commands import Request, envelope
from bramley.mdm.connect import payload_place
from bramley.mdm.token_update import leave_push
from bramley.model.commands import Command, CommandState, CommandUUID
from bramley.model.enrollments import Enrollment, EnrollmentKey, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.operations import devices
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.installation import Installation
from bramley.pki.keystore import Sealer
from bramley.storage.protocols import Tx


async def send(installation: Installation, device: str, command: Request, *, actor: str, push: bool = True) -> Command:
    """Queues one command for one channel, and a push to wake it.

    When this returns, the command is on disk. NotFound or Conflict (checked out) otherwise.
    """
    now = installation.clock.now()

    def add(tx: Tx) -> Command:
        enrollment = devices.resolve(tx, device)
        queued = queue(tx, installation.sealer, enrollment, command, actor=actor, now=now)
        if push:
            leave_push(tx, enrollment.key, now)
        return queued

    return await installation.store.run(add)


def queue(
    tx: Tx,
    sealer: Sealer,
    enrollment: Enrollment,
    command: Request,
    *,
    actor: str,
    now: datetime,
    job_on_answer: str | None = None,
) -> Command:
    """Adds a command within a transaction; its payload is sealed, since profiles carry secrets."""
    if enrollment.state is EnrollmentState.CHECKED_OUT:
        raise Conflict(f"{enrollment.id} has checked out and takes no commands.", advice="Enroll it again first.")
    command_uuid = CommandUUID(str(uuid.uuid4()).upper())
    queued = Command(
        uuid=command_uuid,
        enrollment_key=enrollment.key,
        request_type=command.request_type,
        payload=sealer.seal(envelope(command_uuid, command), payload_place(command_uuid)),
        state=CommandState.QUEUED,
        created_at=now,
        created_by=actor,
        job_on_answer=job_on_answer,
    )
    tx.commands.add(queued)
    detail = {"command": command_uuid, "request_type": queued.request_type}
    tx.events.append(Event(now, EventKind.COMMAND_QUEUED, actor, enrollment.key, detail=detail))
    return queued


async def show(installation: Installation, device: str, command_uuid: str) -> Command:
    """One command with its answer, an Activation Lock bypass code in clear."""

    def read(tx: Tx) -> Command:
        found = tx.commands.get(devices.resolve(tx, device).key, CommandUUID(command_uuid))
        if found is None:
            raise NotFound(f"There is no command {command_uuid!r} for {device}.")
        return found

    return answer_secrets.opened(await installation.store.read(read), installation.sealer)


def pending_of(tx: Tx, key: EnrollmentKey, job_on_answer: str) -> list[Command]:
    """Pending commands whose answer releases this kind of job."""
    return [command for command in tx.commands.pending(key) if command.job_on_answer == job_on_answer]
