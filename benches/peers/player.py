"""The peers' side of the conversation with `benches/compare.py`: one JSON object a line, a question on standard
input, its answer on standard output.

`open` loads a setting, `check` gives what both sides must agree on, `run` does the work a number of times and says
how much that was and how many seconds it took. A player is any object with `check()` and `run()`; the latter returns
the amount of work of one call.
"""

import json
import os
import sys
import time
from pathlib import Path


class Setting:
    """A folder with the driver's `setting.json`, the sizes of the model, and the token ids."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.wanted = self.read("setting.json")
        self.model = self.read("config.json")
        self.data = self.read("data.json")
        self.weights = self.folder / "model.safetensors"

    def read(self, name):
        return json.loads((self.folder / name).read_text())


def timed(player, repeats):
    began = time.perf_counter()
    work = sum(player.run() for _ in range(repeats))
    return {"work": work, "seconds": time.perf_counter() - began}


def fastest(candidates, threads, tries=2):
    """The candidate, by name, whose call takes least time after one call to warm up, and the times of all.

    With one thread processor time decides, which other work on the machine does not disturb.
    """
    clock = time.process_time if threads == 1 else time.perf_counter

    def seconds(work):
        began = clock()
        work()
        return clock() - began

    times = {}
    for name, work in candidates.items():
        work()
        times[name] = round(min(seconds(work) for _ in range(tries)), 4)
    return min(times, key=times.get), times


def serve(version, open_setting):
    """Answers until standard input ends. `open_setting(setting, threads)` returns a player."""
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def say(answer):
        print(json.dumps(answer), file=answers, flush=True)

    say({"ready": True, "version": version})
    player = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if question["do"] == "open":
                player = open_setting(Setting(question["folder"]), question["threads"])
                say({"variant": getattr(player, "variant", None), "tried": getattr(player, "tried", None)})
            elif question["do"] == "check":
                say(player.check())
            else:
                say(timed(player, question["repeats"]))
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"})
