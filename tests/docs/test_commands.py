"""Every `bramley …` that a page shows is a command with these options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from bramley.cli.program import NOUNS, load

from .pages import PAGES, ROOT, code_blocks

_COMMON = ("--data", "--database", "--config")


def shown(page: str) -> Iterator[list[str]]:
    """The words after `bramley`, wherever a page has it as code."""
    inline = re.findall(r"(?<!`)`(bramley [^`]+)`(?!`)", page)
    for code in (*code_blocks(page, "sh"), *inline):
        for line in code.replace("\\\n", " ").splitlines():
            words = re.sub(r"^ *sudo -u \w+ ", "", line.partition(" # ")[0])
            bare = re.sub(r"(\"[^\"]*\"|'[^']*')", "TEXT", words)
            for match in re.finditer(r"(?:^|[\s(]|\bbin/)bramley((?: +[^\s|;)&>]+)+)", bare):
                yield shlex.split(match[1])


def without_common(words: list[str]) -> list[str]:
    """The words without the options that stand before a noun."""
    while words and words[0] in _COMMON:
        words = words[2:]
    return words[1:] if words[:1] == ["--json"] else words


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in PAGES])
def test_commands_that_a_page_shows_exist(page: str) -> None:
    for words in map(without_common, shown((ROOT / page).read_text(encoding="utf-8"))):
        if words[0].startswith("--") or words[0] == "NOUN":
            continue
        assert words[0] in NOUNS, f"bramley {' '.join(words)}"
        command: Any = load(words[0])
        rest = words[1:]
        below = getattr(command, "commands", None)
        if below and rest:
            assert rest[0] in below, f"bramley {' '.join(words)}"
            command, rest = below[rest[0]], rest[1:]
        if not getattr(command, "commands", None):
            options = {option for parameter in command.params for option in parameter.opts}
            assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= {*options, "--help"}, words


def test_commands_are_found_where_pages_have_them() -> None:
    page = (
        "Say `bramley push import`.\n\n```sh\nsudo -u b /opt/bramley/.venv/bin/bramley --data /x device list --json | head\n```\n"
    )

    assert list(map(without_common, shown(page))) == [["device", "list", "--json"], ["push", "import"]]


@pytest.mark.parametrize("script", ["docs/assets/try-device.sh", "scripts/try-profiles.sh"])
def test_the_scripts_for_real_devices_use_commands_that_exist(script: str) -> None:
    text = (ROOT / script).read_text(encoding="utf-8")
    found = list(shown(f"```sh\n{text}```\n"))

    assert found
    assert {tuple(words[:2]) for words in found} >= {("device", "command"), ("identity", "renew"), ("certs", "show")}
