"""Runs the benchmarks one after the other: `make bench`, or `make bench ARGS="checkin scep_inside"` for some of them.

Each prints medians, and ratios to a floor or peer that was measured in the same run. None of them judges: machines are noisy.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ORDER = ("signature_check", "scep_inside", "scep_http", "storage_hotpath", "checkin", "push", "revocation", "profiles", "million")


def main() -> int:
    wanted = sys.argv[1:] or list(ORDER)
    unknown = [name for name in wanted if name not in ORDER]
    if unknown:
        print(f"There is no benchmark {unknown[0]}; there are {', '.join(ORDER)}.", file=sys.stderr)
        return 2
    failed = False
    for name in wanted:
        print(f"\n== {name}", flush=True)
        # A process of its own: none starts with the caches that the one before has warmed.
        failed |= subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], cwd=Path(__file__).parents[2]).returncode > 1
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
