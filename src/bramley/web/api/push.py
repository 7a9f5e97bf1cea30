"""/push/certificates and what keeps them: the way in, the way back, and the way out of trouble."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

import msgspec
from litestar import Response, get, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from bramley.lifecycle.next_step import Mover, NextStep
from bramley.model.lineages import Version, VersionID, VersionState
from bramley.operations.push import importing, lineages, rescue, status, trial
from bramley.operations.push.importing import Import, Terms
from bramley.operations.push.rescue import Again, EnrolledBy, Rescue, Trouble
from bramley.operations.push.status import TopicStatus
from bramley.pki import certificates
from bramley.web.api.devices import LiveServer
from bramley.web.api.requests import AccountBody, AdminRequest, PushImportBody, RollbackBody, TopicBody, files_of
from bramley.web.api.views import VersionView


class NextView(msgspec.Struct, frozen=True, kw_only=True):
    """Whose turn it is, what they do, and the moment it is bound to."""

    mover: Mover
    text: str
    at: datetime | None

    @classmethod
    def of(cls, step: NextStep) -> Self:
        return cls(mover=step.mover, text=step.text, at=step.at)


class PushVersionView(msgspec.Struct, frozen=True, kw_only=True):
    """A push certificate, or the request for one; `serial` and `sha256` are lower-case hexadecimal."""

    id: VersionID
    state: VersionState
    not_before: datetime | None
    not_after: datetime | None
    serial: str | None
    sha256: str | None

    @classmethod
    def of(cls, version: Version | None) -> Self | None:
        return None if version is None else cls(**{name: getattr(version, name) for name in cls.__struct_fields__})


class TopicView(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands with a topic, which is null for a first request.

    `devices` counts those that are enrolled under it. `paused` is why APNs refuses its certificate, empty where it does not.
    """

    topic: str | None
    account: str
    route: str
    devices: int
    paused: str
    active: PushVersionView | None
    on_trial: PushVersionView | None
    requested: PushVersionView | None
    next: NextView | None

    @classmethod
    def of(cls, found: TopicStatus) -> Self:
        return cls(
            topic=found.topic,
            account=found.account,
            route=found.route,
            devices=found.devices,
            paused=found.paused,
            active=PushVersionView.of(found.active),
            on_trial=PushVersionView.of(found.on_trial),
            requested=PushVersionView.of(found.requested),
            next=None if found.next is None else NextView.of(found.next),
        )


class ImportView(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an import; `id` and `state` are null on a dry run.

    `on_trial` says that the former certificate pushes on until this one has pushed once with success.
    """

    topic: str
    id: VersionID | None
    state: VersionState | None
    not_after: datetime
    sha256: str
    on_trial: bool
    warnings: list[str]
    dry_run: bool

    @classmethod
    def of(cls, done: Import) -> Self:
        return cls(
            topic=done.topic,
            id=done.version.id if done.version else None,
            state=done.version.state if done.version else None,
            not_after=done.certificate.not_valid_after_utc,
            sha256=certificates.sha256(done.certificate),
            on_trial=done.on_trial,
            warnings=list(done.warnings),
            dry_run=done.version is None,
        )


class ResumingView(msgspec.Struct, frozen=True, kw_only=True):
    topic: str


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    topic: str
    account: str
    route: str


class AgainView(msgspec.Struct, frozen=True, kw_only=True):
    """A device that would have to enroll again, and how that is done."""

    key: str
    id: str | None
    serial_number: str | None
    device_name: str | None
    enrolled_by: EnrolledBy
    how: str

    @classmethod
    def of(cls, again: Again) -> Self:
        one = again.enrollment
        return cls(
            key=one.key,
            id=one.id,
            serial_number=one.serial_number,
            device_name=one.device_name,
            enrolled_by=again.enrolled_by,
            how=again.how,
        )


class RescueView(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a topic, the steps out of it in order, and the devices that depend on it."""

    topic: str | None
    trouble: Trouble
    steps: list[str]
    devices: list[AgainView]

    @classmethod
    def of(cls, found: Rescue) -> Self:
        return cls(
            topic=found.status.topic,
            trouble=found.trouble,
            steps=list(found.steps),
            devices=[AgainView.of(again) for again in found.devices],
        )


@get("/push/certificates")
async def list_push_certificates(live: LiveServer) -> list[TopicView]:
    """Every topic that has a push certificate, a request for one, or devices; and whose turn it is."""
    return [TopicView.of(each) for each in await status.overview(live.installation)]


@post("/push/certificates", responses={200: ResponseSpec(ImportView, description="A dry run: nothing was changed.")})
async def import_push_certificate(
    live: LiveServer, request: AdminRequest, data: JSONBody[PushImportBody]
) -> Response[ImportView]:
    """Takes in a push certificate; 409 for one of another topic than the enrolled devices', which it could never reach."""
    terms = Terms(other_devices=data.other_devices, account=data.account.strip(), route=data.route, dry_run=data.dry_run)
    done = await importing.import_files(live.installation, files_of(data), data.password, actor=request.auth, terms=terms)
    return Response(ImportView.of(done), status_code=200 if data.dry_run else 201)


@post("/push/certificates/rollback", status_code=200)
async def roll_push_certificate_back(live: LiveServer, request: AdminRequest, data: JSONBody[RollbackBody]) -> VersionView:
    """Returns to the push certificate before: drops one on trial, else puts the superseded one in force; which then is."""
    back = await trial.rollback(live.installation, data.topic, reason=data.reason, actor=request.auth)
    return VersionView.of(back)


@post("/push/resume", status_code=202)
async def resume_pushing(live: LiveServer, data: JSONBody[TopicBody]) -> ResumingView:
    """Tries one push under a paused topic; if APNs takes it, pushing goes on."""
    return ResumingView(topic=await trial.ask_to_resume(live.installation, data.topic))


@put("/push/account")
async def note_push_account(live: LiveServer, request: AdminRequest, data: JSONBody[AccountBody]) -> AccountView:
    """Writes down which Apple Account a push certificate belongs to: without it, it cannot be renewed."""
    noted = await lineages.note_account(live.installation, data.topic, data.account, actor=request.auth)
    return AccountView(topic=noted.name, account=noted.owner, route=noted.route)


@get("/push/rescue")
async def show_way_out(
    live: LiveServer,
    topic: Annotated[str | None, QueryParameter(description="this one alone")] = None,
    told: Annotated[Trouble | None, QueryParameter(description="what a person knows and the server cannot")] = None,
) -> list[RescueView]:
    """What is wrong with each topic, what is lost and what is not, and the way out, step by step."""
    return [RescueView.of(each) for each in await rescue.diagnose(live.installation, topic, told=told)]


HANDLERS = (
    list_push_certificates,
    import_push_certificate,
    roll_push_certificate_back,
    resume_pushing,
    note_push_account,
    show_way_out,
)
