"""Trains adapters on an exported base with the program, and compares them in PEFT with the merged export.

Run it in the root of the repository, in the environment of README.md with peft, on a built program:

    /tmp/golden/bin/python tests/golden/adapters.py target/release/rise-lab

The base is `weak`, exported; one small RISE round trains adapters of rank 8 on all projections. PEFT loads them from the
folder of the training stage onto the exported base, and `rise-lab model export` merges them. The program compares their
logits on one dialogue. Its output is `adapters.log`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

WEAK = "experiments/models/weak.toml"
QUESTION = "Ann has 3 cards. She buys 4 more cards. How many cards does Ann have now?"


def logits(model, ids):
    with torch.no_grad():
        return model.eval()(ids).logits


def main(program):
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        run = lambda *words: subprocess.run([program, *map(str, words)], check=True, capture_output=True)
        store = ("--store", folder / "store")
        run("model", "export", WEAK, "--to", folder / "base")
        settings = [
            f"base={{ hf = {json.dumps(str(folder / 'base'))} }}",
            "train.lora={ rank = 8, alpha = 16 }",
            "data={ train = 100, validation = 0, test = 50 }",
            "rounds.count=1",
        ]
        sets = [word for setting in settings for word in ("--set", setting)]
        run("sweep", "experiments/quickstart.toml", *sets, *store, "--no-report")
        run("model", "export", "baseline seed=0", "--to", folder / "merged", *store)
        load = lambda name: AutoModelForCausalLM.from_pretrained(folder / name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(folder / "base")
        messages = [{"role": "user", "content": QUESTION}]
        ids = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=False
        )
        plain, merged = logits(load("base"), ids), logits(load("merged"), ids)
        (adapters,) = (folder / "store/stages").glob("*/adapter_model.safetensors")
        adapted = logits(PeftModel.from_pretrained(load("base"), adapters.parent), ids)
        apart = lambda a, b: ((a - b).abs().max() / b.abs().max()).item()
        print(f"PEFT beside the merged export: logits {apart(adapted, merged):.1e} apart, of the largest")
        print(f"PEFT beside the base: {apart(adapted, plain):.1e} apart, so the adapters do something")


main(sys.argv[1])
