"""One target under atheris, in this process: `python -m tests.fuzz.running TARGET LIBFUZZER-OPTION…`. Started by `tests.fuzz`.

Bramley is here twice. One copy is instrumented, so that libFuzzer sees which branches an input takes, and steers; the other is
the code as it runs anywhere, and judges. For atheris 2.3 rewrites some loops wrongly on Python 3.11 (a long jump back lands one
instruction too far), and what such a loop does is no finding.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import warnings
from pathlib import Path

import atheris

from tests.fuzz.targets import TARGETS as JUDGES

for name in [name for name in sys.modules if name.startswith(("bramley", "tests.fuzz."))]:
    del sys.modules[name]
with atheris.instrument_imports(include=["bramley", "tests.fuzz.targets"]):
    from tests.fuzz.targets import TARGETS as STEERING

SETTLED = 20_000
"""Executions after which caches are full: memory that grows from here on is a leak, or the corpus that libFuzzer keeps."""


def main() -> None:
    steer, judge = STEERING[sys.argv[1]], JUDGES[sys.argv[1]]
    executions = 0

    def once(data: bytes) -> None:
        nonlocal executions
        executions += 1
        if executions == SETTLED:
            print(f"settled at {resident_kib()} KiB", file=sys.stderr, flush=True)
        with contextlib.suppress(Exception):
            steer(data)
        judge(data)

    # what `cryptography` has to say about odd certificates is no finding, and would be said a million times
    warnings.simplefilter("ignore")
    gc.freeze()
    atheris.Setup([sys.argv[0], *sys.argv[2:]], once)
    atheris.Fuzz()


def resident_kib() -> int:
    """The memory that this process has now."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    main()
