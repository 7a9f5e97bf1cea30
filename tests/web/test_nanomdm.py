"""PUT and GET /v1/pushcert: NanoMDM's words, and none of its trust."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from asyncio.subprocess import PIPE
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bramley.model.events import EventKind
from bramley.pki import certificates, keys
from bramley.pki.ca.authority import Authority
from bramley.sandbox.apple_ca import SandboxAppleCA, new_topic
from bramley.settings import Limits
from tests.jobs.kit import enroll
from tests.web.kit import Start
from tests.web.push import NANOMDM, Maker, configure, key_pem, stored, through_nanomdm
from tests.web.world import TOPIC, World


@pytest.fixture
def maker(apple: SandboxAppleCA, world: World, push_key: keys.PrivateKey) -> Maker:
    return Maker(apple, world, push_key)


def basic(text: str | bytes) -> str:
    return "Basic " + base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


async def test_curl_brings_it_as_the_pages_of_nanomdm_say(
    world: World, maker: Maker, start: Start, test_ca: Authority, tmp_path: Path
) -> None:
    """`cat push.pem push.key | curl -T - -u nanomdm:KEY …`: chunked, and over a real connection."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("no curl on this machine")
    root = tmp_path / "root.pem"
    root.write_bytes(certificates.pem(test_ca.certificate))
    async with start(world.app.main) as running:

        async def upload(body: bytes, password: str) -> tuple[str, dict[str, str]]:
            settings = tmp_path / "curlrc"
            settings.write_text(f'user = "nanomdm:{password}"\n')
            command = (curl, "-q", "-sS", "-K", settings, "--noproxy", "*", "--cacert", root, "-w", "\n%{http_code}", "-T", "-")
            url = f"https://localhost:{running.port}{NANOMDM}"
            process = await asyncio.create_subprocess_exec(*command, url, stdin=PIPE, stdout=PIPE)
            output, _ = await process.communicate(body)
            told, _, status = output.decode().rpartition("\n")
            return status, json.loads(told)

        good = b"".join(maker.files())
        assert await upload(good, world.admin_token) == ("200", {"topic": TOPIC, "not_after": "2027-11-24T12:00:00Z"})
        for body, password, expected in (
            (b"x" * 2_000_000, world.admin_token, "413"),
            (b"x" * 2_000_000, "wrong", "401"),
            (b"x", world.admin_token, "400"),
        ):
            status, told = await upload(body, password)
            assert (status, set(told)) == (expected, {"error"})


@pytest.mark.parametrize("turn", [1, -1])
async def test_what_is_brought_is_in_force_and_is_told_as_nanomdm_tells_it(world: World, maker: Maker, turn: int) -> None:
    put = await through_nanomdm(world, maker.files()[::turn])
    got = await world.http.get(NANOMDM, params={"topic": TOPIC}, auth=("nanomdm", world.admin_token))

    assert (put.status_code, put.headers["content-type"]) == (200, "application/json")
    assert put.json() == got.json() == {"topic": TOPIC, "not_after": "2027-11-24T12:00:00Z"}
    (event, *_) = await world.events(EventKind.CERTIFICATE_IMPORTED)
    assert event.actor == "admin:first"


async def test_blocks_without_a_line_end_between_them_are_taken(world: World, maker: Maker) -> None:
    assert (await through_nanomdm(world, [file.strip() for file in maker.files()])).status_code == 200


async def test_a_renewal_of_enrolled_devices_is_on_trial(world: World, maker: Maker) -> None:
    await enroll(world.installation, TOPIC, 1)

    assert (await through_nanomdm(world, maker.files())).json()["not_after"] == "2027-11-24T12:00:00Z"

    got = await world.http.get(NANOMDM, params={"topic": TOPIC}, auth=("nanomdm", world.admin_token))
    assert got.json()["not_after"] == "2027-11-01T00:00:00Z"  # the one that is in force


async def test_another_topic_is_409_with_the_reason_and_there_is_no_way_around(world: World, maker: Maker) -> None:
    await enroll(world.installation, TOPIC, 2)
    before = await stored(world)

    for query in ("", "?other_devices=2", "?force=1"):
        answer = await world.http.put(
            NANOMDM + query, content=b"".join(maker.files(new_topic())), auth=("nanomdm", world.admin_token)
        )
        assert answer.status_code == 409
        assert "2 enrolled device(s)" in answer.json()["error"]
        assert TOPIC in answer.json()["error"]
        assert answer.json().keys() == {"error"}

    assert await stored(world) == before


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "holds nothing"),
        (b"<!doctype html><html><body>Sign in</body></html>", "a web page"),
        (b"\x00\xff" * 100, "Expected"),
        ("certificate", "private key"),
        ("key", "key alone"),
        ("encrypted", "password"),
        ("swapped", "another key"),
        ("cut short", "cut short"),
        ("no topic", "com.apple.mgmt."),
    ],
)
async def test_what_cannot_push_is_400_and_changes_nothing(
    world: World, maker: Maker, device_keys: list[keys.PrivateKey], body: bytes | str, word: str
) -> None:
    certificate, key = maker.files()
    sent = {
        "certificate": certificate,
        "key": key,
        "encrypted": certificate + key_pem(maker.key, "secret"),
        "swapped": certificate + key_pem(device_keys[0]),
        "cut short": (certificate + key)[:-40],
        "no topic": b"".join(maker.files("com.example.app")),
    }
    before = await stored(world)

    with capture_logs() as logs:
        answer = await through_nanomdm(world, [body if isinstance(body, bytes) else sent[body]])

    assert answer.status_code == 400
    assert word in answer.json()["error"]
    assert await stored(world) == before
    (refused,) = [line for line in logs if line["event"] == "refused"]
    assert refused["route"] == "nanomdm"
    for text in (answer.text, str(logs)):
        assert key.splitlines()[1].decode() not in text
        assert world.admin_token not in text


async def test_a_certificate_twice_is_400_and_one_that_ends_sooner_too(world: World, maker: Maker) -> None:
    files = maker.files()
    assert (await through_nanomdm(world, files)).status_code == 200
    assert "is here already" in (await through_nanomdm(world, files)).json()["error"]

    world.clock.moment -= timedelta(days=5)
    assert "than the one in force" in (await through_nanomdm(world, maker.files())).json()["error"]


@pytest.mark.parametrize(("limit", "size"), [(1024 * 1024, 50_000_000), (1024 * 1024, 1024 * 1024 + 1), (2048, 2049)])
async def test_too_much_is_413(world: World, limit: int, size: int) -> None:
    configure(world, limits=Limits(api_bytes=max(limit, 2048)))

    assert (await through_nanomdm(world, [b"x" * size])).status_code == 413
    assert (await through_nanomdm(world, [b"x" * limit])).status_code == 400


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Basic",
        "Basic ***",
        "Basic !!!!",
        basic("nanomdm"),
        basic("nanomdm:"),
        basic(b"\xff\xfe:\xff"),
        basic("nanomdm:wrong"),
        "TOKEN",
        "Bearer TOKEN",
        "Basic TOKEN",
        "USER admin",
        "USER ",
        "USER NANOMDM",
    ],
)
async def test_whoever_is_not_signed_in_is_401_and_nothing_is_read(world: World, maker: Maker, header: str | None) -> None:
    if header is not None and header.startswith("USER "):
        header = basic(f"{header.removeprefix('USER ')}:{world.admin_token}")
    headers = {} if header is None else {"Authorization": header.replace("TOKEN", world.admin_token)}
    before = await stored(world)

    for method, content in (("PUT", b"".join(maker.files())), ("PUT", b"x" * 2_000_000), ("GET", b"")):
        answer = await world.http.request(method, f"{NANOMDM}?topic={TOPIC}", content=content, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert answer.json().keys() == {"error"}
        assert world.admin_token not in answer.text

    assert await stored(world) == before


async def test_guesses_are_written_down_and_limited_together_with_those_at_the_api(world: World) -> None:
    configure(world, limits=Limits(failures=3, failures_per_minute=60))
    guesses = [("nanomdm", "bramley_wrong"), ("root", world.admin_token)]

    answers = [await world.http.get(NANOMDM, auth=guess) for guess in guesses]
    answers.append(await world.http.get("/api/v1/devices", headers={"Authorization": "Bearer bramley_wrong"}))
    answers += [await world.http.get(NANOMDM, auth=guess) for guess in guesses]

    assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
    assert answers[-1].headers["retry-after"] == "1"
    events = await world.events(EventKind.ADMIN_REFUSED)
    assert sorted(str(event.detail["reason"]) for event in events) == ["unknown-token", "unknown-token", "unknown-user"]
    assert "bramley_" not in json.dumps([dict(event.detail) for event in events])
    known = await world.http.get(NANOMDM, params={"topic": TOPIC}, auth=("nanomdm", world.admin_token))
    assert known.status_code == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?topic=", 400),
        ("?topic=a&topic=b", 400),
        ("?topic=com.apple.mgmt.External.none", 404),
        ("?topic=%00%ff", 404),
    ],
)
async def test_a_topic_that_is_not_here_is_not_told(world: World, query: str, status: int) -> None:
    answer = await world.http.get(NANOMDM + query, auth=("nanomdm", world.admin_token))

    assert (answer.status_code, answer.json().keys()) == (status, {"error"})


async def test_trouble_is_503_and_the_unforeseen_500_without_words(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bramley.operations.push.importing.import_files", _break)
    answer = await through_nanomdm(world, [b"x"])
    assert (answer.status_code, "secret" in answer.text) == (500, False)

    await world.installation.store.close()
    answer = await through_nanomdm(world, [b"x"])
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


async def _break(*_args: object, **_terms: object) -> None:
    raise KeyError("secret")


async def test_other_methods_are_405_and_the_device_listener_has_no_such_route(world: World) -> None:
    for method in ("POST", "DELETE"):
        assert (await world.http.request(method, NANOMDM)).status_code == 405
    assert NANOMDM not in world.app.device.exact  # type: ignore[attr-defined]  # it is a Dispatch
