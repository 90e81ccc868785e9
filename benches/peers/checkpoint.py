"""Reads checkpoints of rise-lab as Hugging Face models, and writes them.

A rise-lab checkpoint is a folder with `model.safetensors`, `config.json` and `tokenizer.json`. Its weights have
Hugging Face's names and layout ([out, in], half-split rotary); only the names of the sizes differ. A shipped base model
is a recipe (`experiments/models/weak.toml`) with weights and tokenizer in the same folder.

    from checkpoint import load
    model, tokenizer = load("experiments/models/weak.toml")     # or a checkpoint folder, or weak.safetensors

As a program, it checks a checkpoint, or writes one with random weights:

    python checkpoint.py check experiments/models/weak.toml
    python checkpoint.py random FOLDER --width 128 --layers 4 --heads 4 --hidden 344 --vocabulary 512
"""

import argparse
import json
import tomllib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CONTROL = ("<|pad|>", "<|user|>", "<|assistant|>", "<|end|>")
"""The control tokens, in the order of their ids in tokenizers that rise-lab trains."""

DEFAULTS = {
    "width": 96,
    "layers": 4,
    "heads": 4,
    "kv_heads": 4,
    "hidden": 256,
    "positions": 1024,
    "rope_theta": 10_000.0,
    "norm_epsilon": 1e-5,
    "tied": False,
}
"""Sizes that a recipe leaves out (`ModelConfig` in `src/model/config.rs`)."""


def parts(place):
    """Sizes, weights file and tokenizer file of a checkpoint folder, a recipe (`weak.toml`), or shipped
    weights (`weak.safetensors`, with the recipe in the same folder)."""
    place = Path(place)
    if place.is_dir():
        sizes = json.loads((place / "config.json").read_text())
        return DEFAULTS | sizes, place / "model.safetensors", place / "tokenizer.json"
    recipe = tomllib.loads(place.with_suffix(".toml").read_text())
    shipped = recipe["checkpoint"]
    return DEFAULTS | recipe.get("model", {}), place.parent / shipped["file"], place.parent / shipped["tokenizer"]


def llama_config(sizes, vocabulary, control=None):
    """rise-lab's sizes as a Hugging Face configuration. `control` maps names of special tokens to ids."""
    ids = control or {name: place for place, name in enumerate(CONTROL)}
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv_heads"],
        head_dim=sizes["width"] // sizes["heads"],
        intermediate_size=sizes["hidden"],
        max_position_embeddings=sizes["positions"],
        rms_norm_eps=sizes["norm_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": sizes["rope_theta"]},
        tie_word_embeddings=sizes["tied"],
        attention_bias=False,
        mlp_bias=False,
        hidden_act="silu",
        pad_token_id=ids["<|pad|>"],
        bos_token_id=None,
        eos_token_id=ids["<|end|>"],
    )


def load_tokenizer(path):
    """A `tokenizer.json` as Hugging Face's fast tokenizer. As in rise-lab, the name of a special token
    inside a text is plain text."""
    inner = Tokenizer.from_file(str(path))
    inner.encode_special_tokens = True
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|assistant|>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )


def load(place, attention="sdpa"):
    """A checkpoint as (`LlamaForCausalLM` in f32, ready to evaluate, `PreTrainedTokenizerFast`)."""
    sizes, weights, vocabulary = parts(place)
    tokenizer = load_tokenizer(vocabulary)
    control = {name: tokenizer.convert_tokens_to_ids(name) for name in CONTROL}
    config = llama_config(sizes, len(tokenizer), control)
    config._attn_implementation = attention
    model = LlamaForCausalLM(config).float()
    missing, unexpected = model.load_state_dict(load_file(str(weights)), strict=False)
    if unexpected or (missing and not (sizes["tied"] and missing == ["lm_head.weight"])):
        raise ValueError(f"{weights}: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model.eval(), tokenizer


def sizes_of(config):
    """A `LlamaConfig` as rise-lab's sizes."""
    return {
        "width": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "kv_heads": config.num_key_value_heads,
        "hidden": config.intermediate_size,
        "positions": config.max_position_embeddings,
        "rope_theta": float(config.rope_parameters["rope_theta"]),
        "norm_epsilon": config.rms_norm_eps,
        "tied": config.tie_word_embeddings,
    }


def save(model, tokenizer, folder):
    """Writes a rise-lab checkpoint of a `LlamaForCausalLM` and a tokenizer (of `tokenizers`, or a fast one)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(sizes_of(model.config), indent=2) + "\n")
    getattr(tokenizer, "backend_tokenizer", tokenizer).save(str(folder / "tokenizer.json"))
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    save_file(tensors, str(folder / "model.safetensors"))


def made_up_tokenizer(vocabulary):
    """A byte-level tokenizer of exactly `vocabulary` tokens (at least 260): special tokens, bytes, and pairs of bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocabulary < len(CONTROL) + len(alphabet):
        raise ValueError(f"{vocabulary} tokens; bytes and control tokens need {len(CONTROL) + len(alphabet)}")
    common = "Ġabcdefghijklmnopqrstuvwxyz"
    common += "".join(char for char in alphabet if char not in common)
    pairs = ((first, second) for first in common for second in common)
    merges = [pair for pair, _ in zip(pairs, range(vocabulary - len(CONTROL) - len(alphabet)))]
    tokens = [*CONTROL, *alphabet, *("".join(pair) for pair in merges)]
    inner = Tokenizer(models.BPE(vocab={token: place for place, token in enumerate(tokens)}, merges=merges))
    inner.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in CONTROL])
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    return inner


def random(folder, vocabulary=512, seed=0, **sizes):
    """Writes a rise-lab checkpoint of the given sizes (see `DEFAULTS`) with random weights: normal with standard
    deviation 0.02 for the embedding and 1 / sqrt(3 in) elsewhere, gains 1, as rise-lab initialises a model."""
    sizes = DEFAULTS | sizes
    model = LlamaForCausalLM(llama_config(sizes, vocabulary)).float()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                spread = 0.02 if name == "model.embed_tokens.weight" else (3 * parameter.shape[1]) ** -0.5
                parameter.normal_(0.0, spread, generator=generator)
    save(model, made_up_tokenizer(vocabulary), folder)


def reference_logits(place, tokens):
    """Logits [T, V] of one sequence of T token ids by rise-lab's formulas, re-implemented in plain f64 to
    check the Hugging Face model."""
    sizes, weights, _ = parts(place)
    w = {name: tensor.double() for name, tensor in load_file(str(weights)).items()}
    heads, keys, size = sizes["heads"], sizes["kv_heads"], sizes["width"] // sizes["heads"]
    length = len(tokens)
    frequencies = sizes["rope_theta"] ** (-torch.arange(0, size, 2).double() / size)
    angles = torch.arange(length).double()[:, None] * frequencies
    cosines, sines = angles.cos(), angles.sin()

    def normed(x, gain):
        return x * (x.square().mean(-1, keepdim=True) + sizes["norm_epsilon"]).rsqrt() * gain

    def rotated(x):
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)

    hidden = torch.full((length, length), float("-inf")).double().triu(1)
    x = w["model.embed_tokens.weight"][torch.tensor(tokens)]
    for layer in range(sizes["layers"]):
        part = lambda name: w[f"model.layers.{layer}.{name}.weight"]
        y = normed(x, part("input_layernorm"))
        split = lambda name, count: (y @ part(f"self_attn.{name}").T).view(length, count, size).transpose(0, 1)
        q, k, v = rotated(split("q_proj", heads)), rotated(split("k_proj", keys)), split("v_proj", keys)
        k, v = (each.repeat_interleave(heads // keys, dim=0) for each in (k, v))
        mixed = (q @ k.transpose(1, 2) / size**0.5 + hidden).softmax(-1) @ v
        x = x + mixed.transpose(0, 1).reshape(length, -1) @ part("self_attn.o_proj").T
        y = normed(x, part("post_attention_layernorm"))
        gate, up = y @ part("mlp.gate_proj").T, y @ part("mlp.up_proj").T
        x = x + (torch.nn.functional.silu(gate) * up) @ part("mlp.down_proj").T
    x = normed(x, w["model.norm.weight"])
    return x @ w.get("lm_head.weight", w["model.embed_tokens.weight"]).T


def check(place):
    """The largest distance of the Hugging Face model's logits from `reference_logits`, on 64 random tokens."""
    model, tokenizer = load(place)
    tokens = torch.randint(len(tokenizer), (64,), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = model(tokens[None]).logits[0].double()
    return (logits - reference_logits(place, tokens.tolist())).abs().max().item()


def main():
    parser = argparse.ArgumentParser(description="Check a rise-lab checkpoint in Hugging Face, or write a random one.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check").add_argument("place")
    make = commands.add_parser("random")
    make.add_argument("folder")
    make.add_argument("--vocabulary", type=int, default=512)
    make.add_argument("--seed", type=int, default=0)
    for name, default in DEFAULTS.items():
        if name == "tied":
            make.add_argument("--tied", action="store_true")
        else:
            make.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    options = vars(parser.parse_args())
    if options.pop("command") == "check":
        distance = check(options["place"])
        print(f"largest distance of logits: {distance:.1e}")
        raise SystemExit(distance > 1e-4)
    random(options.pop("folder"), **options)


if __name__ == "__main__":
    main()
