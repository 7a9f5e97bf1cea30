"""Network identities of devices: given, renewed, taken away and revoked, without a secret."""

from __future__ import annotations

import plistlib

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.operations import devices
from bramley.operations.network import learning, templates
from bramley.pki import certificates, keys, names
from bramley.pki.ca import authority, profiles
from bramley.pki.ca.authority import Authority
from bramley.storage.protocols import Tx
from tests.web.api.test_api import API, get, post
from tests.web.world import Device, World

OTHER = "00008030-000000000000002E"
STOLEN = {"reason": "key may have leaked"}
WIFI = 'name = "wifi"\nuse = "wifi"\nsubject = [["CN", "{{ enrollment.key }}"]]\n'


@pytest.fixture(scope="session")
def network_key() -> keys.PrivateKey:
    return keys.generate(keys.KeyAlgorithm.RSA_2048)


async def keep(world: World, *named: str) -> None:
    for name in named:
        await templates.put(world.installation, WIFI.replace('"wifi"\nuse', f'"{name}"\nuse').encode(), actor="cli")


def outside(ca: x509.Certificate) -> str:
    """What has a template's identities come from another CA."""
    pem = certificates.pem(ca).decode()
    return f'[outside]\nurl = "https://ca.example"\nchallenge = "s3cret"\nca = """{pem}"""\n'


async def assign(world: World, device: Device, *named: str) -> None:
    """Enrolls it, and has it get identities after templates that are made for this."""
    await device.enroll()
    await keep(world, *named)
    for name in named:
        await post(world, "/network/assignments", {"template": name, "devices": [device.udid]}, 200)


async def fetch(world: World, device: Device, key: keys.PrivateKey) -> x509.Certificate:
    """The device does as the next command says: asks for a network identity, and acknowledges."""
    handed = plistlib.loads((await device.report("Idle")).content)
    fetcher = Device(world, key, device.udid)
    await fetcher.obey(handed["Command"]["Payload"])
    await device.report("Acknowledged", CommandUUID=handed["CommandUUID"])
    assert fetcher.certificate is not None
    return fetcher.certificate


def serial(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:x}"


async def states(world: World) -> dict[str, str]:
    """How each network identity stands, by serial number."""
    found = (await get(world, f"/certificates?kind={Kind.NETWORK_IDENTITY}"))["items"]
    return {each["version"]["serial"]: each["version"]["state"] for each in found}


async def test_devices_get_an_identity_and_it_is_listed(world: World, device: Device) -> None:
    await device.enroll()
    await templates.put(world.installation, WIFI.encode(), actor="cli")
    body = {"template": "wifi", "devices": [device.udid]}

    (sent,) = await post(world, "/network/assignments", body, 200)
    (again,) = await post(world, "/network/assignments", body, 200)
    page = await get(world, f"/network/assignments?device={device.udid}&template=wifi")

    assert (sent["device_id"], sent["template"], again["command_uuid"]) == (device.udid, "wifi", None)
    (item,) = page["items"]
    assert item == item | {"device_id": device.udid, "template": "wifi", "state": "sent", "created_by": "admin:first"}
    assert (item["command_uuid"], item["certificate"], item["due_at"]) == (sent["command_uuid"], None, None)
    assert (await get(world, "/network/assignments?template=mail"))["items"] == []
    assert [each["devices"] for each in await get(world, "/network/templates")] == [1]


async def test_long_lists_come_in_pages(world: World, device: Device) -> None:
    await assign(world, device, "a", "b", "c")

    for query in ("", f"&device={device.udid}"):
        first = await get(world, f"/network/assignments?limit=2{query}")
        second = await get(world, f"/network/assignments?limit=2&after={first['next']}{query}")
        assert [each["template"] for each in first["items"] + second["items"]] == ["a", "b", "c"]
        assert second["next"] is None


async def test_mistakes_are_told_and_secrets_are_not(world: World, device: Device) -> None:
    await device.enroll()
    table = outside(world.live.current().authorities.root.certificate)
    await templates.put(world.installation, (WIFI + table).encode(), actor="cli")

    shown = await get(world, "/network/templates")

    assert (shown[0]["url"], shown[0]["issuer"], shown[0]["lifetime_days"]) == ("https://ca.example", "outside", None)
    assert "s3cret" not in str(shown)
    for body, status in (
        ({"template": "mail", "devices": [device.udid]}, 404),
        ({"template": "wifi", "devices": ["nobody"]}, 404),
        ({"template": "wifi", "devices": []}, 400),
        ({"template": "wifi", "devices": [device.udid], "colour": 1}, 400),
    ):
        assert (await post(world, "/network/assignments", body, status))["error"]
    await get(world, "/network/assignments?device=nobody", 404)


class TestRenewing:
    async def test_one_or_all_are_sent_anew(self, world: World, device: Device) -> None:
        await assign(world, device, "mail", "wifi")
        path = f"/devices/{device.udid}/network/renew"

        one = await post(world, path, {"template": "wifi"}, 202)
        both = await post(world, path, {}, 202)

        assert [each["template"] for each in one] == ["wifi"]
        assert [each["template"] for each in both] == ["mail", "wifi"]
        waiting = [each for each in await get(world, f"/devices/{device.udid}/commands") if each["state"] == "queued"]
        assert {each["uuid"] for each in waiting} == {each["command_uuid"] for each in both}
        assert {each["created_by"] for each in waiting} == {"admin:first"}
        events = await world.events(EventKind.NETWORK_IDENTITY_SENT)
        assert [event.detail["template"] for event in events if event.actor == "admin:first"].count("wifi") == 3

    async def test_what_cannot_be_renewed_is_told_and_nothing_is_sent(self, world: World, device: Device) -> None:
        await device.enroll()
        await keep(world, "wifi")
        other = Device(world, device.key, OTHER)
        await other.get_identity()
        await other.authenticate()

        for udid, body, status in (
            (device.udid, {}, 409),
            (device.udid, {"template": "wifi"}, 409),
            (OTHER, {}, 409),
            ("nobody", {}, 404),
            (device.udid, {"template": ""}, 400),
            (device.udid, {"template": "a\nb"}, 400),
            (device.udid, {"colour": 1}, 400),
            (device.udid, [], 400),
            (device.udid, None, 400),
        ):
            assert (await post(world, f"/devices/{udid}/network/renew", body, status))["error"]

        assert await world.events(EventKind.NETWORK_IDENTITY_SENT) == []

    async def test_the_challenge_is_told_to_the_device_alone(self, world: World, device: Device) -> None:
        await assign(world, device, "wifi")
        with capture_logs() as logged:
            renewed = await post(world, f"/devices/{device.udid}/network/renew", {}, 202)
        handed = plistlib.loads((await device.report("Idle")).content)
        content = handed["Command"]["Payload"]
        begin = content.index(b"<key>Challenge</key>")
        challenge = content[begin:].split(b"<string>")[1].split(b"</string>")[0].decode()

        shown = [renewed, await get(world, "/network/assignments"), await get(world, "/events?limit=1000")]
        shown.append(await get(world, f"/devices/{device.udid}/commands/{handed['CommandUUID']}"))

        assert len(challenge) > 20
        assert challenge not in str(shown)
        assert challenge not in str(logged)


class TestUnassigning:
    async def test_the_profile_is_removed_and_the_certificate_revoked(
        self, world: World, device: Device, network_key: keys.PrivateKey
    ) -> None:
        await assign(world, device, "wifi")
        certificate = await fetch(world, device, network_key)

        body = {"template": "wifi", "devices": [device.udid]}
        (taken,) = await post(world, "/network/assignments/unassign", body, 200)

        (ended,) = taken["ended"]
        assert (ended["serial"], ended["state"]) == (serial(certificate), "revoked")
        assert ended["revoked_for"] == "cessationOfOperation"
        assert taken["device_id"] == device.udid
        handed = plistlib.loads((await device.report("Idle")).content)
        assert handed["CommandUUID"] == taken["command_uuid"]
        assert handed["Command"] == {"RequestType": "RemoveProfile", "Identifier": "bramley.network.wifi"}
        assert await states(world) == {serial(certificate): "revoked"}
        (event,) = await world.events(EventKind.NETWORK_UNASSIGNED)
        assert (event.actor, event.detail) == ("admin:first", {"template": "wifi"})

    async def test_all_of_them_or_none(self, world: World, device: Device) -> None:
        await assign(world, device, "wifi")
        other = Device(world, device.key, OTHER)
        await other.enroll()
        path = "/network/assignments/unassign"

        for body, status in (
            ({"template": "wifi", "devices": [device.udid, OTHER]}, 409),
            ({"template": "wifi", "devices": [device.udid, "nobody"]}, 404),
            ({"template": "mail", "devices": [device.udid]}, 409),
            ({"template": "wifi", "devices": []}, 400),
            ({"template": "wifi"}, 400),
            ({"devices": [device.udid]}, 400),
            ({"template": "wifi", "devices": [device.udid], "reason": "x"}, 400),
            ({"template": "wifi", "devices": ["\u0000"]}, 400),
            (None, 400),
        ):
            assert (await post(world, path, body, status))["error"]

        (item,) = (await get(world, "/network/assignments"))["items"]
        assert item["state"] == "sent"
        assert await world.events(EventKind.NETWORK_UNASSIGNED) == []
        twice = await post(world, path, {"template": "wifi", "devices": [device.udid, device.udid]}, 200)
        assert [each["device_id"] for each in twice] == [device.udid]
        await post(world, path, {"template": "wifi", "devices": [device.udid]}, 409)


class TestRevoking:
    async def test_those_of_a_device_after_one_template_or_all(
        self, world: World, device: Device, network_key: keys.PrivateKey
    ) -> None:
        await assign(world, device, "mail", "wifi")
        mail, wifi = [serial(await fetch(world, device, network_key)) for _ in range(2)]
        path = f"/devices/{device.udid}/network/revoke"

        (first,) = await post(world, path, {**STOLEN, "template": "wifi", "because": "keyCompromise"}, 200)
        assert await states(world) == {mail: "issued", wifi: "revoked"}
        (second,) = await post(world, path, STOLEN, 200)

        assert (first["serial"], first["reason"], first["revoked_for"]) == (wifi, STOLEN["reason"], "keyCompromise")
        assert (second["serial"], second["reason"], second["revoked_for"]) == (mail, STOLEN["reason"], "unspecified")
        assert await states(world) == {mail: "revoked", wifi: "revoked"}
        assert (await device.report("Idle")).status_code == 200, "the identity of the device itself is in force"
        for template in (None, "wifi"):
            told = await post(world, path, STOLEN if template is None else {**STOLEN, "template": template}, 409)
            assert "revoke" in told["error"]

    @pytest.mark.parametrize("form", ["id", "serial", "sha256"])
    async def test_one_by_its_name(self, world: World, device: Device, network_key: keys.PrivateKey, form: str) -> None:
        await assign(world, device, "mail", "wifi")
        mail, wifi = [serial(await fetch(world, device, network_key)) for _ in range(2)]
        name = (await get(world, f"/certificates/{wifi}"))["certificate"]["version"][form]

        revoked = await post(world, f"/network/certificates/{name}/revoke", {**STOLEN, "because": "superseded"}, 200)

        assert (revoked["serial"], revoked["state"], revoked["revoked_for"]) == (wifi, "revoked", "superseded")
        assert await states(world) == {mail: "issued", wifi: "revoked"}
        await post(world, f"/network/certificates/{name}/revoke", STOLEN, 409)

    async def test_only_network_identities_are_revoked_here(
        self, world: World, device: Device, network_key: keys.PrivateKey
    ) -> None:
        await assign(world, device, "wifi")
        await fetch(world, device, network_key)
        others = [each for each in (await get(world, "/certificates"))["items"] if each["kind"] != Kind.NETWORK_IDENTITY]
        assert {each["kind"] for each in others} >= {Kind.ROOT_CA, Kind.IDENTITY_CA, Kind.HTTPS, Kind.DEVICE_IDENTITY}

        for each in others:
            await post(world, f"/network/certificates/{each['version']['id']}/revoke", STOLEN, 409)

        after = [each for each in (await get(world, "/certificates"))["items"] if each["kind"] != Kind.NETWORK_IDENTITY]
        assert after == others

    async def test_a_device_that_calls_itself_like_a_certificate_gets_no_other_revoked(
        self, world: World, device: Device, network_key: keys.PrivateKey
    ) -> None:
        await assign(world, device, "wifi")
        theirs = serial(await fetch(world, device, network_key))
        rogue = Device(world, device.key, theirs)
        await rogue.enroll()

        await post(world, f"/devices/{theirs}/network/revoke", STOLEN, 409)
        assert await states(world) == {theirs: "issued"}

        await post(world, "/network/assignments", {"template": "wifi", "devices": [theirs]}, 200)
        its_own = serial(await fetch(world, rogue, keys.generate(keys.KeyAlgorithm.RSA_2048)))
        await post(world, f"/devices/{theirs}/network/revoke", STOLEN, 200)
        assert await states(world) == {theirs: "issued", its_own: "revoked"}

    async def test_no_certificate_is_named_by_a_device_nor_a_device_by_a_certificate(
        self, world: World, device: Device, network_key: keys.PrivateKey
    ) -> None:
        await assign(world, device, "wifi")
        name = serial(await fetch(world, device, network_key))
        shown = (await get(world, f"/devices/{device.udid}"))["device"]

        for wrong in (
            f"/devices/{name}/network/revoke",
            f"/network/certificates/{device.udid}/revoke",
            f"/network/certificates/{shown['key']}/revoke",
            "/devices/nobody/network/revoke",
            "/network/certificates/0123/revoke",
        ):
            told = await post(world, wrong, STOLEN, 404)
            assert told["advice"]

        assert await states(world) == {name: "issued"}

    async def test_what_an_outside_ca_issued_is_that_cas_to_revoke(
        self, world: World, device: Device, network_key: keys.PrivateKey, test_ca: Authority
    ) -> None:
        await device.enroll()
        await templates.put(world.installation, (WIFI + outside(test_ca.certificate)).encode(), actor="cli")
        await post(world, "/network/assignments", {"template": "wifi", "devices": [device.udid]}, 200)
        now = world.clock.now()

        def list_it(tx: Tx) -> x509.Certificate:
            enrollment = devices.resolve(tx, device.udid)
            subject = names.make(enrollment.key)
            issued = authority.issue(test_ca, profiles.PROFILE_SIGNER, network_key.public_key(), subject=subject, now=now)
            learning.seen(tx, world.installation, enrollment, [issued], now=now, actor="job:test")
            return issued

        name = serial(await world.installation.store.run(list_it))
        assert await states(world) == {name: "active"}
        for path in (f"/devices/{device.udid}/network/revoke", f"/network/certificates/{name}/revoke"):
            told = await post(world, path, STOLEN, 409)
            assert "outside CA" in told["error"]
        assert await states(world) == {name: "active"}

    @pytest.mark.parametrize(
        "body",
        [
            None,
            {},
            [],
            {"reason": ""},
            {"reason": "a\x00b"},
            {"reason": "x" * 501},
            {"reason": "x", "because": "boredom"},
            {"reason": "x", "because": "certificateHold"},
            {"reason": "x", "colour": 1},
        ],
    )
    async def test_without_a_reason_that_counts_nothing_is_revoked(
        self, world: World, device: Device, network_key: keys.PrivateKey, body: object
    ) -> None:
        await assign(world, device, "wifi")
        name = serial(await fetch(world, device, network_key))

        for path in (f"/devices/{device.udid}/network/revoke", f"/network/certificates/{name}/revoke"):
            assert (await post(world, path, body, 400))["error"]

        assert await states(world) == {name: "issued"}


async def test_without_a_token_nothing_is_renewed_taken_away_or_revoked(
    world: World, device: Device, network_key: keys.PrivateKey
) -> None:
    await assign(world, device, "wifi")
    name = serial(await fetch(world, device, network_key))
    before = await get(world, "/events?limit=1000")

    for headers in ({}, {"Authorization": "Bearer bramley_wrong"}):
        for path, body in (
            (f"/devices/{device.udid}/network/renew", {}),
            (f"/devices/{device.udid}/network/revoke", STOLEN),
            (f"/network/certificates/{name}/revoke", STOLEN),
            ("/network/assignments/unassign", {"template": "wifi", "devices": [device.udid]}),
        ):
            answer = await world.http.post(API + path, json=body, headers=headers)
            assert answer.status_code == 401

    assert await states(world) == {name: "issued"}
    after = await get(world, "/events?limit=1000")
    assert [each for each in after if each["kind"] != EventKind.ADMIN_REFUSED] == before
