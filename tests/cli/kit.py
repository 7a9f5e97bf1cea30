"""What tests of the command speak of: a run and its result, and the installation they run on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

URL = "https://mdm.example:8443"
UDID = "11111111-2222-3333-4444-555555555555"


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of the command left: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Running:
    """A verb that runs until it is told to stop; its JSON lines come one by one."""

    def __init__(self, arguments: tuple[object, ...], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bramley", *map(str, arguments), "--json"],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> Any:
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            pytest.fail(f"it ended: {self._process.communicate()[1]}")
        return json.loads(text)

    def stop(self, number: int = signal.SIGTERM) -> Result:
        """Ends it, if it has not ended, and gives what it had still to say."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        out, err = self._process.communicate(timeout=30)
        return Result(self._process.returncode, out, err)


Run = Callable[..., Result]
Start = Callable[..., Running]
