"""PostgreSQL for tests and benchmarks: a server of their own on a Unix socket, and a fresh database for whoever asks."""

from __future__ import annotations

import asyncio
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bramley.storage.postgres import open_store

PROGRAMS = "/usr/lib/postgresql/*/bin"
FAST = "-c fsync=off -c full_page_writes=off"
TEMPLATE = "bramley_template"
WITH_PASSWORD, KEPT_OUT = "careful", "stranger"
"""Accounts, for tests to make, that need a password or are not let in."""

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent ends."""


def programs() -> Path | None:
    """The folder of the newest PostgreSQL server on this machine, where there is one."""
    found = sorted(Path("/").glob(PROGRAMS.lstrip("/")), key=lambda folder: float(folder.parent.name))
    if found:
        return found[-1]
    where = shutil.which("pg_ctl")
    return Path(where).parent if where else None


@dataclass(slots=True)
class Cluster:
    """A running server."""

    programs: Path
    folder: Path
    options: str
    user: dict[str, Any]
    made: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", **parameters: str) -> str:
        """Of a database, over the socket."""
        given = {"host": str(self.folder), "user": "postgres", **parameters}
        return f"postgresql:///{database}?" + "&".join(f"{name}={value}" for name, value in given.items())

    def fresh(self, template: str = TEMPLATE) -> str:
        """The name of a new database, with our schema and nothing in it."""
        name = f"test_{len(self.made)}"
        self.made.append(name)
        self.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop(self, name: str) -> None:
        """Ends whatever still uses a database, and deletes it."""
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def execute(self, statement: str | sql.Composed, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Runs one statement as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as raw:
            cursor = raw.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Returns when it takes connections. It ends with the thread that starts it, should nobody stop it."""
        options = f"-D {self.folder}/data -c listen_addresses= -c unix_socket_directories={self.folder} {self.options}"
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", *options.split()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests
                preexec_fn=_end_with_parent,
                **self.user,
            )
        for _ in range(600):
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self) -> None:
        """At once: every connection is cut off."""
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)
            self.process = None

    def make(self) -> None:
        """Its files, for `start`."""
        self._run("initdb", "-D", f"{self.folder}/data", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(f"local all {WITH_PASSWORD} scram-sha-256\nlocal all {KEPT_OUT} reject\n{rules.read_text()}")

    def processes(self) -> Sequence[int]:
        """The server's process and all below it."""
        assert self.process is not None
        leader = self.process.pid
        return [leader, *map(int, Path(f"/proc/{leader}/task/{leader}/children").read_text().split())]

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
            **self.user,
        )
        assert done.returncode == 0, f"{program} failed: {done.stdout}"


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


@contextmanager
def cluster(options: str = FAST) -> Iterator[Cluster]:
    """A server in a folder that is deleted with it. LookupError where PostgreSQL is not installed."""
    found = programs()
    if found is None:
        raise LookupError(f"no PostgreSQL server in {PROGRAMS}")
    folder = Path(tempfile.mkdtemp(prefix="bramley-pg-"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    running = Cluster(found, folder, options, user)
    try:
        running.make()
        try:
            running.start()
            running.execute(f"CREATE DATABASE {TEMPLATE}")
            asyncio.run(_fill(running.url(TEMPLATE)))
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _fill(url: str) -> None:
    await (await open_store(url)).close()


@contextmanager
def database(running: Cluster) -> Iterator[str]:
    """The name of a fresh database, deleted afterwards."""
    name = running.fresh()
    try:
        yield name
    finally:
        running.drop(name)
