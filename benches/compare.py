#!/usr/bin/env python3
"""Measures rise-lab and its peers in turn on this machine, and writes the figures to `benches/results/`.

    python3 benches/compare.py                      every part
    python3 benches/compare.py training generation  some parts
    python3 benches/compare.py --list               the names of the parts

Needs only Python 3.11 and cargo. `benches/install.sh` installs the peers' packages.
"""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from suite import generation, growth, machine, operations, others, report, training
from suite.sides import BENCHES, Bench, SideError, say

ROOT = BENCHES.parent
PARTS = {"training": training, "generation": generation, "operations": operations, "growth": growth}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="run these parts (default: all)")
    parser.add_argument("--list", action="store_true", help="list the parts")
    parser.add_argument("--pairs", type=int, default=5, help="run this many rounds, with all sides in turn (5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="let the fastest side work this long in one round (1.5)")
    parser.add_argument("--cores", help="use these cores, e.g. 2,3, and the last one for one thread (default: all allowed)")
    parser.add_argument("--only", help="run only the settings whose name contains this text")
    parser.add_argument("--python", type=Path, default=BENCHES / ".venv/bin/python", help="run the peers with this interpreter")
    parser.add_argument("--results", type=Path, default=BENCHES / "results", help="write the figures to this folder")
    return parser.parse_args()


def build():
    """Compiles the Rust side; returns its executables by name."""
    say("compiling the Rust side")
    command = ["cargo", "build", "--release", "--benches", "--bins", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if built.returncode != 0:
        sys.exit("cannot compile the Rust side; see the errors above")
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    found = [message for message in messages if message["reason"] == "compiler-artifact" and message["executable"]]
    return {message["target"]["name"]: message["executable"] for message in found}


def titles():
    return {name: part.TITLE for name, part in PARTS.items()} | {name: title for name, (title, _) in others.PARTS.items()}


def measure(name, bench, described):
    say(f"{name}: {titles()[name]}")
    try:
        return PARTS[name].run(bench, described) if name in PARTS else others.run(name, bench)
    except (SideError, subprocess.CalledProcessError) as error:
        bench.skip(f"{name}: {error}")


def main():
    # On SIGTERM, exit through the code that ends the sides.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM before the last measurement"))
    wanted = arguments()
    if wanted.list:
        print("\n".join(f"{name:12} {title}" for name, title in titles().items()))
        return
    if unknown := set(wanted.parts) - set(titles()):
        sys.exit(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(titles())}")
    names = wanted.parts or list(titles())
    programs = build()
    allowed = sorted(os.sched_getaffinity(0))
    bench = Bench(
        ours_program=Path(programs["ours"]),
        python=wanted.python if wanted.python.is_absolute() else Path.cwd() / wanted.python,
        work=BENCHES / ".work",
        pairs=wanted.pairs,
        seconds=wanted.seconds,
        cores=[int(core) for core in wanted.cores.split(",")] if wanted.cores else allowed,
        only=wanted.only,
        programs=programs,
    )
    described = machine.describe(bench)
    say(f"peak of one core: {described['peaks']['gemm GFLOP/s']:.0f} GFLOP/s; load {described['load before']}")
    parts = {name: found for name in names if (found := measure(name, bench, described))}
    date = datetime.date.today().isoformat()
    results = {"date": date, "machine": described, "pairs": wanted.pairs, "parts": parts, "left out": bench.skipped}
    name = "-".join([date, *wanted.parts])
    print(report.write(wanted.results, name, results))


if __name__ == "__main__":
    main()
