"""Requests as Apple's schema wants them, and answers as real devices gave them."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bramley.mdm import commands, plist
from bramley.mdm.commands import (
    ANSWERS,
    REQUESTS,
    CertificateList,
    CertificateListAnswer,
    DeviceInformation,
    DeviceInformationAnswer,
    InstallProfile,
    ProfileList,
    ProfileListAnswer,
    RemoveProfile,
    Request,
    SecurityInfo,
    SecurityInfoAnswer,
    envelope,
    read_raw,
)
from bramley.mdm.errors import BadMessage, BadValue
from bramley.model.commands import CommandUUID
from bramley.pki import certificates

REQUEST_EXAMPLES: list[Request] = [
    CertificateList(),
    CertificateList(managed_only=True),
    DeviceInformation(("UDID", "OSVersion", "SerialNumber")),
    InstallProfile(b"\x30\x82 a signed profile"),
    ProfileList(managed_only=True),
    RemoveProfile("example.orchard.wifi"),
    SecurityInfo(),
    read_raw({"RequestType": "DeviceLock", "PIN": "123456"}),
]


@pytest.fixture(scope="session")
def schema(apple_schema: Callable[..., Any]) -> Any:
    """Apple's own schema of commands."""
    return apple_schema()


@pytest.mark.parametrize("request_", REQUEST_EXAMPLES, ids=lambda request: request.request_type)
def test_every_request_is_as_the_schema_says(schema: Any, request_: Request) -> None:
    message = plistlib.loads(envelope(CommandUUID("0B0C"), request_))
    assert message["CommandUUID"] == "0B0C"
    assert message["Command"]["RequestType"] == request_.request_type
    assert list(schema.command(message)) == []


def test_the_registries_are_keyed_by_their_own_request_type() -> None:
    examples = {request.request_type: type(request) for request in REQUEST_EXAMPLES if type(request) is not commands.Raw}
    assert examples == dict(REQUESTS)
    assert ANSWERS.keys() <= REQUESTS.keys()
    with pytest.raises(TypeError):
        REQUESTS["EraseDevice"] = SecurityInfo  # type: ignore[index]


def test_asking_for_nothing_is_refused() -> None:
    with pytest.raises(BadValue):
        DeviceInformation(())


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
        security = SecurityInfoAnswer.read((vectors / "messages/SecurityInfo/macOS-10.13.1.xml").read_bytes())
        assert security.info["FDE_Enabled"] is False

    @pytest.mark.parametrize(
        ("request_type", "keys"),
        [
            ("CertificateList", {}),
            ("CertificateList", {"CertificateList": {"CommonName": "x"}}),
            ("CertificateList", {"CertificateList": ["x"]}),
            ("CertificateList", {"CertificateList": [{"CommonName": "x", "IsIdentity": 1, "Data": b""}]}),
            ("CertificateList", {"CertificateList": [{"CommonName": "x", "IsIdentity": True, "Data": "text"}]}),
            ("CertificateList", {"CertificateList": [{"IsIdentity": True, "Data": b""}]}),
            ("ProfileList", {"ProfileList": [{"PayloadIdentifier": "x"}]}),
            ("DeviceInformation", {"QueryResponses": []}),
            ("SecurityInfo", {}),
        ],
    )
    def test_half_an_answer_is_not_taken_for_a_whole_one(self, request_type: str, keys: dict[str, Any]) -> None:
        with pytest.raises(BadMessage):
            ANSWERS[request_type].read(plistlib.dumps({"Status": "Acknowledged", **keys}))
