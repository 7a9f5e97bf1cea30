"""Settings out of a TOML file and the environment, which wins: `limits.scep_bytes` in the one is
`BRAMLEY_LIMITS_SCEP_BYTES` in the other.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import inf
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from bramley.errors import BadInput
from bramley.settings.together import check_together
from bramley.settings.tree import Settings, default_data_folder, leaves, variable

OTHER_VARIABLES = frozenset({"BRAMLEY_CONFIG", "BRAMLEY_SEALING_KEY", "BRAMLEY_TESTS_MAY_NOT_SKIP", "BRAMLEY_VECTORS"})
"""Variables of ours that are not settings: the file itself, secrets that belong in no file, and the tests' recordings."""


def load(file: Path | None = None, environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings from a TOML file, then `BRAMLEY_…` variables, then top-level overrides. BadInput names what is wrong."""
    environment = os.environ if environment is None else environment
    tree = _read(file) if file else {}
    for path, kind, _item in leaves():
        text = environment.get(variable(path))
        if text is not None:
            _set(tree, path, _from_text(text, kind, variable(path)))
    _refuse_unknown(environment)
    for name, value in overrides.items():
        if value is not None:
            section = tree.get(name)
            # a part of a section leaves the rest of it as it was
            tree[name] = {**section, **value} if isinstance(section, dict) and isinstance(value, Mapping) else value
    tree.setdefault("data", default_data_folder())
    settings: Settings = _build(Settings, tree, ())
    check_together(settings)
    return settings


def _set(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise BadInput(f"{part} is a section: expected a table, found {type(tree).__name__}.")
    tree[path[-1]] = value


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    """A misspelt variable would otherwise be a setting silently not set."""
    known = {variable(path) for path, *_ in leaves()} | OTHER_VARIABLES
    for name in environment:
        if name.startswith("BRAMLEY_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise BadInput(f"{name} in the environment names no setting.", advice=f"Did you mean {near[0]}?" if near else "")


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise BadInput(f"The settings file {file} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"The settings file {file} is not TOML: {error}.") from None


def _build(kind: type, tree: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    hints = get_type_hints(kind)
    for name in tree:
        if name not in hints:
            near = difflib.get_close_matches(name, hints, n=1)
            advice = f"Did you mean {'.'.join((*path, near[0]))}?" if near else ""
            raise BadInput(f"There is no setting {'.'.join((*path, name))}.", advice=advice)
    metadata = {item.name: item.metadata for item in fields(kind)}
    values: dict[str, Any] = {}
    for name, value in tree.items():
        full = ".".join((*path, name))
        hint = hints[name]
        if is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise BadInput(f"{full} is a section: expected a table, found {type(value).__name__}.")
            values[name] = _build(hint, value, (*path, name))  # type: ignore[arg-type]  # a dataclass type
        else:
            values[name] = _converted(value, hint, full)
            _check(values[name], metadata[name], full)
    return kind(**values)


def _converted(value: Any, hint: type, name: str) -> Any:
    if get_origin(hint) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise BadInput(f"{name} must be a list of texts; found {value!r}.")
    if hint is Path and isinstance(value, str | Path):
        if not str(value):
            raise BadInput(f"{name} must not be empty.", advice="Remove it to have the default.")
        return Path(value).expanduser()
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise BadInput(f"{name} must be of type {hint.__name__}; found {value!r}.")


def _from_text(text: str, kind: type, name: str) -> Any:
    if kind is bool:
        if text.lower() in {"true", "yes", "1", "on"}:
            return True
        if text.lower() in {"false", "no", "0", "off"}:
            return False
        raise BadInput(f"{name} must be true or false; found {text!r}.")
    if kind is Path:
        return text
    if get_origin(kind) is tuple:
        return tuple(item.strip() for item in text.split(",") if item.strip())
    try:
        return kind(text)
    except ValueError:
        raise BadInput(f"{name} must be of type {kind.__name__}; found {text!r}.") from None


def _check(value: Any, metadata: Mapping[str, Any], name: str) -> None:
    if metadata["within"] and not metadata["within"][0] <= value <= metadata["within"][1]:
        raise BadInput(f"{name} must be {metadata['within'][0]} to {metadata['within'][1]}; found {value}.")
    if metadata["above"] > -inf and not metadata["above"] < value < inf:
        raise BadInput(f"{name} must be more than {metadata['above']}; found {value}.")
    if metadata["choices"] and value not in metadata["choices"]:
        raise BadInput(f"{name} must be one of {', '.join(metadata['choices'])}; found {value!r}.")
