"""How the server logs: lines for people on a terminal, JSON otherwise, on stderr, without secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

from bramley.settings import Log

HIDDEN = frozenset(
    {"authorization", "bootstrap_token", "challenge", "key", "password", "private_key", "push_magic", "push_token", "secret"}
    | {"token", "unlock_token"}
)
"""Names whose values never reach a log, whoever passes them."""


def configure(settings: Log) -> None:
    """Sends our logs and those of the libraries the same way. Called once, by whatever serves."""
    as_text = settings.format == "text" or (settings.format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide,
    ]
    # No traces that show variables, which is what both renderers would do by themselves.
    renderers: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if as_text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # libraries
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=_Loggers(level),
        # Below the level a call is no more than a call: requests are logged for debugging, one by one.
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def hide(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Puts a mark in the place of what must not be logged."""
    del logger, method
    for name in HIDDEN & event.keys():
        event[name] = "[hidden]"
    return event


class _Loggers:
    """Makes loggers below `bramley`, at the level of the settings."""

    def __init__(self, level: int) -> None:
        logging.getLogger("bramley").setLevel(level)

    def __call__(self, *names: Any) -> logging.Logger:
        return logging.getLogger(".".join(("bramley", *map(str, names[:1]))))
