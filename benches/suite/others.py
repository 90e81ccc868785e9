"""Parts that are programs of their own: each is given `BENCH_PAIRS` and prints Markdown.

A program is a Python file, or a bench target of the Cargo package. It is started in the repository's root, bound to
the cores of the suite, with `BENCH_OURS` (the Rust side) and `BENCH_PYTHON` (the peers' interpreter) set. What it
prints on standard output stands in the results as it is.
"""

import os
import subprocess

from .sides import BENCHES, SideError

PARTS = {
    "round": ("One whole RISE round", ["round/compare.py", "round/main.rs"]),
    "store": ("A large database", ["store_growth.py", "store_growth.rs"]),
    "scheduler": ("Scheduler overhead", ["scheduler.py", "scheduler.rs"]),
}


def found(name):
    """The part's file, if this checkout has it."""
    return next((BENCHES / file for file in PARTS[name][1] if (BENCHES / file).exists()), None)


def run(name, bench):
    file = found(name)
    if file is None:
        raise SideError(f"there is none of benches/{' or benches/'.join(PARTS[name][1])}")
    target = file.stem if file.stem != "main" else file.parent.name
    command = [bench.python, file] if file.suffix == ".py" else [bench.programs[target]]
    done = subprocess.run(
        command,
        cwd=BENCHES.parent,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ
        | {"BENCH_PAIRS": str(bench.pairs), "BENCH_OURS": str(bench.ours_program), "BENCH_PYTHON": str(bench.python)},
        preexec_fn=lambda: os.sched_setaffinity(0, set(bench.cores)),
    )
    if done.returncode != 0:
        raise SideError(f"{file.name} ended with status {done.returncode}")
    return {"title": PARTS[name][0], "about": "", "markdown": done.stdout}
