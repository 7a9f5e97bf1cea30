"""SCEP requests that wait for a person (RFC 8894 section 3.3.2.3): keeping them, deciding them, and what their clients hear.

Whoever asks is entitled already; a person has the last word. The identity is issued when it is approved, so that the person
who approves learns of it if it cannot be, and the client's next question only fetches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bramley.lifecycle import states
from bramley.model import ids
from bramley.model.approvals import Approval, ApprovalState
from bramley.model.enrollments import EnrollmentState, Purpose
from bramley.model.events import Event, EventKind
from bramley.model.lineages import Version
from bramley.operations import issuing
from bramley.operations.errors import Conflict, NotFound
from bramley.operations.installation import Installation
from bramley.operations.issuing import Grant, NotEntitled
from bramley.operations.live import Live
from bramley.pki import certificates, csr, keys, names
from bramley.pki.csr import CertificateRequest
from bramley.pki.keystore import Place, Sealer
from bramley.pki.scep.messages import Request, Transaction
from bramley.storage.protocols import Tx

_DENIED = "An administrator has denied this request."


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a person judges it: what its client would like to be called, its key, and the label of its link."""

    approval: Approval
    subject: str
    key: str
    label: str


def of(tx: Tx, transaction: Transaction) -> Approval | None:
    """The latest request of this transaction that was kept for whoever signs this message.

    They are known by their key: some clients make a new temporary certificate for it with each message.
    """
    return tx.approvals.find(transaction.transaction_id, _signer(transaction))


def outcome(tx: Tx, approval: Approval) -> Version | None:
    """What was issued; None while it waits. NotEntitled where it was denied, or what was issued is live no more."""
    if approval.state is ApprovalState.WAITING:
        return None
    version = tx.lineages.version(approval.version_id) if approval.version_id else None
    if approval.state is ApprovalState.DENIED or version is None or version.state not in states.LIVE:
        raise NotEntitled("request-denied", f"The request {approval.id} is {approval.state}.", text=_DENIED)
    return version


def hold(tx: Tx, sealer: Sealer, request: Request, grant: Grant, now: datetime) -> Approval:
    """Keeps an entitled request for a person. Its challenge is spent on it, and its link used.

    The CSR is sealed, since the challenge is in it.
    """
    if not tx.challenges.void(grant.enrollment.key, Purpose.ENROLL, now):
        raise NotEntitled("challenge-spent", "The challenge was spent by another request at the same moment.")
    issuing.use_link(tx, grant)
    named = ids.fresh(now)
    approval = Approval(
        id=named,
        transaction_id=request.transaction_id,
        signer_sha256=_signer(request),
        spki_sha256=keys.spki_sha256(request.csr.public_key),
        request=sealer.seal(request.csr.der, _place(named)),
        enrollment_key=grant.enrollment.key,
        purpose=grant.purpose,
        state=ApprovalState.WAITING,
        created_at=now,
        changed_at=now,
    )
    tx.approvals.add(approval)
    detail = {"approval": named, "transaction": request.transaction_id, "subject": names.text(request.csr.subject)}
    tx.events.append(Event(now, EventKind.SCEP_HELD, "device:", grant.enrollment.key, detail=detail))
    return approval


async def listing(
    installation: Installation, state: ApprovalState | None = ApprovalState.WAITING, *, limit: int = 100
) -> Sequence[Asked]:
    """Requests in a state, newest first; None: in any."""
    return await installation.store.read(
        lambda tx: [_asked(tx, installation.sealer, each) for each in tx.approvals.listing(state, limit=limit)]
    )


async def approve(live: Live, approval_id: str, *, actor: str) -> Asked:
    """Issues the identity; its client gets it when it asks again. NotFound, or Conflict where there is nothing to decide."""
    installation, snapshot = live.installation, live.current()
    now = installation.clock.now()

    def act(tx: Tx) -> Asked:
        approval = _waiting(tx, approval_id)
        enrollment = tx.enrollments.get(approval.enrollment_key)
        if enrollment is None or enrollment.state is EnrollmentState.CHECKED_OUT:
            raise Conflict(f"The enrollment of request {approval_id} has ended.", advice="Deny it; the device can enroll anew.")
        version = issuing.certify(
            tx,
            installation,
            snapshot,
            _csr(installation.sealer, approval).public_key,
            enrollment,
            approval.purpose,
            transaction_id=approval.transaction_id,
            now=now,
            actor=actor,
        )
        decided = replace(approval, state=ApprovalState.APPROVED, changed_at=now, decided_by=actor, version_id=version.id)
        tx.approvals.update(decided)
        detail = {"approval": approval_id}
        tx.events.append(Event(now, EventKind.SCEP_APPROVED, actor, enrollment.key, version.id, detail))
        return _asked(tx, installation.sealer, decided)

    return await installation.store.run(act)


async def deny(installation: Installation, approval_id: str, *, reason: str, actor: str) -> Asked:
    """Refuses it for good; its client hears so when it asks again. NotFound, or Conflict where there is nothing to decide."""
    now = installation.clock.now()

    def act(tx: Tx) -> Asked:
        return _asked(tx, installation.sealer, _deny(tx, _waiting(tx, approval_id), now, actor, reason))

    return await installation.store.run(act)


def expire(tx: Tx, *, now: datetime, after: timedelta, actor: str) -> int:
    """Denies what has waited for longer than that; how many."""
    late = [each for each in tx.approvals.listing(ApprovalState.WAITING, limit=_MANY) if now - each.created_at > after]
    for approval in late:
        _deny(tx, approval, now, actor, "nobody decided in time")
    return len(late)


_MANY = 100_000


def _deny(tx: Tx, approval: Approval, now: datetime, actor: str, reason: str) -> Approval:
    decided = replace(approval, state=ApprovalState.DENIED, changed_at=now, decided_by=actor)
    tx.approvals.update(decided)
    detail = {"approval": approval.id, "reason": reason}
    tx.events.append(Event(now, EventKind.SCEP_DENIED, actor, approval.enrollment_key, detail=detail))
    return decided


def _waiting(tx: Tx, approval_id: str) -> Approval:
    approval = tx.approvals.get(approval_id)
    if approval is None:
        raise NotFound(f"There is no SCEP request {approval_id!r}.", advice="`bramley scep requests` lists those that wait.")
    if approval.state is not ApprovalState.WAITING:
        by = f" by {approval.decided_by}" if approval.decided_by else ""
        raise Conflict(f"The request {approval_id} was {approval.state}{by} at {approval.changed_at:%Y-%m-%d %H:%M} UTC.")
    return approval


def _asked(tx: Tx, sealer: Sealer, approval: Approval) -> Asked:
    request = _csr(sealer, approval)
    enrollment = tx.enrollments.get(approval.enrollment_key)
    link = tx.links.get(enrollment.link_id) if enrollment is not None and enrollment.link_id else None
    return Asked(approval, names.text(request.subject), keys.describe(request.public_key), link.label if link else "")


def _csr(sealer: Sealer, approval: Approval) -> CertificateRequest:
    return csr.load(sealer.open(approval.request, _place(approval.id)))


def _place(approval_id: str) -> Place:
    return Place("approvals", approval_id, "request")


def _signer(transaction: Transaction) -> str:
    return keys.spki_sha256(certificates.public_key(transaction.signer_certificate))
