"""What every database behind Bramley promises.

`await store.run(fn)` is the one way to write: `fn(tx)` is synchronous, runs in one transaction, and when `run` returns its
effects are on disk. If `fn` raises, nothing happened. Transactions appear to run one after the other, whatever runs beside them:
what `fn` has read still holds when it writes. `await store.read(fn)` is the same without writing, on one snapshot.

On every database `fn`
- may run on another thread, beside others: it touches `tx`, its own arguments and what is immutable, nothing else;
- may be run again from the start where others got in between, so that calling it twice must do no harm: of its runs one counts;
- lets the errors of `tx` through: a transaction in which a statement has failed cannot go on (WentOn).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from bramley.model.admins import AdminToken
from bramley.model.approvals import Approval, ApprovalState
from bramley.model.commands import Command, CommandState, CommandUUID, PendingCommand
from bramley.model.enrollments import (
    Binding,
    Challenge,
    Enrollment,
    EnrollmentID,
    EnrollmentKey,
    EnrollmentLink,
    EnrollmentState,
    Presented,
    Purpose,
)
from bramley.model.events import Event, EventKind
from bramley.model.jobs import Job, JobID
from bramley.model.kinds import Kind
from bramley.model.lineages import KeyID, Lineage, LineageID, SealedKey, Version, VersionID, VersionState
from bramley.model.networks import NetworkAssignment, NetworkChallenge, NetworkTemplate
from bramley.model.plans import Plan, PlanID
from bramley.model.profiles import Assignment, Installation, InstallState, ProfileID, StoredProfile, TargetKind
from bramley.model.push import Wave, WaveID, WaveTarget
from bramley.model.recovery_keys import RecoveryKey
from bramley.model.revocation import PublishedCRL, Revoked, Tally

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CertificateRow:
    """A version with its lineage and, for a device identity, the enrollment bound to it: one line of `certs list`."""

    lineage: Lineage
    version: Version
    enrollment_key: EnrollmentKey | None
    enrollment_id: EnrollmentID | None


class Lineages(Protocol):
    def add(self, lineage: Lineage) -> None: ...
    def update(self, lineage: Lineage) -> None:
        """Stores name, policy, owner and route; NotFound where it isn't there."""
        ...

    def get(self, lineage_id: LineageID) -> Lineage | None: ...
    def find(self, kind: Kind, name: str) -> Lineage | None:
        """(kind, name) is unique."""
        ...

    def of_kind(self, kind: Kind) -> Sequence[Lineage]: ...
    def add_version(self, version: Version) -> None: ...
    def update_version(self, version: Version) -> None:
        """Stores state, turn, reason, changed_at and whatever was None before; NotFound where it isn't there."""
        ...

    def version(self, version_id: VersionID) -> Version | None: ...
    def by_sha256(self, sha256: str) -> Version | None: ...
    def by_serial(self, serial: str) -> Sequence[Version]: ...
    def versions(self, lineage_id: LineageID) -> Sequence[Version]:
        """Oldest first."""
        ...

    def certificates(
        self,
        *,
        kind: Kind | None = None,
        states: Sequence[VersionState] = (),
        expires_before: datetime | None = None,
        limit: int = 1000,
        after: VersionID | None = None,
    ) -> Sequence[CertificateRow]:
        """In order of version id, which is the order of creation; `after` pages on."""
        ...

    def count(self, kind: Kind) -> dict[VersionState, int]:
        """How many versions of a kind stand where; a state that none is in counts 0."""
        ...

    def count_issued(
        self, kinds: Collection[Kind], *, issuers: Collection[VersionID], states: Collection[VersionState], ending_from: datetime
    ) -> int:
        """How many of these kinds the issuers have issued that stand in one of the states, and end at the moment or later."""
        ...

    def ending_before(self, kind: Kind, moment: datetime, limit: int) -> Sequence[CertificateRow]:
        """Active versions of a kind whose end is before the moment, soonest first."""
        ...

    def changed_before(self, kind: Kind, state: VersionState, moment: datetime, limit: int) -> Sequence[Version]:
        """Versions of a kind that entered a state before the moment."""
        ...


class Revocations(Protocol):
    def of_issuer(self, issuer: VersionID, unexpired_at: datetime) -> Sequence[Revoked]:
        """What is revoked or suspended of an issuer's certificates and not expired at the moment, in order of serial."""
        ...

    def tally(self, issuer: VersionID, now: datetime, soon: datetime) -> Tally:
        """Counts an issuer's certificates; those are expiring that end before `soon`. A million take some tenths of a second."""
        ...

    def crl(self, issuer: VersionID) -> PublishedCRL | None:
        """The latest one published."""
        ...

    def publish(self, crl: PublishedCRL) -> None:
        """Stores a CRL in the place of the issuer's earlier one; Conflict unless its number is higher."""
        ...


class Approvals(Protocol):
    def add(self, approval: Approval) -> None: ...
    def get(self, approval_id: str) -> Approval | None: ...
    def find(self, transaction_id: str, signer_sha256: str) -> Approval | None:
        """The newest of a transaction and its signer."""
        ...

    def update(self, approval: Approval) -> None:
        """Stores state, changed_at, decided_by and version_id; NotFound where it isn't there."""
        ...

    def listing(self, state: ApprovalState | None = None, *, limit: int = 100) -> Sequence[Approval]:
        """Newest first."""
        ...

    def sweep(self, changed_before: datetime) -> int: ...


class Plans(Protocol):
    def add(self, plan: Plan) -> None:
        """Conflict where one is running for the same lineage."""
        ...

    def get(self, plan_id: PlanID) -> Plan | None: ...
    def update(self, plan: Plan) -> None:
        """Stores stage, state, changed_at and detail; NotFound where it isn't there."""
        ...

    def running(self, lineage_id: LineageID | None = None) -> Sequence[Plan]:
        """Oldest first."""
        ...

    def recent(self, *, limit: int = 100) -> Sequence[Plan]:
        """Newest first."""
        ...


class Networks(Protocol):
    def put_template(self, template: NetworkTemplate) -> None:
        """Stores a template, in the place of the one of its name; that one's `created_at` stays."""
        ...

    def template(self, name: str) -> NetworkTemplate | None: ...
    def templates(self) -> Sequence[NetworkTemplate]:
        """All of them, in order of name."""
        ...

    def remove_template(self, name: str) -> bool: ...
    def put(self, assignment: NetworkAssignment) -> None:
        """Stores how an assignment stands, in the place of what was known before."""
        ...

    def get(self, key: EnrollmentKey, template: str) -> NetworkAssignment | None: ...
    def of(self, key: EnrollmentKey) -> Sequence[NetworkAssignment]:
        """All of an enrollment, ended ones too, in order of template."""
        ...

    def by_command(self, key: EnrollmentKey, uuid: CommandUUID) -> NetworkAssignment | None: ...
    def listing(
        self, template: str | None = None, *, limit: int, after: tuple[EnrollmentKey, str] | None = None
    ) -> Sequence[NetworkAssignment]:
        """Those that have not ended, in order of enrollment and template; `after` pages on."""
        ...

    def count(self, template: str) -> int:
        """How many of a template have not ended."""
        ...

    def due(self, now: datetime, limit: int) -> Sequence[NetworkAssignment]:
        """Those whose `look_at` has come, in its order."""
        ...

    def outlived(self, limit: int) -> Sequence[NetworkAssignment]:
        """Those that have not ended although their enrollment has, or has begun anew since they were made."""
        ...

    def add_challenge(self, challenge: NetworkChallenge) -> None: ...
    def challenge(self, secret_sha256: str) -> NetworkChallenge | None: ...
    def spend(self, secret_sha256: str, now: datetime, *, message_sha256: str, version_id: VersionID) -> bool:
        """True for the one caller that spends it; what it was spent on is kept with it."""
        ...

    def void(self, key: EnrollmentKey, template: str, now: datetime) -> int:
        """Ends every unspent one of this enrollment and template; how many."""
        ...

    def sweep(self, expired_before: datetime) -> int:
        """Deletes those, spent or not, that expired before the moment; how many."""
        ...


class Keys(Protocol):
    def add(self, key: SealedKey) -> None: ...
    def get(self, key_id: KeyID) -> SealedKey | None: ...
    def delete(self, key_id: KeyID) -> bool:
        """Deletes a key, so that no version names it any more; whether it was there."""
        ...


class Enrollments(Protocol):
    def add(self, enrollment: Enrollment) -> None: ...
    def update(self, enrollment: Enrollment) -> None: ...
    def get(self, key: EnrollmentKey) -> Enrollment | None: ...
    def by_id(self, enrollment_id: EnrollmentID) -> Enrollment | None:
        """The one that is not checked out; at most one is."""
        ...

    def latest_by_id(self, enrollment_id: EnrollmentID) -> Enrollment | None:
        """The one that is not checked out, else the newest that is."""
        ...

    def channels(self, parent: EnrollmentKey) -> Sequence[Enrollment]: ...
    def find(
        self,
        *,
        state: EnrollmentState | None = None,
        search: str | None = None,
        topic: str | None = None,
        tag: str | None = None,
        limit: int = 1000,
        after: EnrollmentKey | None = None,
    ) -> Sequence[Enrollment]:
        """In order of key; `search` is a part of id, serial number or device name. Only devices have a `tag`."""
        ...

    def count(self) -> dict[EnrollmentState, int]: ...
    def devices_by_topic(self) -> dict[str, int]:
        """How many enrolled devices listen to each push topic: active and quarantined ones, user channels left out."""
        ...

    def note_pushed(self, keys: Sequence[EnrollmentKey], now: datetime) -> None:
        """Moves `last_push_at` of all of them forward, never back."""
        ...

    def bind(self, binding: Binding) -> None: ...
    def binding(self, certificate_sha256: str) -> Binding | None: ...
    def bindings(self, key: EnrollmentKey) -> Sequence[Binding]: ...


class Challenges(Protocol):
    def add(self, challenge: Challenge) -> None: ...
    def by_hash(self, secret_sha256: str) -> Challenge | None: ...
    def spend(self, challenge_id: str, now: datetime, *, message_sha256: str, version_id: VersionID) -> bool:
        """True for the one caller that spends it; what it was spent on is kept with it."""
        ...

    def unspent(self, key: EnrollmentKey, purpose: Purpose) -> Sequence[Challenge]:
        """Those of an enrollment and purpose that nobody has spent, expired ones too, newest first."""
        ...

    def void(self, key: EnrollmentKey, purpose: Purpose, now: datetime) -> int:
        """Ends every unspent one of this enrollment and purpose; how many."""
        ...

    def sweep(self, expired_before: datetime) -> int: ...


class Links(Protocol):
    def add(self, link: EnrollmentLink) -> None: ...
    def get(self, link_id: str) -> EnrollmentLink | None: ...
    def by_hash(self, token_sha256: str) -> EnrollmentLink | None: ...
    def use(self, link_id: str) -> bool:
        """Counts one use; False where none is left."""
        ...


class Commands(Protocol):
    """With its end, a command whose answer releases RENEWAL_ANSWERED loses its payload, which may hold a private key."""

    def add(self, command: Command) -> None: ...
    def get(self, key: EnrollmentKey, uuid: CommandUUID) -> Command | None: ...
    def next(self, key: EnrollmentKey) -> PendingCommand | None:
        """The oldest `queued` one."""
        ...

    def answer(self, key: EnrollmentKey, uuid: CommandUUID, state: CommandState, answer: bytes, now: datetime) -> Command | None:
        """Stores a report for a pending command and returns it as it is now; None where there is no such pending command."""
        ...

    def resume(self, key: EnrollmentKey) -> int:
        """Every `not-now` one becomes `queued` again: a new session has begun."""
        ...

    def cancel(self, key: EnrollmentKey, now: datetime) -> int:
        """Ends every pending one of this enrollment and of its channels; how many."""
        ...

    def pending(self, key: EnrollmentKey) -> Sequence[Command]:
        """`queued` and `not-now` ones of this channel, in queue order."""
        ...

    def withdraw(self, key: EnrollmentKey, uuid: CommandUUID, now: datetime) -> bool:
        """Cancels one that is still pending."""
        ...

    def count_pending(self) -> int: ...
    def history(self, key: EnrollmentKey, *, limit: int = 100) -> Sequence[Command]:
        """Newest first."""
        ...


class Profiles(Protocol):
    def add(self, profile: StoredProfile) -> None:
        """Conflict where its identifier is taken."""
        ...

    def update(self, profile: StoredProfile) -> None:
        """Stores everything but id, identifier and created_at; NotFound where it isn't there."""
        ...

    def get(self, profile_id: ProfileID) -> StoredProfile | None: ...
    def by_identifier(self, identifier: str) -> StoredProfile | None: ...
    def listing(self) -> Sequence[StoredProfile]:
        """All of them, in order of identifier."""
        ...

    def delete(self, profile_id: ProfileID) -> None:
        """Refused by the database while it is assigned, or stands on a device."""
        ...

    def assign(self, assignment: Assignment) -> bool:
        """Whether that is new."""
        ...

    def unassign(self, profile_id: ProfileID, kind: TargetKind, target: str) -> bool: ...
    def assignments(self, profile_id: ProfileID) -> Sequence[Assignment]: ...
    def wanted(self, device: EnrollmentID) -> Sequence[StoredProfile]:
        """What a device shall have, by itself or by its tags, each once, in order of identifier."""
        ...

    def put(self, installation: Installation) -> None:
        """Stores how a profile stands on a device, in the place of what was known before."""
        ...

    def forget(self, key: EnrollmentKey, profile_id: ProfileID) -> None: ...
    def forget_all(self, key: EnrollmentKey) -> None: ...
    def on_device(self, key: EnrollmentKey) -> Sequence[Installation]: ...
    def installations(self, profile_id: ProfileID, *, limit: int, after: EnrollmentKey | None = None) -> Sequence[Installation]:
        """In order of enrollment key; `after` pages on."""
        ...

    def count(self, profile_id: ProfileID) -> dict[InstallState, int]:
        """On how many devices it stands how; a state that none is in counts 0."""
        ...


class Tags(Protocol):
    def add(self, tag: str, device: EnrollmentID) -> bool:
        """Whether that is new."""
        ...

    def remove(self, tag: str, device: EnrollmentID) -> bool: ...
    def of(self, device: EnrollmentID) -> Sequence[str]: ...
    def of_each(self, devices: Sequence[EnrollmentID]) -> Mapping[EnrollmentID, Sequence[str]]:
        """The tags of 1,000 devices at most, by one query; a device without any is left out."""
        ...

    def devices(self, tag: str) -> Sequence[EnrollmentID]: ...


class RecoveryKeys(Protocol):
    """None is ever deleted."""

    def add(self, key: RecoveryKey) -> None:
        """Stores a Mac's recovery key; the one before counts as replaced from then on."""
        ...

    def of(self, device: EnrollmentID) -> Sequence[RecoveryKey]:
        """Every one of a Mac, newest first."""
        ...

    def current(self, *, limit: int, after: EnrollmentID | None = None) -> Sequence[RecoveryKey]:
        """The one in force of each Mac, in order of device; `after` pages on."""
        ...


class Jobs(Protocol):
    def add(self, job: Job) -> None: ...
    def claim(self, owner: str, now: datetime, lease: timedelta, limit: int) -> Sequence[Job]:
        """Takes ready jobs whose time has come, and running ones whose lease has ended."""
        ...

    def extend(self, owner: str, now: datetime, lease: timedelta) -> int:
        """The leases of all jobs that the owner runs end later; how many."""
        ...

    def finish(self, job_id: JobID, owner: str) -> bool: ...
    def retry(self, job_id: JobID, owner: str, run_at: datetime, error: str) -> bool: ...
    def fail(self, job_id: JobID, owner: str, error: str) -> bool: ...
    def next_run_at(self) -> datetime | None: ...
    def of_kind(self, kind: str, *, limit: int = 100) -> Sequence[Job]: ...
    def sweep(self, finished_before: datetime) -> int: ...


class Waves(Protocol):
    def add(self, wave: Wave, keys: Sequence[EnrollmentKey]) -> None:
        """A wave with its targets, in this order from position 0."""
        ...

    def get(self, wave_id: WaveID) -> Wave | None: ...
    def update(self, wave: Wave) -> None:
        """Stores state, per_second, changed_at and problem; NotFound where it isn't there."""
        ...

    def recent(self, *, limit: int = 100) -> Sequence[Wave]:
        """Newest first."""
        ...

    def untried(self, wave_id: WaveID, limit: int) -> Sequence[WaveTarget]:
        """The next targets without an outcome, in order."""
        ...

    def settle(self, targets: Sequence[WaveTarget]) -> None:
        """Stores the outcome of each."""
        ...

    def tally(self, wave_id: WaveID) -> dict[str | None, int]:
        """How many targets had which outcome; None counts those that were not tried yet."""
        ...

    def sweep(self, ended_before: datetime) -> int:
        """Deletes waves, with their targets, that were done or stopped before the moment; how many waves."""
        ...


class Events(Protocol):
    def append(self, event: Event) -> None: ...
    def find(
        self,
        *,
        kind: EventKind | None = None,
        enrollment_key: EnrollmentKey | None = None,
        version_id: VersionID | None = None,
        limit: int = 100,
    ) -> Sequence[Event]:
        """Newest first."""
        ...


class Admins(Protocol):
    def add(self, token: AdminToken) -> None: ...
    def by_hash(self, token_sha256: str) -> AdminToken | None: ...
    def count(self) -> int: ...


class Notes(Protocol):
    """Small named facts of this installation (`push-topic-paused:TOPIC`, `sealing-key`), as text."""

    def get(self, name: str) -> str | None: ...
    def names(self, prefix: str) -> Sequence[str]:
        """Those that begin with it, in order."""
        ...

    def set(self, name: str, value: str) -> None: ...
    def delete(self, name: str) -> None: ...


class Tx(Protocol):
    """One transaction, by aspect."""

    def presented(self, certificate_sha256: str, user_id: str | None) -> Presented | None:
        """As `Store.presented`, as it stands in this transaction."""
        ...

    @property
    def lineages(self) -> Lineages: ...
    @property
    def revocations(self) -> Revocations: ...
    @property
    def approvals(self) -> Approvals: ...
    @property
    def plans(self) -> Plans: ...
    @property
    def networks(self) -> Networks: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def enrollments(self) -> Enrollments: ...
    @property
    def challenges(self) -> Challenges: ...
    @property
    def links(self) -> Links: ...
    @property
    def commands(self) -> Commands: ...
    @property
    def profiles(self) -> Profiles: ...
    @property
    def tags(self) -> Tags: ...
    @property
    def recovery_keys(self) -> RecoveryKeys: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def waves(self) -> Waves: ...
    @property
    def events(self) -> Events: ...
    @property
    def admins(self) -> Admins: ...
    @property
    def notes(self) -> Notes: ...


class Watch(Protocol):
    """What one who waits for changes needs. Notes by `saw` and `sent` do not count as changes."""

    async def changed(self) -> None:
        """Returns once something was committed since it last returned, or since the watch was made.

        At once for this process's own commits, within a second for those of others.
        """
        ...


class Store(Protocol):
    async def run(self, fn: Callable[[Tx], T]) -> T:
        """Runs `fn` in one durable write transaction."""
        ...

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Runs `fn` on a consistent snapshot that cannot write."""
        ...

    async def presented(self, certificate_sha256: str, user_id: str | None) -> Presented | None:
        """The hot path: one read for an identity certificate, its device and the addressed channel; None for an unknown one."""
        ...

    def saw(self, key: EnrollmentKey, now: datetime) -> None:
        """Notes `last_seen_at`; written within a second or so, lost in a crash."""
        ...

    def sent(self, uuid: CommandUUID, now: datetime) -> None:
        """Notes a command's `sent_at`, likewise."""
        ...

    def watch(self) -> Watch:
        """A watch over commits, from now on."""
        ...

    async def close(self) -> None:
        """Writes what was noted and lets go of the database; running transactions end first."""
        ...
