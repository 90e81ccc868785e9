"""The peers' side of the protocol with `benches/compare.py`: JSON lines, with requests on standard input and answers on
standard output.

`open` loads a setting. `check` returns results that both sides must share. `run` repeats the work, and returns its
amount and its seconds. A player is any object with `check()` and `run()`; `run()` returns the amount of work of one
call.
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
    """The name of the candidate with the fastest call after one warm-up call, and the times of all.

    With one thread, processor time decides, because other work on the machine does not disturb it.
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
    """Answers requests until standard input ends. `open_setting(setting, threads)` returns a player."""
    # The output of a library must not mix with the answers.
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
