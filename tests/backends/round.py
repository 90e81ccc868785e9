#!/usr/bin/env python3
"""Compares a backend with `flex`: conformance, then small RISE rounds on both.

    cargo build --release --features wgpu
    python3 tests/backends/round.py --backend wgpu [--gsm8k FOLDER]

The first round is on generated problems. `--gsm8k` adds a round on GSM8K's `train.jsonl` and `test.jsonl`, as a user
would run it: `flex` trains and exports a model, and both sides start from the exported folder in Hugging Face's layout.

It needs only Python and a program with the backend. Without a graphics card, `wgpu` uses Mesa's software driver
(`apt-get install mesa-vulkan-drivers libvulkan1` on Debian and Ubuntu).

Another backend rounds sums in another order, so a sampled token may differ. Then the attempt and its training differ
too. Scores are shares of 100 problems (200 samples each), or of 40 of GSM8K, and may differ by TOLERANCE. The loss of the
first training step may differ by the fraction LOSS, because little has drifted by then. So small a model solves almost
nothing of GSM8K: that round compares the share of readable answers, and the loss. `--backend flex` compares `flex` with
itself and must find no difference.
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


def run(program, *arguments, folder=HERE):
    """Runs the program and prints its output, with paths relative to `folder`; returns whether it succeeded."""
    print(f"$ rise-lab {' '.join(arguments)}".replace(f"{folder}/", ""), flush=True)
    ran = subprocess.run([program, *arguments], stdout=subprocess.PIPE, text=True)
    print(ran.stdout.replace(f"{folder}/", ""), end="", flush=True)
    return ran.returncode == 0


def query(program, store, sql):
    answer = subprocess.run(
        [program, "query", sql, "--store", store, "--format", "json"], check=True, capture_output=True
    )
    return json.loads(answer.stdout)["rows"]


def sweep(program, store, backend, file, settings=()):
    """One RISE round on a backend: scores, first loss, and seconds and tokens of its stages."""
    print(f"$ rise-lab sweep tests/backends/{file} --backend {backend} --jobs 1", flush=True)
    began = time.monotonic()
    command = [program, "--store", store, "sweep", str(HERE / file), "--backend", backend, "--jobs", "1", "--no-report"]
    command += [part for setting in settings for part in ("--set", setting)]
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


def exported(program, folder, data):
    """A checkpoint in Hugging Face's layout, trained here on GSM8K."""
    recipe, checkpoint = folder / "reader.toml", folder / "checkpoint"
    text = (HERE / "models" / "reader.toml").read_text()
    recipe.write_text(text.replace('path = "data"', f"path = {json.dumps(data)}"))
    quiet = ["--store", str(folder / "base"), "--quiet"]
    made = run(program, "base", str(recipe), "--ship", *quiet, folder=folder)
    if not (made and run(program, "model", "export", str(recipe), "--to", str(checkpoint), *quiet, folder=folder)):
        sys.exit(1)
    return checkpoint


def compare(ours, theirs, backend):
    """Prints both sides; returns whether every difference is within its tolerance."""
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
    parser.add_argument("--gsm8k", type=Path, help="folder of GSM8K's files")
    arguments = parser.parse_args()
    program = str(Path(arguments.program).resolve())
    # The rounds are in 32 bits, so 16-bit support does not matter here.
    fine = run(program, "backends") and run(program, "backends", "check", arguments.backend, "--precision", "f32")
    sides = ["flex", arguments.backend]
    with tempfile.TemporaryDirectory() as folder:
        stores = [f"{folder}/{number}" for number in range(2)]
        ours, theirs = (sweep(program, *side, "round.toml") for side in zip(stores, sides))
        fine &= compare(ours, theirs, arguments.backend)
        if arguments.gsm8k:
            data = str(arguments.gsm8k.resolve())
            checkpoint = exported(program, Path(folder), data)
            places = [f"base.hf={json.dumps(str(checkpoint))}", f"task.gsm8k.path={json.dumps(data)}"]
            stores = [f"{folder}/gsm8k-{number}" for number in range(2)]
            ours, theirs = (sweep(program, *side, "gsm8k.toml", places) for side in zip(stores, sides))
            fine &= compare(ours, theirs, arguments.backend)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
