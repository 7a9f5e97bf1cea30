"""`bramley device`, `enroll` and `identity` on an installation with one device."""

from __future__ import annotations

import asyncio
import os
import plistlib
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bramley.clock import SystemClock
from bramley.model.enrollments import EnrollmentID
from bramley.operations.installation import open_installation
from bramley.settings import Settings
from bramley.storage.protocols import Tx
from tests.cli.kit import UDID, URL, Run

Snapshot = Callable[[], list[int]]


def test_a_device_is_listed_and_found(run: Run, data: Path) -> None:
    (listed,) = run("device", "list", "--data", data, "--json").json
    assert (listed["id"], listed["state"], listed["has_push_token"]) == (UDID, "active", True)
    assert len(run("device", "list", "--search", "BRAMLEY", "--data", data, "--json").json) == 1
    assert run("device", "list", "--state", "quarantined", "--data", data, "--json").json == []


def test_tags_are_shown_with_their_device_and_find_it(run: Run, data: Path) -> None:
    assert run("device", "list", "--data", data, "--json").json[0]["tags"] == []
    assert "tags" not in run("device", "show", UDID, "--data", data).out
    run("device", "tag", UDID, "--add", "staff", "--add", "lab", "--data", data)
    (listed,) = run("device", "list", "--tag", "staff", "--data", data, "--json").json
    assert (listed["id"], listed["tags"]) == (UDID, ["lab", "staff"])
    assert run("device", "show", UDID, "--data", data, "--json").json["tags"] == ["lab", "staff"]
    assert "lab, staff" in run("device", "show", UDID, "--data", data).out
    none = run("device", "list", "--tag", "guests", "--data", data)
    assert (none.code, none.out, none.err) == (0, "", "No such device has the tag guests.\n")
    wrong = run("device", "list", "--tag", "Staff", "--data", data)
    assert (wrong.code, "'Staff' came" in wrong.err) == (2, True)


def test_what_a_device_says_cannot_steer_a_terminal(run: Run, data: Path) -> None:
    shown = run("device", "list", "--data", data)
    assert "Jo's \ufffd[31mMac" in shown.out
    assert "\x1b" not in run("device", "list", "--data", data, "--json").out


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_device_is_shown_without_its_tokens(run: Run, data: Path, form: tuple[str, ...]) -> None:
    shown = run("device", "show", UDID, "--data", data, *form)
    assert shown.code == 0
    assert "C02BRAMLEY" in shown.out
    assert "secret" not in shown.out


def test_an_unknown_device(run: Run, data: Path) -> None:
    shown = run("device", "show", "nobody", "--data", data)
    assert shown.code == 2
    assert shown.err == "error: There is no device 'nobody'.\n`bramley device list` shows what there is.\n"


def test_a_command_is_queued_with_a_push(run: Run, data: Path) -> None:
    sent = run("device", "command", UDID, "DeviceInformation", "--query", "OSVersion", "--data", data, "--json")
    assert sent.code == 0
    assert (sent.json["request_type"], sent.json["state"]) == ("DeviceInformation", "queued")
    (queued,) = run("device", "show", UDID, "--data", data, "--json").json["commands"]
    assert queued["uuid"] == sent.json["uuid"]
    assert queued["created_by"] == "cli"


def test_a_dry_run_shows_the_command_and_queues_nothing(run: Run, data: Path, snapshot: Snapshot) -> None:
    before = snapshot()
    shown = run("device", "command", UDID, "Restart", "--set", "NotifyUser:=true", "--set", "Note=5", "--dry-run", "--data", data)
    assert shown.code == 0
    assert plistlib.loads(shown.out.encode()) == {"RequestType": "Restart", "NotifyUser": True, "Note": "5"}
    assert snapshot() == before


def test_waiting_for_a_device_that_does_not_answer(run: Run, data: Path) -> None:
    shown = run("device", "command", UDID, "SecurityInfo", "--wait", "1", "--data", data)
    assert shown.code == 3
    assert "gave no answer within 1 seconds; the command stays queued" in shown.err


def test_a_command_for_a_device_that_has_left(run: Run, data: Path, device_gone: None) -> None:
    shown = run("device", "command", UDID, "SecurityInfo", "--data", data)
    assert shown.code == 2
    assert "has checked out" in shown.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "Expected a request type"),
        (("InstallProfile",), "InstallProfile needs --profile FILE"),
        (("RemoveProfile",), "RemoveProfile needs --identifier"),
        (("Restart", "--query", "OSVersion"), "--query belongs to DeviceInformation"),
        (("Restart", "--set", "NotifyUser"), "Expected KEY=TEXT or KEY:=JSON"),
        (("Restart", "--set", "NotifyUser:=perhaps"), "Expected JSON after NotifyUser:="),
        (("Restart", "--set", "NotifyUser:=null"), ""),
        (("Restart", "--plist", "/nonexistent"), "With --plist the file says everything"),
        (("--plist", "/nonexistent"), "cannot be read"),
        (("InstallProfile", "--profile", "/etc/hostname"), "Expected a configuration profile"),
    ],
)
def test_a_command_that_cannot_be_meant(
    run: Run, data: Path, snapshot: Snapshot, arguments: tuple[str, ...], complaint: str
) -> None:
    before = snapshot()
    shown = run("device", "command", UDID, *arguments, "--data", data)
    assert shown.code == 2
    assert complaint in shown.err
    assert "Traceback" not in shown.err
    assert snapshot() == before


def test_a_command_from_a_file(run: Run, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "command.plist"
    file.write_bytes(plistlib.dumps({"CommandUUID": "mine", "Command": {"RequestType": "Settings", "Settings": []}}))
    sent = run("device", "command", UDID, "--plist", file, "--data", data, "--json").json
    assert sent["request_type"] == "Settings"
    assert sent["uuid"] != "mine"


def test_a_profile_is_checked_before_it_is_sent(run: Run, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "wifi.mobileconfig"
    file.write_bytes(plistlib.dumps({"PayloadType": "com.apple.wifi.managed"}))
    refused = run("device", "command", UDID, "InstallProfile", "--profile", file, "--data", data)
    assert refused.code == 2
    assert "PayloadType: Expected" in refused.err
    assert run("device", "command", UDID, "InstallProfile", "--profile", file, "--as-is", "--data", data).code == 0
    empty = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": "x",
        "PayloadUUID": "X",
        "PayloadContent": [],
    }
    file.write_bytes(plistlib.dumps(empty))
    sent = run("device", "command", UDID, "InstallProfile", "--profile", file, "--data", data)
    assert (sent.code, "PayloadContent: Expected payloads" in sent.err) == (0, True)
    stray = run("device", "command", UDID, "SecurityInfo", "--as-is", "--data", data)
    assert (stray.code, "Expected InstallProfile" in stray.err) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("command", UDID, "EraseDevice", "--serial", "c02bramley"),
        ("command", UDID, "RemoveProfile", "--identifier", "bramley.enrollment", "--serial", "C02BRAMLEY"),
        ("lock", UDID, "--serial", "C02BRAMLEY"),
        ("erase", UDID, "--serial", "C02BRAMLEY"),
    ],
    ids=["erase", "unenroll", "lock", "erase-verb"],
)
def test_what_destroys_must_be_confirmed(run: Run, data: Path, snapshot: Snapshot, arguments: tuple[str, ...]) -> None:
    before = snapshot()
    refused = run("device", *arguments, "--data", data, "--json")
    assert refused.code == 2
    assert "--yes" in refused.err
    assert snapshot() == before
    assert run("device", *arguments, "--yes", "--data", data).code == 0


@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 2), (b"y\n", 0)])
def test_a_person_is_asked(data: Path, answer: bytes, code: int) -> None:
    leader, follower = pty.openpty()
    asking = subprocess.Popen(
        [sys.executable, "-m", "bramley", "device", "erase", UDID, "--serial", "C02BRAMLEY", "--data", data],
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.write(leader, answer)
    _out, err = asking.communicate(timeout=60)
    os.close(follower)
    os.close(leader)
    assert asking.returncode == code
    assert b"erases everything on the device" in err


def test_pushes_are_queued(run: Run, data: Path) -> None:
    assert run("device", "push", UDID, "--data", data, "--json").json == [{"device": UDID, "queued": True, "why_not": ""}]


def test_a_push_to_a_device_that_has_left(run: Run, data: Path, device_gone: None) -> None:
    shown = run("device", "push", UDID, "--data", data)
    assert shown.code == 1
    assert "not possible: it is checked-out" in shown.out


def test_a_link_and_how_to_use_it(run: Run, data: Path) -> None:
    shown = run("enroll", "link", "--uses", "3", "--expires", "2w", "--data", data)
    assert shown.code == 0
    assert shown.out.startswith(f"{URL}/enroll/")
    assert shown.out.count("\n") == 1
    assert f"{URL}/pki/root.cer" in shown.err
    assert "Certificate Trust Settings" in shown.err
    assert "It works only once there is a push certificate" in shown.err


def test_a_link_names_the_root_that_is_in_force(run: Run, data: Path) -> None:
    made = run("enroll", "link", "--data", data, "--json").json
    (root,) = run("certs", "list", "--kind", "root-ca", "--data", data, "--json").json
    assert made["root_ca_sha256"] == root["sha256"]
    assert made["push_certificate"] is False


@pytest.mark.parametrize("arguments", [("--expires", "soon"), ("--uses", "0"), ("--udid", UDID, "--uses", "2")])
def test_a_link_that_cannot_be_meant(run: Run, data: Path, snapshot: Snapshot, arguments: tuple[str, ...]) -> None:
    before = snapshot()
    assert run("enroll", "link", *arguments, "--data", data).code == 2
    assert snapshot() == before


def test_revoking_is_confirmed_and_ends_the_enrollment(run: Run, data: Path, snapshot: Snapshot) -> None:
    before = snapshot()
    asked = run("identity", "revoke", UDID, "--reason", "stolen", "--data", data)
    assert asked.code == 2
    assert "cannot be locked or erased any more" in asked.err
    dry = run("identity", "revoke", UDID, "--reason", "stolen", "--dry-run", "--data", data, "--json").json
    assert snapshot() == before
    done = run("identity", "revoke", UDID, "--reason", "stolen", "--yes", "--data", data, "--json").json
    assert done["revoked"] == dry["revoked"]
    assert run("device", "show", UDID, "--data", data, "--json").json["state"] == "checked-out"
    again = run("identity", "revoke", UDID, "--reason", "stolen", "--yes", "--data", data)
    assert again.code == 2


def test_a_renewal_is_sent(run: Run, data: Path, snapshot: Snapshot) -> None:
    before = snapshot()
    assert run("identity", "renew", UDID, "--dry-run", "--data", data).code == 0
    assert snapshot() == before
    started = run("identity", "renew", UDID, "--data", data, "--json").json
    assert started["request_type"] == "InstallProfile"


def test_suspending_and_resuming(run: Run, data: Path, snapshot: Snapshot) -> None:
    before = snapshot()
    dry = run("identity", "suspend", UDID, "--reason", "lost", "--dry-run", "--data", data, "--json").json
    assert snapshot() == before
    done = run("identity", "suspend", UDID, "--reason", "lost", "--data", data, "--json").json
    assert done == {"dry_run": False, "suspended": dry["suspended"]}
    assert [each["state"] for each in run("identity", "list", "--data", data, "--json").json] == ["suspended"]
    again = run("identity", "suspend", UDID, "--reason", "lost", "--data", data)
    assert (again.code, "it is suspended" in again.err) == (2, True)
    serial = done["suspended"][0]["serial"]
    assert run("identity", "resume", serial, "--data", data).out.startswith(f"resumed: serial {serial}, ")
    assert [each["state"] for each in run("identity", "list", "--data", data, "--json").json] == ["active"]


def test_the_reason_for_others_is_kept(run: Run, data: Path) -> None:
    options = ("--reason", "sold", "--because", "cessationOfOperation", "--yes", "--data", data)
    serial = run("identity", "revoke", UDID, *options, "--json").json["revoked"][0]["serial"]
    (event,) = run("events", "--kind", "certificate:version:revoked", "--data", data, "--json").json
    assert event["detail"] == {"reason": "sold", "revoked_for": "cessationOfOperation"}
    assert run("certs", "show", serial, "--data", data).code == 0


def test_a_device_is_quarantined_and_released(run: Run, data: Path) -> None:
    options = ("--reason", "strange", "--data", data)
    done = run("device", "quarantine", UDID, *options, "--json").json
    assert (done["state"], done["command_uuid"], done["revoked"]) == ("quarantined", None, [])
    assert run("device", "quarantine", UDID, *options).code == 2
    assert run("device", "erase", UDID, "--serial", "C02BRAMLEY", "--yes", "--data", data).code == 0
    asked = run("device", "release", UDID, "--data", data)
    assert (asked.code, "EraseDevice still waits" in asked.err) == (2, True)
    released = run("device", "release", UDID, "--yes", "--data", data, "--json").json
    assert (released["state"], released["waiting"]) == ("active", ["EraseDevice"])


def test_what_quarantine_does_to_a_device_must_be_meant(run: Run, data: Path, tmp_path: Path, snapshot: Snapshot) -> None:
    pin = tmp_path / "pin"
    pin.write_text("907351\n")
    short = tmp_path / "short"
    short.write_text("12\n")
    before = snapshot()
    for arguments, complaint in (
        (("--erase",), "Expected --serial"),
        (("--erase", "--serial", "C02OTHER", "--yes"), "is not that of"),
        (("--erase", "--lock", "--serial", "C02BRAMLEY", "--yes"), "not both"),
        (("--serial", "C02BRAMLEY"), "belong to --erase or --lock"),
        (("--lock", "--serial", "C02BRAMLEY", "--pin-file", short, "--yes"), "six digits"),
        (("--lock", "--serial", "C02BRAMLEY", "--now", "--yes"), "neither locked nor erased"),
        (("--erase", "--serial", "C02BRAMLEY"), "erases everything on the device"),
        (("--now",), "never be locked or erased again"),
    ):
        refused = run("device", "quarantine", UDID, "--reason", "stolen", *arguments, "--data", data)
        assert (refused.code, complaint in refused.err) == (2, True), refused.err
    assert snapshot() == before
    order = ("--lock", "--serial", " c02bramley ", "--pin-file", pin)
    dry = run("device", "quarantine", UDID, "--reason", "stolen", *order, "--dry-run", "--data", data, "--json").json
    assert (dry["dry_run"], snapshot()) == (True, before)
    done = run("device", "quarantine", UDID, "--reason", "stolen", *order, "--yes", "--data", data)
    assert (done.code, "DeviceLock is queued" in done.err) == (0, True)
    shown = run("device", "show", UDID, "--data", data, "--json")
    assert [command["request_type"] for command in shown.json["commands"]] == ["DeviceLock"]
    assert "907351" not in shown.out + run("events", "--data", data, "--json").out


def test_revoking_at_once_is_confirmed(run: Run, data: Path) -> None:
    done = run("device", "quarantine", UDID, "--reason", "key sold", "--now", "--yes", "--data", data, "--json").json
    assert (done["state"], len(done["revoked"])) == ("checked-out", 1)


async def _not_heard_of_for(data: Path, span: timedelta) -> None:
    installation = await open_installation(Settings(data=data), SystemClock(), {})

    def change(tx: Tx) -> None:
        found = tx.enrollments.by_id(EnrollmentID(UDID))
        assert found is not None
        tx.enrollments.update(replace(found, last_seen_at=installation.clock.now() - span))

    await installation.store.run(change)
    await installation.store.close()


def test_who_must_be_rescued(run: Run, data: Path) -> None:
    asked = ("identity", "rescue", "--within", "60w", "--silent", "7d", "--data", data)
    asyncio.run(_not_heard_of_for(data, timedelta(days=6)))
    nobody = run(*asked)
    assert (nobody.code, nobody.out) == (0, "")
    assert "expires within 420 days" in nobody.err
    asyncio.run(_not_heard_of_for(data, timedelta(days=8)))
    (found,) = run(*asked, "--json").json
    assert (found["device_id"], found["expired"], found["way"], found["state"]) == (UDID, False, "over-the-air", "active")
    assert "renews itself if it connects by" in run(*asked).out
    run("device", "quarantine", UDID, "--reason", "strange", "--data", data)
    held = run(*asked)
    assert (held.code, f"`bramley device release {UDID}` ends that" in held.out) == (1, True)


def test_a_renewal_is_shown_with_its_device(run: Run, data: Path) -> None:
    started = run("identity", "renew", UDID, "--data", data, "--json").json
    (listed,) = run("identity", "list", "--data", data, "--json").json
    shown = run("device", "show", UDID, "--data", data, "--json").json
    assert listed["renewal"] == shown["renewal"]
    assert (shown["renewal"]["command_uuid"], shown["renewal"]["state"]) == (started["command_uuid"], "queued")
    for form in (("identity", "list"), ("device", "show", UDID)):
        assert "queued" in run(*form, "--data", data).out
