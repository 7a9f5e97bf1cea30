"""Variables in profiles: put into values and never into keys, escaped by construction, refused where nothing can be put in."""

from __future__ import annotations

import plistlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bramley.mdm import plist
from bramley.profiles.errors import BadVariable, MissingVariable, UnknownVariable
from bramley.profiles.variables import VARIABLES, fill, names_in, unknown

VALUES = {"device.serial": "C02<&>", "user.long_name": "Ann {{ device.serial }}", "device.name": "", "device.udid": None}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{ device.serial }}", "C02<&>"),
        ("{{device.serial}}/{{  device.serial  }}", "C02<&>/C02<&>"),
        ("by {{ user.long_name }}", "by Ann {{ device.serial }}"),  # what is put in is not looked at again
        ('{{ "{{" }} device.serial }}', "{{ device.serial }}"),
        ("}} { } {device.serial}", "}} { } {device.serial}"),
        ("{{{ device.serial }}", None),
        ("", ""),
    ],
)
def test_texts(text: str, filled: str | None) -> None:
    if filled is None:
        with pytest.raises(UnknownVariable):
            fill(text, VALUES)
    else:
        assert fill(text, VALUES) == filled


def test_only_string_values_are_filled_and_xml_is_escaped() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    content = {"{{ device.serial }}": [{"a": "{{ device.serial }}"}, 5, True, b"{{ device.udid }}", now, 2.5]}

    filled = fill(content, VALUES)

    assert filled == {"{{ device.serial }}": [{"a": "C02<&>"}, 5, True, b"{{ device.udid }}", now, 2.5]}
    assert plistlib.loads(plist.dumps(filled))["{{ device.serial }}"][0] == {"a": "C02<&>"}
    assert content["{{ device.serial }}"][0] == {"a": "{{ device.serial }}"}


@pytest.mark.parametrize(
    ("content", "kind", "path", "name"),
    [
        ({"a": [{"b": "x{{ device.shoe }}"}]}, UnknownVariable, "a[0].b", "device.shoe"),
        ({"a": "{{ }}"}, UnknownVariable, "a", ""),
        ({"a": "{{ device.serial"}, UnknownVariable, "a", ""),
        ({"a": "{{ " + "x" * 500 + " }}"}, UnknownVariable, "a", ""),
        ({"a": '{{ "{" }}'}, UnknownVariable, "a", ""),
        ({"a": "{{ Device.Serial }}"}, UnknownVariable, "a", "Device.Serial"),
        ({"a": "{{ device.name }}"}, MissingVariable, "a", "device.name"),
        ({"a": "{{ device.udid }}"}, MissingVariable, "a", "device.udid"),
        ({"a": "{{ organization }}"}, MissingVariable, "a", "organization"),
    ],
)
def test_what_cannot_be_put_in_is_refused(content: Any, kind: type[BadVariable], path: str, name: str) -> None:
    with pytest.raises(BadVariable) as refused:
        fill(content, VALUES)
    assert (type(refused.value), refused.value.path, refused.value.name) == (kind, path, name)
    assert [each.path for each in unknown(content)] == ([path] if kind is UnknownVariable else [])


def test_names_are_told_known_or_not() -> None:
    assert names_in({"a": ["{{ device.serial }}{{ x }}"], "{{ y }}": '{{ "{{" }}'}) == {"device.serial", "x"}
    assert names_in("{{ organization }}") == {"organization"}


def test_every_variable_is_filled() -> None:
    for name in VARIABLES:
        assert fill(f"{{{{ {name} }}}}", {name: "value"}) == "value"


@given(st.text(alphabet='{} "a.', max_size=40))
def test_any_text_is_filled_or_refused(text: str) -> None:
    try:
        filled = fill(text, {})
    except BadVariable:
        return
    assert filled == text.replace('{{ "{{" }}', "{{") or '"{{"' in text


def test_no_text_takes_long() -> None:
    for text in ("{{" * 200_000, "{{" + " " * 400_000, '{{ "{{"' * 100_000):
        with pytest.raises(UnknownVariable):
            fill(text, {})
