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
from bramley.mdm.commands import TABLE, Explained, receivers
from bramley.mdm.commands import explain as explain_keys
from bramley.profiles.building import FORMS, Form
from bramley.profiles.rules import COMMON, TOP_LEVEL, TYPES, Key
from bramley.profiles.variables import VARIABLES
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


def payloads() -> str:
    """A section for the profile itself, for what all payloads have, and for each PayloadType."""
    lines = ["## The profile", "", *_keys(TOP_LEVEL), "## Every payload", "", *_keys(COMMON)]
    for known in TYPES.values():
        form = next(form for form in FORMS.values() if form.payload_type == known.name)
        offered = ", ".join(f"{system} {span}" for system, span in known.on.items() if not span.never)
        lines += [f"## `{known.name}`", "", f"{known.title}. {known.purpose}", ""]
        forbidden = ", ".join(system for system, mode in known.user_enrollment.items() if mode == "forbidden")
        unless = f" User Enrollment forbids it on {forbidden}." if forbidden else ""
        scope = f" Over MDM, Macs take it in the PayloadScope `{known.scope}` alone." if known.scope else ""
        lines += [f"From {offered} on.{unless}{scope}", "", *_keys(known.keys), *_form(form)]
    return "\n".join(lines)


def requests() -> str:
    """A section for each RequestType: who takes it, its keys, its answer."""
    lines: list[str] = []
    for known in TABLE.values():
        lines += [f"## `{known.name}`", "", _cell(" ".join([known.purpose, *receivers(known)])), ""]
        lines += _explained_keys("key", list(explain_keys(known.keys))) + _explained_keys(
            "answer", list(explain_keys(known.answer))
        )
    return "\n".join(lines)


def variables() -> str:
    """Each variable, with what its value is."""
    rows = [f"| `{{{{ {name} }}}}` | {_cell(what)} |" for name, what in VARIABLES.items()]
    return "\n".join(["| variable | value |", "|---|---|", *rows])


PARTS: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {"settings": settings, "commands": commands, "payloads": payloads, "requests": requests, "variables": variables}
)


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


def _explained_keys(heading: str, keys: list[Explained]) -> list[str]:
    if not keys:
        return []
    rows = [f"| `{each.path}` | {each.kind} | {_cell(each.values)} | {each.systems} |" for each in keys]
    return [f"| {heading} | type | values | systems |", "|---|---|---|---|", *rows, ""]


def _keys(keys: tuple[Key, ...]) -> list[str]:
    rows = [row for key in keys for row in _key(key, key.name)]
    return ["| key | type | values | systems |", "|---|---|---|---|", *rows, ""]


def _key(key: Key, path: str) -> Iterator[str]:
    """The key's row, and those of the keys in it."""
    inner = key.items or key
    kind = f"{key.kind} of {inner.kind}" if key.items else str(key.kind)
    required = ", **required**" if key.required else ""
    yield f"| `{path}` | {kind}{required} | {_values(inner, key)} | {_systems(key)} |"
    for each in inner.keys:
        yield from _key(each, f"{path}{'[]' if key.items else ''}.{each.name}")


def _values(item: Key, key: Key) -> str:
    words = []
    if item.one_of:
        words.append(", ".join(f"`{_plist(each)}`" for each in item.one_of))
    if item.least is not None:
        words.append(f"{item.least} to {item.most}")
    if item.form_words and not item.names:
        words.append(item.form_words)
    if item.names:
        names = [f"`{name.rpartition('.')[2]}`" for name in sorted(item.names)]
        words.append(f"names {' or '.join(names)}")
    if key.default is not None:
        words.append(f"default `{_plist(key.default)}`")
    return "; ".join(words)


def _systems(key: Key) -> str:
    words = [f"{system} {span}" for system, span in key.on.items()]
    words += [f"{system}: {mode} with User Enrollment" for system, mode in key.user_enrollment.items()]
    return ", ".join(words)


def _form(form: Form) -> list[str]:
    """What the keys of a short name become."""
    lines = [f"Short name: `{form.name}`", "", "| short key | becomes | default |", "|---|---|---|"]
    for field in form.fields:
        default = "required" if field.required else "" if field.default is None else f"`{_plist(field.default)}`"
        lines.append(f"| `{field.name}` | `{field.path}` | {default} |")
    return [*lines, ""]


def _plist(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()) + ("" if parameter.nargs == 1 else "...")
    return name if parameter.required else f"[{name}]"


def _option(parameter: Any) -> str:
    flag: str = parameter.opts[0]
    return (
        " / ".join((flag, *parameter.secondary_opts))
        if parameter.is_flag
        else f"{flag} {parameter.metavar or _metavar(parameter)}"
    )


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
