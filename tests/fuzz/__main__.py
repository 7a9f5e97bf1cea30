"""Fuzzes what reads strangers' octets: `make fuzz`, or `make fuzz ARGS="--runs 1000000 --target cms"`.

Each target runs in a process of its own. Ends with 1 where one found something: an error that its package does not raise on
purpose, an input that takes too long, or too much memory. The input is kept, and the report says how to run it again.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .targets import MOST_BYTES, TARGETS
from .world import CORPUS, FOLDER

SECONDS_AN_INPUT = 10
MEMORY_MIB = 1024
FOUND = FOLDER / "found"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what reads strangers' octets.")
    parser.add_argument("--target", action="append", choices=TARGETS, metavar="NAME", help=", ".join(TARGETS))
    parser.add_argument("--runs", type=int, default=100_000, help="executions a target (default 100000)")
    parser.add_argument("--input", type=Path, help="run this one input, of the one target given")
    given = parser.parse_args()
    targets = given.target or list(TARGETS)
    if importlib.util.find_spec("atheris") is None:
        print("Fuzzing needs atheris, which exists for Linux and CPython 3.11 to 3.14.", file=sys.stderr)
        return 2
    if given.input:
        return subprocess.run([sys.executable, "-m", "tests.fuzz.running", targets[0], str(given.input)]).returncode and 1
    print(f"{'target':16} {'executions':>10} {'a second':>9} {'inputs':>7} {'peak':>9} {'growth':>9}  found", flush=True)
    # a sum, and not any(): every target runs, whatever the one before has found
    return min(1, sum(fuzz(target, given.runs) for target in targets))


def fuzz(target: str, runs: int) -> bool:
    """Whether fuzzing one target found something; prints a line of figures, and on a finding the end of libFuzzer's report."""
    FOUND.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{target}-") as grown:
        options = [
            f"-runs={runs}",
            f"-max_len={MOST_BYTES}",
            f"-timeout={SECONDS_AN_INPUT}",
            f"-rss_limit_mb={MEMORY_MIB}",
            f"-artifact_prefix={FOUND}/{target}-",
            "-print_final_stats=1",
        ]
        started = time.monotonic()
        done = subprocess.run(
            # what is new goes into the first folder
            [sys.executable, "-m", "tests.fuzz.running", target, *options, grown, str(CORPUS / target)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        seconds = time.monotonic() - started
        kept = len(list(Path(grown).iterdir()))
    executions, peak = (_figure(rf"stat::{name}: +(\d+)", done.stdout) for name in ("number_of_executed_units", "peak_rss_mb"))
    settled = _figure(r"settled at (\d+) KiB", done.stdout)
    growth = f"{peak - settled // 1024} MiB" if settled else "-"
    verdict = "nothing" if done.returncode == 0 else "SOMETHING"
    print(
        f"{target:16} {executions:10} {executions / seconds:9.0f} {kept:7} {f'{peak} MiB':>9} {growth:>9}  {verdict}", flush=True
    )
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-60:]))
        print(f'Run it again with: make fuzz ARGS="--target {target} --input {FOUND}/{target}-…"')
    return done.returncode != 0


def _figure(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    sys.exit(main())
