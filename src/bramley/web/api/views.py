"""What the API shows of our nouns: a struct for each, made by `of`. A field that is not here is not told."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, Self, TypeVar

import msgspec

from bramley.mdm import plist
from bramley.mdm.plist import PlistValue
from bramley.mdm.report import MAX_REPORT_BYTES
from bramley.model.commands import Command, CommandState
from bramley.model.enrollments import Enrollment, EnrollmentState, weakness
from bramley.model.events import Event
from bramley.model.kinds import Kind
from bramley.model.lineages import RevocationReason, Turn, Version, VersionState
from bramley.operations.certificates import CertificateDetail
from bramley.operations.devices import DeviceDetail
from bramley.storage.protocols import CertificateRow

Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """Some of a list; `next` is the `after` of the next page, null at the end."""

    items: list[Item]
    next: str | None


class DeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """A device, or with `parent` a user channel of one. `key` is our own name of it, `id` what it calls itself."""

    key: str
    id: str | None
    state: EnrollmentState
    parent: str | None
    udid: str | None
    enrollment_id: str | None
    user_id: str | None
    user_short_name: str | None
    user_long_name: str | None
    serial_number: str | None
    device_name: str | None
    model: str | None
    product_name: str | None
    os_version: str | None
    build_version: str | None
    topic: str | None
    created_at: datetime
    changed_at: datetime
    enrolled_at: datetime | None
    last_seen_at: datetime | None
    last_push_at: datetime | None
    push_stopped_at: datetime | None
    has_push_token: bool
    has_bootstrap_token: bool
    has_unlock_token: bool

    @classmethod
    def of(cls, enrollment: Enrollment) -> Self:
        taken = {name: getattr(enrollment, name) for name in cls.__struct_fields__ if not name.startswith("has_")}
        return cls(
            **taken,
            has_push_token=enrollment.push_token is not None,
            has_bootstrap_token=enrollment.bootstrap_token is not None,
            has_unlock_token=enrollment.unlock_token is not None,
        )


class TaggedDeviceView(DeviceView, frozen=True, kw_only=True):
    """A device with its tags, in order, or a user channel, which has none."""

    tags: list[str]

    @classmethod
    def tagged(cls, enrollment: Enrollment, tags: Sequence[str]) -> Self:
        return cls(**msgspec.structs.asdict(DeviceView.of(enrollment)), tags=list(tags))


class CommandView(msgspec.Struct, frozen=True, kw_only=True):
    """A command without its payload, which may hold secrets."""

    uuid: str
    request_type: str
    state: CommandState
    created_at: datetime
    created_by: str
    sent_at: datetime | None
    answered_at: datetime | None
    not_now_count: int

    @classmethod
    def of(cls, command: Command) -> Self:
        return cls(**{name: getattr(command, name) for name in CommandView.__struct_fields__})


class CommandDetailView(msgspec.Struct, frozen=True, kw_only=True):
    """A command with the device's last report: data as base64, dates as RFC 3339."""

    command: CommandView
    answer: Any

    @classmethod
    def of(cls, command: Command) -> Self:
        answer = None if command.answer is None else plist.loads(command.answer, max_bytes=MAX_REPORT_BYTES)
        return cls(command=CommandView.of(command), answer=jsonable(answer))


class VersionView(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate of a lineage; `serial`, `sha256` and `spki_sha256` are lower-case hexadecimal."""

    id: str
    number: int
    state: VersionState
    turn: Turn | None
    reason: str
    subject: str | None
    issuer: str | None
    serial: str | None
    sha256: str | None
    spki_sha256: str | None
    not_before: datetime | None
    not_after: datetime | None
    created_at: datetime
    changed_at: datetime
    revoked_for: RevocationReason | None

    @classmethod
    def of(cls, version: Version) -> Self:
        return cls(**{name: getattr(version, name) for name in cls.__struct_fields__})


class CertificateView(msgspec.Struct, frozen=True, kw_only=True):
    """A version with what it is for and, for a device identity, whose it is.

    `route` is how the versions of its kind and name come, and `weakness` what is weak about that; both may be empty.
    """

    kind: Kind
    name: str
    route: str
    weakness: str
    device_key: str | None
    device_id: str | None
    version: VersionView

    @classmethod
    def of(cls, row: CertificateRow) -> Self:
        return cls(
            kind=row.lineage.kind,
            name=row.lineage.name,
            route=row.lineage.route,
            weakness=weakness(row.lineage.route),
            device_key=row.enrollment_key,
            device_id=row.enrollment_id,
            version=VersionView.of(row.version),
        )


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened."""

    id: int | None
    at: datetime
    kind: str
    actor: str
    device_key: str | None
    version_id: str | None
    detail: Mapping[str, Any]

    @classmethod
    def of(cls, event: Event) -> Self:
        return cls(
            id=event.id,
            at=event.at,
            kind=event.kind,
            actor=event.actor,
            device_key=event.enrollment_key,
            version_id=event.version_id,
            detail=event.detail,
        )


class DeviceDetailView(msgspec.Struct, frozen=True, kw_only=True):
    """A device with its channels, its identities (oldest first) and its commands (newest first).

    `identity_route` is how its identities come, and `identity_weakness` what is weak about that; both may be empty.
    """

    device: TaggedDeviceView
    channels: list[DeviceView]
    identities: list[VersionView]
    identity_route: str
    identity_weakness: str
    commands: list[CommandView]

    @classmethod
    def of(cls, detail: DeviceDetail) -> Self:
        return cls(
            device=TaggedDeviceView.tagged(detail.enrollment, detail.tags),
            channels=[DeviceView.of(channel) for channel in detail.channels],
            identities=[VersionView.of(version) for version in detail.identities],
            identity_route=detail.route,
            identity_weakness=weakness(detail.route),
            commands=[CommandView.of(command) for command in detail.commands],
        )


class CertificateDetailView(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate with its lineage's versions (oldest first), its issuer, its history, and when its successor is due."""

    certificate: CertificateView
    versions: list[VersionView]
    issuer: VersionView | None
    events: list[EventView]
    due_at: datetime | None

    @classmethod
    def of(cls, detail: CertificateDetail) -> Self:
        return cls(
            certificate=CertificateView.of(detail.row),
            versions=[VersionView.of(version) for version in detail.versions],
            issuer=None if detail.issuer is None else VersionView.of(detail.issuer),
            events=[EventView.of(event) for event in detail.events],
            due_at=detail.due_at,
        )


class ErrorView(msgspec.Struct, frozen=True, kw_only=True):
    """What was expected and what came, and what to do next."""

    error: str
    advice: str = ""


def next_after(names: Sequence[str], limit: int) -> str | None:
    """Where the next page begins: behind the last name, unless this page was not full."""
    return names[-1] if len(names) == limit else None


def jsonable(value: PlistValue | None) -> Any:
    """A property list's value in JSON: data as base64, dates as RFC 3339 in UTC."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [jsonable(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value
