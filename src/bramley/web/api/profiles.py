"""/profiles and /devices/…/profiles: profiles that are kept, who shall have them, how they stand; and the tags of devices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Self

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from bramley.model.profiles import Handling, Installation, InstallState, Scope, StoredProfile, TargetKind
from bramley.operations.live import Live
from bramley.operations.profiles import assigning, keeping
from bramley.operations.profiles.assigning import Target
from bramley.operations.profiles.keeping import Overview
from bramley.profiles.documents import LARGEST
from bramley.profiles.rules import Finding, Rule, Severity
from bramley.web.api.requests import AdminRequest, decoded

LiveServer = NamedDependency[Live]
_LINE = r"^[^\x00-\x1f\x7f]*$"
_Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=_LINE)]
_Names = Annotated[list[_Name], Meta(max_length=1000)]


class ProfileBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A `.mobileconfig` in base64.

    `encrypt` has it encrypted to each device before it is signed, or not; without it, it is as the one before was, else not.
    """

    profile: Annotated[str, Meta(max_length=(LARGEST + 2) // 3 * 4)]
    name: Annotated[str, Meta(min_length=1, max_length=200, pattern=_LINE)] | None = None
    encrypt: bool | None = None

    def __repr__(self) -> str:
        return "ProfileBody()"  # a profile may hold passwords and keys


class TargetsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Devices by name, and tags."""

    devices: _Names = []
    tags: _Names = []


class TagsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    add: _Names = []
    remove: _Names = []


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """What deserves a look in a profile."""

    severity: Severity
    key: str
    rule: Rule
    words: str

    @classmethod
    def of(cls, finding: Finding) -> Self:
        return cls(severity=finding.severity, key=finding.path, rule=finding.rule, words=finding.words)


class TargetView(msgspec.Struct, frozen=True, kw_only=True):
    kind: TargetKind
    target: str


class ProfileView(msgspec.Struct, frozen=True, kw_only=True):
    """A profile that is kept. `content` is never shown here: it may hold passwords and keys."""

    id: str
    identifier: str
    name: str
    revision: int
    handling: Handling
    scope: Scope
    sha256: str
    created_at: datetime
    changed_at: datetime
    changed_by: str

    @classmethod
    def of(cls, profile: StoredProfile) -> Self:
        return cls(**{name: getattr(profile, name) for name in cls.__struct_fields__})


class KeptView(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as it is kept now; whether that is news; and what deserves a look."""

    profile: ProfileView
    changed: bool
    findings: list[FindingView]


class OverviewView(msgspec.Struct, frozen=True, kw_only=True):
    """A profile, who shall have it, and on how many devices it stands how."""

    profile: ProfileView
    assigned_to: list[TargetView]
    devices_by_state: dict[str, int]

    @classmethod
    def of(cls, overview: Overview) -> Self:
        targets = [TargetView(kind=each.kind, target=each.target) for each in overview.assignments]
        counts = {state.value: count for state, count in overview.counts.items()}
        return cls(profile=ProfileView.of(overview.profile), assigned_to=targets, devices_by_state=counts)


class StandingView(msgspec.Struct, frozen=True, kw_only=True):
    """A profile of a device; `state` is null where it was not sent yet. `problem` is in the device's own words."""

    profile: ProfileView
    state: InstallState | None
    revision: int | None
    changed_at: datetime | None
    problem: str

    @classmethod
    def of(cls, profile: StoredProfile, on: Installation | None) -> Self:
        view = ProfileView.of(profile)
        if on is None:
            return cls(profile=view, state=None, revision=None, changed_at=None, problem="")
        return cls(profile=view, state=on.state, revision=on.revision, changed_at=on.changed_at, problem=on.problem)


class CountView(msgspec.Struct, frozen=True, kw_only=True):
    """How many assignments were changed."""

    changed: int


class TagsView(msgspec.Struct, frozen=True, kw_only=True):
    tags: list[str]


@get("/profiles")
async def list_profiles(live: LiveServer) -> list[OverviewView]:
    """The profiles that are kept, in order of identifier."""
    return [OverviewView.of(each) for each in await keeping.listing(live.installation)]


@post("/profiles", status_code=200)
async def keep_profile(data: JSONBody[ProfileBody], live: LiveServer, request: AdminRequest) -> KeptView:
    """Keeps a profile, in the place of the one with its identifier; devices that have the former get the new one."""
    content = decoded(data.profile, "profile")
    kept = await keeping.put(live.installation, content, name=data.name, encrypt=data.encrypt, actor=request.auth)
    findings = [FindingView.of(each) for each in kept.findings]
    return KeptView(profile=ProfileView.of(kept.profile), changed=kept.changed, findings=findings)


@get("/profiles/{profile:str}")
async def show_profile(profile: FromPath[str], live: LiveServer) -> OverviewView:
    """One profile, by identifier or id."""
    return OverviewView.of(await keeping.show(live.installation, profile))


@delete("/profiles/{profile:str}")
async def remove_profile(profile: FromPath[str], live: LiveServer, request: AdminRequest) -> None:
    """Forgets a profile that no device has and that none shall have."""
    await keeping.remove(live.installation, profile, actor=request.auth)


@post("/profiles/{profile:str}/assign", status_code=200)
async def assign_profile(
    profile: FromPath[str], data: JSONBody[TargetsBody], live: LiveServer, request: AdminRequest
) -> CountView:
    """Has devices, and all that have a tag, get a profile."""
    changed = await assigning.assign(live.installation, profile, _targets(data), actor=request.auth)
    return CountView(changed=changed)


@post("/profiles/{profile:str}/unassign", status_code=200)
async def unassign_profile(
    profile: FromPath[str], data: JSONBody[TargetsBody], live: LiveServer, request: AdminRequest
) -> CountView:
    """Ends assignments: devices that have no other reason to have the profile remove it."""
    changed = await assigning.unassign(live.installation, profile, _targets(data), actor=request.auth)
    return CountView(changed=changed)


@get("/devices/{device:str}/profiles")
async def list_device_profiles(device: FromPath[str], live: LiveServer) -> list[StandingView]:
    """The profiles that a device has or shall have."""
    return [StandingView.of(profile, on) for profile, on in await assigning.standing(live.installation, device)]


@put("/devices/{device:str}/tags")
async def tag_device(device: FromPath[str], data: JSONBody[TagsBody], live: LiveServer, request: AdminRequest) -> TagsView:
    """Gives a device tags and takes others away; those it has now."""
    tags = await assigning.tag(live.installation, device, add=data.add, remove=data.remove, actor=request.auth)
    return TagsView(tags=list(tags))


def _targets(data: JSONBody[TargetsBody]) -> Sequence[Target]:
    return [
        *(Target(TargetKind.DEVICE, name) for name in data.devices),
        *(Target(TargetKind.TAG, name) for name in data.tags),
    ]


HANDLERS = (
    list_profiles,
    keep_profile,
    show_profile,
    remove_profile,
    assign_profile,
    unassign_profile,
    list_device_profiles,
    tag_device,
)
