#!/usr/bin/env python3
"""Whether a backend does what `flex` does: conformance, then one small RISE round on both.

    cargo build --release --features wgpu
    python3 tests/backends/round.py --backend wgpu

Needs nothing but Python and a program with the backend. Without a graphics card, `wgpu` takes Mesa's
software driver; on Debian and Ubuntu that is `apt-get install mesa-vulkan-drivers libvulkan1`.

Sums are rounded in another order there, so a sampled token may differ, and from then on a whole
attempt, and what is trained on it. Scores are shares of 100 problems (of 200 samples each), and may be
TOLERANCE apart; the loss of the first training step, before anything has drifted far, LOSS of itself.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
TOLERANCE = 0.10
LOSS = 0.05
METRICS = ["m1@t1", "m1@t2", "accuracy@t2", "p1@t2", "pass@1", "pass@2", "unreadable"]
KINDS = ["base", "collect", "train", "evaluate"]


def run(program, *arguments):
    """Runs the program and lets its words through; whether it ended well."""
    print(f"$ rise-lab {' '.join(arguments)}", flush=True)
    return subprocess.run([program, *arguments]).returncode == 0


def query(program, store, sql):
    answer = subprocess.run(
        [program, "query", sql, "--store", store, "--format", "json"], check=True, capture_output=True
    )
    return json.loads(answer.stdout)["rows"]


def sweep(program, store, backend):
    """One RISE round on a backend: its scores, its first loss, seconds and tokens of its stages."""
    file = str(HERE / "round.toml")
    print(f"$ rise-lab sweep tests/backends/round.toml --backend {backend} --jobs 1", flush=True)
    began = time.monotonic()
    command = [program, "--store", store, "sweep", file, "--backend", backend, "--jobs", "1", "--no-report"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    names = ", ".join(f"'{metric}'" for metric in METRICS)
    scores = query(program, store, f"SELECT checkpoint, metric, mean FROM run_scores WHERE metric IN ({names})")
    losses = "SELECT value FROM curves WHERE kind = 'train' AND series = 'loss' ORDER BY step LIMIT 1"
    return {
        "seconds": time.monotonic() - began,
        "scores": {(checkpoint, metric): mean for checkpoint, metric, mean in scores},
        "loss": query(program, store, losses)[0][0],
        "stages": dict(query(program, store, "SELECT kind, sum(seconds) FROM stages GROUP BY kind")),
    }


def compare(ours, theirs, backend):
    """Prints both side by side; whether everything is within its tolerance."""
    fine = True
    print(f"\n{'checkpoint':12}{'metric':14}{'flex':>8}{backend:>10}{'apart':>8}")
    for place in sorted(ours["scores"]):
        a, b = ours["scores"][place], theirs["scores"][place]
        fine &= abs(a - b) <= TOLERANCE
        print(f"{place[0]:12}{place[1]:14}{a:8.3f}{b:10.3f}{abs(a - b):8.3f}")
    a, b = ours["loss"], theirs["loss"]
    fine &= abs(a - b) <= LOSS * abs(a)
    print(f"{'':12}{'first loss':14}{a:8.4f}{b:10.4f}{abs(a - b):8.4f}")
    print("\nseconds of stages")
    for kind in KINDS:
        print(f"{'':12}{kind:14}{ours['stages'][kind]:8.1f}{theirs['stages'][kind]:10.1f}")
    print(f"{'':12}{'all':14}{ours['seconds']:8.1f}{theirs['seconds']:10.1f}")
    print(f"\nscores may be {TOLERANCE} apart, the loss {LOSS:.0%}: {'within' if fine else 'NOT within'} that")
    return fine


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(HERE.parents[1] / "target/release/rise-lab"))
    parser.add_argument("--backend", default="wgpu")
    arguments = parser.parse_args()
    program = str(Path(arguments.program).resolve())
    fine = run(program, "backends") and run(program, "backends", "check", arguments.backend)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = (sweep(program, f"{folder}/{name}", name) for name in ["flex", arguments.backend])
    fine &= compare(ours, theirs, arguments.backend)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
