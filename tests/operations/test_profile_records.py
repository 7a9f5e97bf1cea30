"""What is done with profiles, devices and tags is written down, with who did it; and each change reaches whom it concerns."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest

from bramley.mdm.token_update import DELIVER_PROFILES
from bramley.model.enrollments import Enrollment, EnrollmentID, EnrollmentKey, EnrollmentState
from bramley.model.events import Event, EventKind
from bramley.model.jobs import Job
from bramley.model.profiles import TargetKind
from bramley.operations.errors import Conflict
from bramley.operations.live import Live
from bramley.operations.profiles import assigning, keeping
from bramley.operations.profiles.assigning import Target
from bramley.operations.profiles.keeping import FAN_OUT
from bramley.pki import keys
from bramley.storage.protocols import Tx
from tests.conftest import NOW

from .conftest import enrolled
from .test_profile_checks import UDID, read
from .test_profiles import written

DEVICE = Target(TargetKind.DEVICE, UDID)
STAFF = Target(TargetKind.TAG, "staff")
WHO = "admin:ann"


@pytest.fixture
async def device(live: Live, device_keys: list[keys.PrivateKey]) -> EnrollmentKey:
    return await enrolled(live, device_keys[0], UDID)


async def told(live: Live) -> list[Event]:
    """What the one who did it all is written down with, oldest first."""
    events = await read(live, lambda tx: tx.events.find(limit=1000))
    return [event for event in reversed(events) if event.actor == WHO]


async def left(live: Live) -> set[str]:
    """What there is to be done about profiles by now; it is taken as done."""

    def claim(tx: Tx) -> list[Job]:
        due = tx.jobs.claim("test", NOW + timedelta(seconds=1), timedelta(minutes=1), 100)
        for job in due:
            assert job.id is not None
            tx.jobs.finish(job.id, "test")
        return list(due)

    return {job.kind for job in await live.installation.store.run(claim)} & {FAN_OUT, DELIVER_PROFILES}


async def test_everything_that_is_done_is_written_down_once(live: Live, device: EnrollmentKey) -> None:
    here = live.installation
    for content in (written(), written(), written(PayloadOrganization="Orchard")):
        await keeping.put(here, content, actor=WHO)
    for _ in range(2):
        await assigning.assign(here, "example.wifi", [DEVICE, STAFF], actor=WHO)
        await assigning.tag(here, UDID, add=["staff"], actor=WHO)
    for _ in range(2):
        await assigning.tag(here, UDID, remove=["staff"], actor=WHO)
        await assigning.unassign(here, "example.wifi", [DEVICE, STAFF], actor=WHO)
    await keeping.remove(here, "example.wifi", actor=WHO)
    events = await told(live)
    first, second = (hashlib.sha256(each).hexdigest() for each in (written(), written(PayloadOrganization="Orchard")))
    assert [(event.kind, event.detail) for event in events if event.enrollment_key is None] == [
        (EventKind.PROFILE_KEPT, {"profile": "example.wifi", "revision": 1, "handling": "sign", "sha256": first}),
        (EventKind.PROFILE_KEPT, {"profile": "example.wifi", "revision": 2, "handling": "sign", "sha256": second}),
        (EventKind.PROFILE_ASSIGNED, {"profile": "example.wifi", "device": UDID}),
        (EventKind.PROFILE_ASSIGNED, {"profile": "example.wifi", "tag": "staff"}),
        (EventKind.PROFILE_UNASSIGNED, {"profile": "example.wifi", "device": UDID}),
        (EventKind.PROFILE_UNASSIGNED, {"profile": "example.wifi", "tag": "staff"}),
        (EventKind.PROFILE_REMOVED, {"profile": "example.wifi", "revision": 2}),
    ]
    assert [(event.kind, event.enrollment_key, event.detail) for event in events if event.enrollment_key is not None] == [
        (EventKind.DEVICE_TAGGED, device, {"added": ["staff"], "removed": []}),
        (EventKind.DEVICE_TAGGED, device, {"added": [], "removed": ["staff"]}),
    ]


async def test_each_change_reaches_whom_it_concerns(live: Live, device: EnrollmentKey) -> None:
    here = live.installation
    await left(live)
    await keeping.put(here, written(), actor=WHO)
    assert await left(live) == set()
    await assigning.assign(here, "example.wifi", [STAFF], actor=WHO)
    assert await left(live) == {FAN_OUT}
    await assigning.tag(here, UDID, add=["staff"], actor=WHO)
    assert await left(live) == {DELIVER_PROFILES}
    await keeping.put(here, written(PayloadOrganization="Orchard"), actor=WHO)
    assert await left(live) == {FAN_OUT}
    await assigning.tag(here, UDID, remove=["staff"], actor=WHO)
    assert await left(live) == {DELIVER_PROFILES}
    await assigning.unassign(here, "example.wifi", [STAFF], actor=WHO)
    assert await left(live) == {FAN_OUT}
    # what changed nothing leaves nothing
    await keeping.put(here, written(PayloadOrganization="Orchard"), actor=WHO)
    await assigning.unassign(here, "example.wifi", [STAFF], actor=WHO)
    await assigning.tag(here, UDID, remove=["staff"], actor=WHO)
    assert await left(live) == set()


async def test_profiles_and_tags_are_a_devices_and_not_a_users(live: Live, device: EnrollmentKey) -> None:
    """Which of them a user gets, the profiles themselves say."""
    here, name = live.installation, f"{UDID}:jo"
    user = Enrollment(EnrollmentKey("c"), EnrollmentState.ACTIVE, NOW, NOW, id=EnrollmentID(name), parent=device, user_id="jo")
    await here.store.run(lambda tx: tx.enrollments.add(user))
    await keeping.put(here, written(), actor="test")
    with pytest.raises(Conflict, match="user channel"):
        await assigning.assign(here, "example.wifi", [Target(TargetKind.DEVICE, name)], actor=WHO)
    with pytest.raises(Conflict, match="user channel"):
        await assigning.tag(here, name, add=["staff"], actor=WHO)
    assert await told(live) == []
    assert (await keeping.show(here, "example.wifi")).assignments == []
