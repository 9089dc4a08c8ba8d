"""Fuzz the doors: changed inputs of every kind of file, each opened in a child process with limits.

    python benchmarks/fuzz.py --minutes 10                 # all doors, ten minutes together
    python benchmarks/fuzz.py grib zip --minutes 2 --keep  # some; inputs at fault go to tests/fuzz/corpus

Prints a table (Markdown), and each fault with its place to the standard error. Another --seed draws other inputs.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from fuzz.doors import DOORS
from fuzz.finding import Found, keep, search


def row(name: str, found: Found) -> str:
    kinds = found.kinds
    cells = [
        name,
        f"{found.inputs:,}",
        f"{kinds['opened']:,}",
        f"{kinds['refused']:,}",
        str(len(found.own)),
        str(kinds["crash"]),
        f"{found.slowest:.1f}",
        f"{found.largest / 2**20:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("doors", nargs="*", help=", ".join(DOORS))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    names = given.doors or list(DOORS)
    print(
        "| door | inputs | opened | refused | faults | crashes | longest s | most MiB |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    faults = 0
    for name in names:
        found = search(name, given.minutes * 60 / len(names), given.seed * 10**6)
        print(row(name, found), flush=True)
        faults += len(found.own)
        for where, (outcome, seed, files) in sorted(found.faults.items()):
            words = f"{name}: {outcome.kind} at {where}\n  {outcome.about}"
            print(f"{words}\n  {seed}: {list(files)}", file=sys.stderr)
            if given.keep:
                slug = re.sub(r"[^a-z0-9]+", "-", where.lower()).strip("-")[:60]
                print(f"  {keep(name, seed, slug, files)}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
