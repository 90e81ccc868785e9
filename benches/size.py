"""Compares training and generation with transformers at the usual fine-tuning sizes, on one graphics card.

    python3 benches/size.py --ours target/release/deps/ours-... --backends tch,vulkan [--runs 0.5B:full,7B:lora] [--out FILE]

`--ours` is the bench binary built with the backends' features (`cargo build --release --bench ours --features ...`).
Each measurement is one process: random weights, two warm-up steps, then the timed steps. It prints the table, and writes
every figure to `--out`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
PEAK = 989e12  # dense bf16 operations per second of an H100 or H200 (SXM), from the vendor's datasheet

SHAPES = {
    "0.5B": {"width": 896, "layers": 24, "heads": 14, "kv_heads": 2, "hidden": 4864, "positions": 2048, "tied": True},
    "1B": {"width": 2048, "layers": 22, "heads": 32, "kv_heads": 4, "hidden": 5632, "positions": 2048},
    "7B": {"width": 4096, "layers": 32, "heads": 32, "kv_heads": 32, "hidden": 11008, "positions": 2048},
}
VOCABULARY = {"0.5B": 151_936, "1B": 32_000, "7B": 32_000}


class Memory(threading.Thread):
    """The peak memory of the card during a measurement, in bytes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.going = 0, True

    def run(self):
        while self.going:
            asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
            try:
                self.most = max(self.most, int(subprocess.run(asked, capture_output=True, text=True).stdout.split()[0]) << 20)
            except (OSError, IndexError, ValueError):
                return
            time.sleep(0.2)


def measure(command, limit):
    memory = Memory()
    memory.start()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"not done within {limit} s"}
    finally:
        memory.going = False
    if done.returncode != 0:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:300], "stderr": done.stderr[-3000:]}
    return json.loads(done.stdout.strip().splitlines()[-1]) | {"card memory": memory.most}


def operations(shape, vocabulary, length):
    """Floating-point operations of training on one token: 6 for each weight in a product, and causal attention."""
    d, size = shape["width"], shape["width"] // shape["heads"]
    block = d * (d + 2 * shape["kv_heads"] * size) + d * d + 3 * d * shape["hidden"]
    return 6 * (shape["layers"] * block + d * vocabulary) + 6 * shape["layers"] * length * d


def row(side, name, answer, setting):
    if "error" in answer:
        return [name, side, answer["error"], "", "", "", ""]
    cells = [name, side]
    if "training" in answer:
        training = answer["training"]
        rate = training["tokens"] / statistics.median(training["seconds"][2:])
        # Frozen matrices need no weight gradients: two thirds of the operations.
        part = 2 / 3 if setting["lora"] else 1
        used = part * rate * operations(setting["model"], setting["vocabulary"], setting["length"])
        cells += [f"{rate:,.0f}", f"{used / 1e12:.0f}", f"{100 * used / PEAK:.1f} %"]
    else:
        cells += ["", "", ""]
    if "generation" in answer:
        generation = answer["generation"]
        cells.append(f"{generation['tokens'] / min(generation['seconds']):,.0f}")
    else:
        cells.append("")
    return cells + [f"{answer['card memory'] / 2**30:.1f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--backends", default="tch")
    parser.add_argument("--runs", default="0.5B:full,1B:full,1B:lora,7B:lora")
    parser.add_argument("--rank", type=int, default=16, help="rank of the LoRA adapters on all seven projections")
    parser.add_argument("--precisions", default="bf16")
    parser.add_argument("--python", default=sys.executable, help="run transformers with this interpreter; empty skips it")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--activations", type=int, default=60, help="GiB for activations; beyond it, blocks are recomputed")
    parser.add_argument("--limit", type=int, default=240, help="stop a measurement after this many seconds")
    parser.add_argument("--out")
    wanted = parser.parse_args()
    rows, record = [], []
    for name, kind in (run.split(":") for run in wanted.runs.split(",")):
        for precision in wanted.precisions.split(","):
            setting = {
                "precision": precision, "model": SHAPES[name], "vocabulary": VOCABULARY[name],
                "batch": wanted.batch, "length": wanted.length, "steps": wanted.steps, "piece": 8192,
                "prompts": wanted.prompts, "prompt": wanted.prompt, "tokens": wanted.tokens,
                "activations": wanted.activations, "lora": wanted.rank if kind == "lora" else 0,
            }
            sides = {f"rise-lab, {b}": [wanted.ours, "size", json.dumps(setting | {"backend": b})] for b in wanted.backends.split(",") if b}
            if wanted.python:
                sides["transformers"] = [wanted.python, str(HERE / "peers" / "size_torch.py"), json.dumps(setting)]
            for side, command in sides.items():
                answer = measure(command, wanted.limit)
                record.append({"shape": name, "precision": precision, "kind": kind, "side": side, "setting": setting, "answer": answer})
                rows.append(row(side, f"{name} {kind} {precision}", answer, setting))
                print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
                if wanted.out:
                    Path(wanted.out).write_text(json.dumps(record, indent=1) + "\n")
    head = ["shape", "side", "training, tokens/s", "TFLOP/s", "MFU", "generation, tokens/s", "card memory, GiB"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * 2 + "---:|" * 5)
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
