"""The reference says all that the code has, and nothing that it hasn't."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from litestar import Litestar

from bramley.model.events import EventKind
from bramley.model.kinds import Kind
from bramley.model.push import Route
from bramley.operations import issuing
from bramley.operations.installation import Installation
from bramley.operations.live import Live
from bramley.pki.ca import profiles
from bramley.pki.scep.errors import AlgorithmRefused, BadProof, MalformedMessage, MessageTypeRefused, WrongRecipient
from bramley.settings import OTHER_VARIABLES, explain, load
from bramley.web import answers
from bramley.web.app import Application, Dispatch
from docs.generate import REFERENCE, render

from .pages import PAGES, ROOT, code_blocks, read, rows

FIXED_LIVES = {
    Kind.ROOT_CA: profiles.ROOT_CA,
    Kind.IDENTITY_CA: profiles.IDENTITY_CA,
    Kind.HTTPS_CA: profiles.HTTPS_CA,
    Kind.SIGNER_CA: profiles.SIGNER_CA,
    Kind.SCEP_RA: profiles.SCEP_RA,
    Kind.HTTPS: profiles.HTTPS_SERVER,
    Kind.PROFILE_SIGNER: profiles.PROFILE_SIGNER,
    Kind.OCSP_RESPONDER: profiles.OCSP_RESPONDER,
    Kind.PROFILE_RECIPIENT: profiles.PROFILE_RECIPIENT,
}


@pytest.fixture
async def served(installation: Installation) -> tuple[Dispatch, Dispatch]:
    """What the main and the device listener serve."""
    application = Application(await Live.start(installation))
    assert isinstance(application.main, Dispatch)
    assert isinstance(application.device, Dispatch)
    return application.main, application.device


@pytest.mark.parametrize("page", ["cli.md", "settings.md", "payloads.md", "commands.md"])
def test_generated_parts_are_up_to_date(page: str) -> None:
    text = (REFERENCE / page).read_text(encoding="utf-8")

    assert "<!-- generated: " in text
    assert render(text) == text, "run `.venv/bin/python docs/generate.py`"


def test_every_setting_and_variable_is_explained() -> None:
    page = read("reference/settings.md")

    for item in explain():
        assert f"| `{item.name}` |" in page
        assert f"`{item.environment}`" in page
    assert {name for name, _what in rows(page, "## Variables that are no settings")} == OTHER_VARIABLES


def test_settings_that_pages_name_exist() -> None:
    known = {item.name for item in explain()} | {Route.MDMCERT.value}  # the service's name looks like one
    sections = {name.partition(".")[0] for name in known if "." in name}

    for page in PAGES:
        for section, name in re.findall(r"`([a-z_]+)\.([a-z_]+)`", page.read_text(encoding="utf-8")):
            assert section not in sections or f"{section}.{name}" in known, f"{page.name} names {section}.{name}"


def test_settings_files_in_pages_are_read(tmp_path: Path) -> None:
    files = [block for page in PAGES for block in code_blocks(page.read_text(encoding="utf-8"), "toml")]

    assert files
    for text in files:
        (tmp_path / "bramley.toml").write_text(text)
        load(tmp_path / "bramley.toml", environment={})


def test_every_event_kind_has_its_line() -> None:
    assert [row[0] for row in rows(read("reference/events.md"))] == [str(kind) for kind in EventKind]


def test_every_event_kind_is_written_by_something() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))

    assert [kind for kind in EventKind if f"EventKind.{kind.name}" not in source] == []


def test_every_certificate_kind_has_its_line() -> None:
    assert [row[0] for row in rows(read("reference/kinds.md"))] == [str(kind) for kind in Kind]


def test_lifetimes_are_those_of_the_certificate_profiles() -> None:
    told: dict[Kind, timedelta] = {}
    for names, life, _due in rows(read("reference/kinds.md"), "## Lifetimes"):
        number, _space, unit = life.partition(" ")
        if unit in {"years", "days"}:
            days = int(number) * (365 if unit == "years" else 1)
            told |= {Kind(name): timedelta(days=days) for name in re.findall(r"[a-z-]+", names)}

    assert told == {kind: profile.lifetime for kind, profile in FIXED_LIVES.items()}


async def test_every_route_says_its_methods_and_its_listeners(served: tuple[Dispatch, Dispatch]) -> None:
    main, device = served
    told: dict[str, tuple[set[str], bool, bool]] = {}
    for route, methods, on_main, on_device, *_rest in rows(read("reference/routes.md")):
        told[re.sub(r"\{.*", "", route)] = ({m for m in methods.split(", ") if m}, on_main == "yes", on_device == "yes")

    def methods_of(dispatch: Dispatch, path: str) -> set[str]:
        return set((dispatch.exact.get(path) or dispatch.prefixes[path]).handlers)

    expected = {
        path: (methods_of(main, path), True, path in {*device.exact, *device.prefixes}) for path in {*main.exact, *main.prefixes}
    }
    assert told == expected | {"/api/v1/…": (set(), True, False)}
    assert {*device.exact, *device.prefixes} <= expected.keys()


async def test_every_route_of_the_api_says_its_methods(served: tuple[Dispatch, Dispatch]) -> None:
    main, _device = served
    told = {row[0]: set(row[1].split(", ")) for row in rows(read("reference/routes.md"), "## The API")}

    api = cast("Litestar", main.api)
    found = {route.path.replace(":str}", "}"): _methods(route) for route in api.routes}
    assert told == {path: verbs for path, verbs in found.items() if verbs and "/openapi.json" not in path}


def _methods(route: Any) -> set[str]:
    return set(getattr(route, "methods", ())) - {"OPTIONS", "HEAD"}


async def test_every_metric_has_its_line(served: tuple[Dispatch, Dispatch]) -> None:
    main, _device = served
    measured = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name: metric.type
        for metric in main.metrics.registry.collect()
    }

    assert {row[0]: row[1] for row in rows(read("reference/metrics.md"))} == measured


def test_answers_are_those_of_the_table() -> None:
    told = {row[0]: int(row[1]) for row in rows(read("reference/answers.md"), "## The table")}

    assert told == {kind.__name__: int(status) for kind, status in answers.DEVICE_STATUSES.items()}


def test_every_reason_to_refuse_a_scep_request_has_its_line() -> None:
    table = rows(read("reference/scep.md"), "## Refusals")
    told = {reason: fail_info for _what, fail_info, reasons in table for reason in re.findall(r"[A-Za-z-]+", reasons)}
    # those of the server's side that have somebody to answer to, and those of whoever was understood
    understood = (AlgorithmRefused, BadProof, MalformedMessage, MessageTypeRefused, WrongRecipient)
    expected = {kind.__name__: kind.reason.name for kind in understood}

    assert told == expected | {reason: fail_info.name for reason, fail_info in issuing.FAIL_INFO.items()}


def test_every_reason_to_refuse_a_scep_request_is_given_by_something() -> None:
    files = (ROOT / "src" / "bramley" / "operations").glob("*.py")
    source = "".join(file.read_text(encoding="utf-8") for file in files)

    assert set(re.findall(r'NotEntitled\(\s*"([a-z-]+)"', source)) == set(issuing.FAIL_INFO)


def test_every_dependency_has_its_reason() -> None:
    page = read("decisions/0008-dependencies.md")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    told = {name for row in rows(page) for name in re.findall(r"[a-z0-9-]+", row[0])}
    development = {
        name.lower()
        for name in re.findall(r"`([A-Za-z0-9-]+)`", page[page.index("To develop") : page.index("Property lists are")])
    }

    assert told == _packages(project["project"]["dependencies"])
    assert development == _packages(project["dependency-groups"]["dev"])


def _packages(requirements: Iterable[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9-]", requirement)[0].lower() for requirement in requirements}


def test_tests_that_decisions_name_exist() -> None:
    named = 0
    for page in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        text = page.read_text(encoding="utf-8")
        files = [ROOT / file for file in re.findall(r"`(tests/[\w/.]+)`", text)]
        sources = "".join(file.read_text(encoding="utf-8") for file in files if file.is_file())

        assert files, page
        assert all(file.exists() for file in files), page
        for test in re.findall(r"`(test_\w+)`", text):
            assert f"def {test}(" in sources, f"{page.name} names {test}"
            named += 1
    assert named > 20


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")

    for page in sorted((ROOT / "docs").rglob("*.md")):
        assert f": {page.relative_to(ROOT / 'docs').as_posix()}\n" in navigation, page
