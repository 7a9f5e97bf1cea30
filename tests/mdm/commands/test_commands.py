"""Requests as Apple's schema wants them, and answers as real devices gave them."""

from __future__ import annotations

import base64
import hashlib
import plistlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from bramley.mdm import plist
from bramley.mdm.commands import (
    TABLE,
    BadCommand,
    CertificateList,
    CertificateListAnswer,
    DeviceInformation,
    DeviceInformationAnswer,
    InstallProfile,
    ProfileList,
    ProfileListAnswer,
    Raw,
    Receiver,
    RemoveProfile,
    Request,
    Rule,
    SecurityInfo,
    System,
    Target,
    build,
    envelope,
    explain,
    read_answer,
    read_raw,
    receivers,
    require,
    settings_answers,
    shown,
    target_of,
)
from bramley.mdm.commands.passwords import is_password_hash, password_hash
from bramley.mdm.errors import BadMessage, BadValue
from bramley.model.commands import CommandUUID
from bramley.pki import certificates

from .kit import HASH

REQUEST_EXAMPLES: list[Request] = [
    CertificateList(),
    CertificateList(managed_only=True),
    DeviceInformation(("UDID", "OSVersion", "SerialNumber")),
    InstallProfile(b"\x30\x82 a signed profile"),
    ProfileList(managed_only=True),
    RemoveProfile("example.orchard.wifi"),
    SecurityInfo(),
    read_raw({"RequestType": "DeviceLock", "PIN": "123456"}),
    build("Settings", {"DeviceName": "Reception", "OrganizationInfo": {"OrganizationName": "Orchard"}}),
    build("AccountConfiguration", {"AutoSetupAdminAccounts": [{"shortName": "admin"}]}, password="correct horse"),
]
UNLOCK: dict[str, Any] = {"KeyType": "personal", "FileVaultUnlock": {"Password": "hunter2"}}


@pytest.mark.parametrize("request_", REQUEST_EXAMPLES, ids=lambda request: request.request_type)
def test_every_request_is_as_the_schema_says(schema: Any, request_: Request) -> None:
    message = plistlib.loads(envelope(CommandUUID("0B0C"), request_))
    assert message["CommandUUID"] == "0B0C"
    assert message["Command"]["RequestType"] == request_.request_type
    assert list(schema.command(message)) == []


@pytest.mark.parametrize(
    ("request_type", "keys", "key", "rule"),
    [
        ("DeviceInformation", {"Queries": []}, "Queries", Rule.COUNT),
        ("DeviceInformation", {}, "Queries", Rule.REQUIRED),
        ("DeviceInformation", {"Queries": ["UDID"], "DeviceAttestationNonce": b"x"}, "DeviceAttestationNonce", Rule.NEEDS),
        (
            "DeviceInformation",
            {"Queries": ["DevicePropertiesAttestation"], "DeviceAttestationNonce": b"x" * 33},
            "DeviceAttestationNonce",
            Rule.COUNT,
        ),
        ("InstallProfile", {"Payload": b""}, "Payload", Rule.COUNT),
        ("InstallProfile", {"Payload": "text"}, "Payload", Rule.TYPE),
        ("RemoveProfile", {"Identifier": ""}, "Identifier", Rule.COUNT),
        ("DeviceLock", {"PIN": "12345"}, "PIN", Rule.FORM),
        ("DeviceLock", {"PIN": "1234567"}, "PIN", Rule.FORM),
        ("EraseDevice", {"PIN": "\u0661" * 6}, "PIN", Rule.FORM),
        ("EraseDevice", {"PIN": 123456}, "PIN", Rule.TYPE),
        ("EraseDevice", {"ObliterationBehavior": "Perhaps"}, "ObliterationBehavior", Rule.ALLOWED_VALUE),
        ("EraseDevice", {"ReturnToService": {}}, "ReturnToService.Enabled", Rule.REQUIRED),
        ("ClearPasscode", {}, "UnlockToken", Rule.REQUIRED),
        ("DeviceConfigured", {"RequestType": "EraseDevice"}, "RequestType", Rule.ALLOWED_VALUE),
        ("Restart", {"RequestType": "EraseDevice"}, "RequestType", Rule.ALLOWED_VALUE),
        ("RestartDevice", {"KextPaths": ["/x"]}, "KextPaths", Rule.NEEDS),
        ("EnableLostMode", {"Footnote": "x"}, "Message", Rule.NEEDS),
        ("RotateFileVaultKey", {**UNLOCK, "KeyType": "institutional"}, "NewCertificate", Rule.NEEDS),
        ("RotateFileVaultKey", {**UNLOCK, "FileVaultUnlock": {"PrivateKeyExport": b"x"}}, "FileVaultUnlock", Rule.NEEDS),
        ("Settings", {"Settings": [{"DeviceName": "x"}]}, "Settings[0].Item", Rule.REQUIRED),
        ("Settings", {"Settings": [{"Item": "DeviceName", "DeviceName": 5}]}, "Settings[0].DeviceName", Rule.TYPE),
        ("AccountConfiguration", {"SkipPrimarySetupAccountCreation": True}, "AutoSetupAdminAccounts", Rule.NEEDS),
        (
            "AccountConfiguration",
            {"AutoSetupAdminAccounts": [{"shortName": "a", "passwordHash": b"hunter2"}]},
            "AutoSetupAdminAccounts[0].passwordHash",
            Rule.PASSWORD_HASH,
        ),
    ],
)
def test_a_command_that_breaks_a_rule_is_not_made(request_type: str, keys: dict[str, Any], key: str, rule: Rule) -> None:
    with pytest.raises(BadCommand) as refused:
        envelope(CommandUUID("u"), Raw(request_type, {"RequestType": request_type, **keys}))
    assert (refused.value.key, refused.value.rule) == (key, rule)
    assert request_type in refused.value.message
    assert "hunter2" not in str(refused.value)


MAC, PHONE, TV = Target(System.MACOS, (15, 1)), Target(System.IOS, (18, 1)), Target(System.TVOS)


@pytest.mark.parametrize(
    ("request_type", "receiver", "rule"),
    [
        ("RotateFileVaultKey", Receiver(PHONE), Rule.OFFERED),
        ("ShutDownDevice", Receiver(TV), Rule.OFFERED),
        ("RestartDevice", Receiver(Target(System.MACOS, (10, 12))), Rule.OFFERED),
        ("EraseDevice", Receiver(PHONE, user_enrollment=True), Rule.USER_ENROLLMENT),
        ("EraseDevice", Receiver(user_enrollment=True), Rule.USER_ENROLLMENT),
        ("DeviceLock", Receiver(user_enrollment=True), None),
        ("EraseDevice", Receiver(user_channel=True), Rule.CHANNEL),
        ("CertificateList", Receiver(PHONE, user_channel=True), Rule.CHANNEL),
        ("DeviceLock", Receiver(PHONE, user_enrollment=True), None),
        ("CertificateList", Receiver(MAC, user_channel=True), None),
        ("RestartDevice", Receiver(Target(System.MACOS)), None),
        ("EraseDevice", Receiver(), None),
    ],
)
def test_a_command_is_for_who_takes_it(request_type: str, receiver: Receiver, rule: Rule | None) -> None:
    request = Raw(request_type, {"RequestType": request_type, **(UNLOCK if request_type == "RotateFileVaultKey" else {})})
    if rule is None:
        assert require(request, receiver) == ()
        return
    with pytest.raises(BadCommand) as refused:
        require(request, receiver)
    assert (refused.value.key, refused.value.rule) == ("", rule)


@pytest.mark.parametrize(
    ("request_", "receiver", "path", "rule", "words"),
    [
        (DeviceInformation(("OSVerison",)), Receiver(), "Queries[0]", Rule.ALLOWED_VALUE, "OSVersion is one"),
        (DeviceInformation(("HasBattery",)), Receiver(PHONE), "Queries[0]", Rule.OFFERED, "iOS has it in no version"),
        (DeviceInformation(("UDID",)), Receiver(PHONE, user_enrollment=True), "Queries[0]", Rule.USER_ENROLLMENT, "forbids"),
        (build("DeviceLock", {"Massage": "x"}), Receiver(), "Massage", Rule.KNOWN_KEY, "Message is one"),
        (build("DeviceLock", {"PIN": "123456"}), Receiver(PHONE), "PIN", Rule.OFFERED, "iOS has it in no version"),
        (build("ShutDownDevice", {}), Receiver(PHONE), "", Rule.SUPERVISED, "supervised"),
        (build("Settings", {"Bluetooth": True}), Receiver(PHONE), "Settings[0]", Rule.SUPERVISED, "supervised"),
        (build("Settings", {"Blutooth": True}), Receiver(), "Settings[0].Item", Rule.ALLOWED_VALUE, "Bluetooth is one"),
    ],
)
def test_what_is_worth_knowing_is_told(request_: Request, receiver: Receiver, path: str, rule: Rule, words: str) -> None:
    (said,) = require(request_, receiver)
    assert (said.path, said.rule, words in said.words) == (path, rule, True)


def test_an_unknown_request_type_is_not_looked_at() -> None:
    assert require(Raw("Restart", {"RequestType": "Restart", "Any": 1}), Receiver(PHONE)) == ()


@pytest.mark.parametrize(
    ("product", "version", "target"),
    [
        ("iPhone15,2", "18.1", PHONE),
        ("iPad13,18", "18", Target(System.IOS, (18,))),
        ("MacBookPro18,3", "15.1", MAC),
        ("iMac21,1", "beta", Target(System.MACOS)),
        ("AppleTV14,1", None, TV),
        ("Watch6,1", "11.0", Target(System.WATCHOS, (11, 0))),
        ("RealityDevice14,1", "2.0", Target(System.VISIONOS, (2, 0))),
        ("Toaster1,1", "1.0", None),
        (None, None, None),
    ],
)
def test_what_a_product_runs(product: str | None, version: str | None, target: Target | None) -> None:
    assert target_of(product, version) == target


class TestRaw:
    def test_a_command_alone_or_in_its_envelope_is_the_same(self) -> None:
        command: dict[str, Any] = {"RequestType": "Settings", "Settings": [{"Item": "Bluetooth", "Enabled": True}]}
        forms: list[dict[str, Any]] = [command, {"Command": command}, {"CommandUUID": "theirs", "Command": command}]
        for given in forms:
            for form in (given, plist.dumps(given)):
                raw = read_raw(form)
                assert (raw.request_type, raw.to_plist()) == ("Settings", command)
        assert plistlib.loads(envelope(CommandUUID("ours"), raw))["CommandUUID"] == "ours"

    @pytest.mark.parametrize("given", [{}, {"RequestType": 5}, {"RequestType": ""}, {"Command": []}, {"Command": {}}])
    def test_without_a_request_type_it_is_none(self, given: dict[str, Any]) -> None:
        for form in (given, plistlib.dumps(given)):
            with pytest.raises(BadMessage, match="RequestType"):
                read_raw(form)

    def test_other_property_lists_are_refused(self) -> None:
        for given in (plistlib.dumps(["RequestType"]), b"text"):
            with pytest.raises(BadMessage):
                read_raw(given)

    def test_its_content_is_not_shown(self) -> None:
        assert "123456" not in repr(read_raw({"RequestType": "DeviceLock", "PIN": "123456"}))


class TestBuild:
    def test_settings_go_by_their_names(self) -> None:
        given = {
            "DeviceName": "Reception",
            "Bluetooth": False,
            "MDMOptions": {"ActivationLockAllowedWhileSupervised": True},
            "OrganizationInfo": {"OrganizationInfo": {"OrganizationName": "Orchard"}},
            "Wallpaper": {"Image": "AAEC", "Where": 1},
        }
        assert build("Settings", given).to_plist()["Settings"] == [
            {"Item": "DeviceName", "DeviceName": "Reception"},
            {"Item": "Bluetooth", "Enabled": False},
            {"Item": "MDMOptions", "MDMOptions": {"ActivationLockAllowedWhileSupervised": True}},
            {"Item": "OrganizationInfo", "OrganizationInfo": {"OrganizationName": "Orchard"}},
            {"Item": "Wallpaper", "Image": b"\x00\x01\x02", "Where": 1},
        ]
        whole: list[Any] = [{"Item": "TimeZone", "TimeZone": "Europe/Berlin"}]
        assert build("Settings", {"Settings": whole}).to_plist()["Settings"] == whole

    def test_data_is_read_by_the_table(self) -> None:
        service: dict[str, Any] = {"Enabled": True, "MDMProfileData": base64.b64encode(b"profile").decode()}
        assert build("EraseDevice", {"ReturnToService": service}).to_plist()["ReturnToService"] == {
            "Enabled": True,
            "MDMProfileData": b"profile",
        }
        with pytest.raises(BadCommand, match="base64") as refused:
            build("EraseDevice", {"ReturnToService": {**service, "MDMProfileData": "hunter2"}})
        assert refused.value.key == "ReturnToService.MDMProfileData"
        assert "hunter2" not in str(refused.value)

    def test_what_is_nested_too_deep_is_refused(self) -> None:
        deep: Any = {}
        for _ in range(900):
            deep = {"a": deep}
        for request_type in ("Settings", "Restart"):
            with pytest.raises(BadValue, match="64 deep"):
                build(request_type, deep)

    def test_a_password_becomes_the_hash_of_the_first_account(self) -> None:
        accounts = [{"shortName": "admin"}, {"shortName": "other"}]
        request = build("AccountConfiguration", {"AutoSetupAdminAccounts": accounts}, password="correct horse")
        command: Any = request.to_plist()
        first, second = command["AutoSetupAdminAccounts"]
        assert second == {"shortName": "other"}
        (hashed,) = plistlib.loads(first["passwordHash"]).values()
        kdf = PBKDF2HMAC(hashes.SHA512(), len(hashed["entropy"]), hashed["salt"], hashed["iterations"])
        kdf.verify(b"correct horse", hashed["entropy"])
        assert (len(hashed["entropy"]), len(hashed["salt"])) == (128, 32)
        assert hashed["iterations"] >= 100_000, "a stolen hash must be costly to try"
        assert first["passwordHash"] != password_hash("correct horse"), "the salt is fresh"

    @pytest.mark.parametrize("request_type", ["AccountConfiguration", "DeviceLock"])
    def test_a_password_without_an_account_is_refused(self, request_type: str) -> None:
        with pytest.raises(BadValue, match="account") as refused:
            build(request_type, {}, password="hunter2")
        assert "hunter2" not in str(refused.value)

    @pytest.mark.parametrize("password", ["", "x" * 1025])
    def test_a_password_that_nobody_types(self, password: str) -> None:
        with pytest.raises(BadValue, match="1 to 1024"):
            password_hash(password)

    @pytest.mark.parametrize(
        ("value", "right"),
        [
            (HASH, True),
            (plistlib.dumps(plistlib.loads(HASH), fmt=plistlib.FMT_BINARY), True),
            (b"", False),
            (hashlib.sha512(b"x").digest(), False),
            (plist.dumps({"SALTED-SHA512": b"x"}), False),
            (plist.dumps({"SALTED-SHA512-PBKDF2": {"entropy": b"x", "salt": b"", "iterations": 1}}), False),
            (plist.dumps({"SALTED-SHA512-PBKDF2": {"entropy": b"x", "salt": b"x", "iterations": True}}), False),
        ],
    )
    def test_what_is_a_password_hash(self, value: bytes, right: bool) -> None:
        assert is_password_hash(value) is right


def test_secrets_are_not_shown() -> None:
    secrets: dict[str, dict[str, Any]] = {
        "DeviceLock": {"PIN": "hunter2"},
        "ClearPasscode": {"UnlockToken": b"hunter2"},
        "InstallProfile": {"Payload": b"hunter2"},
        "EraseDevice": {"PIN": "hunter2", "ReturnToService": {"Enabled": True, "MDMProfileData": b"hunter2"}},
        "RotateFileVaultKey": {"FileVaultUnlock": {"Password": "hunter2", "PrivateKeyExportPassword": "hunter2"}},
        "AccountConfiguration": {"AutoSetupAdminAccounts": [{"shortName": "a", "passwordHash": b"hunter2"}]},
    }
    for request_type, keys in secrets.items():
        request = Raw(request_type, {"RequestType": request_type, "Message": "kept", **keys})
        assert "hunter2" not in str(shown(request)) + repr(request)
        assert shown(request)["Message"] == "kept"


def test_the_table_is_told_in_words() -> None:
    rows = {row.path: row for row in explain(TABLE["Settings"].keys)}
    assert rows["Settings[DeviceName].DeviceName"].kind == "string, required"
    assert "iOS supervised" in rows["Settings[DeviceName]"].systems
    assert "six digits, made up, for a Mac; secret" in next(
        r.values for r in explain(TABLE["DeviceLock"].keys) if r.path == "PIN"
    )
    assert any("AccessRight 8 (erase)" in words for words in receivers(TABLE["EraseDevice"]))


class TestAnswers:
    def test_a_mac_lists_its_certificates(self, vectors: Path) -> None:
        answer = CertificateListAnswer.read((vectors / "messages/CertificateList/10.11.x.xml").read_bytes())
        first = answer.certificates[0]
        assert (first.common_name, first.is_identity) == ("com.apple.systemdefault", True)
        assert "com.apple.systemdefault" in certificates.load(first.der).subject.rfc4514_string()

    def test_an_ipad_lists_its_profiles(self, vectors: Path) -> None:
        raw = (vectors / "messages/ProfileList/iOS-11.3.1.xml").read_bytes()
        expected = plistlib.loads(raw)["ProfileList"]
        answer = ProfileListAnswer.read(raw)
        assert [(p.identifier, p.uuid) for p in answer.profiles] == [
            (item["PayloadIdentifier"], item["PayloadUUID"]) for item in expected
        ]
        assert answer.profiles[0].payload_uuids == ()

    def test_devices_tell_about_themselves(self, vectors: Path) -> None:
        information = DeviceInformationAnswer.read((vectors / "messages/DeviceInformation/iOS-11.3.1.xml").read_bytes())
        assert isinstance(information.responses["AvailableDeviceCapacity"], float)
        security = read_answer("SecurityInfo", (vectors / "messages/SecurityInfo/macOS-10.13.1.xml").read_bytes())
        assert security.content["SecurityInfo"]["FDE_Enabled"] is False  # type: ignore[call-overload, index]

    @pytest.mark.parametrize(
        ("read", "keys", "named"),
        [
            (CertificateListAnswer, {}, "CertificateList: "),
            (CertificateListAnswer, {"CertificateList": {"CommonName": "x"}}, "CertificateList: "),
            (CertificateListAnswer, {"CertificateList": ["x"]}, r"CertificateList\[0\]: "),
            (
                CertificateListAnswer,
                {"CertificateList": [{"CommonName": "x", "IsIdentity": 1, "Data": b""}]},
                r"CertificateList\[0\].IsIdentity: ",
            ),
            (
                CertificateListAnswer,
                {"CertificateList": [{"CommonName": "x", "IsIdentity": True, "Data": "text"}]},
                r"CertificateList\[0\].Data: ",
            ),
            (
                CertificateListAnswer,
                {"CertificateList": [{"IsIdentity": True, "Data": b""}]},
                r"CertificateList\[0\].CommonName: ",
            ),
            (ProfileListAnswer, {"ProfileList": [{"PayloadIdentifier": "x"}]}, r"ProfileList\[0\].PayloadUUID: "),
            (DeviceInformationAnswer, {"QueryResponses": []}, "QueryResponses: "),
        ],
    )
    def test_half_an_answer_is_not_taken_for_a_whole_one(self, read: Any, keys: dict[str, Any], named: str) -> None:
        with pytest.raises(BadMessage, match=named):
            read.read(plistlib.dumps({"Status": "Acknowledged", **keys}))

    def test_what_is_odd_beside_that_is_kept_and_told(self) -> None:
        odd = {"PayloadIdentifier": "x", "PayloadUUID": "y", "IsEncrypted": 1, "SignerCertificates": "none", "New": {"a": [1]}}
        raw = plistlib.dumps({"Status": "Acknowledged", "ProfileList": [odd], "Newer": datetime(2026, 1, 1)})
        (profile,) = ProfileListAnswer.read(raw).profiles
        assert (profile.identifier, profile.signers) == ("x", ())
        told = read_answer("ProfileList", raw)
        assert told.content == {"ProfileList": [odd], "Newer": datetime(2026, 1, 1, tzinfo=UTC)}
        assert {each.path: each.rule for each in told.findings} == {
            "Newer": Rule.KNOWN_KEY,
            "ProfileList[0].IsEncrypted": Rule.TYPE,
            "ProfileList[0].New": Rule.KNOWN_KEY,
            "ProfileList[0].SignerCertificates": Rule.TYPE,
        }

    def test_one_that_failed_owes_nothing(self) -> None:
        assert read_answer("CertificateList", plistlib.dumps({"Status": "Error", "ErrorChain": []})).findings == ()

    def test_an_answer_to_a_command_that_nobody_knows(self) -> None:
        told = read_answer("Restart", plistlib.dumps({"Status": "Acknowledged", "UDID": "u", "Any": 1}))
        assert (told.content, told.findings) == ({"Any": 1}, ())

    def test_each_setting_has_its_answer(self) -> None:
        chain = [{"ErrorDomain": "D", "ErrorCode": 5, "USEnglishDescription": "No."}]
        items: list[Any] = [{"Status": "Acknowledged"}, {"Status": "Error", "ErrorChain": chain}]
        told = read_answer("Settings", plistlib.dumps({"Status": "Acknowledged", "Settings": items}))
        assert told.findings == ()
        done, failed = settings_answers(told.content)
        assert (done.status, done.errors, failed.status) == ("Acknowledged", (), "Error")
        assert [(each.domain, each.code, each.description) for each in failed.errors] == [("D", 5, "No.")]
        alone = read_answer("Settings", plistlib.dumps({"Status": "Acknowledged", "Settings": items[1]}))
        assert (alone.findings, settings_answers(alone.content)) == ((), (failed,))
