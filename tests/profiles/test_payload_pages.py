"""The pages on payloads say what the table has, and what stands in them can be built."""

from __future__ import annotations

import re

from bramley.pki import certificates
from bramley.profiles.building import build, read_spec
from bramley.profiles.rules import Rule
from bramley.profiles.variables import names_in
from docs.generate import REFERENCE, render
from tests.docs.pages import code_blocks, read, rows

from .kit import Signing


def test_the_generated_parts_are_up_to_date() -> None:
    text = (REFERENCE / "payloads.md").read_text(encoding="utf-8")
    assert "<!-- generated: payloads -->" in text
    assert render(text) == text, "run `.venv/bin/python docs/generate.py`"


def test_every_rule_is_explained() -> None:
    table = rows(read("reference/payloads.md"), "## What is wrong, and how much")
    assert sorted(word for row in table for word in re.findall(r"[\w-]+", row[0])) == sorted(Rule)


def test_examples_are_built(signing: Signing) -> None:
    blocks = code_blocks(read("how-to/build-a-profile.md"), "yaml")
    files = {"corp-root.pem": certificates.pem(signing.root)}
    built = [build(read_spec(block.encode(), "x.yaml"), read_file=files.__getitem__) for block in blocks]
    assert [len(each["PayloadContent"]) for each in built] == [3, 1]
    assert names_in(built[0]) == {"device.serial"}
