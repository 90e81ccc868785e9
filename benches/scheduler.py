#!/usr/bin/env python3
"""Measures the overhead of a sweep, with about 1,000 tiny stages in the real program.

    cargo build --release
    python3 benches/scheduler.py [--binary target/release/rise-lab] [--stages 1000] [--jobs 1 2] [--repeat 5]

The program writes an experiment with the smallest model, problems and texts that the settings allow, and with enough
seeds for the number of stages. `rise-lab sweep --no-report` runs it in an empty store. The wall time covers the whole
process: planning, workers, messages, publishing of files and writing of the database. The `seconds` of the stages in
the database end before a stage's files are published. The difference is overhead:

    overhead per stage = (wall time * jobs - seconds inside stages) / stages

Prints one line of JSON per number of jobs, with the median over the repetitions:

    {"part": "scheduler", "stages": 1000, "jobs": 1, "overhead_ms_per_stage": ..., "spread_ms": [least, most], ...}
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

MODEL = """\
description = "The smallest base model that the settings allow."
problems = 20
task = { word-problems = { steps = [1, 1], corpus_steps = [1, 1], largest = 5 } }
prompt = { repeat_question = false }
[tokenizer]
vocabulary = 270
[model]
width = 8
layers = 1
heads = 1
kv_heads = 1
hidden = 8
positions = 512
[train]
slices = 1
documents_per_slice = 20
batch = 20
"""

EXPERIMENT = """\
name = "tiny"
question = "What does a stage cost that does nothing?"
seeds = {seeds}
[run]
base = "tiny"
task = {{ word-problems = {{ steps = [1, 1], largest = 5 }} }}
data = {{ train = 1, validation = 0, test = 1 }}
rounds = {{ count = 1 }}
collect = {{ repeat_question = false, sampling = {{ max_tokens = 1 }} }}
train = {{ epochs = 1, batch = 1 }}
evaluate = {{ turns = 1, samples = 1, sampling = {{ max_tokens = 1 }} }}
"""


def answer(binary, folder, *arguments):
    """The JSON output of a rise-lab command."""
    command = [binary, *arguments, "--store", "store", "--format", "json"]
    ended = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return ended.stdout


def prepared(binary, folder, wanted):
    """Writes an experiment of about `stages` stages; returns their number."""
    (folder / "models").mkdir()
    (folder / "models/tiny.toml").write_text(MODEL)
    stages = []
    for seeds in (1, 2):
        (folder / "tiny.toml").write_text(EXPERIMENT.format(seeds=list(range(seeds))))
        stages.append(json.loads(answer(binary, folder, "plan", "tiny.toml"))["different"])
    each = stages[1] - stages[0]
    seeds = max(1, round((wanted - stages[0]) / each) + 1)
    (folder / "tiny.toml").write_text(EXPERIMENT.format(seeds=list(range(seeds))))
    return stages[0] + each * (seeds - 1)


def measured(binary, wanted, jobs):
    """One sweep in an empty store."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stages = prepared(binary, folder, wanted)
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        answer(binary, folder, "sweep", "tiny.toml", "--no-report", "--jobs", str(jobs))
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        sql = "SELECT count(*), sum(seconds) FROM stages WHERE status = 'done'"
        [[done, inside]] = json.loads(answer(binary, folder, "query", sql))["rows"]
        assert done == stages, f"{done} of {stages} stages are done"
    cpu = sum(getattr(after, field) - getattr(before, field) for field in ("ru_utime", "ru_stime"))
    return {
        "stages": stages,
        "wall_s": wall,
        "inside_s": inside,
        "cpu_s": cpu,
        "overhead_ms": (wall * jobs - inside) / stages * 1e3,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    binary = Path(__file__).resolve().parent.parent / "target/release/rise-lab"
    parser.add_argument("--binary", type=lambda path: os.path.abspath(path), default=str(binary))
    parser.add_argument("--stages", type=int, default=1000)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    for jobs in options.jobs:
        runs = [measured(options.binary, options.stages, jobs) for _ in range(options.repeat)]
        middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        overheads = [run["overhead_ms"] for run in runs]
        line = {
            "part": "scheduler",
            "stages": runs[0]["stages"],
            "jobs": jobs,
            "overhead_ms_per_stage": round(middle["overhead_ms"], 3),
            "spread_ms": [round(min(overheads), 3), round(max(overheads), 3)],
            "wall_s": round(middle["wall_s"], 3),
            "inside_s": round(middle["inside_s"], 3),
            "cpu_s": round(middle["cpu_s"], 3),
            "repeat": options.repeat,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
