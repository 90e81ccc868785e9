"""Parts that are separate programs: starts them, and turns their JSON into tables."""

import json
import os
import subprocess

from .sides import BENCHES, SideError


def run(name, bench):
    title, part = PARTS[name]
    return {"title": title, **part(bench)}


def output(bench, cores, *command):
    """The output of a program, started in the root of the repository on some cores."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=BENCHES.parent,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    if done.returncode != 0:
        raise SideError(f"`{command[0]}` ended with status {done.returncode}")
    return done.stdout


def whole_round(bench):
    for package in ("torch", "transformers", "accelerate"):
        if not bench.installed(package):
            raise SideError(f"the peer needs `{package}`; run benches/install.sh")
    program, file = BENCHES / "round/compare_round.py", bench.work / "round.json"
    bench.work.mkdir(exist_ok=True)
    options = ["--bin", bench.programs["rise-lab"], "--pairs", bench.pairs, "--json", file]
    if len(bench.cores) > 1:
        options.append("--two-jobs")
    output(bench, set(bench.cores), bench.python, program, *options)
    found = json.loads(file.read_text())
    rows = [
        [phase, f"{row['ours']['seconds']:.2f}", f"{row['peer']['seconds']:.2f}", f"{row['ratio']:.2f}"]
        for phase, row in found["phases"].items()
    ]
    ratio, middle = found["ratio"], {side: median(found[side]) for side in ("ours", "peer")}
    whole = f"**{ratio['median']:.2f}** ({ratio['min']:.2f} to {ratio['max']:.2f})"
    rows.append(["whole round", f"{middle['ours']:.2f}", f"{middle['peer']:.2f}", whole])
    if "two_jobs" in found:
        rows.append(["with two workers", f"{found['two_jobs']['seconds']['median']:.2f}", "", ""])
    about = """Seconds of the whole process of `rise-lab sweep`, and of the same round with transformers and its Trainer, from the
checkpoint to the last accuracy; see `benches/round/README.md`."""
    columns = ["phase", "rise-lab, s", "transformers, s", "ratio"]
    return {"about": about, "figures": found, "tables": [{"title": "1 thread", "columns": columns, "rows": rows}]}


def median(measurements):
    seconds = sorted(each["seconds"] for each in measurements)
    return (seconds[(len(seconds) - 1) // 2] + seconds[len(seconds) // 2]) / 2


def store(bench):
    found = json.loads(output(bench, bench.cores_for(1), bench.programs["store_growth"], "--repeat", bench.pairs))
    times = {name: value for name, value in found.items() if name.endswith("_ms")}
    title = f"{found['runs']:,} runs, {found['attempts']:,} attempts; the report has {found['cells']} cells"
    rows = [[name.removesuffix("_ms").replace("_", " "), f"{value:,.0f}"] for name, value in times.items()]
    about = "Milliseconds of the whole process of a command (`benches/store_growth.rs`); medians."
    return {"about": about, "figures": found, "tables": [{"title": title, "columns": ["command", "ms"], "rows": rows}]}


def scheduler(bench):
    program, jobs = BENCHES / "scheduler.py", [1, 2][: len(bench.cores)]
    options = ["--binary", bench.programs["rise-lab"], "--repeat", bench.pairs, "--jobs", *jobs]
    lines = output(bench, set(bench.cores), "python3", program, *options).splitlines()
    found = [json.loads(line) for line in lines]
    rows = [
        [line["jobs"], line["stages"], f"**{line['overhead_ms_per_stage']:.2f}**", "{:.2f} to {:.2f}".format(*line["spread_ms"])]
        for line in found
    ]
    about = "The overhead of a sweep (`benches/scheduler.py`); medians."
    table = {"title": "Tiny stages", "columns": ["workers", "stages", "ms per stage", "spread"], "rows": rows}
    return {"about": about, "figures": found, "tables": [table]}


PARTS = {
    "round": ("One whole RISE round", whole_round),
    "store": ("A large database", store),
    "scheduler": ("Scheduler overhead", scheduler),
}
