"""Batched greedy generation against PyTorch, transformers and llama.cpp, on the same weights in f32."""

from .sides import Contestant, alternate, say

TITLE = "Generation, tokens/s"
ABOUT = """One unit of work is a sampled token; sampling is greedy. "Random prompts" continues 64 prompts of 16 to 112
tokens by 64 tokens each, without a stop token. In "Answers", the base model `strong` answers 256 problems in up to 96
tokens, 64 rows at a time. PyTorch and transformers batch prompts of similar length, and a batch lasts as long as its
longest answer. llama.cpp and rise-lab replace a finished row by the next prompt. Only tokens up to the end of an answer
count, for every side. "Same" is the share of continuations that equal rise-lab's, token by token. Near-ties differ
because the sides sum in different orders."""

MODEL = {"width": 128, "layers": 4, "heads": 4, "kv_heads": 4, "hidden": 344, "positions": 256}
RANDOM = {"kind": "generation", "model": MODEL, "vocabulary": 512, "batch": 64, "shortest": 16, "length": 112, "tokens": 64}
ANSWERS = {"kind": "answers", "base": "experiments/models/strong.toml", "batch": 256, "tokens": 96}
SETTINGS = {"random prompts, d128 L4 V512, 64 rows": RANDOM, "answers, d96 L4 V512, 256 prompts": ANSWERS}
PEERS = {
    "PyTorch": ("generate_torch.py", "torch"),
    "transformers": ("generate_hf.py", "transformers"),
    "llama.cpp": ("generate_llama_cpp.py", "llama_cpp"),
    "llama.cpp, f16 cache": ("generate_llama_cpp.py", "llama_cpp", "--f16"),
}
LEAST_SAME = 0.5
"""Below this the sides do not run the same model; rounding alone never takes that many."""


def contestants(bench, peers=tuple(PEERS)):
    sides = {"rise-lab": bench.ours()} | {name: bench.peer(*PEERS[name]) for name in peers}
    return [Contestant(name, [side]) for name, side in sides.items() if side]


def same(contestants):
    answers = {contestant.name: contestant.check()["continuations"] for contestant in contestants}
    ours = answers[contestants[0].name]
    return {
        "tokens": sum(map(len, ours)),
        "same": {
            name: round(sum(a == b for a, b in zip(ours, theirs)) / len(ours), 4) for name, theirs in answers.items()
        },
        "same tokens": {name: round(prefix(ours, theirs), 4) for name, theirs in answers.items()},
    }


def prefix(ours, theirs):
    """The share of tokens before the first difference."""
    equal = 0
    for a, b in zip(ours, theirs):
        equal += next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return equal / sum(map(len, ours))


def compare(bench, label, folder, players, pairs, seconds):
    say(f"  {label}: {', '.join(player.name for player in players)}")
    for player in players:
        player.rates, player.cpu_rates = [], []
        player.open(folder)
    check = same(players)
    for player in [player for player in players if check["same"][player.name] < LEAST_SAME]:
        bench.skip(f"{player.name} on {label}: only {check['same'][player.name]:.0%} of its continuations are the same")
        players = [other for other in players if other is not player]
    return {"setting": label, "check": check, **alternate(players, pairs, seconds)}


def run(bench, machine):
    players = contestants(bench)
    try:
        records = [
            compare(bench, name, bench.prepare(f"generation {i}", setting), players, bench.pairs, bench.seconds)
            for i, (name, setting) in enumerate(SETTINGS.items())
            if bench.wants(name)
        ]
    finally:
        for player in players:
            player.close()
    return {"title": TITLE, "about": ABOUT, "comparisons": records}
