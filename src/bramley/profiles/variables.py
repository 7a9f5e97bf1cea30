"""Variables in profiles: `{{ device.serial }}` in a string becomes the serial number of the device that the profile goes to.

Only string values are looked at, never keys, and what is put in is not looked at again. Values are put into a property list
before it is written, so that whatever is in them is escaped as any other text is. `{{ "{{" }}` stands for two braces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from bramley.profiles.errors import MissingVariable, UnknownVariable

VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "device.serial": "serial number",
        "device.udid": "UDID",
        "device.name": "name, as its owner or an administrator chose it",
        "device.model": "model, such as `MacBookPro18,1`",
        "device.product": "product name, such as `iPhone15,2`",
        "device.os_version": "version of its system",
        "enrollment.key": "key of the enrollment in this server",
        "enrollment.id": "UDID or EnrollmentID that the device shows",
        "user.short_name": "short name of the user",
        "user.long_name": "full name of the user",
        "user.id": "identifier of the user on the device",
        "organization": "organization of this server",
    }
)
"""Each variable, with what its value is."""

Values = Mapping[str, str | None]
"""By name; None, or an empty text, where there is no value."""

OPEN: Final = "{{"
_VARIABLE: Final = re.compile(r"\{\{(?:\s{0,8}(\"\{\{\")\s{0,8}\}\}|([^{}]{0,80})\}\})?")
"""Two braces, and what closes them: the literal, or else a name. Bounded, so that no text takes long."""


def names_in(content: Any) -> frozenset[str]:
    """The names of the variables in a property list, or in a text, known or not. Raises UnknownVariable for braces not closed."""
    return frozenset(name for path, text in _texts(content, "") for name in _names(text, path))


def unknown(content: Any) -> Iterator[UnknownVariable]:
    """What `fill` would refuse whatever the values: every name that is no variable, with its path."""
    for path, text in _texts(content, ""):
        try:
            for name in _names(text, path):
                _require_known(name, path)
        except UnknownVariable as wrong:
            yield wrong


def fill(content: Any, values: Values) -> Any:
    """The same property list, or text, with values in the place of variables.

    Raises UnknownVariable for a name that is none and for braces that are not closed, MissingVariable where `values` has
    nothing for it.
    """
    return _mapped(content, "", lambda text, path: _filled(text, path, values))


def _filled(text: str, path: str, values: Values) -> str:
    def value(found: re.Match[str]) -> str:
        if found[1]:
            return OPEN
        name = _name(found, path)
        _require_known(name, path)
        filled = values.get(name)
        if not filled:
            raise MissingVariable(
                f"Expected a value for {{{{ {name} }}}} at {path or 'the text'}; there is none.",
                name=name,
                path=path,
                advice="Give the device one, or leave the variable out.",
            )
        return filled

    return _VARIABLE.sub(value, text)


def _names(text: str, path: str) -> Iterator[str]:
    return (_name(found, path) for found in _VARIABLE.finditer(text) if not found[1])


def _name(found: re.Match[str], path: str) -> str:
    if found[2] is None:
        raise UnknownVariable(
            f"Expected the name of a variable and }}}} after {{{{ at {path or 'the text'}; something else came.",
            name="",
            path=path,
            advice='Write {{ "{{" }} for two braces that are no variable.',
        )
    return found[2].strip()


def _require_known(name: str, path: str) -> None:
    if name not in VARIABLES:
        raise UnknownVariable(
            f"Expected a variable that is known at {path or 'the text'}; {{{{ {name[:40]} }}}} is none.",
            name=name,
            path=path,
            advice=f"The variables are {', '.join(VARIABLES)}.",
        )


def _texts(content: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(content, str):
        yield path, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _texts(value, f"{path}.{key}" if path else key)
    elif isinstance(content, list | tuple):
        for at, value in enumerate(content):
            yield from _texts(value, f"{path}[{at}]")


def _mapped(content: Any, path: str, change: Callable[[str, str], str]) -> Any:
    if isinstance(content, str):
        return change(content, path)
    if isinstance(content, Mapping):
        return {key: _mapped(value, f"{path}.{key}" if path else key, change) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_mapped(value, f"{path}[{at}]", change) for at, value in enumerate(content)]
    return content
