"""The parts of the reference that come out of the code: `python docs/generate.py` writes them into their pages.

A generated part stands between `<!-- generated: NAME -->` and `<!-- /generated -->`. A test compares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, get_args

from bramley.cli.program import NOUNS, PROGRAM, load
from bramley.settings import explain

REFERENCE: Final = Path(__file__).parent / "reference"
_PART: Final = re.compile(r"<!-- generated: (\w+) -->\n.*?<!-- /generated -->", re.DOTALL)
_COMMON: Final = frozenset({"--data", "--database", "--config", "--json"})
_METAVARS: Final = MappingProxyType({str: "TEXT", int: "N", float: "NUMBER", Path: "PATH"})


def render(page: str) -> str:
    """The page with its generated parts as the code has them now."""
    return _PART.sub(lambda part: f"<!-- generated: {part[1]} -->\n{PARTS[part[1]]()}\n<!-- /generated -->", page)


def settings() -> str:
    """One table for each section of the settings file."""
    lines: list[str] = []
    section = None
    for item in explain():
        name = item.name.rpartition(".")[0]
        if name != section:
            section = name
            lines += ["", f"## `[{section}]`" if section else "## Top level", ""]
            lines += ["| setting | default | environment | what it does |", "|---|---|---|---|"]
        default = "" if item.name in {"data", "url"} or item.default == "" else f"`{_toml(item.default)}`"
        lines.append(f"| `{item.name}` | {default} | `{item.environment}` | {_cell(item.explanation)} |")
    return "\n".join([*lines[1:], ""])


def commands() -> str:
    """A section for each verb, with its arguments and options."""
    lines: list[str] = []
    for noun in NOUNS:
        name = f"{PROGRAM} {noun}"
        lines += [f"## `{name}`", ""]
        for path, command in verbs(load(noun), name):
            lines += _verb(path, command, "" if path == name else f"### `{path}`")
    return "\n".join(lines)


PARTS: Final[Mapping[str, Callable[[], str]]] = MappingProxyType({"settings": settings, "commands": commands})


def verbs(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by the words that call it."""
    below = getattr(command, "commands", None)
    if not below:
        yield path, command
        return
    for name, verb in below.items():
        yield from verbs(verb, f"{path} {name}")


def _verb(path: str, command: Any, heading: str) -> list[str]:
    own = [parameter for parameter in command.params if not _COMMON.intersection(parameter.opts)]
    arguments = [parameter for parameter in own if parameter.param_type_name == "argument"]
    options = [parameter for parameter in own if parameter.param_type_name == "option"]
    usage = [path, *(_argument(a) for a in arguments), *(_option(o) for o in options if o.required)]
    if any(not option.required for option in options):
        usage.append("[OPTIONS]")
    lines = [heading, ""] if heading else []
    lines += ["```text", " ".join(usage), "```", "", command.help, ""]
    if own:
        lines += ["| | default | |", "|---|---|---|"]
        lines += [f"| `{_cell(_argument(each))}` | | {_cell(each.help)} |" for each in arguments]
        lines += [f"| `{_cell(_option(each))}` | {_default(each)} | {_explained(each)} |" for each in options]
        lines.append("")
    return lines


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()) + ("" if parameter.nargs == 1 else "...")
    return name if parameter.required else f"[{name}]"


def _option(parameter: Any) -> str:
    flag: str = parameter.opts[0]
    return flag if parameter.is_flag else f"{flag} {parameter.metavar or _metavar(parameter)}"


def _metavar(parameter: Any) -> str:
    kind = _kind(parameter)
    return parameter.name.upper() if issubclass(kind, Enum) else _METAVARS[kind]


def _kind(parameter: Any) -> type:
    annotation = parameter.type_descriptor.annotation
    kind: type = get_args(annotation)[0] if parameter.multiple else annotation
    return kind


def _explained(parameter: Any) -> str:
    kind = _kind(parameter)
    required = " Required." if parameter.required else ""
    choices = ""
    if issubclass(kind, Enum) and parameter.show_choices:
        choices = f" One of {', '.join(f'`{choice.value}`' for choice in kind)}."
    return f"{_cell(parameter.help)}{required}{choices}"


def _default(parameter: Any) -> str:
    value = parameter.default
    return "" if value in (None, False, "") else f"`{getattr(value, 'value', value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.4g}" if value != round(value) else f"{value:.1f}"
        case str():
            return f'"{value}"'
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case _:
            return str(value)


def main() -> None:
    """Writes every page whose generated parts are out of date."""
    for path in sorted(REFERENCE.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        after = render(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"wrote {path.relative_to(REFERENCE.parent)}")


if __name__ == "__main__":
    main()
