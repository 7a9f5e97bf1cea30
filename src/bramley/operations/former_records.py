"""Devices of a former MDM are written down: enrollment, identity, binding, and the channels of their users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509

from bramley.mdm.records import secret_place
from bramley.model import ids
from bramley.model.enrollments import Binding, Enrollment, EnrollmentKey, EnrollmentState, IdentityRoute, Purpose
from bramley.model.events import Event, EventKind
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, LineageID, Policy, Version, VersionID, VersionState
from bramley.operations import former_profiles, records, self_signed
from bramley.operations.errors import Conflict
from bramley.operations.former_checks import Candidate, Unfit
from bramley.operations.former_lines import FormerEnrollment
from bramley.operations.installation import Installation
from bramley.pki import certificates
from bramley.profiles.former import FormerProfile
from bramley.storage.protocols import Tx


@dataclass(frozen=True, slots=True)
class Desk:
    """What all that is written has in common. `kept` is the profile that the devices have, None where it is unknown."""

    installation: Installation
    kept: FormerProfile | None
    now: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class Written:
    """Names of devices and channels: new here; here without their profile, which they have now; left alone."""

    brought: tuple[str, ...] = ()
    completed: tuple[str, ...] = ()
    known: tuple[str, ...] = ()

    def plus(self, other: Written) -> Written:
        return Written((*self.brought, *other.brought), (*self.completed, *other.completed), (*self.known, *other.known))


def find(tx: Tx, candidate: Candidate) -> Enrollment | None:
    """The device's enrollment, where it is here already. Unfit where its certificate is here as something else's."""
    device = candidate.line.sender.device
    binding = tx.enrollments.binding(candidate.sha256)
    if binding is not None:
        enrollment = tx.enrollments.get(binding.enrollment_key)
        if enrollment is not None and enrollment.id == device:
            return enrollment
        whose = enrollment.id if enrollment else None
        raise Unfit(candidate.line, "certificate", f"It is on record as the identity of {whose or 'another device'}.")
    if tx.lineages.by_sha256(candidate.sha256) is not None:
        raise Unfit(candidate.line, "certificate", "It is on record as something else than a device's identity.")
    return tx.enrollments.by_id(device)


def write(tx: Tx, desk: Desk, devices: Sequence[Candidate]) -> Written:
    """Writes down what is not here yet. Conflict where something else was written since the lines were looked at."""
    page = _Page(tx, desk)
    for each in devices:
        try:
            known = find(tx, each)
        except Unfit as unfit:
            words = f"{unfit.problem.where}: {unfit.problem.message} It came in between."
            raise Conflict(words, advice="Run the import again.") from None
        page.put(each, known)
    if page.alone:
        self_signed.add(tx, page.alone)
    return Written(tuple(page.brought), tuple(page.completed), tuple(page.known))


class _Page:
    """One transaction's worth of devices, and what was done with each."""

    def __init__(self, tx: Tx, desk: Desk) -> None:
        self._tx, self._desk = tx, desk
        self._issuers = _issuers(tx)
        kept, sealer = desk.kept, desk.installation.sealer
        self._invariants = former_profiles.UNKNOWN if kept is None else former_profiles.keep(tx, sealer, kept)
        self.brought, self.completed, self.known = list[str](), list[str](), list[str]()
        self.alone = list[VersionID]()

    def put(self, each: Candidate, known: Enrollment | None) -> None:
        """The device, unless it is here, and those of its channels that are not."""
        name = each.line.sender.enrollment_id
        if known is None:
            enrollment = self._bring(each)
            self.brought.append(name)
        elif self._lacks_profile(known):
            enrollment = replace(known, invariants=self._invariants, changed_at=self._desk.now)
            self._tx.enrollments.update(enrollment)
            self.completed.append(name)
        else:
            enrollment = known
            self.known.append(name)
        here = {channel.id for channel in self._tx.enrollments.channels(enrollment.key)}
        for channel in each.channels:
            if channel.sender.enrollment_id in here or not _goes_on(enrollment):
                self.known.append(channel.sender.enrollment_id)
            else:
                self._bring_channel(channel, enrollment)
                self.brought.append(channel.sender.enrollment_id)

    def _lacks_profile(self, enrollment: Enrollment) -> bool:
        """Whether another profile than the one that was given now is on record for it."""
        return self._desk.kept is not None and _goes_on(enrollment) and enrollment.invariants != self._invariants

    def _bring(self, each: Candidate) -> Enrollment:
        """The device's enrollment, active at once, with its identity in force.

        The identity is bound as one that was issued to enroll: it never came by a renewal of ours, so an Authenticate with it
        can only mean that the device begins anew.
        """
        desk, tx = self._desk, self._tx
        key = EnrollmentKey(ids.fresh(desk.now))
        enrollment = self._enrollment(key, each.line, self._invariants)
        tx.enrollments.add(enrollment)
        version = self._identity(each, key)
        tx.enrollments.bind(Binding(each.sha256, key, Purpose.ENROLL, version.id, desk.now))
        detail = {"profile": desk.kept.id if desk.kept else None, "serial_number": enrollment.serial_number}
        tx.events.append(Event(desk.now, EventKind.ENROLLMENT_IMPORTED, desk.actor, key, version.id, detail))
        if each.self_signed:
            self.alone.append(version.id)
        return enrollment

    def _identity(self, each: Candidate, key: EnrollmentKey) -> Version:
        desk, settings = self._desk, self._desk.installation.settings.identity
        policy = Policy(timedelta(days=settings.lifetime_days), settings.renew_at, settings.jitter)
        lineage = Lineage(
            LineageID(ids.fresh(desk.now)), Kind.DEVICE_IDENTITY, key, policy, desk.now, route=IdentityRoute.IMPORTED
        )
        self._tx.lineages.add(lineage)
        return records.record(
            self._tx,
            lineage,
            each.certificate,
            state=VersionState.ACTIVE,
            now=desk.now,
            actor=desk.actor,
            event=EventKind.CERTIFICATE_IMPORTED,
            issuer=next((named for named, ca in self._issuers if certificates.issued_by(each.certificate, ca)), None),
            enrollment=key,
            detail={"route": IdentityRoute.IMPORTED, "self_signed": each.self_signed},
        )

    def _bring_channel(self, line: FormerEnrollment, device: Enrollment) -> None:
        key = EnrollmentKey(ids.fresh(self._desk.now))
        named = replace(self._enrollment(key, line, ""), parent=device.key, user_id=line.sender.user)
        self._tx.enrollments.add(named)
        self._tx.events.append(Event(self._desk.now, EventKind.ENROLLMENT_IMPORTED, self._desk.actor, key))

    def _enrollment(self, key: EnrollmentKey, line: FormerEnrollment, invariants: str) -> Enrollment:
        now, sealer = self._desk.now, self._desk.installation.sealer
        unlock, bootstrap = line.unlock_token, line.bootstrap_token
        return Enrollment(
            key,
            EnrollmentState.ACTIVE,
            now,
            now,
            id=line.sender.enrollment_id,
            udid=None if line.sender.is_user_enrollment else line.sender.device,
            enrollment_id=line.sender.device if line.sender.is_user_enrollment else None,
            topic=line.topic,
            push_token=line.push_token,
            push_magic=line.push_magic,
            token_updated_at=now,
            unlock_token=None if unlock is None else sealer.seal(unlock, secret_place(key, "unlock-token")),
            bootstrap_token=None if bootstrap is None else sealer.seal(bootstrap, secret_place(key, "bootstrap-token")),
            invariants=invariants,
            **line.about,
        )


def _goes_on(enrollment: Enrollment) -> bool:
    """Whether it came from a former MDM and has not ended since."""
    return former_profiles.is_former(enrollment.invariants) and enrollment.state is not EnrollmentState.CHECKED_OUT


def _issuers(tx: Tx) -> Sequence[tuple[VersionID, x509.Certificate]]:
    """The CAs on record that may have issued an identity: outside ones, and our own before a backup was restored."""
    return [
        (version.id, certificates.load(version.certificate))
        for kind in (Kind.TRUST_ANCHOR, Kind.IDENTITY_CA)
        for lineage in tx.lineages.of_kind(kind)
        for version in tx.lineages.versions(lineage.id)
        if version.certificate is not None
    ]
