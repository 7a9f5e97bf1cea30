"""SCEP over HTTP where something else than an answer at once is called for: an RA, a next CA, a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asn1crypto.cms import ContentInfo

from bramley.operations import ca_plan, ca_rollover, scep_ra
from bramley.operations.ca_plan import Mode
from bramley.pki import certificates, cms, csr, keys, names
from bramley.pki.scep.client import SCEPClient
from bramley.pki.scep.errors import Pending, Refused
from tests.scep_http import SCEPOverHTTP
from tests.web.world import Device, World

API = "/api/v1/scep/requests"


def set_scep(world: World, **changed: Any) -> None:
    installation = world.live.installation
    scep = replace(installation.settings.scep, **changed)
    world.live.installation = replace(installation, settings=replace(installation.settings, scep=scep))


async def capabilities(world: World) -> list[str]:
    return (await world.http.get("/scep?operation=GetCACaps")).text.split()


async def test_in_ra_mode_the_ra_comes_first_and_the_ca_with_its_root_after_it(world: World, device_key: keys.PrivateKey) -> None:
    set_scep(world, mode="ra")
    installation, held = world.live.installation, world.live.current().authorities
    await installation.store.run(lambda tx: scep_ra.ensure(tx, installation, held, now=world.clock.now()))
    await world.live.refresh()

    answer = await world.http.get("/scep?operation=GetCACert")

    assert answer.headers["content-type"] == "application/x-x509-ca-ra-cert"
    found = [each.chosen.dump() for each in ContentInfo.load(answer.content)["content"]["certificates"]]
    ca = held.identity.authority.certificate
    ra = world.live.current().responder.certificate
    assert found == [certificates.der(each) for each in (ra, ca, held.root.certificate)]
    client = SCEPClient(SCEPOverHTTP(world.http))
    request = csr.build(device_key, names.make("device"), challenge_password="guessed")
    with pytest.raises(Refused):  # and by whom it was told of
        await client.enroll(device_key, request, ca=ca, ra=ra, now=world.clock.now())


async def test_without_a_next_ca_there_is_none_to_be_had(world: World) -> None:
    assert "GetNextCACert" not in await capabilities(world)
    answer = await world.http.get("/scep?operation=GetNextCACert")
    assert answer.status_code == 400
    assert "No next CA" in answer.text


async def test_a_prepared_next_ca_is_told_of_until_it_is_in_force(world: World) -> None:
    installation = world.installation
    rollover = await ca_rollover.begin(installation, Mode.NEW_KEY, use_after=timedelta(days=7), actor="test")
    await ca_plan.advance(installation, actor="test")
    await world.live.refresh()
    now_in_force = world.live.current().authorities.identity.authority.certificate

    assert "GetNextCACert" in await capabilities(world)
    answer = await world.http.get("/scep?operation=GetNextCACert")

    assert answer.headers["content-type"] == "application/x-x509-next-ca-cert"
    signed = cms.verify(cms.parse_signed_data(answer.content), policy=cms.STRICT)
    assert signed.certificate == certificates.der(now_in_force)
    (coming,) = cms.parse_certs_only(signed.content)
    assert coming == rollover.new.certificate

    world.clock.moment += timedelta(days=8)
    await ca_plan.advance(installation, actor="test")
    await world.live.refresh()
    assert certificates.der(world.live.current().authorities.identity.authority.certificate) == coming
    assert "GetNextCACert" not in await capabilities(world)


class TestApproval:
    async def waiting(self, world: World, device: Device) -> dict[str, Any]:
        set_scep(world, approval="manual")
        with pytest.raises(Pending):
            await device.get_identity()
        (asked,) = (await world.http.get(f"{API}?state=waiting", headers=world.as_admin)).json()
        assert isinstance(asked, dict)
        return asked

    async def post(self, world: World, path: str, body: object = None, status: int = 200) -> Any:
        answer = await world.http.post(f"{API}/{path}", json=body, headers=world.as_admin)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def test_is_given_over_the_api(self, world: World, device: Device) -> None:
        asked = await self.waiting(world, device)
        assert (asked["state"], asked["subject"], asked["version_id"]) == ("waiting", "CN=device", None)
        assert asked["label"] == "test"

        approved = await self.post(world, f"{asked['id']}/approve")

        assert (approved["state"], approved["decided_by"]) == ("approved", "admin:first")
        version = await world.http.get(f"/api/v1/certificates/{approved['version_id']}", headers=world.as_admin)
        assert version.json()["certificate"]["device_key"] == asked["device_key"]
        assert (await world.http.get(f"{API}?state=waiting", headers=world.as_admin)).json() == []
        assert [each["state"] for each in (await world.http.get(API, headers=world.as_admin)).json()] == ["approved"]
        await self.post(world, f"{asked['id']}/approve", status=409)

    async def test_is_refused_over_the_api(self, world: World, device: Device) -> None:
        asked = await self.waiting(world, device)
        denied = await self.post(world, f"{asked['id']}/deny", {"reason": "unknown device"})
        assert (denied["state"], denied["version_id"]) == ("denied", None)
        await self.post(world, f"{asked['id']}/deny", {}, status=409)

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [("nothing/approve", None, 404), ("nothing/deny", {}, 404), ("nothing/deny", {"why": "x"}, 400)],
    )
    async def test_of_nothing_is_an_error(self, world: World, path: str, body: object, status: int) -> None:
        await self.post(world, path, body, status)

    @pytest.mark.parametrize("path", ["", "/x/approve", "/x/deny"])
    async def test_needs_a_token(self, world: World, path: str) -> None:
        method = "POST" if path else "GET"
        assert (await world.http.request(method, API + path)).status_code == 401
