"""One whole RISE round: rise-lab against transformers and its Trainer, in alternating pairs.

    cargo build --release
    python benches/round/compare_round.py --bin target/release/rise-lab --pairs 5 --json round.json

The untimed preparation fills a store with the base model, the problems and the evaluation of the base. It checks the peer
against rise-lab: logits, greedy texts over five turns, and every grade. Then each pair runs `rise-lab sweep round.toml` on a
fresh copy of that store, and `transformers_round.py` on the same problems. Both have the same number of threads on the
same cores. The peer goes first in every other pair.

rise-lab's seconds are the wall time of the whole process; the peer's exclude the import of Python packages. The program
prints one JSON object for each measurement, and writes the summary to `--json`.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BASE = ROOT / "experiments" / "models" / "weak.toml"
PHASES = ("collect", "improve", "weigh", "train", "evaluate")
sys.path[:0] = [str(HERE), str(HERE.parent / "peers")]


def cores(count):
    """The last `count` cores that this process may use; none if the system cannot pin processes."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return sorted(os.sched_getaffinity(0))[-count:]


def timed(command, threads):
    """Runs a command; returns (standard output, wall seconds, processor seconds with children)."""
    here = cores(threads)
    pin = (lambda: os.sched_setaffinity(0, here)) if here else None
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        preexec_fn=pin,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    seconds, after = time.perf_counter() - began, os.times()
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stdout, seconds, used


class Lab:
    """rise-lab on one store."""

    def __init__(self, program, store, options, jobs=1):
        self.program, self.store, self.options, self.jobs = program, store, options, jobs

    def sweep(self, **settings):
        """Runs `round.toml` with these settings; returns wall and processor seconds."""
        settings = {"data.train": self.options.problems, "data.test": self.options.tests} | settings
        sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
        sweep = [self.program, "sweep", HERE / "round.toml", "--jobs", self.jobs, "--no-report", "--quiet"]
        _, seconds, used = timed([*sweep, "--store", self.store, *sets], self.options.threads * self.jobs)
        return seconds, used

    def run(self):
        """The run in the store, with its stages and checkpoints."""
        show = [self.program, "show", "baseline seed=0", "--store", self.store, "--format", "json"]
        return json.loads(timed(show, 1)[0])

    def stage(self, label):
        return next(stage for stage in self.run()["stages"] if stage["label"] == label)

    def file(self, label, name):
        return self.store / "stages" / self.stage(label)["key"] / name


def prepare(options, folder):
    """A store with base model, problems and evaluation of the base, from a supervised run."""
    lab = Lab(options.bin, folder / "prepared", options)
    lab.sweep(**{"method": "sft", "train.epochs": 1})
    return lab


def check(options, folder):
    """Raises unless both sides share model, dialogues, grades and training."""
    import checkpoint
    import torch
    import transformers_round as peer

    torch.set_num_threads(1)
    distance = checkpoint.check(BASE)
    assert distance < 1e-4, f"logits differ by {distance}"
    lab = Lab(options.bin, folder / "check", options)
    whole = {"train.batch": 100_000, "train.epochs": 4}  # every example in each of four steps
    lab.sweep(**{"data.train": 40, "data.test": 40, "evaluate.sampling.temperature": 0.0}, **whole)
    steps = ["--targets", "100000", "--epochs", "4", "--temperature", "0"]
    settings = peer.parser().parse_args(["--checkpoint", str(BASE), "--train", "-", "--test", "-", *steps])
    policy = peer.Policy(*checkpoint.load(BASE), settings)
    same = check_episodes(lab, peer, policy)
    loss = check_training(lab, peer, policy, settings, str(folder / "trainer"))
    print(f"checked: logits within {distance:.0e}, {same:.0%} of greedy attempts and every grade and vote the same,", end=" ")
    print(f"losses of four steps within {loss:.0e}", flush=True)


def check_episodes(lab, peer, policy):
    """The share of equal greedy attempts. Asserts that both sides give every attempt the same grade."""
    problems = peer.read(lab.file("prepare word-problems test", "problems.jsonl"))
    episodes = peer.read(lab.file("evaluate weak base", "episodes.jsonl"))
    chosen = [[turn["candidates"][turn["chosen"]] for turn in episode["turns"]] for episode in episodes]
    rewards = {"right": 1.0, "wrong": 0.0, "unreadable": -1.0}
    for problem, log in zip(problems, chosen):
        for attempt in log:
            assert peer.reward(problem, attempt["text"]) == rewards[attempt["grade"]["verdict"]], attempt
    logs = [[(attempt["text"], rewards[attempt["grade"]["verdict"]]) for attempt in log] for log in chosen]
    counted = peer.accuracies(problems, logs)
    base = next(each for each in lab.run()["checkpoints"] if each["checkpoint"]["name"] == "base")
    for name in ("m1@t1", "m1@t5"):
        assert abs(counted[name] - base["metrics"][name]["mean"]) < 1e-9, f"{name}: {counted[name]}"
    theirs, _ = peer.unroll(policy, problems, turns=5, window=1)
    same = [ours["text"] == text for log, other in zip(chosen, theirs) for ours, (text, _) in zip(log, other)]
    # The last digit decides between two equally likely tokens, so one dialogue in 40 may differ.
    assert sum(same) >= 0.97 * len(same), f"{sum(same)} of {len(same)} greedy attempts are the same"
    return sum(same) / len(same)


def check_training(lab, peer, policy, settings, folder):
    """The largest relative difference of the losses of four steps on rise-lab's own examples and weights."""
    problems = peer.read(lab.file("prepare word-problems train", "problems.jsonl"))
    episodes = peer.read(lab.file("improve weak round 1", "episodes.jsonl"))
    rewards = {"right": 1.0, "wrong": 0.0, "unreadable": -1.0}
    chosen = [[turn["candidates"][turn["chosen"]] for turn in episode["turns"]] for episode in episodes]
    graded = [[(attempt["text"], rewards[attempt["grade"]["verdict"]]) for attempt in log] for log in chosen]
    theirs, _ = peer.train(policy, peer.weigh(policy, problems, graded, temperature=0.4), settings, folder)
    points = peer.read(lab.file("train weak round 1", "points.jsonl"))
    ours = [point["value"] for point in points if point["series"] == "loss"]
    assert len(ours) == len(theirs), f"{len(ours)} steps and {len(theirs)}"
    distance = max(abs(mine / other - 1) for mine, other in zip(ours, theirs))
    assert distance < 1e-2, f"losses {ours} and {theirs}"
    return distance


def ours(options, prepared, folder, jobs):
    """One round by rise-lab on a copy of the prepared store."""
    store = folder / "store"
    shutil.copytree(prepared, store)
    lab = Lab(options.bin, store, options, jobs)
    seconds, used = lab.sweep()
    run = lab.run()
    labels = {f"{phase} weak round 1": phase for phase in PHASES}
    phases = {
        labels[stage["label"]]: {"seconds": stage["seconds"]} | counted(stage["counts"])
        for stage in run["stages"]
        if stage["label"] in labels
    }
    trained = next(each for each in run["checkpoints"] if each["checkpoint"]["name"] == "round 1")
    phases["evaluate"] |= {name: value["mean"] for name, value in trained["metrics"].items() if name[:2] == "m1"}
    shutil.rmtree(store)
    phases["rest"] = {"seconds": seconds - sum(phase["seconds"] for phase in phases.values())}
    return {"side": "ours", "jobs": jobs, "seconds": seconds, "cpu_seconds": used, "phases": phases}


def counted(counts):
    kept = ("sampled_tokens", "trained_tokens", "steps", "targets", "right", "attempts")
    return {name: value for name, value in counts.items() if name in kept}


def theirs(options, files, seed):
    """One round by transformers."""
    command = [sys.executable, HERE / "transformers_round.py", "--checkpoint", BASE, "--seed", seed]
    command += ["--train", files[0], "--test", files[1], "--threads", options.threads, *options.peer]
    printed, process, _ = timed(command, options.threads)
    result = json.loads(printed.strip().splitlines()[-1])
    return {"side": "peer", "process_seconds": process} | result


def spread(numbers):
    return {"median": statistics.median(numbers), "min": min(numbers), "max": max(numbers)}


def by_phase(ours, peer):
    """Median seconds and tokens per second of each phase on both sides, and their ratio."""
    table = {}
    for phase in PHASES:
        row = {}
        for side, rounds in (("ours", ours), ("peer", peer)):
            parts = [round["phases"][phase] for round in rounds]
            row[side] = {"seconds": statistics.median(part["seconds"] for part in parts)}
            for count in ("sampled_tokens", "trained_tokens"):
                if count in parts[0]:
                    row[side]["tokens_per_second"] = statistics.median(part[count] / part["seconds"] for part in parts)
        row["ratio"] = row["peer"]["seconds"] / row["ours"]["seconds"]
        table[phase] = row
    return table


def share(rounds, name):
    return statistics.mean(round["phases"]["evaluate"][name] for round in rounds)


def summary(options, rounds):
    ours = [each for each in rounds if each["side"] == "ours" and each["jobs"] == 1]
    peer = [each for each in rounds if each["side"] == "peer"]
    two = [each for each in rounds if each["side"] == "ours" and each["jobs"] > 1]
    ratios = [theirs["seconds"] / mine["seconds"] for mine, theirs in zip(ours, peer)]
    used = [theirs["cpu_seconds"] / mine["cpu_seconds"] for mine, theirs in zip(ours, peer)]
    result = {
        "part": "round",
        "work": {"problems": options.problems, "tests": options.tests, "threads": options.threads, "pairs": len(ours)},
        "ours": ours,
        "peer": peer,
        "ratio": spread(ratios),
        "cpu_ratio": spread(used),
        "phases": by_phase(ours, peer),
        "accuracy": {
            side: {name: share(sides, name) for name in ("m1@t1", "m1@t5")} for side, sides in (("ours", ours), ("peer", peer))
        },
    }
    if two:
        result["two_jobs"] = {"ours": two, "seconds": spread([each["seconds"] for each in two])}
    return result


def show(result):
    """Prints the summary as text."""
    print(f"\n{'phase':10} {'ours s':>8} {'peer s':>8} {'ratio':>6}   {'ours tok/s':>10} {'peer tok/s':>10}")
    for phase, row in result["phases"].items():
        speed = [f"{row[side].get('tokens_per_second', 0):10.0f}" for side in ("ours", "peer")]
        print(f"{phase:10} {row['ours']['seconds']:8.2f} {row['peer']['seconds']:8.2f} {row['ratio']:6.2f}   {' '.join(speed)}")
    whole = {side: statistics.median(each["seconds"] for each in result[side]) for side in ("ours", "peer")}
    ratio = result["ratio"]
    print(f"{'whole':10} {whole['ours']:8.2f} {whole['peer']:8.2f} {ratio['median']:6.2f}   {ratio['min']:.2f} to {ratio['max']:.2f}")
    cpu = result["cpu_ratio"]
    print(f"processor time: {cpu['median']:.2f} ({cpu['min']:.2f} to {cpu['max']:.2f})")
    for side, numbers in result["accuracy"].items():
        print(f"{side}: " + ", ".join(f"{name} {value:.3f}" for name, value in numbers.items()))
    if "two_jobs" in result:
        print(f"ours with --jobs 2 and two cores: {result['two_jobs']['seconds']['median']:.2f} s")


def parse():
    parser = argparse.ArgumentParser(description="One whole RISE round: rise-lab against transformers.")
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release/rise-lab", help="measure this rise-lab")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--problems", type=int, default=1000, help="number of training problems")
    parser.add_argument("--tests", type=int, default=500, help="number of test problems")
    parser.add_argument("--threads", type=int, default=1, help="number of threads of the peer, and of cores of both")
    parser.add_argument("--two-jobs", action="store_true", help="also time rise-lab with --jobs 2 on two cores")
    parser.add_argument("--json", type=Path, help="write the summary to this file")
    parser.add_argument("--peer", nargs=argparse.REMAINDER, default=[], help="options of transformers_round.py, e.g. --batch 128")
    options = parser.parse_args()
    options.bin = options.bin.resolve()
    return options


def main():
    options = parse()
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        check(options, folder)
        lab = prepare(options, folder)
        files = [lab.file(f"prepare word-problems {split}", "problems.jsonl") for split in ("train", "test")]
        for pair in range(options.pairs):
            steps = [lambda: ours(options, lab.store, folder, 1), lambda: theirs(options, files, pair)]
            if options.two_jobs:
                steps.append(lambda: ours(options, lab.store, folder, 2))
            for step in steps if pair % 2 == 0 else reversed(steps):
                rounds.append({"pair": pair} | step())
                print(json.dumps(rounds[-1]), flush=True)
    result = summary(options, rounds)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
