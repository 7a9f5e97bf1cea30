"""One run of the command: its settings, the installation it opens, the operation it runs, and the questions it asks."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from bramley.cli.output import Output
from bramley.cli.verbs import Invocation
from bramley.errors import BadInput
from bramley.settings import Settings, load

if TYPE_CHECKING:
    from bramley.operations.installation import Installation

T = TypeVar("T")
ACTOR = "cli"
"""Who did it, in events."""

SLOW_SECONDS = 1.0
"""After so long a person at a terminal is told that something is going on."""


class Session:
    """What a verb works with."""

    def __init__(self, ctx: typer.Context) -> None:
        self._invocation: Invocation = ctx.obj
        self.output = Output(as_json=self._invocation.as_json)

    def settings(self, **overrides: Any) -> Settings:
        """The settings in force: file, then environment, then what the command line says. Raises BadInput."""
        named = os.environ.get("BRAMLEY_CONFIG")
        file = self._invocation.config or (Path(named) if named else None)
        return load(file, data=self._invocation.data, database=self._invocation.database, **overrides)

    def run(self, operation: Callable[[Installation], Awaitable[T]], *, dry_run: bool = False) -> T:
        """Opens the installation, runs the operation, closes. A dry run does every check and undoes every change."""
        return asyncio.run(self.patiently(self._with_installation(operation, dry_run)))

    async def _with_installation(self, operation: Callable[[Installation], Awaitable[T]], dry_run: bool) -> T:
        # Imported here, since not every verb opens an installation.
        from bramley.cli.dry_run import DryRun
        from bramley.clock import SystemClock
        from bramley.operations.installation import open_installation

        opener = self._invocation.opener
        installation = await (opener() if opener else open_installation(self.settings(), SystemClock()))
        try:
            if dry_run:
                return await operation(replace(installation, store=DryRun(installation.store)))
            return await operation(installation)
        finally:
            await installation.store.close()

    async def patiently(self, work: Coroutine[Any, Any, T], text: str = "working…") -> T:
        """Waits for the work; shows that it goes on once it takes longer than a moment."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=SLOW_SECONDS)
            if task.done():
                return task.result()
            with self.output.busy(text):
                return await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def confirm(self, question: str, *, yes: bool) -> None:
        """Returns only if the answer is yes. BadInput where it is no, or where nobody can be asked."""
        if yes:
            return
        if self._invocation.as_json or not sys.stdin.isatty():
            raise BadInput(f"{question} This needs a confirmation, and nobody can be asked.", advice="Add --yes to confirm.")
        if not typer.confirm(question, err=True):
            raise BadInput("Not confirmed; nothing was changed.")
