"""Exports the shipped base with the program, and writes the results that transformers computes with it.

Run it in the root of the repository, in the environment of README.md, on a built program:

    /tmp/golden/bin/python tests/golden/export.py target/release/rise-lab

It prints three comparisons. The first is between `rise-lab model chat` and transformers' greedy conversations, in texts
and prompt lengths over several turns, for the export in one file, in shards, and in 16 bits. The second is between token
ids of `apply_chat_template` and of rise-lab. The third needs llama-cpp-python: llama.cpp's greedy continuations of the same
token ids. `export.json` is for the Rust tests: ids, log-probabilities and logits of the plain model, and of the same model
with the adapters of `export.safetensors`, merged by `W + scale B A`.
"""

import copy
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).parent
WEAK = "experiments/models/weak.toml"
RETRY = "That is incorrect. Try again."
QUESTIONS = [
    "Ann has 3 cards. She buys 4 more cards. How many cards does Ann have now?",
    "Ben has 16 pens. He gives away 5 pens. Then he buys 7 pens. How many pens does Ben have now?",
    "  Zoë's 12,345 coins \u2603 cost $0.50 each;\n\n\thow much is that?  ",
]
TURNS, NEW = 3, 60
RANK, SCALE, SEED = 2, 1.5, 11
PROJECTIONS = [f"self_attn.{p}_proj" for p in "qkvo"] + [f"mlp.{p}_proj" for p in ("gate", "up", "down")]


def export(program, folder, *more):
    subprocess.run([program, "model", "export", WEAK, "--to", str(folder), *more], check=True, capture_output=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", attn_implementation="eager").eval()
    return model, AutoTokenizer.from_pretrained(folder)


def ids_of(tokenizer, messages):
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]


@torch.no_grad()
def greedy(model, ids):
    """The continuation, up to a stop token of `generation_config.json`."""
    config = copy.deepcopy(model.generation_config)
    config.update(do_sample=False, max_new_tokens=NEW, temperature=None, top_k=None, top_p=None)
    out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), generation_config=config)
    return out[0, len(ids):].tolist()


def dialogues(model, tokenizer):
    """Every conversation turn by turn: messages, ids, continuation, and its text."""
    for question in QUESTIONS:
        messages = [{"role": "user", "content": question.strip().splitlines()[0]}]
        for _ in range(TURNS):
            ids = ids_of(tokenizer, messages)
            written = greedy(model, ids)
            text = tokenizer.decode(written, skip_special_tokens=True)
            yield list(messages), ids, written, text
            messages += [{"role": "assistant", "content": text}, {"role": "user", "content": RETRY}]


def spoken(program, source):
    """The answer of `rise-lab model chat`, and the number of prompt tokens."""
    lines = "".join(q.strip().splitlines()[0] + "\n" + "/retry\n" * (TURNS - 1) + "/new\n" for q in QUESTIONS)
    arguments = ["model", "chat", str(source), "--temperature", "0", "--max-tokens", str(NEW), "--format", "json", "--retry", "incorrect"]
    arguments += ["--repeat-question", "false"]
    ran = subprocess.run([program, *arguments], input=lines, text=True, check=True, capture_output=True)
    news = [json.loads(line) for line in ran.stdout.splitlines()]
    return [(line["text"], line["prompt"], line["tokens"]) for line in news if line["reason"] == "answer"]


@torch.no_grad()
def numbers(model, sequences):
    """Log-probabilities of the tokens, and the logits after the last one."""
    out = []
    for ids in sequences:
        logits = model.double()(torch.tensor([ids])).logits[0]
        logs = torch.log_softmax(logits, -1)
        came = logs[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        out.append({"log_probabilities": rounded(came), "logits": rounded(logits[-1])})
    return out


def rounded(values):
    return [float(f"{value:.7g}") for value in values.tolist()]


def adapted(model):
    """Adds random adapters to every projection; returns them in PEFT's shapes."""
    draws = torch.Generator().manual_seed(SEED)
    adapters = {}
    for name, parameter in model.named_parameters():
        layer = name.removesuffix(".weight")
        if any(layer.endswith(projection) for projection in PROJECTIONS):
            out, inner = parameter.shape
            a = torch.randn(RANK, inner, generator=draws) / inner**0.5
            b = torch.randn(out, RANK, generator=draws) / RANK**0.5 * 0.3
            adapters |= {f"{layer}.lora_A.weight": a, f"{layer}.lora_B.weight": b}
            parameter.data += (SCALE * (b.double() @ a.double())).to(parameter.dtype)
    return adapters


def llama_cpp(folder, model, sequences, expected):
    """llama.cpp's greedy continuations of the same token ids."""
    try:
        import llama_cpp
    except ImportError:
        return "llama-cpp-python is not there"
    sys.path.insert(0, str(HERE.parent.parent / "benches/peers"))
    from types import SimpleNamespace

    import gguf_file

    config = json.loads((folder / "config.json").read_text())
    sizes = dict(
        width=config["hidden_size"], layers=config["num_hidden_layers"], heads=config["num_attention_heads"],
        kv_heads=config["num_key_value_heads"], hidden=config["intermediate_size"],
        positions=config["max_position_embeddings"], norm_epsilon=config["rms_norm_eps"],
        rope_theta=model.config.rope_parameters["rope_theta"],
    )
    setting = SimpleNamespace(model=sizes, data={"vocabulary": config["vocab_size"]}, weights=folder / "model.safetensors")
    gguf_file.write(setting, folder / "model.gguf")
    theirs = llama_cpp.Llama(str(folder / "model.gguf"), n_ctx=512, verbose=False, logits_all=False)
    stops, same = set(model.generation_config.eos_token_id), 0
    for ids, written in zip(sequences, expected):
        theirs.reset()
        theirs.eval(ids)
        found = []
        while len(found) < NEW:
            token = max(range(config["vocab_size"]), key=lambda t: theirs._ctx.get_logits()[t])
            found.append(token)
            if token in stops:
                break
            theirs.eval([token])
        same += found == written
    return f"{same} of {len(expected)} greedy continuations are the same"


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        forms = {"one file": [], "shards of 500 kB": ["--shard-size", "500kB"], "bf16": ["--precision", "bf16"]}
        for number, (form, more) in enumerate(forms.items()):
            place = folder / str(number)
            model, tokenizer = export(program, place, *more)
            model = model.float()
            said = list(dialogues(model, tokenizer))
            ours = spoken(program, WEAK if number < 2 else place)
            theirs = [(text, len(ids), len(written)) for _, ids, written, text in said]
            same = sum(a == b for a, b in zip(ours, theirs))
            print(f"{form}: {same} of {len(theirs)} answers are the same in text, prompt length and length")
            print(f"{form}, exported: {sum(a == b for a, b in zip(spoken(program, place), theirs))} of {len(theirs)}")
        model, tokenizer = export(program, folder / "plain")
        said = list(dialogues(model, tokenizer))
        odd = [{"role": "user", "content": QUESTIONS[2]}]
        sequences = [ids + written for _, ids, written, _ in said] + [ids_of(tokenizer, odd)]
        print("llama.cpp:", llama_cpp(folder / "plain", model, [ids for _, ids, _, _ in said], [w for _, _, w, _ in said]))
        golden = {
            "vocabulary": len(tokenizer),
            "scale": SCALE,
            "prompts": [{"messages": [m["content"] for m in messages], "ids": ids} for messages, ids, _, _ in said]
            + [{"messages": [QUESTIONS[2]], "ids": ids_of(tokenizer, odd)}],
            "continuations": [written for _, _, written, _ in said],
            "sequences": sequences,
            "plain": numbers(model, sequences),
        }
        adapters = adapted(model)
        golden["adapted"] = numbers(model, sequences[-3:])
        save_file(adapters, HERE / "export.safetensors")
        (HERE / "export.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
