"""Which profiles a device is sent, and when again: one row for each way a profile can stand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bramley.lifecycle.installs import Act, Step, retry_at, steps
from bramley.lifecycle.schedule import FIRST_RETRY, LONGEST_RETRY
from bramley.model.commands import CommandUUID
from bramley.model.enrollments import EnrollmentKey
from bramley.model.profiles import Handling, Installation, InstallState, ProfileID, StoredProfile
from tests.conftest import NOW

KEY, ID, COMMAND = EnrollmentKey("key"), ProfileID("wifi"), CommandUUID("C")
WIFI = StoredProfile(ID, "example.wifi", "Wi-Fi", 2, Handling.ENCRYPT, b"", "", NOW, NOW, "cli")
SIGNED = replace(WIFI, handling=Handling.SIGN)
OLD, NEW = "old identity", "new identity"
HOUR = timedelta(hours=1)

INSTALL = Step(Act.INSTALL, ID, 2, NEW)
AGAIN = replace(INSTALL, instead_of=COMMAND)
IN_CLEAR = Step(Act.INSTALL, ID, 2)
REMOVE = Step(Act.REMOVE, ID, 2)


def on_device(state: InstallState, revision: int = 2, **fields: object) -> Installation:
    return replace(Installation(KEY, ID, revision, state, NOW - HOUR), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wanted", "standing", "expected"),
    [
        (WIFI, None, INSTALL),
        (SIGNED, None, IN_CLEAR),
        (WIFI, on_device(InstallState.INSTALLED, recipient=OLD), None),
        (WIFI, on_device(InstallState.INSTALLED, 1), INSTALL),
        (WIFI, on_device(InstallState.SENT, command_uuid=COMMAND, recipient=NEW), None),
        (WIFI, on_device(InstallState.SENT, command_uuid=COMMAND, recipient=OLD), AGAIN),
        (WIFI, on_device(InstallState.SENT, 1, command_uuid=COMMAND, recipient=NEW), AGAIN),
        (SIGNED, on_device(InstallState.SENT, command_uuid=COMMAND), None),
        (WIFI, on_device(InstallState.FAILED, attempts=1, recipient=NEW), INSTALL),
        (WIFI, on_device(InstallState.FAILED, attempts=2, recipient=NEW), None),
        (WIFI, on_device(InstallState.FAILED, attempts=2, recipient=OLD), INSTALL),
        (SIGNED, on_device(InstallState.FAILED, attempts=2), None),
        (WIFI, on_device(InstallState.FAILED, 1, attempts=2), INSTALL),
        (WIFI, on_device(InstallState.MISSING), INSTALL),
        (WIFI, on_device(InstallState.REMOVING, command_uuid=COMMAND), AGAIN),
        (None, None, None),
        (None, on_device(InstallState.INSTALLED), REMOVE),
        (None, on_device(InstallState.SENT, command_uuid=COMMAND), replace(REMOVE, instead_of=COMMAND)),
        (None, on_device(InstallState.FAILED, attempts=9), REMOVE),
        (None, on_device(InstallState.MISSING), Step(Act.FORGET, ID, 2)),
        (None, on_device(InstallState.REMOVING, command_uuid=COMMAND), None),
        (None, on_device(InstallState.REMOVING, attempts=2), None),
        (None, on_device(InstallState.REMOVING, attempts=1), REMOVE),
    ],
)
def test_one_profile(wanted: StoredProfile | None, standing: Installation | None, expected: Step | None) -> None:
    found = steps([wanted] if wanted else [], [standing] if standing else [], recipient=NEW, now=NOW)
    assert found == ((expected,) if expected else ())


def test_installs_in_order_then_removals() -> None:
    others = [replace(SIGNED, id=ProfileID(name)) for name in ("b", "a")]
    found = steps(others, [on_device(InstallState.INSTALLED)], recipient=None, now=NOW)
    assert [(step.act, step.profile_id) for step in found] == [(Act.INSTALL, "b"), (Act.INSTALL, "a"), (Act.REMOVE, "wifi")]


def test_ever_more_seldom() -> None:
    pauses = [retry_at(on_device(InstallState.FAILED, attempts=n)) - (NOW - HOUR) for n in (0, 1, 2, 3, 30, 10_000)]
    assert pauses == [FIRST_RETRY, FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY, LONGEST_RETRY, LONGEST_RETRY]
