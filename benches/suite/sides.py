"""Starts the compared processes, and measures them in turn.

A side is a process that loads a setting once and works on it on request. Start-up, compilation and warm-up are not
measured. A contestant is one side, or several that work at the same time.
"""

import json
import math
import os
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

BENCHES = Path(__file__).resolve().parents[1]


class SideError(Exception):
    """A side cannot start, or cannot do a request."""


def say(text):
    print(text, file=sys.stderr, flush=True)


class Side:
    """One process on fixed cores."""

    def __init__(self, command, cores, threads, environment=None):
        self.threads = threads
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=os.environ | limits | {"TOKENIZERS_PARALLELISM": "false"} | (environment or {}),
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        self.command = shlex.join(map(str, command))
        self.version = self.hear()["version"]
        self.variant = None

    def tell(self, **question):
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise SideError(f"`{self.command}` has ended") from None

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise SideError(f"`{self.command}` has ended with status {self.process.wait()}")
        answer = json.loads(line)
        if answer and "error" in answer:
            raise SideError(f"`{self.command}`: {answer['error']}")
        return answer

    def ask(self, **question):
        self.tell(**question)
        return self.hear()

    def open(self, folder):
        answer = self.ask(do="open", folder=str(folder), threads=self.threads)
        self.variant, self.tried = answer.get("variant"), answer.get("tried")

    def cpu_seconds(self):
        """Processor time of all its threads so far, if the system reports it."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def close(self):
        """Lets it finish, unless it is busy."""
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Contestant:
    name: str
    sides: list
    rates: list = field(default_factory=list)
    cpu_rates: list = field(default_factory=list)
    remarks: object = None

    def open(self, folder):
        for side in self.sides:
            side.open(folder)

    def check(self):
        return [side.ask(do="check") for side in self.sides][0]

    def run(self, repeats):
        """Units of work per wall second and per processor second of all sides together, and the seconds."""
        before = sum(side.cpu_seconds() for side in self.sides)
        for side in self.sides:
            side.tell(do="run", repeats=repeats)
        answers = [side.hear() for side in self.sides]
        cpu = sum(side.cpu_seconds() for side in self.sides) - before
        work = sum(answer["work"] for answer in answers)
        self.remarks = answers[0].get("remarks")
        seconds = max(answer["seconds"] for answer in answers)
        return work / seconds, work / cpu if cpu else None, seconds

    def close(self):
        for side in self.sides:
            side.close()


def alternate(contestants, pairs, seconds):
    """Lets the contestants work in turn for `pairs` rounds, each of about `seconds` of the fastest one.

    Returns one record: the rates of all, and their ratios to the first within each round.
    """
    fastest = min(contestant.run(1)[2] for contestant in contestants)
    repeats = max(1, math.ceil(seconds / fastest))
    for pair in range(pairs):
        for contestant in contestants:
            rate, cpu_rate, _ = contestant.run(repeats)
            contestant.rates.append(rate)
            contestant.cpu_rates.append(cpu_rate)
        told = ", ".join(f"{contestant.name} {contestant.rates[-1]:,.0f}" for contestant in contestants)
        say(f"    {pair + 1}/{pairs}: {told}")
    return {
        "repeats": repeats,
        "sides": [record(contestant, contestants[0]) for contestant in contestants],
    }


def record(contestant, first):
    side = contestant.sides[0]
    out = {
        "name": contestant.name,
        "version": side.version,
        "rates": [round(rate, 1) for rate in contestant.rates],
        "median": round(statistics.median(contestant.rates), 1),
    }
    if side.variant:
        out |= {"variant": side.variant, "tried": side.tried}
    if None not in contestant.cpu_rates:
        out["median by processor time"] = round(statistics.median(contestant.cpu_rates), 1)
    if contestant is not first:
        out["ratio"] = spread([ours / theirs for ours, theirs in zip(first.rates, contestant.rates)])
        if "median by processor time" in out:
            out["ratio by processor time"] = spread(
                [ours / theirs for ours, theirs in zip(first.cpu_rates, contestant.cpu_rates)]
            )
    return out


def spread(ratios):
    low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
    return {"median": round(middle, 3), "min": round(low, 3), "max": round(high, 3)}


@dataclass
class Bench:
    """The settings of every part: commands of the sides, cores, folder and duration."""

    ours_program: Path
    python: Path
    work: Path
    pairs: int
    seconds: float
    cores: list
    only: str | None
    programs: dict
    skipped: list = field(default_factory=list)
    modules: dict = field(default_factory=dict)

    def wants(self, label):
        return not self.only or self.only in label

    def cores_for(self, threads):
        """The last cores, because the first one serves most interrupts."""
        return set(self.cores[-threads:])

    def enough_cores(self, threads):
        if threads <= len(self.cores):
            return True
        self.skip(f"settings with {threads} threads: there are {len(self.cores)} cores")
        return False

    def skip(self, what):
        if what not in self.skipped:
            self.skipped.append(what)
            say(f"  left out: {what}")

    def ours(self, threads=1, cores=None):
        return Side([self.ours_program, "serve"], cores or self.cores_for(threads), threads)

    def peer(self, script, needs, *arguments, threads=1, cores=None, environment=None):
        """A peer's side; none, with a message, if its packages are missing."""
        if not self.installed(needs):
            return None
        command = [self.python, BENCHES / "peers" / script, *arguments]
        return Side(command, cores or self.cores_for(threads), threads, environment)

    def installed(self, module):
        if module not in self.modules:
            try:
                found = subprocess.run([self.python, "-c", f"import {module}"], stderr=subprocess.DEVNULL).returncode == 0
            except OSError:
                found = False
            self.modules[module] = found
            if not found:
                self.skip(f"peers that need `{module}`: not installed for {self.python}; run `sh benches/install.sh`")
        return self.modules[module]

    def prepare(self, name, setting):
        """A folder with a setting, and the model and data that the Rust side writes for it."""
        folder = self.work / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "setting.json").write_text(json.dumps(setting, indent=1))
        made = subprocess.run([self.ours_program, "prepare", folder], cwd=BENCHES.parent, stderr=subprocess.PIPE, text=True)
        if made.returncode != 0:
            raise SideError(f"cannot prepare {name}: {made.stderr.strip()}")
        return folder
