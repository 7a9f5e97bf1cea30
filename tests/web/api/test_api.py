"""The operators' API: who gets in, what is shown, and how mistakes are told."""

from __future__ import annotations

import base64
import plistlib
from typing import Any

import msgspec
import pytest

from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.operations import devices, records
from bramley.pki import certificates
from bramley.storage.protocols import Tx
from tests import recovery_keys
from tests.web.world import Device, World

API = "/api/v1"


async def get(world: World, path: str, status: int = 200) -> Any:
    answer = await world.http.get(API + path, headers=world.as_admin)
    assert answer.status_code == status, answer.text
    return answer.json()


async def post(world: World, path: str, body: object, status: int = 201) -> Any:
    answer = await world.http.post(API + path, json=body, headers=world.as_admin)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic YTpi", "bramley_x"])
async def test_without_a_known_token_nobody_gets_in(world: World, header: str | None) -> None:
    answer = await world.http.get(API + "/devices", headers={} if header is None else {"Authorization": header})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]


async def test_a_wrong_token_becomes_an_event_without_the_token(world: World) -> None:
    await world.http.get(API + "/devices", headers={"Authorization": "Bearer bramley_wrong"})

    (event,) = await world.events(EventKind.ADMIN_REFUSED)
    assert "bramley_wrong" not in str(event.detail)


async def test_devices_are_listed_found_and_shown(world: World, device: Device) -> None:
    await device.enroll()

    page = await get(world, "/devices?search=C02TEST&state=active")
    shown = await get(world, f"/devices/{device.udid}")

    assert [each["udid"] for each in page["items"]] == [device.udid]
    assert page["next"] is None
    assert shown["device"]["state"] == "active"
    assert shown["device"]["has_push_token"] is True
    assert [identity["state"] for identity in shown["identities"]] == ["active"]
    assert shown == await get(world, f"/devices/{shown['device']['key']}")


async def test_a_long_list_comes_in_pages(world: World, device: Device) -> None:
    udids = [f"00008030-00000000000000{number:02}" for number in range(3)]
    for udid in udids:
        await Device(world, device.key, udid).enroll()
    found, after = [], ""
    while True:
        page = await get(world, f"/devices?limit=2{after}")
        found += [each["udid"] for each in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"

    assert sorted(found) == udids


async def test_no_secret_is_in_any_answer(world: World, device: Device) -> None:
    await device.enroll()
    await device.check_in("SetBootstrapToken", BootstrapToken=b"bootstrap")
    await post(
        world, f"/devices/{device.udid}/commands", {"request_type": "InstallProfile", "payload": "c2VjcmV0", "as_is": True}
    )
    enrollment = (await devices.show(world.installation, device.udid)).enrollment
    secrets = [enrollment.push_token, enrollment.bootstrap_token, b"bootstrap", b"secret"]
    forms = ["magic", *(base64.b64encode(secret or b"").decode() for secret in secrets)]

    for path in (f"/devices/{device.udid}", "/devices", f"/devices/{device.udid}/commands", "/events?limit=1000"):
        text = str(await get(world, path))

        assert not [form for form in forms if form in text]


async def test_a_command_goes_out_and_its_answer_comes_back_as_json(world: World, device: Device) -> None:
    await device.enroll()

    sent = await post(world, f"/devices/{device.udid}/commands", {"request_type": "DeviceInformation", "queries": ["OSVersion"]})
    handed = plistlib.loads((await device.report("Idle")).content)
    await device.report("Acknowledged", CommandUUID=handed["CommandUUID"], QueryResponses={"OSVersion": "15.1", "Blob": b"\x00"})
    shown = await get(world, f"/devices/{device.udid}/commands/{sent['uuid']}")

    assert handed["Command"] == {"RequestType": "DeviceInformation", "Queries": ["OSVersion"]}
    assert sent["created_by"] == "admin:first"
    assert shown["command"]["state"] == "acknowledged"
    assert shown["answer"]["QueryResponses"] == {"OSVersion": "15.1", "Blob": "AA=="}
    assert [each["uuid"] for each in await get(world, f"/devices/{device.udid}/commands")] == [sent["uuid"]]


@pytest.mark.parametrize("wrap", [lambda text: text.decode(), lambda text: base64.b64encode(text).decode()])
async def test_any_command_can_be_sent_as_a_plist(world: World, device: Device, wrap: Any) -> None:
    await device.enroll()
    plist = plistlib.dumps({"Command": {"RequestType": "ListUsers"}})

    await post(world, f"/devices/{device.udid}/commands", {"plist": wrap(plist)})

    handed = plistlib.loads((await device.report("Idle")).content)
    assert handed["Command"] == {"RequestType": "ListUsers"}


async def a_mac(world: World, device: Device) -> None:
    """Enrolls it, and asks it what it is."""
    await device.enroll()
    asked = {"request_type": "DeviceInformation", "queries": ["ProductName", "DeviceName"]}
    await post(world, f"/devices/{device.udid}/commands", asked)
    handed = plistlib.loads((await device.report("Idle")).content)
    told = {"ProductName": "Mac14,2", "DeviceName": "Orchard"}
    await device.report("Acknowledged", CommandUUID=handed["CommandUUID"], QueryResponses=told)
    assert (await get(world, f"/devices/{device.udid}"))["device"]["device_name"] == "Orchard"


@pytest.mark.parametrize("request_type", ["DeviceLock", "EraseDevice"])
async def test_what_destroys_is_meant_and_its_pin_is_told_once(world: World, device: Device, request_type: str) -> None:
    await a_mac(world, device)
    path, keys = f"/devices/{device.udid}/commands", {"request_type": request_type}
    raw = plistlib.dumps({"RequestType": request_type}).decode()
    for body in (keys, {"plist": raw}, {**keys, "serial_number": "C02OTHER"}):
        assert "serial number" in (await post(world, path, body, 400))["error"]
    assert (await device.report("Idle")).content == b""

    sent = await post(world, path, {**keys, "serial_number": "c02test"})

    handed = plistlib.loads((await device.report("Idle")).content)["Command"]
    assert handed == {"RequestType": request_type, "PIN": sent["pin"]}
    assert sent["pin"].isdigit()
    for shown in (path, f"{path}/{sent['uuid']}", "/events?limit=1000", f"/devices/{device.udid}"):
        assert sent["pin"] not in {str(value) for value in _leaves(await get(world, shown))}


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [leaf for each in inner for leaf in _leaves(each)]
    return [value]


async def test_keys_go_by_apples_names(world: World, device: Device) -> None:
    await a_mac(world, device)
    path = f"/devices/{device.udid}/commands"
    account = {"AutoSetupAdminAccounts": [{"shortName": "admin"}]}

    sent = await post(world, path, {"request_type": "Settings", "keys": {"DeviceName": "Reception", "TimeZone": "Europe/Berlin"}})
    await post(world, path, {"request_type": "AccountConfiguration", "keys": account, "password": "hunter2"})

    handed = plistlib.loads((await device.report("Idle")).content)
    assert handed["Command"]["Settings"] == [
        {"Item": "DeviceName", "DeviceName": "Reception"},
        {"Item": "TimeZone", "TimeZone": "Europe/Berlin"},
    ]
    assert (sent["pin"], ["Settings[1]" in each for each in sent["notes"]]) == (None, [True])
    handed = plistlib.loads((await device.report("Acknowledged", CommandUUID=sent["uuid"])).content)
    assert b"hunter2" not in handed["Command"]["AutoSetupAdminAccounts"][0]["passwordHash"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"request_type": "EraseEverything"},
        {"request_type": "DeviceInformation"},
        {"request_type": "DeviceInformation", "queries": []},
        {"request_type": "SecurityInfo", "queries": ["OSVersion"]},
        {"request_type": "InstallProfile", "payload": "***"},
        {"request_type": "InstallProfile", "payload": "c2VjcmV0"},
        {"request_type": "SecurityInfo", "as_is": True},
        {"request_type": "Settings", "keys": {"Settings": [{"Item": "DeviceName"}]}},
        {"request_type": "DeviceLock", "keys": {"PIN": "1"}, "serial_number": "C02TEST"},
        {"request_type": "DeviceLock", "keys": {"PIN": None}, "serial_number": "C02TEST"},
        {"request_type": "SecurityInfo", "keys": {"New": None}},
        {"request_type": "SecurityInfo", "keys": {"RequestType": "EraseDevice"}},
        {"request_type": "SecurityInfo", "password": "x"},
        {"plist": "<plist><dict/></plist>", "keys": {}},
        {"request_type": "SecurityInfo", "plist": "<plist/>"},
        {"plist": "<plist><dict/></plist>"},
        {"plist": "not base64"},
        {"plist": "<plist><dict/></plist>", "identifier": "x"},
        {"request_typ": "SecurityInfo"},
        ["SecurityInfo"],
    ],
)
async def test_a_command_that_makes_no_sense_is_400_with_the_reason(world: World, device: Device, body: object) -> None:
    await device.enroll()

    told = await post(world, f"/devices/{device.udid}/commands", body, 400)

    assert told["error"]
    assert (await device.report("Idle")).content == b""


async def test_a_push_says_what_was_queued_and_why_not(world: World, device: Device) -> None:
    await device.enroll()
    other = Device(world, device.key, "00008030-000000000000002E")
    await other.get_identity()
    await other.authenticate()

    told = await post(world, "/push", {"devices": [device.udid, other.udid]}, 202)

    assert [each["queued"] for each in told] == [True, False]
    assert told[1]["why_not"]


async def test_an_unknown_device_is_404_with_advice(world: World) -> None:
    for told in (
        await get(world, "/devices/none", 404),
        await get(world, "/events?device=none", 404),
        await post(world, "/push", {"devices": ["none"]}, 404),
    ):
        assert "none" in told["error"]
        assert told["advice"]


async def test_certificates_are_listed_by_kind_state_and_end(world: World, device: Device) -> None:
    await device.enroll()
    assert device.certificate is not None

    everything = (await get(world, "/certificates"))["items"]
    identities = (await get(world, "/certificates?kind=device-identity&state=active&state=issued"))["items"]
    soon = (await get(world, "/certificates?expires_before=2027-11-20T00:00:00Z"))["items"]

    assert {each["kind"] for each in everything} >= {"root-ca", "https", "push", "device-identity"}
    assert [each["device_id"] for each in identities] == [device.udid]
    assert identities[0]["version"]["sha256"] == certificates.sha256(device.certificate)
    assert {each["kind"] for each in soon} == {"push"}


@pytest.mark.parametrize(("route", "weakness"), [("scep", ""), ("pkcs12", "weaker: the key travelled")])
async def test_an_identity_whose_key_travelled_is_marked_wherever_it_is_shown(
    world: World, device: Device, route: str, weakness: str
) -> None:
    await device.enroll()

    def come(tx: Tx) -> None:
        (row,) = tx.lineages.certificates(kind=Kind.DEVICE_IDENTITY)
        records.reroute(tx, row.lineage.id, route)

    await world.installation.store.run(come)
    (certificate,) = (await get(world, "/certificates?kind=device-identity"))["items"]
    (identity,) = (await get(world, "/identities"))["items"]
    shown = await get(world, f"/devices/{device.udid}")
    alone = (await get(world, f"/certificates/{identity['serial']}"))["certificate"]

    for each in (certificate, identity, alone):
        assert (each["route"], each["weakness"]) == (route, weakness)
    assert (shown["identity_route"], shown["identity_weakness"]) == (route, weakness)


async def test_one_certificate_is_found_by_id_serial_and_digest(world: World) -> None:
    ((item,), _next) = (await get(world, "/certificates?kind=https")).values()
    version = item["version"]

    shown = [await get(world, f"/certificates/{version[name]}") for name in ("id", "serial", "sha256")]

    assert shown[0] == shown[1] == shown[2]
    assert shown[0]["issuer"]["subject"].startswith("CN=Bramley HTTPS CA")
    assert shown[0]["due_at"]
    await get(world, "/certificates/0123", 404)


async def test_a_date_without_an_offset_is_400(world: World) -> None:
    told = await get(world, "/certificates?expires_before=2027-11-20T00:00:00", 400)

    assert "offset" in told["error"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "state=expired"])
async def test_parameters_out_of_range_are_400(world: World, query: str) -> None:
    for path in ("/devices", "/certificates"):
        await get(world, f"{path}?{query}", 400)


async def test_an_identity_is_renewed_and_revoked(world: World, device: Device) -> None:
    await device.enroll()

    renewal = await post(world, f"/devices/{device.udid}/identity/renew", None, 202)
    assert renewal["request_type"] == "InstallProfile"
    for reason in ("", "a\x00b", "x" * 501):
        await post(world, f"/devices/{device.udid}/identity/revoke", {"reason": reason}, 400)
    revoked = await post(world, f"/devices/{device.udid}/identity/revoke", {"reason": "stolen"}, 200)
    assert [(each["state"], each["reason"]) for each in revoked] == [("revoked", "stolen")]

    assert (await device.report("Idle")).status_code == 400
    await post(world, f"/devices/{device.udid}/identity/revoke", {"reason": "again"}, 409)


async def test_a_link_made_here_enrolls_a_device(world: World, device: Device) -> None:
    link = await post(world, "/links", {"label": "front desk", "uses": 1, "expires_in_hours": 2})

    await device.enroll(link["url"])

    assert link["expires_at"] == "2026-11-24T14:00:00Z"
    assert (await get(world, f"/devices/{device.udid}"))["device"]["state"] == "active"


@pytest.mark.parametrize("body", [{"uses": 0}, {"uses": 2, "udid": "X"}, {"expires_in_hours": 0}, {"use": 1}])
async def test_a_link_that_makes_no_sense_is_400(world: World, body: object) -> None:
    await post(world, "/links", body, 400)


async def test_events_are_found_by_kind_device_and_certificate(world: World, device: Device) -> None:
    await device.enroll()
    shown = await get(world, f"/devices/{device.udid}")

    by_kind = await get(world, "/events?kind=enrollment:device:activated")
    by_device = await get(world, f"/events?device={device.udid}")
    by_certificate = await get(world, f"/events?certificate={shown['identities'][0]['id']}")

    assert [each["device_key"] for each in by_kind] == [shown["device"]["key"]]
    assert {each["kind"] for each in by_device} >= {"enrollment:device:authenticated", "certificate:version:issued"}
    assert {each["kind"] for each in by_certificate} >= {"certificate:version:issued", "certificate:version:activated"}
    assert {each["version_id"] for each in by_certificate} == {shown["identities"][0]["id"]}


async def test_the_schema_describes_every_route_and_is_open_to_all(world: World) -> None:
    answer = await world.http.get(API + "/openapi.json")
    schema = msgspec.json.decode(answer.content)

    assert schema["openapi"].startswith("3.1")
    assert set(schema["paths"]) == {
        f"{API}/{path}"
        for path in (
            "devices",
            "devices/{device}",
            "devices/{device}/profiles",
            "devices/{device}/tags",
            "profiles",
            "profiles/{profile}",
            "profiles/{profile}/assign",
            "profiles/{profile}/unassign",
            "devices/{device}/commands",
            "devices/{device}/commands/{uuid}",
            "devices/{device}/identity/renew",
            "devices/{device}/identity/revoke",
            "devices/{device}/identity/suspend",
            "devices/{device}/identity/resume",
            "devices/{device}/quarantine",
            "devices/{device}/release",
            "devices/{device}/escrow/enable",
            "devices/{device}/escrow/fetch",
            "devices/{device}/escrow/rotate",
            "devices/{device}/escrow/reveal",
            "devices/{device}/pins",
            "devices/{device}/network/renew",
            "devices/{device}/network/revoke",
            "escrow",
            "network/templates",
            "network/templates/{template}",
            "network/assignments",
            "network/assignments/unassign",
            "network/certificates/{name}/revoke",
            "identities",
            "identities/rescue",
            "push",
            "push/certificates",
            "push/certificates/rollback",
            "push/requests",
            "push/requests/sign",
            "push/vendor/sign",
            "push/mdmcert",
            "push/mdmcert/answer",
            "push/resume",
            "push/account",
            "push/rescue",
            "push/waves",
            "push/waves/{wave}",
            "push/waves/{wave}/stop",
            "push/waves/{wave}/resume",
            "certificates",
            "certificates/{name}",
            "authorities",
            "scep/requests",
            "scep/requests/{scep_request}/approve",
            "scep/requests/{scep_request}/deny",
            "links",
            "events",
        )
    }


async def test_what_the_api_does_not_have_is_404_and_405(world: World) -> None:
    await get(world, "/nothing", 404)
    assert (await world.http.delete(API + "/devices", headers=world.as_admin)).status_code == 405


async def test_trouble_with_the_database_is_503(world: World) -> None:
    await world.installation.store.close()

    answer = await world.http.get(API + "/devices", headers=world.as_admin)

    assert answer.status_code == 503
    assert "retry-after" in answer.headers


async def test_an_identity_is_suspended_resumed_and_revoked(world: World, device: Device) -> None:
    await device.enroll()
    identity = f"/devices/{device.udid}/identity"

    (suspended,) = await post(world, f"{identity}/suspend", {"reason": "lost"}, 200)
    assert (suspended["state"], (await device.report("Idle")).status_code) == ("suspended", 400)
    resumed = await post(world, f"{identity}/resume", {}, 200)
    assert (resumed["state"], (await device.report("Idle")).status_code) == ("active", 200)
    await post(world, f"{identity}/resume", {}, 409)
    (revoked,) = await post(world, f"{identity}/revoke", {"reason": "sold", "because": "cessationOfOperation"}, 200)
    assert (revoked["state"], (await device.report("Idle")).status_code) == ("revoked", 400)
    version = await world.installation.store.read(lambda tx: tx.lineages.by_sha256(revoked["sha256"]))
    assert version is not None
    assert version.revoked_for == "cessationOfOperation"


async def test_a_device_is_quarantined_erased_and_released(world: World, device: Device) -> None:
    await device.enroll()
    await post(world, f"/devices/{device.udid}/commands", {"request_type": "SecurityInfo"})
    path = f"/devices/{device.udid}/quarantine"
    for body in (
        {},
        {"reason": "stolen", "measure": "EraseDevice", "serial_number": "C02OTHER"},
        {"reason": "stolen", "measure": "EraseDevice"},
        {"reason": "stolen", "measure": "Restart", "serial_number": "C02TEST"},
        {"reason": "stolen", "serial_number": "C02TEST"},
        {"reason": "stolen", "measure": "EraseDevice", "serial_number": "C02TEST", "pin": "12"},
        {"reason": "stolen", "measure": "EraseDevice", "serial_number": "C02TEST", "now": True},
    ):
        told = await post(world, path, body, 400)
        assert told["error"]
    assert (await get(world, f"/devices/{device.udid}"))["device"]["state"] == "active"

    order = {"reason": "stolen", "measure": "EraseDevice", "serial_number": "c02test", "pin": "123456"}
    done = await post(world, path, order, 200)
    assert (done["device"]["state"], done["command"]["request_type"], done["revoked"]) == ("quarantined", "EraseDevice", [])
    handed = plistlib.loads((await device.report("Idle")).content)
    assert handed["Command"] == {"RequestType": "EraseDevice", "PIN": "123456"}
    released = await post(world, f"/devices/{device.udid}/release", {"reason": "found"}, 200)
    assert [command["request_type"] for command in released["waiting"]] == ["SecurityInfo"]
    handed = plistlib.loads((await device.report("Idle")).content)
    assert handed["Command"]["RequestType"] == "SecurityInfo"
    assert "123456" not in str(await get(world, "/events?limit=1000"))

    gone = await post(world, path, {"reason": "sold", "now": True}, 200)
    assert (gone["device"]["state"], len(gone["revoked"])) == ("checked-out", 1)
    assert (await device.report("Idle")).status_code == 400


async def test_recovery_keys_are_asked_for_rotated_and_told_with_a_reason_alone(world: World, device: Device) -> None:
    await device.enroll()
    path, secret = f"/devices/{device.udid}/escrow", "AAAA-BBBB-CCCC-DDDD-EEEE-FFFF"
    assert await get(world, "/escrow") == []
    await post(world, f"{path}/fetch", None, 409)
    enabled = await post(world, f"{path}/enable", None, 202)
    handed = plistlib.loads((await device.report("Idle")).content)
    assert (handed["CommandUUID"], handed["Command"]["RequestType"]) == (enabled["uuid"], "InstallProfile")
    await post(world, f"{path}/reveal", {"reason": "ticket 4711"}, 404)

    await recovery_keys.tell(world.installation, device.udid, secret)
    asked = await post(world, f"{path}/fetch", None, 202)
    rotated = await post(world, f"{path}/rotate", None, 202)
    assert (asked["request_type"], rotated["request_type"]) == ("SecurityInfo", "RotateFileVaultKey")
    for body in ({}, {"reason": ""}, {"reason": "a\nb"}, {"reason": "ticket", "why": "x"}):
        await post(world, f"{path}/reveal", body, 400)
    assert await world.events(EventKind.RECOVERY_KEY_READ) == []
    told = await world.http.post(f"{API}{path}/reveal", json={"reason": "ticket 4711"}, headers=world.as_admin)
    assert [each["recovery_key"] for each in told.json()] == [secret]
    assert told.headers["cache-control"] == "no-store"
    (event,) = await world.events(EventKind.RECOVERY_KEY_READ)
    assert (event.actor, event.detail["reason"]) == ("admin:first", "ticket 4711")
    assert [each["device_id"] for each in await get(world, "/escrow")] == [device.udid]
    for elsewhere in ("/escrow", "/events?limit=1000", f"/devices/{device.udid}", f"/devices/{device.udid}/commands"):
        assert secret not in str(await get(world, elsewhere))


async def test_identities_are_listed_with_their_renewals_and_the_way_back(world: World, device: Device) -> None:
    await device.enroll()
    renewal = await post(world, f"/devices/{device.udid}/identity/renew", None, 202)
    chain = [{"ErrorDomain": "MDM-SCEP", "ErrorCode": 15002, "LocalizedDescription": "No."}]
    await device.report("Error", CommandUUID=renewal["uuid"], ErrorChain=chain)

    (listed,) = (await get(world, "/identities"))["items"]
    assert (listed["device_id"], listed["state"], listed["renewal"]["state"]) == (device.udid, "active", "error")
    assert listed["renewal"]["error_chain"] == [{"domain": "MDM-SCEP", "code": 15002, "description": "No."}]
    assert await get(world, "/identities/rescue") == []
    (rescued,) = await get(world, "/identities/rescue?within_days=366&silent_days=0")
    assert (rescued["identity"], rescued["way"], rescued["expired"]) == (listed, "over-the-air", False)
    await get(world, "/identities/rescue?within_days=-1", 400)
