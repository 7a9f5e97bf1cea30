"""What every verb has in common: the options --data, --database, --config and --json, before or after the verb's name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperOption
from typer.main import get_command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bramley.operations.installation import Installation


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the common options said. `opener` opens another installation than the settings name: that of a rehearsal."""

    data: Path | None = None
    database: str | None = field(default=None, repr=False)
    config: Path | None = None
    as_json: bool = False
    opener: Callable[[], Awaitable[Installation]] | None = None


def _set_data(ctx: typer.Context, value: Path | None) -> None:
    if value is not None:
        ctx.obj = replace(ctx.obj, data=value)


def _set_database(ctx: typer.Context, value: str | None) -> None:
    if value is not None:
        ctx.obj = replace(ctx.obj, database=value)


def _set_config(ctx: typer.Context, value: Path | None) -> None:
    if value is not None:
        ctx.obj = replace(ctx.obj, config=value)


def _set_json(ctx: typer.Context, value: bool) -> None:
    if value:
        ctx.obj = replace(ctx.obj, as_json=True)


DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The data folder (BRAMLEY_DATA; by default ~/.local/share/bramley).",
        callback=_set_data,
        expose_value=False,
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        help="A PostgreSQL database instead of SQLite in the data folder (BRAMLEY_DATABASE, the place for a password).",
        callback=_set_database,
        expose_value=False,
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The settings file, TOML (BRAMLEY_CONFIG).",
        callback=_set_config,
        expose_value=False,
    ),
]
JSONOption = Annotated[
    bool,
    typer.Option("--json", help="Print JSON, for machines.", callback=_set_json, expose_value=False),
]

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Check everything, change nothing.")]


_METAVARS: Final = MappingProxyType({int: "N", str: "TEXT"})


class Verb(TyperCommand):
    """A command with the common options after its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += get_command(_common).params
        for parameter in self.params:
            if isinstance(parameter, TyperOption) and parameter.metavar is None:
                parameter.metavar = _METAVARS.get(parameter.type_descriptor.annotation)


def application(summary: str, **options: Any) -> typer.Typer:
    """A Typer with our manners: plain help, since rich's takes longer to import than all the rest, and no traces of variables."""
    return typer.Typer(help=summary, pretty_exceptions_enable=False, rich_markup_mode=None, **options)


def noun(summary: str) -> typer.Typer:
    """A group of verbs."""
    group = application(summary, no_args_is_help=True, add_completion=False)
    group.callback()(_nothing)  # or else a noun with one verb would be that verb
    return group


def sole(summary: str) -> typer.Typer:
    """A noun that is its own verb."""
    return application(summary, add_completion=False)


def _nothing() -> None: ...


_common = application("", add_completion=False)


@_common.command()
def _options(
    data: DataOption = None, database: DatabaseOption = None, config: ConfigOption = None, as_json: JSONOption = False
) -> None:
    """Only a carrier of the four options."""
