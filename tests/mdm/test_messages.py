"""Check-in messages and reports: what real devices sent reads as it should, and what lacks a deciding key does not read."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bramley.mdm import messages
from bramley.mdm.errors import BadMessage
from bramley.mdm.messages import parse_checkin
from bramley.mdm.report import ErrorItem, Report, Status, parse_report
from bramley.mdm.sender import Sender
from bramley.model.enrollments import EnrollmentID

UDID = "E3568F17-92ED-450A-8904-C3BF4CB7E9A5"


def body(**keys: Any) -> bytes:
    return plistlib.dumps(keys)


def test_a_mac_authenticates(vectors: Path) -> None:
    message = parse_checkin((vectors / "messages/Authenticate/10.12.2.xml").read_bytes())
    assert message == messages.Authenticate(
        Sender(EnrollmentID(UDID), is_user_enrollment=False),
        topic="com.apple.mgmt.commandment.dev",
        serial_number="000000000000",
        device_name="commandment",
        model="iMac17,1",
        product_name="iMac17,1",
        os_version="10.12.2",
        build_version="16C67",
    )


def test_an_ipad_authenticates_and_checks_out(vectors: Path) -> None:
    authenticate = parse_checkin((vectors / "messages/Authenticate/IOS-11.3.1.xml").read_bytes())
    assert isinstance(authenticate, messages.Authenticate)
    assert (authenticate.product_name, authenticate.device_name) == ("iPad4,1", None)
    check_out = parse_checkin((vectors / "messages/CheckOut/iOS-11.3.1.xml").read_bytes())
    assert check_out == messages.CheckOut(authenticate.sender)


def test_a_device_and_its_user_update_their_tokens(vectors: Path) -> None:
    device = parse_checkin((vectors / "messages/TokenUpdate/10.12.2.xml").read_bytes())
    user = parse_checkin((vectors / "messages/TokenUpdate/10.12.2-user.xml").read_bytes())
    assert isinstance(device, messages.TokenUpdate)
    assert isinstance(user, messages.TokenUpdate)
    assert device.sender.enrollment_id == UDID
    assert user.sender.enrollment_id == f"{UDID}:A522C2FB-D0BA-487E-BBC6-BE0DB2DC7883"
    assert (user.user_short_name, user.user_long_name) == ("cjoe", "Commando Joe")
    assert device.token == b"00201052-A2D0-403D-B857-72F913F5BCCE\n"
    assert device.push_magic == "B81B1FEC-09C6-4EC2-871C-E521EC971B38"
    assert device.unlock_token is None


def test_every_recorded_report_reads(vectors: Path) -> None:
    kinds = {"CertificateList", "ProfileList", "DeviceInformation", "SecurityInfo", "NotNow", "Errors"}
    paths = [path for path in sorted((vectors / "messages").glob("*/*")) if path.parent.name in kinds]
    assert {path.parent.name for path in paths} == kinds
    for path in paths:
        raw = path.read_bytes()
        report = parse_report(raw)
        assert report.raw is raw
        assert report.status == plistlib.loads(raw)["Status"]
        assert report.command_uuid == plistlib.loads(raw)["CommandUUID"]


def test_an_error_keeps_its_chain(vectors: Path) -> None:
    report = parse_report((vectors / "messages/Errors/10.13.6-invalid-command.xml").read_bytes())
    assert report.status is Status.ERROR
    assert report.error_chain == (ErrorItem("MCMDMErrorDomain", 12021, "Unknown command: ShutdownDevice <MDMClientError:91>"),)


def test_an_odd_error_chain_does_not_stop_the_report() -> None:
    report = parse_report(body(UDID=UDID, Status="Error", CommandUUID="1", ErrorChain=["x", {"ErrorCode": "y"}]))
    assert report.error_chain == (ErrorItem("", 0, ""),)
    assert parse_report(body(UDID=UDID, Status="Error", CommandUUID="1", ErrorChain="broken")).error_chain == ()


def test_idle_needs_no_command_and_is_small(vectors: Path) -> None:
    raw = (vectors / "mdm-signature/idle.body.plist").read_bytes()
    sender = Sender(EnrollmentID("D4D56083-BFB0-5047-8BDF-2727BACDC59B"), is_user_enrollment=False)
    assert parse_report(raw) == Report(sender, Status.IDLE, None, (), raw)


def test_a_user_enrollment_goes_by_its_enrollment_id() -> None:
    message = parse_checkin(body(MessageType="CheckOut", EnrollmentID="e-1", EnrollmentUserID="u-1"))
    assert message.sender == Sender(EnrollmentID("e-1"), is_user_enrollment=True, user="u-1")
    assert message.sender.enrollment_id == "e-1:u-1"


def test_on_a_shared_ipad_the_short_name_is_the_user() -> None:
    shared = {"UDID": UDID, "UserID": "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"}
    report = parse_report(body(**shared, Status="Idle", UserShortName="jo@orchard.example"))
    assert report.sender.user == "jo@orchard.example"
    with pytest.raises(BadMessage, match="UserShortName"):
        parse_report(body(**shared, Status="Idle"))


@pytest.mark.parametrize(
    "sender",
    [
        {},
        {"UDID": UDID, "EnrollmentID": "e-1"},
        {"UDID": 5},
        {"UDID": ""},
        {"UDID": "a:b"},
        {"UDID": "a\nb"},
        {"UDID": "a" * 256},
        {"UDID": UDID, "UserID": b"bytes"},
        {"UDID": UDID, "UserID": ""},
        {"UDID": UDID, "UserID": "one", "EnrollmentUserID": "two"},
    ],
)
def test_a_message_names_exactly_one_sender(sender: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        parse_report(body(**sender, Status="Idle"))
    with pytest.raises(BadMessage):
        parse_checkin(body(**sender, MessageType="CheckOut"))


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        ("MessageType", {"MessageType": 1}),
        ("Topic", {"MessageType": "Authenticate"}),
        ("Topic", {"MessageType": "TokenUpdate", "Token": b"t", "PushMagic": "m"}),
        ("Token", {"MessageType": "TokenUpdate", "Topic": "t", "PushMagic": "m"}),
        ("Token", {"MessageType": "TokenUpdate", "Topic": "t", "PushMagic": "m", "Token": "text"}),
        ("PushMagic", {"MessageType": "TokenUpdate", "Topic": "t", "Token": b"t"}),
        ("UnlockToken", {"MessageType": "TokenUpdate", "Topic": "t", "Token": b"t", "PushMagic": "m", "UnlockToken": "x"}),
        ("BootstrapToken", {"MessageType": "SetBootstrapToken", "BootstrapToken": "text"}),
        ("TokenServiceType", {"MessageType": "GetToken"}),
        ("Endpoint", {"MessageType": "DeclarativeManagement"}),
    ],
)
def test_a_deciding_key_that_is_missing_or_of_another_type_is_named(key: str, keys: dict[str, Any]) -> None:
    with pytest.raises(BadMessage, match=key):
        parse_checkin(body(UDID=UDID, **keys))


@pytest.mark.parametrize(
    "keys",
    [{}, {"Status": "Odd", "CommandUUID": "1"}, {"Status": "Acknowledged"}, {"Status": "NotNow", "CommandUUID": "1" * 200}],
)
def test_a_report_without_status_or_command_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        parse_report(body(UDID=UDID, **keys))


def test_descriptions_of_another_type_are_not_worth_refusing_a_device() -> None:
    message = parse_checkin(body(UDID=UDID, MessageType="Authenticate", Topic="t", SerialNumber=7, DeviceName=""))
    assert isinstance(message, messages.Authenticate)
    assert (message.serial_number, message.device_name) == (None, None)


def test_only_devices_authenticate() -> None:
    with pytest.raises(BadMessage, match="names a user"):
        parse_checkin(body(UDID=UDID, UserID="u", MessageType="Authenticate", Topic="t"))


def test_an_empty_bootstrap_token_is_none() -> None:
    for keys in ({}, {"BootstrapToken": b""}):
        message = parse_checkin(body(UDID=UDID, MessageType="SetBootstrapToken", **keys))
        assert isinstance(message, messages.SetBootstrapToken)
        assert message.token is None


def test_an_unknown_type_is_kept_as_it_came() -> None:
    raw = body(UDID=UDID, MessageType="ReturnToService", Extra=[1])
    message = parse_checkin(raw)
    assert isinstance(message, messages.Unknown)
    assert (message.message_type, message.raw) == ("ReturnToService", raw)


def test_other_property_lists_and_large_ones_are_no_messages() -> None:
    with pytest.raises(BadMessage, match="dictionary"):
        parse_checkin(plistlib.dumps(["MessageType"]))
    with pytest.raises(BadMessage, match="at most"):
        parse_checkin(body(UDID=UDID, MessageType="CheckOut", Pad="x" * messages.MAX_CHECKIN_BYTES))


def test_secrets_are_not_shown() -> None:
    keys = {"Topic": "t", "Token": b"XYZZY", "PushMagic": "XYZZY", "UnlockToken": b"XYZZY"}
    token = parse_checkin(body(UDID=UDID, MessageType="TokenUpdate", **keys))
    bootstrap = parse_checkin(body(UDID=UDID, MessageType="SetBootstrapToken", BootstrapToken=b"XYZZY"))
    report = parse_report(body(UDID=UDID, Status="Acknowledged", CommandUUID="1", Secret="XYZZY"))
    assert "XYZZY" not in f"{token!r} {bootstrap!r} {report!r}"


DECIDING = (
    "UDID EnrollmentID UserID MessageType Topic Token PushMagic UnlockToken BootstrapToken Endpoint Status CommandUUID ErrorChain"
)
TYPES = (
    "Authenticate TokenUpdate CheckOut SetBootstrapToken GetBootstrapToken GetToken UserAuthenticate DeclarativeManagement Idle"
)
VALUES: st.SearchStrategy[Any] = (
    st.sampled_from(TYPES.split())
    | st.text("ab:-", max_size=5)
    | st.binary(max_size=5)
    | st.integers(-1, 1)
    | st.booleans()
    | st.just([])
    | st.just([{"ErrorCode": 1}])
    | st.just({})
)


@given(st.dictionaries(st.sampled_from(DECIDING.split()), VALUES))
def test_every_dictionary_is_a_message_with_a_sender_or_refused(keys: dict[str, Any]) -> None:
    for read in (parse_checkin, parse_report):
        try:
            message = read(body(**keys))
        except BadMessage:
            continue
        assert message.sender.device
