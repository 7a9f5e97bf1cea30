"""What the page on the API tells people to type is what the API takes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from bramley.model.enrollments import EnrollmentState
from bramley.operations import devices
from bramley.pki import keys
from tests import recovery_keys
from tests.conftest import NOW
from tests.operations.test_profiles import written
from tests.web.world import Device, Template, World

from .pages import code_blocks, read

API = "/api/v1"
PAGE = read("how-to/use-the-api.md")
FILES = ("wifi.mobileconfig", "office-wifi.toml", "push.p12", "MDM_Certificate.pem")
RECORDER = "call() { cat > stdin; printf '%s\\0' \"$@\" > words; }"
"""Takes the place of curl: writes down what it was given."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request that the page has a reader send."""

    method: str
    url: str
    body: Any

    @classmethod
    def of(cls, words: Sequence[str], stdin: bytes) -> Call:
        *options, url = words
        given = dict(zip(options[::2], options[1::2], strict=True))
        assert given.keys() <= {"--json", "--request"}, words
        text = given.get("--json")
        body = None if text is None else json.loads(stdin if text == "@-" else text)
        return cls(given.get("--request", "GET" if text is None else "POST"), url, body)


def calls(page: str, folder: Path) -> list[Call]:
    """What bash makes of every `call` on a page or in a section of it, in order."""
    if not (shutil.which("bash") and shutil.which("jq")):
        pytest.skip("no bash or no jq on this machine")
    for name in FILES:
        (folder / name).write_bytes(written(PayloadIdentifier="example.orchard.wifi"))
    found = []
    for block in code_blocks(page, "sh"):
        for command in re.split(r"(?<![\\|])\n", block.strip()):
            if not re.search(r"\bcall ", command):
                continue  # it gets ready
            script = f"export API={API}\n{RECORDER}\n{command}\n"
            subprocess.run(["bash", "-euc", script], cwd=folder, stdin=subprocess.DEVNULL, check=True, timeout=20)
            words = (folder / "words").read_bytes().decode().split("\0")[:-1]
            found.append(Call.of(words, (folder / "stdin").read_bytes()))
    return found


def section(heading: str) -> str:
    return PAGE[PAGE.index(f"\n## {heading}\n") :].removeprefix("\n").partition("\n## ")[0]


def described(schema: Mapping[str, Any], call: Call) -> Mapping[str, Any]:
    """The operation of the OpenAPI description that a request means."""
    path = urlsplit(call.url).path
    fitting = [each for each in schema["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), path)]
    assert fitting, f"there is no {path}"
    operation = schema["paths"][min(fitting, key=lambda each: each.count("{"))].get(call.method.lower())
    assert operation, f"there is no {call.method} {path}"
    found: Mapping[str, Any] = operation
    return found


@pytest.fixture
async def schema(template: Template, tmp_path: Path) -> Any:
    async with World.open(template, tmp_path, NOW) as world:
        return msgspec.json.decode((await world.http.get(f"{API}/openapi.json")).content)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template.make(tmp_path_factory.mktemp("template") / "data", NOW)


def test_every_request_on_the_page_has_its_route_and_its_names(schema: Any, tmp_path: Path) -> None:
    found = calls(PAGE, tmp_path)

    assert len(found) > 30
    for call in found:
        operation = described(schema, call)
        query = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
        assert parse_qs(urlsplit(call.url).query).keys() <= query, call
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        body = schema["components"]["schemas"][content["$ref"].rpartition("/")[2]]["properties"] if content else {}
        assert (call.body or {}).keys() <= body.keys(), call


async def test_profiles_tags_and_recovery_keys_go_as_the_page_says(template: Template, tmp_path: Path) -> None:
    (device_id,) = set(re.findall(r"/devices/([\w-]+)/tags", PAGE))
    sections = [section(name) for name in ("Devices", "Profiles and tags", "FileVault recovery keys")]
    async with World.open(template, tmp_path, NOW) as world:
        await Device(world, keys.generate(keys.KeyAlgorithm.RSA_2048), device_id).enroll()
        await recovery_keys.tell(world.installation, device_id, "AAAA-BBBB-CCCC-DDDD-EEEE-FFFF")

        told = []
        for call in (each for text in sections for each in calls(text, tmp_path)):
            answer = await world.http.request(call.method, call.url, json=call.body, headers=world.as_admin)
            assert answer.is_success, f"{call} was answered {answer.status_code}: {answer.text}"
            told.append(answer.text)

        (listed,) = await devices.listing(world.installation, state=EnrollmentState.ACTIVE)
    assert (listed.enrollment.id, listed.tags) == (device_id, ())
    assert ["AAAA-BBBB" in each for each in told].count(True) == 1
