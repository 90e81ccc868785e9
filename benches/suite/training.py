"""Optimizer steps against PyTorch, on three shapes, with one thread and with two."""

from .sides import Contestant, SideError, alternate, say

TITLE = "Training, tokens/s"
ABOUT = """One unit of work is a token in one optimizer step: forward, backward, clipping by the global norm, AdamW.
Every position is a target. FLOPs per token are 3 x (2 x weights in products + 4 x T x D per layer), with the whole square
of attention; "causal" counts half of it. Shares are of the measured peak of one core's matrix product times the number
of threads."""

SHAPES = {
    "d128 L4 B64xT96 V64": {"width": 128, "layers": 4, "heads": 4, "hidden": 344, "batch": 64, "length": 96, "vocabulary": 64},
    "d256 L6 B32xT192 V512": {"width": 256, "layers": 6, "heads": 8, "hidden": 688, "batch": 32, "length": 192, "vocabulary": 512},
    "d512 L8 B8xT256 V8192": {"width": 512, "layers": 8, "heads": 8, "hidden": 1376, "batch": 8, "length": 256, "vocabulary": 8192},
}
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str((1 << 31) - 1),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""The settings that the Rust side gives its own allocator, for glibc's in the peer."""
PEERS = {
    "PyTorch eager": ((), None),
    "PyTorch eager, our allocator settings": ((), ALLOCATOR),
    "torch.compile": (("--compile",), None),
}
TOLERANCE = 1e-4


def setting(shape, kind="training"):
    model = {name: shape[name] for name in ("width", "layers", "heads", "hidden")}
    model |= {"kv_heads": shape["heads"], "positions": max(shape["length"], 256)}
    return {"kind": kind, "model": model} | {name: shape[name] for name in ("batch", "length", "vocabulary")}


def flops_per_token(shape, causal=False):
    width, hidden, layers = shape["width"], shape["hidden"], shape["layers"]
    products = layers * (4 * width * width + 3 * width * hidden) + width * shape["vocabulary"]
    square = 4 * shape["length"] * width * layers
    return 3 * (2 * products + (square / 2 if causal else square))


def agree(contestants):
    """Raises if the sides compute different losses; returns the largest difference."""
    answers = {contestant.name: contestant.check() for contestant in contestants}
    ours = answers[contestants[0].name]
    gaps = {}
    for name, answer in answers.items():
        gap = [abs(a - b) for a, b in zip(ours["losses"], answer["losses"])]
        gaps[name] = {"first loss": gap[0], "largest of 4 steps": max(gap)}
        if not gap[0] <= TOLERANCE:
            raise SideError(f"{name} computes another loss: {answer['losses'][0]} instead of {ours['losses'][0]}")
    return {"losses": ours["losses"], "norms": ours["norms"], "gaps": gaps}


def compare(bench, label, folder, groups):
    """One comparison; `groups` maps the name of each contestant to its sides."""
    contestants = [Contestant(name, sides) for name, sides in groups.items() if None not in sides]
    say(f"  {label}: {', '.join(contestant.name for contestant in contestants)}")
    try:
        for contestant in contestants:
            contestant.open(folder)
        check = agree(contestants)
        return {"setting": label, "check": check, **alternate(contestants, bench.pairs, bench.seconds)}
    finally:
        for contestant in contestants:
            contestant.close()


def with_shares(record, shape, threads, machine):
    """Adds GFLOP/s and shares of the peak to every side."""
    for side in record["sides"]:
        for name, causal in (("", False), (", causal", True)):
            gflops = side["median"] * flops_per_token(shape, causal) / 1e9
            side[f"GFLOP/s{name}"] = round(gflops, 1)
            side[f"share of peak{name}"] = round(gflops / (threads * machine["peaks"]["gemm GFLOP/s"]), 3)
    return record


def run(bench, machine):
    records = []
    for name, shape in SHAPES.items():
        folder = bench.prepare(f"training {name}", setting(shape))
        for label, threads, peers, groups in plans(bench, name):
            if bench.wants(label) and bench.enough_cores(threads):
                record = compare(bench, label, folder, groups(peers))
                records.append(with_shares(record, shape, threads, machine))
    return {"title": TITLE, "about": ABOUT, "comparisons": records}


def plans(bench, name):
    """The comparisons on a shape: label, threads, peers, and commands of the sides."""
    small = name.startswith("d128")

    def side(peer, **where):
        arguments, environment = PEERS[peer]
        return bench.peer("train_torch.py", "torch", *arguments, environment=environment, **where)

    def one_process(threads):
        return lambda peers: {
            "rise-lab": [bench.ours(threads)],
            **{peer: [side(peer, threads=threads)] for peer in peers},
        }

    def two_workers(peers):
        cores = [{core} for core in bench.cores[-2:]]
        return {
            "rise-lab": [bench.ours(cores=core) for core in cores],
            **{peer: [side(peer, cores=core) for core in cores] for peer in peers},
        }

    eager, tuned, compiled = PEERS
    yield f"{name}, 1 thread", 1, [eager, tuned, compiled] if small else [eager, compiled], one_process(1)
    yield f"{name}, 2 threads", 2, [eager, compiled] if small else [eager], one_process(2)
    if small:
        yield f"{name}, 2 workers of 1 thread", 2, [eager, compiled], two_workers
