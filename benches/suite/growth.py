"""Growth of cost: tokens/s by width, sequence length, batch, rows and turns, compared with PyTorch eager."""

from . import generation, training
from .sides import Contestant, alternate, say

TITLE = "Growth, tokens/s"
ABOUT = """The small model with one size changed at a time, on one thread, compared with PyTorch eager and plain PyTorch
generation. In "Turns", a request to try again follows every attempt. Each turn's prompt is the previous prompt, its
answer and the request: 64 problems, base model `strong`, temperature 1. A turn counts its sampled tokens; its seconds
include the prefill."""

SMALL = training.SHAPES["d128 L4 B64xT96 V64"]
WIDTHS = [64, 128, 256, 512]
LENGTHS = [32, 64, 128, 256, 512, 1024]
BATCHES = [1, 4, 16, 64, 256]
ROWS = [1, 4, 16, 64]
TURNS = {"kind": "turns", "base": "experiments/models/strong.toml", "batch": 64, "tokens": 96, "turns": 5}
TOKENS = 6144
"""Tokens of a step while the length grows."""


def shapes():
    """(series, variable, its values with their shapes)"""
    heads = {width: {"width": width, "heads": width // 32, "hidden": width * 43 // 16} for width in WIDTHS}
    yield "width", "D", {width: SMALL | sizes | {"batch": 16} for width, sizes in heads.items()}
    yield "sequence length", "T", {length: SMALL | {"length": length, "batch": TOKENS // length} for length in LENGTHS}
    yield "batch", "B", {batch: SMALL | {"batch": batch} for batch in BATCHES}


def run(bench, machine):
    series = trained(bench)
    series.append(generated(bench))
    return {"title": TITLE, "about": ABOUT, "series": series, "tables": [turns(bench)]}


def trained(bench):
    sides = {"rise-lab": bench.ours(), "PyTorch eager": bench.peer("train_torch.py", "torch")}
    players = [Contestant(name, [side]) for name, side in sides.items() if side]
    series = []
    try:
        for name, letter, points in shapes():
            rates = {}
            for value, shape in points.items():
                label = f"training, {letter} = {value}"
                say(f"  {label}")
                folder = bench.prepare(f"growth {label}", training.setting(shape))
                rates[value] = point(bench, players, folder, training.agree)
            series.append({"title": f"Training against {name}", "axis": letter, "points": rates})
    finally:
        for player in players:
            player.close()
    return series


def generated(bench):
    players = generation.contestants(bench, ["PyTorch"])
    rates = {}
    try:
        for rows in ROWS:
            say(f"  generation, {rows} rows")
            folder = bench.prepare(f"growth generation {rows}", generation.RANDOM | {"batch": rows})
            rates[rows] = point(bench, players, folder, generation.same)
    finally:
        for player in players:
            player.close()
    return {"title": "Generation against rows", "axis": "rows", "points": rates}


def point(bench, players, folder, check):
    for player in players:
        player.rates, player.cpu_rates = [], []
        player.open(folder)
    check(players)
    found = alternate(players, min(bench.pairs, 3), bench.seconds / 3)
    return {side["name"]: side["median"] for side in found["sides"]}


def turns(bench):
    say("  turns")
    player = Contestant("rise-lab", [bench.ours()])
    try:
        player.open(bench.prepare("growth turns", TURNS))
        player.run(1)
        tries = []
        for _ in range(min(bench.pairs, 3)):
            player.run(1)
            tries.append(player.remarks)
    finally:
        player.close()
    best = [min((tried[turn] for tried in tries), key=lambda found: found["seconds"]) for turn in range(TURNS["turns"])]
    rows = [
        [found["turn"], found["tokens"], f"{found['seconds']:.3f}", f"{found['tokens'] / found['seconds']:,.0f}"]
        for found in best
    ]
    return {"title": "Turns", "columns": ["turn", "tokens", "seconds", "tokens/s"], "rows": rows}
