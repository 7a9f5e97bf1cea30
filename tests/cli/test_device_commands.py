"""`bramley device command`, the verbs for what people have devices do by hand, and what is printed of them."""

from __future__ import annotations

import asyncio
import json
import plistlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bramley.cli import answers
from bramley.cli.output import Output
from bramley.clock import SystemClock
from bramley.mdm.commands import TABLE
from bramley.mdm.records import secret_place
from bramley.model.commands import Command, CommandState, CommandUUID
from bramley.model.enrollments import EnrollmentKey
from bramley.operations.installation import Installation, open_installation
from bramley.settings import Settings
from bramley.storage.protocols import Tx
from tests.cli.kit import UDID, Run
from tests.conftest import NOW

SERIAL = "C02BRAMLEY"


@pytest.fixture
def iphone(data: Path) -> None:
    asyncio.run(_become(data, "iPhone15,2", unlock_token=b"unlock it"))


@pytest.fixture
def mac(data: Path) -> None:
    asyncio.run(_become(data, "Mac14,2"))


async def _become(data: Path, product: str, *, unlock_token: bytes | None = None) -> None:
    installation: Installation = await open_installation(Settings(data=data), SystemClock(), {})

    def change(tx: Tx) -> None:
        found = tx.enrollments.get(EnrollmentKey("0123456789abcdef"))
        assert found is not None
        place = secret_place(found.key, "unlock-token")
        sealed = installation.sealer.seal(unlock_token, place) if unlock_token else None
        tx.enrollments.update(replace(found, product_name=product, os_version="18.1", unlock_token=sealed))

    await installation.store.run(change)
    await installation.store.close()


@pytest.mark.usefixtures("mac")
@pytest.mark.parametrize("verb", ["lock", "erase"])
def test_a_macs_pin_is_told_once_and_again_for_a_reason(run: Run, data: Path, verb: str) -> None:
    meant = (UDID, "--serial", SERIAL, "--yes", "--data", data)
    dry = run("device", verb, *meant, "--dry-run")
    assert (dry.code, "A PIN would be made" in dry.err, "PIN" in dry.out) == (0, True, False)
    pin = run("device", verb, *meant, "--json").json["pin"]
    shown = run("device", verb, *meant)
    told = run("device", "pin", UDID, "--reason", "owner called", "--yes", "--data", data, "--json").json
    assert [each["pin"] for each in told][-1] == pin
    assert told[0]["pin"] in shown.err
    assert f"bramley device pin {UDID} --reason WHY" in shown.err
    assert pin in run("device", "pin", UDID, "--reason", "again", "--yes", "--data", data).out
    (again, first) = run("events", "--kind", "command:pin:read", "--data", data, "--json").json
    assert {again["detail"]["reason"], first["detail"]["reason"]} == {"owner called", "again"}
    for noun in (("events",), ("device", "show", UDID)):
        everything = run(*noun, "--data", data, "--json").out
        assert f'"{pin}"' not in everything
    assert run("device", "pin", UDID, "--reason", "x", "--data", data).code == 2, "it is confirmed"


@pytest.mark.usefixtures("mac")
def test_machines_are_told_what_could_be_queued(run: Run, data: Path, tmp_path: Path) -> None:
    lock = ("device", "lock", UDID, "--serial", SERIAL, "--dry-run", "--json", "--data", data)
    told = {"dry_run": True, "request_type": "DeviceLock", "command": {"RequestType": "DeviceLock"}}
    assert run(*lock).json == told | {"notes": ["A PIN would be made for it."]}
    file = tmp_path / "pin"
    file.write_text("907351\n")
    given = run(*lock, "--pin-file", file)
    assert (given.json["command"]["PIN"], given.json["notes"]) == ("(secret)", [])
    zone = run("device", "command", UDID, "Settings", "--set", "TimeZone=Europe/Berlin", "--dry-run", "--json", "--data", data)
    assert ["Settings[0]: " in each for each in zone.json["notes"]] == [True]
    assert "907351" not in given.out + given.err


@pytest.mark.usefixtures("mac")
def test_a_pin_of_ones_own(run: Run, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "pin"
    file.write_text("907351\n")
    meant = (UDID, "--serial", SERIAL, "--pin-file", file, "--yes", "--data", data)
    dry = run("device", "lock", *meant, "--dry-run")
    assert plistlib.loads(dry.out.encode()) == {"RequestType": "DeviceLock", "PIN": "(secret)"}
    assert "907351" not in run("device", "lock", *meant, "--json").out
    (told,) = run("device", "pin", UDID, "--reason", "x", "--yes", "--data", data, "--json").json
    assert (told["pin"], told["request_type"], told["state"]) == ("907351", "DeviceLock", "queued")
    file.write_text("12\n")
    refused = run("device", "erase", *meant)
    assert (refused.code, "six digits" in refused.err) == (2, True)
    file.unlink()
    missing = run("device", "lock", *meant)
    assert (missing.code, f"The PIN file {file} cannot be read" in missing.err) == (2, True)


@pytest.mark.usefixtures("iphone")
def test_a_passcode_is_cleared_with_a_token_that_nobody_sees(run: Run, data: Path) -> None:
    dry = run("device", "clear-passcode", UDID, "--dry-run", "--data", data)
    sent = run("device", "clear-passcode", UDID, "--data", data, "--json")
    assert (dry.code, sent.code, sent.json["request_type"]) == (0, 0, "ClearPasscode")
    assert "unlock it" not in dry.out + sent.out + run("device", "show", UDID, "--data", data).out


@pytest.mark.usefixtures("mac")
@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (("restart", UDID, "--notify"), {"RequestType": "RestartDevice", "NotifyUser": True}),
        (("shut-down", UDID), {"RequestType": "ShutDownDevice"}),
        (
            ("command", UDID, "Settings", "--set", "DeviceName=Reception", "--set", "Bluetooth:=false"),
            {
                "RequestType": "Settings",
                "Settings": [
                    {"Item": "DeviceName", "DeviceName": "Reception"},
                    {"Item": "Bluetooth", "Enabled": False},
                ],
            },
        ),
        (
            ("lock", UDID, "--serial", SERIAL, "--message", "Lost", "--phone", "+49 30"),
            {"RequestType": "DeviceLock", "Message": "Lost", "PhoneNumber": "+49 30"},
        ),
        (
            ("erase", UDID, "--serial", SERIAL, "--set", "ObliterationBehavior=Always"),
            {"RequestType": "EraseDevice", "ObliterationBehavior": "Always"},
        ),
    ],
)
def test_what_is_sent(run: Run, data: Path, arguments: tuple[str, ...], command: dict[str, Any]) -> None:
    shown = run("device", *arguments, "--dry-run", "--data", data)
    assert (shown.code, plistlib.loads(shown.out.encode())) == (0, command)


@pytest.mark.usefixtures("mac")
def test_an_administrators_password_is_sent_as_its_hash(run: Run, data: Path, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    account = ("--set", 'AutoSetupAdminAccounts:=[{"shortName": "admin"}]')
    options = ("device", "command", UDID, "AccountConfiguration", "--password-file", file, "--data", data)
    shown = plistlib.loads(run(*options, *account, "--dry-run").out.encode())
    assert shown["AutoSetupAdminAccounts"] == [{"shortName": "admin", "passwordHash": "(secret)"}]
    assert run(*options, *account).code == 0
    refused = run(*options)
    assert (refused.code, "Expected an account" in refused.err, "horse" in refused.err) == (2, True, False)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("DeviceLock",), "Expected the device's serial number with DeviceLock"),
        (("EraseDevice",), "Repeat it with --serial"),
        (("DeviceLock", "--serial", "C02OTHER"), "is not that of"),
        (("RemoveProfile", "--identifier", "bramley.enrollment"), "Expected the device's serial number with RemoveProfile"),
        (("RemoveProfile", "--identifier", "bramley.enrollment", "--serial", "C02OTHER"), "is not that of"),
        (("DeviceLock", "--serial", SERIAL, "--set", "PIN=1"), "DeviceLock, PIN: Expected six digits"),
        (("ProfileList", "--set", "ManagedOnly=true"), "ProfileList, ManagedOnly: Expected a value of the type boolean"),
        (("InstallProfile", "--password-file", "/x"), "--password-file belongs to AccountConfiguration"),
        (("RotateFileVaultKey",), "RotateFileVaultKey, KeyType: Expected KeyType"),
        (("ClearPasscode",), "has told no UnlockToken"),
        (("Restart", "--set", "RequestType=EraseDevice"), "Restart, RequestType: Expected the type of the request"),
    ],
)
def test_what_cannot_be_meant(run: Run, data: Path, arguments: tuple[str, ...], complaint: str) -> None:
    refused = run("device", "command", UDID, *arguments, "--yes", "--data", data)
    assert (refused.code, complaint in refused.err) == (2, True), refused.err
    assert run("device", "show", UDID, "--data", data, "--json").json["commands"] == []


@pytest.mark.usefixtures("iphone")
def test_what_is_worth_knowing_is_remarked(run: Run, data: Path) -> None:
    sent = run("device", "command", UDID, "DeviceInformation", "--query", "OSVerison", "--data", data)
    assert (sent.code, "Queries[0]: Expected a name that is known" in sent.err) == (0, True)
    assert "OSVersion is one" in sent.err
    for name, words in (("Nope", "Nope is none. It goes out"), ("RestartDevices", "RestartDevice is one. It goes out")):
        unknown = run("device", "command", UDID, name, "--data", data)
        assert (unknown.code, words in unknown.err) == (0, True)


def test_the_table_explains_itself(run: Run) -> None:
    assert [each["request_type"] for each in run("device", "explain", "--json").json] == list(TABLE)
    assert "EraseDevice" in run("device", "explain").out
    for name in TABLE:
        told = run("device", "explain", name, "--json").json
        assert (told["request_type"], bool(told["receivers"])) == (name, True)
    shown = run("device", "explain", "DeviceLock").out
    assert ("six digits" in shown, "MessageResult" in shown) == (True, True)
    assert run("device", "explain", "Restart").code == 2


def _answered(request_type: str, state: CommandState, **told: Any) -> Command:
    answer = plistlib.dumps({"UDID": UDID, "Status": "Acknowledged", "CommandUUID": "u", **told})
    key = EnrollmentKey("k")
    return Command(CommandUUID("u"), key, request_type, b"", state, NOW, "cli", answered_at=NOW, answer=answer)


CHAIN = [{"ErrorDomain": "MCMDMErrorDomain", "ErrorCode": 12021, "USEnglishDescription": "No\x9b[31m."}]


def test_an_answer_is_shown_with_its_errors_in_words(capfd: pytest.CaptureFixture[str]) -> None:
    failed = _answered("DeviceLock", CommandState.ERROR, Status="Error", ErrorChain=CHAIN)
    answers.show(Output(as_json=False), failed)
    assert answers.failed(failed)
    shown = capfd.readouterr()
    assert shown.out.splitlines() == ["u DeviceLock: error", "  MCMDMErrorDomain 12021: No\ufffd[31m."]
    answers.show(Output(as_json=True), failed)
    assert json.loads(capfd.readouterr().out)["error_chain"][0]["code"] == 12021


def test_a_setting_that_failed_is_a_failure(capfd: pytest.CaptureFixture[str]) -> None:
    items = [{"Status": "Acknowledged"}, {"Status": "Error", "ErrorChain": CHAIN}]
    command = _answered("Settings", CommandState.ACKNOWLEDGED, Settings=items)
    answers.show(Output(as_json=False), command)
    assert capfd.readouterr().out.splitlines()[1:3] == ["  item 1: Acknowledged", "  item 2: Error"]
    assert answers.failed(command)
    assert not answers.failed(_answered("Settings", CommandState.ACKNOWLEDGED, Settings=items[:1]))


def test_what_is_odd_in_an_answer_is_remarked_and_shown(capfd: pytest.CaptureFixture[str]) -> None:
    command = _answered("SecurityInfo", CommandState.ACKNOWLEDGED, SecurityInfo={"FDE_Enabled": "yes", "New": 1})
    answers.show(Output(as_json=False), command)
    shown = capfd.readouterr()
    assert "SecurityInfo.FDE_Enabled: Expected a value of the type boolean" in shown.err
    assert ("New" in shown.out, "yes" in shown.out) == (True, True)
