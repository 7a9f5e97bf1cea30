"""The shell blocks of a page that are meant to run, and a shell to run them in.

A comment in front of a block marks it: `<!-- run -->`, `<!-- run: expect "TEXT" -->`, `<!-- run: retry until "TEXT" -->` or
`<!-- run: in the background until "TEXT" -->`. Other blocks are for the reader alone.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

_BLOCK = re.compile(
    r'^<!-- run(?:: (?P<how>expect|retry until|in the background until) "(?P<text>[^"]+)")? -->\n```sh\n(?P<script>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"^<!-- run", re.MULTILINE)
PATIENCE_SECONDS = 60.0
DOCS = Path(__file__).resolve().parents[2] / "docs"


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its commands, how to run them, and what must then be seen."""

    script: str
    how: str
    text: str


def blocks(page: str) -> list[Block]:
    """The marked blocks of a page, in order; every mark must belong to one."""
    found = [Block(match["script"], match["how"] or "expect", match["text"] or "") for match in _BLOCK.finditer(page)]
    assert len(found) == len(_MARK.findall(page)), "a mark is misspelt, or no sh block follows it"
    return found


def free_ports(names: Sequence[str]) -> dict[str, str]:
    """A free port for each port that a page names."""
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in names}
    ports = {name: str(each.getsockname()[1]) for name, each in sockets.items()}
    for each in sockets.values():
        each.close()
    return ports


@dataclass(slots=True)
class Reader:
    """Does what a page says, in a folder of its own; ends what it left running."""

    folder: Path
    ports: Mapping[str, str]
    environment: dict[str, str] = field(default_factory=dict)
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        shim = self.folder / ".venv" / "bin" / "bramley"
        shim.parent.mkdir(parents=True)
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bramley "$@"\n')
        shim.chmod(0o755)
        (self.folder / "docs").symlink_to(DOCS)
        self.environment = {
            "HOME": str(self.folder),
            "PATH": f"{shim.parent}:{os.environ['PATH']}",
            "PWD": str(self.folder),
            "PYTHONUNBUFFERED": "1",
        }
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in reversed(self.running):
            os.killpg(process.pid, signal.SIGTERM)
        for process in reversed(self.running):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def follow(self, block: Block) -> None:
        """Runs a block; AssertionError with all that was printed, where it does not do what the page says."""
        if block.how == "in the background until":
            self._start(block)
            return
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self._here(block.text) not in (printed := self._run(block)):
            assert block.how == "retry until", f"expected {block.text!r} from:\n{block.script}\nsaw:\n{printed}"
            assert time.monotonic() < give_up, f"never saw {block.text!r} from:\n{block.script}\nsaw:\n{printed}"
            time.sleep(0.5)

    def _run(self, block: Block) -> str:
        after = self.folder / ".environment"
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f'{self._here(block.script)}\nenv -0 > "{after}"'],
            cwd=self.environment["PWD"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"exit {done.returncode} from:\n{block.script}\nsaw:\n{done.stdout}"
        self.environment = dict(entry.split("=", 1) for entry in after.read_text().split("\0") if entry)
        return done.stdout

    def _start(self, block: Block) -> None:
        output = self.folder / f"background-{len(self.running)}"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", self._here(block.script)],
                cwd=self.environment["PWD"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append(process)
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self._here(block.text) not in output.read_text():
            assert process.poll() is None, f"ended: {block.script}\nsaw:\n{output.read_text()}"
            assert time.monotonic() < give_up, f"never saw {block.text!r} from:\n{block.script}\nsaw:\n{output.read_text()}"
            time.sleep(0.1)

    def _here(self, text: str) -> str:
        """The text with the page's ports replaced by free ones: another test may hold the page's."""
        for named, free in self.ports.items():
            text = re.sub(rf"\b{named}\b", free, text)
        return text
