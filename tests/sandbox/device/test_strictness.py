"""What a device does not take: held to Apple's schema, and never crashed by what a server sends."""

from __future__ import annotations

import plistlib
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from bramley.mdm.commands import TABLE
from bramley.pki import names
from bramley.pki.ca import profiles
from bramley.pki.ca.authority import self_signed
from bramley.sandbox.clock import ShiftedClock
from bramley.sandbox.device import SimulatedDevice, UserAccount
from bramley.sandbox.device.commands import QUERIES, Knowledge, is_for
from bramley.sandbox.device.condition import Condition
from bramley.sandbox.device.execution import Outcome, execute
from bramley.sandbox.device.filevault import FileVault
from bramley.sandbox.device.forms import FORMS, Form
from bramley.sandbox.device.holdings import Holdings
from bramley.sandbox.device.identity import DeviceIdentity
from bramley.sandbox.device.orders import ORDERS
from bramley.sandbox.device.profile import Profile, open_profile
from bramley.sandbox.device.transport import Transport
from bramley.sandbox.errors import BadProfile
from tests.sandbox.tiny_server import TinyServer

NOW: Final = datetime.now(UTC)
TYPES: Final = {str: "<string>", bytes: "<data>", bool: "<boolean>", int: "<integer>", list: "<array>", dict: "<dictionary>"}
CARRIED_OUT: Final = (*QUERIES, *ORDERS, "InstallProfile", "RemoveProfile", "RotateFileVaultKey")
JO = UserAccount("11111111-2222-4333-8444-555555555555", "jo", "Jo Appleseed")
MAC, PHONE, OWN, JOS = {"mac": True}, {"mac": False}, {"user_enrollment": True}, {"user_channel": True}


def a_device(*, mac: bool = True, user_enrollment: bool = False, user_channel: bool = False) -> Knowledge:
    chance = random.Random(1)
    condition = Condition(unlock_token=b"unlock")
    device = DeviceIdentity.make(chance, mac=mac)
    return Knowledge(device, [], [], [], user_enrollment, FileVault(chance), condition, user_channel=user_channel)


def opened(data: bytes) -> Profile:
    return open_profile(data, anchors=[], now=NOW, allow_unsigned=True)


async def told(known: Knowledge, request_type: str, **keys: Any) -> Outcome:
    """What a device that holds nothing says to a command."""
    clock = ShiftedClock()

    async def renew(_profile: Profile) -> None:
        raise AssertionError("there is nothing to renew")

    transport = Transport((), clock)
    try:
        return await execute(
            {"RequestType": request_type, **keys},
            holdings=Holdings(transport, clock, for_user=known.user_channel),
            knowledge=known,
            renew=renew,
            open_with=opened,
        )
    finally:
        await transport.close()


def payload(payload_type: str, **keys: Any) -> dict[str, Any]:
    return {"PayloadType": payload_type, "PayloadUUID": "B", "PayloadIdentifier": "o.b", "PayloadVersion": 1, **keys}


def profile(*payloads: Any, **keys: Any) -> bytes:
    common = {"PayloadIdentifier": "o.a", "PayloadUUID": "A", "PayloadType": "Configuration", "PayloadVersion": 1}
    content = {**common, "PayloadContent": list(payloads), **keys}
    return plistlib.dumps({key: value for key, value in content.items() if value is not None})


@pytest.fixture(scope="module")
def certificate() -> bytes:
    made = self_signed(profiles.FILEVAULT_ESCROW, rsa.generate_private_key(65537, 2048), names.make("x"), now=NOW)
    return made.public_bytes(Encoding.DER)


def escrow(certificate: bytes, **keys: Any) -> list[dict[str, Any]]:
    return [
        payload("com.apple.security.pkcs1", PayloadContent=certificate),
        payload(
            "com.apple.security.FDERecoveryKeyEscrow",
            **{"PayloadUUID": "C", "EncryptCertPayloadUUID": "B", "Location": "x", **keys},
        ),
    ]


class TestForms:
    @pytest.mark.parametrize("request_type", FORMS)
    def test_they_are_apples(self, request_type: str, schema: Callable[..., Any]) -> None:
        def same(keys: Any, listed: list[dict[str, Any]]) -> None:
            assert {key: (TYPES[form.kind], form.required) for key, form in keys.items()} == {
                each["key"]: (each["type"], each["presence"] == "required") for each in listed
            }
            for each in listed:
                form: Form = keys[each["key"]]
                if form.kind is list:
                    assert form.items is not None
                    assert [TYPES[form.items]] == [item["type"] for item in each["subkeys"]]
                elif form.kind is dict:
                    same(form.keys, each["subkeys"])

        same(FORMS[request_type], schema().find("mdm/commands", "requesttype", request_type)["payloadkeys"])

    @pytest.mark.parametrize("request_type", CARRIED_OUT)
    @pytest.mark.parametrize(("device", "system"), [(MAC, "macOS"), (PHONE, "iOS")])
    def test_users_take_what_apple_says(
        self, request_type: str, device: dict[str, bool], system: str, schema: Callable[..., Any]
    ) -> None:
        supported = schema().find("mdm/commands", "requesttype", request_type)["payload"]["supportedOS"][system]
        assert is_for(request_type, a_device(**device, **JOS)) == supported.get("userchannel", False)
        assert is_for(request_type, a_device(**device))

    @pytest.mark.parametrize(
        ("request_type", "keys"),
        [
            ("ProfileList", {"ManagedOnly": "yes"}),
            ("CertificateList", {"ManagedOnly": 1}),
            ("DeviceInformation", {"Queries": [["x"]]}),
            ("DeviceInformation", {"Queries": ["UDID"], "DeviceAttestationNonce": "x"}),
            ("InstallProfile", {}),
            ("RemoveProfile", {"Identifier": b"x"}),
            ("EraseDevice", {"ReturnToService": "x"}),
            ("EraseDevice", {"ReturnToService": {}}),
            ("EraseDevice", {"PreserveDataPlan": "no"}),
            ("RotateFileVaultKey", {"KeyType": "personal"}),
            ("RotateFileVaultKey", {"KeyType": "personal", "FileVaultUnlock": {"Password": 1}}),
            (5, {}),
        ],
    )
    async def test_another_form_is_an_error_of_its_own(self, request_type: Any, keys: dict[str, Any]) -> None:
        outcome = await told(a_device(mac=False), request_type, **keys)
        assert (outcome.status, outcome.after) == ("CommandFormatError", None)

    @pytest.mark.parametrize("request_type", TABLE)
    @pytest.mark.parametrize("device", [MAC, PHONE, MAC | OWN, MAC | JOS, PHONE | OWN])
    async def test_no_command_without_keys_crashes_it(self, request_type: str, device: dict[str, bool]) -> None:
        outcome = await told(a_device(**device), request_type)
        assert outcome.status in {"Acknowledged", "Error", "CommandFormatError"}
        assert ("ErrorChain" in outcome.result) == (outcome.status == "Error")


class TestWhoTakesIt:
    async def test_no_recovery_key_is_made_under_user_enrollment(self, certificate: bytes) -> None:
        known = a_device(user_enrollment=True)
        before = known.filevault.recovery_key
        keys = {"KeyType": "personal", "FileVaultUnlock": {"Password": before}, "ReplyEncryptionCertificate": certificate}
        assert ((await told(known, "RotateFileVaultKey", **keys)).status, known.filevault.recovery_key) == ("Error", before)
        assert (await told(a_device(), "RotateFileVaultKey", **keys)).status == "Acknowledged"

    @pytest.mark.parametrize("mac", [True, False])
    async def test_what_user_enrollment_keeps_private_is_not_told(self, mac: bool, apple_schema: Callable[..., Any]) -> None:
        outcome = await told(a_device(mac=mac, user_enrollment=True), "SecurityInfo")
        checker = apple_schema("macOS" if mac else "iOS", True)
        assert list(checker.result("SecurityInfo", {"Status": "Acknowledged", **outcome.result})) == []

    async def test_a_user_cannot_erase_the_device(self, device_for: Callable[..., SimulatedDevice], server: TinyServer) -> None:
        device = device_for(users=(JO,))
        await device.enroll(f"{server.url}/enroll")
        for request_type in ("EraseDevice", "DeviceLock", "ProfileList"):
            server.send(request_type)
        await device.connect(JO)
        assert [each.status for each in device.history] == ["Error", "Error", "Acknowledged"]
        assert (device.enrolled, device.wiped, device.locked) == (True, False, False)

    @pytest.mark.parametrize(
        ("device", "status"), [(MAC, "Acknowledged"), (PHONE, "Error"), (MAC | OWN, "Error"), (MAC | JOS, "Error")]
    )
    async def test_recovery_keys_are_escrowed_by_macs_alone(
        self, certificate: bytes, device: dict[str, bool], status: str
    ) -> None:
        outcome = await told(a_device(**device), "InstallProfile", Payload=profile(*escrow(certificate)))
        assert outcome.status == status

    async def test_an_erased_disk_has_another_key(self, device: SimulatedDevice, server: TinyServer) -> None:
        before = device.filevault.recovery_key
        server.send("EraseDevice")
        await device.connect()
        assert (device.wiped, device.filevault.recovery_key == before) == (True, False)


class TestProfiles:
    @pytest.mark.parametrize(
        "data",
        [
            plistlib.dumps(["x"]),
            profile(PayloadIdentifier=5),
            profile(PayloadUUID=None),
            profile(PayloadVersion="1"),
            profile(PayloadType="com.apple.mdm"),
            profile(PayloadContent={"x": 1}),
            profile("x"),
            profile({"PayloadType": "com.apple.wifi.managed"}),
            profile(payload("com.apple.x", PayloadVersion=True)),
            profile(payload("com.apple.x"), payload("com.apple.y")),
            profile(payload("com.apple.security.root", PayloadContent="x")),
            profile(payload("com.apple.security.root", PayloadContent=b"x")),
            profile(payload("com.apple.security.pem")),
            profile({"PayloadType": "com.apple.security.pkcs12", "PayloadContent": b"x"}),
            profile(payload("com.apple.security.pkcs12", PayloadContent="x")),
            profile(payload("com.apple.security.scep", PayloadContent="x")),
            profile(payload("com.apple.security.scep", PayloadContent={"URL": 5})),
            profile(payload("com.apple.security.scep", PayloadContent={"URL": "x", "Subject": [5]})),
            profile(payload("com.apple.security.scep", PayloadContent={"URL": "x", "Subject": [[["CN", 5]]]})),
            profile(payload("com.apple.mdm", Topic="x")),
            profile(
                payload(
                    "com.apple.mdm", IdentityCertificateUUID="B", Topic="x", ServerURL="x", ServerCapabilities=[["x"]]
                )
            ),
            profile(payload("com.apple.wifi.managed", PayloadCertificateUUID="ABSENT")),
            profile(payload("com.apple.wifi.managed", PayloadCertificateUUID=5)),
            profile(payload("com.apple.wifi.managed", EAPClientConfiguration={"PayloadCertificateAnchorUUID": ["ABSENT"]})),
            profile(*escrow(b"x")),
        ],
    )  # fmt: skip
    def test_what_it_does_not_open(self, data: bytes) -> None:
        with pytest.raises(BadProfile):
            opened(data)

    @pytest.mark.parametrize("keys", [{}, {"IsEncrypted": False}, {"IsEncrypted": True, "PayloadContent": []}])
    def test_an_encrypted_one_says_so_and_has_nothing_in_clear(self, keys: dict[str, Any]) -> None:
        with pytest.raises(BadProfile, match="with IsEncrypted, and no payloads in clear"):
            opened(profile(**{"PayloadContent": None, "EncryptedPayloadContent": b"x", **keys}))

    @pytest.mark.parametrize("uuid", ["ABSENT", "C", [], None])
    def test_an_escrow_payload_names_a_certificate(self, certificate: bytes, uuid: Any) -> None:
        payloads = escrow(certificate)
        if uuid is None:
            del payloads[1]["EncryptCertPayloadUUID"]
        else:
            payloads[1]["EncryptCertPayloadUUID"] = uuid
        with pytest.raises(BadProfile):
            opened(profile(*payloads))
        assert len(opened(profile(*escrow(certificate))).payloads) == 2

    def test_what_names_a_payload_that_is_there_is_opened(self, certificate: bytes) -> None:
        wifi = payload("com.apple.wifi.managed", PayloadUUID="C", EAPClientConfiguration={"PayloadCertificateAnchorUUID": ["B"]})
        assert len(opened(profile(payload("com.apple.security.root", PayloadContent=certificate), wifi)).anchors) == 1
