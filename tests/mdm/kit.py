"""A device and the server's way to it: identities issued as an enrollment would, messages signed, checked, bound, handled."""

from __future__ import annotations

import base64
import itertools
import plistlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from bramley.mdm import checkin, connect
from bramley.mdm.answer import Answer
from bramley.mdm.binding import AuthenticatedDevice, authenticate
from bramley.mdm.commands import Request, envelope
from bramley.mdm.identity import IdentityTrust, verify_signature
from bramley.mdm.messages import CheckinMessage, parse_checkin
from bramley.mdm.report import Report, parse_report
from bramley.model.commands import Command, CommandState, CommandUUID
from bramley.model.enrollments import Binding, Enrollment, EnrollmentKey, EnrollmentLink, EnrollmentState, Purpose
from bramley.model.events import Event, EventKind
from bramley.model.jobs import Job
from bramley.model.kinds import Kind
from bramley.model.lineages import Lineage, LineageID, Policy, Version, VersionID, VersionState
from bramley.pki import certificates, cms, names
from bramley.pki.ca.authority import Authority, issue
from bramley.pki.ca.profiles import DEVICE_IDENTITY
from bramley.pki.keys import PrivateKey
from bramley.pki.keystore import KeyEncryptionKey, Sealer
from bramley.storage.protocols import Store, Tx

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TOPIC = "com.apple.mgmt.External.5f2a"
UDID = "E3568F17-92ED-450A-8904-C3BF4CB7E9A5"


@dataclass(frozen=True, slots=True)
class Orchard:
    """The CAs and keys of a whole run: ours, one that only looks like it, and a device's key."""

    root: Authority
    identity_ca: Authority
    look_alike: Authority
    device_key: PrivateKey


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device holds."""

    certificate: x509.Certificate
    key: PrivateKey
    enrollment_key: EnrollmentKey
    version_id: VersionID


def sign(body: bytes, certificate: x509.Certificate, key: PrivateKey, **options: Any) -> str:
    """An Mdm-Signature header as a current Mac would make it, unless options say otherwise."""
    return base64.b64encode(cms.sign(body, key=key, certificate=certificate, detached=True, **options)).decode()


@dataclass(slots=True)
class Server:
    """The server's part between HTTP and storage, on a real store, with the message path in the order of the real one."""

    store: Store
    orchard: Orchard
    now: datetime
    topics: Sequence[str] = (TOPIC,)
    sealer: Sealer = field(default_factory=lambda: Sealer(KeyEncryptionKey.generate()))
    after_end: timedelta | None = timedelta(days=400)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def trust(self) -> IdentityTrust:
        return IdentityTrust([self.orchard.identity_ca.certificate])

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    async def link(self, udid: str | None = None) -> str:
        name = f"link-{next(self.numbers)}"
        link = EnrollmentLink(name, name, "", self.now, self.now + timedelta(days=1), uses_allowed=9, udid=udid)
        await self.store.run(lambda tx: tx.links.add(link))
        return name

    async def enrollment(self, *, link: str | None = None) -> EnrollmentKey:
        """A profile is fetched: an enrollment that no device has claimed."""
        key = EnrollmentKey(f"key-{next(self.numbers)}")
        row = Enrollment(key, EnrollmentState.PENDING, self.now, self.now, link_id=link)
        await self.store.run(lambda tx: tx.enrollments.add(row))
        return key

    async def issue(self, key: EnrollmentKey, purpose: Purpose = Purpose.ENROLL) -> Identity:
        """SCEP has answered: a version and its binding."""
        number = next(self.numbers)
        private = self.orchard.device_key
        subject = names.make(f"device-{number}")
        certificate = issue(self.orchard.identity_ca, DEVICE_IDENTITY, private.public_key(), subject=subject, now=self.now)
        lineage = Lineage(LineageID(f"lineage-{number}"), Kind.DEVICE_IDENTITY, f"identity-{number}", Policy(), self.now)
        version = Version(
            VersionID(f"version-{number}"),
            lineage.id,
            1,
            VersionState.ISSUED,
            self.now,
            self.now,
            sha256=certificates.sha256(certificate),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            certificate=certificates.der(certificate),
        )
        binding = Binding(certificates.sha256(certificate), key, purpose, version.id, self.now)

        def record(tx: Tx) -> None:
            tx.lineages.add(lineage)
            tx.lineages.add_version(version)
            tx.enrollments.bind(binding)

        await self.store.run(record)
        return Identity(certificate, private, key, version.id)

    async def set_version(self, identity: Identity, state: VersionState) -> None:
        def change(tx: Tx) -> None:
            version = tx.lineages.version(identity.version_id)
            assert version is not None
            tx.lineages.update_version(replace(version, state=state, changed_at=self.now))

        await self.store.run(change)

    async def set_state(self, key: EnrollmentKey, state: EnrollmentState) -> None:
        row = await self.row(key)
        await self.store.run(lambda tx: tx.enrollments.update(replace(row, state=state)))

    async def device(self, identity: Identity, body: bytes, message: CheckinMessage | Report) -> AuthenticatedDevice:
        """From a signed body to an authenticated device."""
        header = sign(body, identity.certificate, identity.key)
        signer = verify_signature(header, body, self.trust, now=self.now, ended_too=self.after_end is not None)
        presented = await self.store.presented(signer.sha256, message.sender.user)
        return authenticate(signer, presented, message, now=self.now, after_end=self.after_end)

    async def checkin(self, identity: Identity, message_type: str, **keys: Any) -> Answer:
        """A check-in from end to end, the version promoted on its first use in the same transaction."""
        body = plistlib.dumps({"MessageType": message_type, **({} if "EnrollmentID" in keys else {"UDID": UDID}), **keys})
        message = parse_checkin(body)
        device = await self.device(identity, body, message)

        def act(tx: Tx) -> Answer:
            answer = checkin.handle(tx, device, message, now=self.now, sealer=self.sealer, topics=self.topics)
            version = tx.lineages.version(identity.version_id)
            if device.is_first_use and version is not None:
                tx.lineages.update_version(replace(version, state=VersionState.ACTIVE, changed_at=self.now))
            return answer

        return await self.store.run(act)

    async def authenticate(self, identity: Identity, **keys: Any) -> None:
        given = {"Topic": TOPIC, "SerialNumber": "C02X0001", "OSVersion": "15.1", **keys}
        assert await self.checkin(identity, "Authenticate", **given) == Answer()

    async def token_update(self, identity: Identity, **keys: Any) -> None:
        given = {"Topic": TOPIC, "Token": b"\x01" * 32, "PushMagic": "magic", **keys}
        assert await self.checkin(identity, "TokenUpdate", **given) == Answer()

    async def enroll(self, *, link: str | None = None) -> Identity:
        """A device that is enrolled and active."""
        identity = await self.issue(await self.enrollment(link=link))
        await self.authenticate(identity)
        await self.token_update(identity)
        return identity

    async def connect(self, identity: Identity, status: str, uuid: str | None = None, **keys: Any) -> dict[str, Any] | None:
        """One exchange on the command channel; what the device gets, read by plistlib."""
        named = {"CommandUUID": uuid} if uuid else {}
        body = plistlib.dumps({"UDID": UDID, "Status": status, **named, **keys})
        report = parse_report(body)
        device = await self.device(identity, body, report)
        immediate = connect.answer_idle(device, report)
        if immediate is None:
            pending = await self.store.run(lambda tx: connect.handle(tx, device, report, now=self.now, sealer=self.sealer))
        else:
            pending = immediate.command
        if pending is None:
            return None
        message: dict[str, Any] = plistlib.loads(connect.deliver(pending, self.sealer))
        assert message["CommandUUID"] == pending.uuid
        return message

    async def queue(self, key: EnrollmentKey, request: Request, *, job: str | None = None) -> str:
        uuid = CommandUUID(f"command-{next(self.numbers)}")
        payload = self.sealer.seal(envelope(uuid, request), connect.payload_place(uuid))
        command = Command(uuid, key, request.request_type, payload, CommandState.QUEUED, self.now, "admin:jo", job_on_answer=job)
        await self.store.run(lambda tx: tx.commands.add(command))
        return uuid

    async def row(self, key: EnrollmentKey) -> Enrollment:
        row = await self.store.read(lambda tx: tx.enrollments.get(key))
        assert row is not None
        return row

    async def channels(self, key: EnrollmentKey) -> Sequence[Enrollment]:
        return await self.store.read(lambda tx: tx.enrollments.channels(key))

    async def command(self, key: EnrollmentKey, uuid: str) -> Command:
        command = await self.store.read(lambda tx: tx.commands.get(key, CommandUUID(uuid)))
        assert command is not None
        return command

    async def jobs(self, kind: str) -> list[Job]:
        return list(await self.store.read(lambda tx: tx.jobs.of_kind(kind)))

    async def events(self, kind: EventKind, key: EnrollmentKey | None = None) -> list[Event]:
        return list(await self.store.read(lambda tx: tx.events.find(kind=kind, enrollment_key=key)))
