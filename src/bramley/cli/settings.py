"""`bramley settings`: what can be set, and what is."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import typer

from bramley.cli.session import Session
from bramley.cli.verbs import Verb, sole
from bramley.settings import Explained, Settings, default_data_folder, explain

_SECRET_PARAMETER = re.compile(r"([?&](?:ssl)?password=)[^&]*", re.IGNORECASE)

app = sole("Every setting with the value in force.")


@app.command("settings", cls=Verb)
def settings(ctx: typer.Context) -> None:
    """Print every setting: value in force, default, the environment variable that sets it, and what it does.

    The file named by --config is read first, then the environment, which wins.
    """
    session = Session(ctx)
    in_force = session.settings()
    found = [(item, _value(in_force, item), _default(item)) for item in explain()]
    if session.output.as_json:
        session.output.json(
            [
                {
                    "name": item.name,
                    "value": value,
                    "default": default,
                    "environment": item.environment,
                    "explanation": item.explanation,
                }
                for item, value, default in found
            ]
        )
        return
    session.output.table(
        ("setting", "value", "default", "environment", "what it does"),
        [
            (item.name, value, "" if value == default else default, item.environment, item.explanation)
            for item, value, default in found
        ],
        empty="",
    )


def _value(settings: Settings, item: Explained) -> object:
    value: object = settings
    for part in item.name.split("."):
        value = getattr(value, part)
    return _without_password(value) if isinstance(value, str) else value


def _default(item: Explained) -> object:
    return default_data_folder() if item.name == "data" else item.default


def _without_password(value: str) -> str:
    """The URL of a proxy or a database may hold one, before the host or among the parameters."""
    try:
        password = urlsplit(value).password
    except ValueError:
        return value
    if password:
        value = value.replace(f":{password}@", ":…@", 1)
    return _SECRET_PARAMETER.sub(r"\1…", value)
