"""Lines of an export, and folders of NanoMDM: what is understood, and which field a bad one is bad in."""

from __future__ import annotations

import json
import plistlib
from base64 import b64encode
from typing import Any

import pytest

from bramley.operations.former_lines import FormerEnrollment, Problem, read_folders, read_lines

UDID = "E4B06CE6-0741-47A8-BCE4-2C8218072E8C"
TOKEN, MAGIC = b"\x01" * 32, "push-magic-secret"
FLAT: dict[str, Any] = {
    "udid": UDID,
    "serial_number": "C02",
    "device_name": "Jo's Mac",
    "model": "Mac14,2",
    "product_name": "Mac14,2",
    "os_version": "14.7",
    "build_version": "23H1",
    "topic": "com.apple.mgmt.x",
    "push_token": b64encode(TOKEN).decode(),
    "push_magic": MAGIC,
    "unlock_token": "dW5sb2Nr\nLXNlY3JldA==\n",
    "bootstrap_token": b64encode(b"bootstrap-secret").decode(),
    "certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}
AUTHENTICATE = plistlib.dumps(
    {
        "MessageType": "Authenticate", "UDID": UDID, "Topic": "com.apple.mgmt.x", "SerialNumber": "C02",
        "DeviceName": "Jo's Mac", "Model": "Mac14,2", "ProductName": "Mac14,2", "OSVersion": "14.7", "BuildVersion": "23H1",
    }
)  # fmt: skip


def token_update(**rest: Any) -> bytes:
    said = {
        "MessageType": "TokenUpdate", "UDID": UDID, "Topic": "com.apple.mgmt.x", "Token": TOKEN, "PushMagic": MAGIC,
        "UnlockToken": b"unlock-secret", **rest,
    }  # fmt: skip
    return plistlib.dumps({key: value for key, value in said.items() if value is not None})


def read(*lines: dict[str, Any] | str) -> list[FormerEnrollment | Problem]:
    data = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return list(read_lines(data.encode(), "devices.jsonl"))


def only(line: dict[str, Any] | str) -> FormerEnrollment:
    (found,) = read(line)
    assert isinstance(found, FormerEnrollment), found
    return found


def test_a_line_of_fields() -> None:
    found = only(FLAT)
    assert (found.sender.device, found.sender.is_user_enrollment, found.is_channel) == (UDID, False, False)
    assert (found.topic, found.push_token, found.push_magic) == ("com.apple.mgmt.x", TOKEN, MAGIC)
    assert (found.unlock_token, found.bootstrap_token) == (b"unlock-secret", b"bootstrap-secret")
    about = ("serial_number", "device_name", "model", "product_name", "os_version", "build_version")
    assert found.about == {name: FLAT[name] for name in about}
    assert found.certificate == FLAT["certificate"].encode()
    shown = repr(found)
    assert not any(secret in shown for secret in ("secret", "bootstrap", "\\x01"))


def test_the_same_in_messages_as_a_database_or_a_folder_keeps_them() -> None:
    row = {
        "authenticate": AUTHENTICATE.decode(),
        "token_update": token_update(UnlockToken=None).decode(),
        **{name: FLAT[name] for name in ("certificate", "bootstrap_token", "unlock_token")},
        "serial_number": None,
    }
    assert only(row) == only(FLAT)
    files = {
        "Authenticate.plist": AUTHENTICATE,
        "TokenUpdate.plist": token_update(),
        "Identity.pem": FLAT["certificate"].encode(),
        "BootstrapToken.dat": b"bootstrap-secret",
    }
    gone = {**files, "Disabled": b""}
    (found,) = read_folders({UDID: files, "another": gone})
    assert isinstance(found, FormerEnrollment)
    assert found == FormerEnrollment(
        **{name: getattr(only(FLAT), name) for name in found.__slots__} | {"where": f"folder {UDID}"}
    )


def test_channels_and_user_enrollments() -> None:
    user = {"UserID": "U-1", "UserShortName": "jo", "UserLongName": "Jo Appleseed", "UnlockToken": None}
    channel = only({"token_update": token_update(**user).decode()})
    assert (channel.is_channel, channel.sender.enrollment_id, channel.certificate) == (True, f"{UDID}:U-1", None)
    assert channel.about == {"user_short_name": "jo", "user_long_name": "Jo Appleseed"}
    flat = {name: FLAT[name] for name in ("udid", "topic", "push_token", "push_magic")}
    named = only(flat | {"user_id": "U-1", "user_short_name": "jo", "user_long_name": "Jo Appleseed"})
    assert named == channel
    ue = only({**FLAT, "udid": None, "enrollment_id": "EID"})
    assert (ue.sender.device, ue.sender.is_user_enrollment) == ("EID", True)


def test_der_and_hexadecimal_and_empty_lines() -> None:
    der = {**FLAT, "certificate": b64encode(b"0DER").decode(), "push_token": None, "push_token_hex": TOKEN.hex()}
    found, again = read("", der, "  ", FLAT)
    assert isinstance(found, FormerEnrollment)
    assert isinstance(again, FormerEnrollment)
    assert (found.certificate, found.push_token) == (b"0DER", TOKEN)
    assert (found.where, again.where) == ("devices.jsonl, line 2", "devices.jsonl, line 4")


OTHER = AUTHENTICATE.replace(UDID.encode(), b"ANOTHER")
BAD: dict[str, tuple[dict[str, Any] | str, str, str]] = {
    "no JSON": ("{", "", "JSON object on one line"),
    "deep": ("[" * 100_000, "", "JSON object on one line"),
    "a list": ("[]", "", "a list came"),
    "a typo": ({**FLAT, "serial": "C02"}, "'serial'", "Fields are authenticate, "),
    "nobody": ({**FLAT, "udid": None}, "udid", "neither came"),
    "two names": ({**FLAT, "enrollment_id": "X"}, "udid", "both came"),
    "a number": ({**FLAT, "udid": 5}, "udid", "a int came"),
    "a colon": ({**FLAT, "udid": "a:b"}, "udid", "without a colon"),
    "no topic": ({**FLAT, "topic": ""}, "topic", "missing"),
    "topic": ({**FLAT, "topic": ["x"]}, "topic", "Expected a text"),
    "no token": ({**FLAT, "push_token": None}, "push_token", "missing"),
    "token": ({**FLAT, "push_token": "!"}, "push_token", "base64"),
    "two tokens": ({**FLAT, "push_token_hex": "00"}, "push_token_hex", "both came"),
    "hexadecimal": ({**FLAT, "push_token": None, "push_token_hex": "0g"}, "push_token_hex", "hexadecimal"),
    "no magic": ({**FLAT, "push_magic": None}, "push_magic", "missing"),
    "long": ({**FLAT, "device_name": "x" * 256}, "device_name", "at most 255"),
    "unlock": ({**FLAT, "unlock_token": 7}, "unlock_token", "base64"),
    "huge": ({**FLAT, "bootstrap_token": "A" * 100_000}, "bootstrap_token", "at most"),
    "no certificate": ({**FLAT, "certificate": None}, "certificate", "enroll the device again"),
    "certificate": ({**FLAT, "certificate": "secret?"}, "certificate", "base64"),
    "of a channel": ({**FLAT, "user_id": "U"}, "certificate", "A user's channel has none"),
    "no plist": ({**FLAT, "authenticate": "<plist>"}, "authenticate", ""),
    "no text": ({**FLAT, "token_update": 5}, "token_update", "a int came"),
    "surrogate": ({**FLAT, "token_update": "\ud800"}, "token_update", "no text"),
    "another message": ({**FLAT, "authenticate": token_update().decode()}, "authenticate", "TokenUpdate came"),
    "of two": ({"authenticate": OTHER.decode(), "token_update": token_update().decode()}, "token_update", "another device"),
    "not the named": ({**FLAT, "authenticate": OTHER.decode()}, "udid", "another one"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_named_with_its_field(case: str) -> None:
    line, field, words = BAD[case]
    good, bad = read(FLAT, line)
    assert isinstance(good, FormerEnrollment)
    assert isinstance(bad, Problem)
    assert (bad.where, bad.field) == ("devices.jsonl, line 2", field)
    assert words in f"{bad.message} {bad.advice}"
    assert "secret" not in str(bad)
