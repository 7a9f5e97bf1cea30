"""What supervisors, load balancers and Prometheus are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from bramley.mdm.commands import SecurityInfo
from bramley.operations import commands
from tests.web.world import Device, World


async def samples(world: World) -> dict[tuple[str, ...], float]:
    """Sample name and label values → value."""
    text = (await world.http.get("/metrics")).text
    return {
        (sample.name, *(value for _name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_a_sound_server_is_healthy_and_ready(world: World) -> None:
    assert (await world.http.get("/healthz")).status_code == 200
    ready = await world.http.get("/readyz")

    assert (ready.status_code, ready.json()) == (200, {"ready": True, "not_ready": [], "warnings": []})
    assert (await world.http.head("/healthz")).status_code == 200


async def test_a_static_challenge_is_warned_of_and_not_told(world: World) -> None:
    installation, secret = world.installation, "a challenge for anybody"
    settings = replace(installation.settings, scep=replace(installation.settings.scep, static_challenge=secret))
    world.live.installation = replace(installation, settings=settings)

    ready = await world.http.get("/readyz")

    assert (ready.status_code, ready.json()["warnings"]) == (200, ["scep-static-challenge"])
    assert secret not in ready.text


async def test_identities_whose_keys_travel_are_warned_of(world: World) -> None:
    installation = world.installation
    settings = replace(installation.settings, identity=replace(installation.settings.identity, source="pkcs12"))
    world.live.installation = replace(installation, settings=settings)

    ready = await world.http.get("/readyz")

    assert (ready.status_code, ready.json()["warnings"]) == (200, ["identity-pkcs12"])


async def test_a_server_whose_certificate_has_ended_is_not_ready(world: World) -> None:
    world.clock.moment += timedelta(days=500)

    ready = await world.http.get("/readyz")

    assert (ready.status_code, ready.json()["not_ready"]) == (503, ["https-certificate"])


async def test_a_server_without_its_database_is_healthy_and_not_ready(world: World) -> None:
    await world.installation.store.close()

    assert (await world.http.get("/healthz")).status_code == 200
    assert (await world.http.get("/readyz")).json()["not_ready"] == ["database"]


async def test_metrics_tell_ends_states_and_requests(world: World, device: Device) -> None:
    await device.enroll()
    await commands.send(world.installation, device.udid, SecurityInfo(), actor="cli")

    found = await samples(world)

    https = world.live.current().https.certificate.not_valid_after_utc.timestamp()
    assert found["bramley_certificate_not_after_timestamp_seconds", "https", "default"] == https
    kinds = {key[1] for key in found if key[0] == "bramley_certificate_not_after_timestamp_seconds"}
    assert kinds == {"root-ca", "identity-ca", "https-ca", "signer-ca", "https", "profile-signer", "push"}
    assert found["bramley_device_identities", "active"] == 1
    assert found["bramley_enrollments", "active"] == 1
    assert found["bramley_commands_pending",] == 1
    assert found["bramley_requests_total", "mdm-checkin", "200"] == 2
    assert found["bramley_request_seconds_count", "mdm-checkin"] == 2


async def test_scraping_often_does_not_ask_the_database_often(world: World, device: Device) -> None:
    await samples(world)
    await device.enroll()

    assert (await samples(world))["bramley_enrollments", "active"] == 0
    world.clock.moment += timedelta(seconds=6)
    assert (await samples(world))["bramley_enrollments", "active"] == 1


async def test_every_answer_has_a_request_id_of_its_own(world: World) -> None:
    seen = {(await world.http.get(path)).headers["x-request-id"] for path in ("/healthz", "/none", "/api/v1/devices")}

    assert len(seen) == 3


async def test_no_path_becomes_a_label(world: World) -> None:
    await world.http.get("/enroll/secret-token")
    await world.http.get("/some/other/path")

    assert "secret-token" not in (await world.http.get("/metrics")).text
    assert ("bramley_requests_total", "none", "404") in await samples(world)
