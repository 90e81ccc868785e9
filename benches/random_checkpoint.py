"""Writes a checkpoint with random weights and a tokenizer in Hugging Face's layout, at the usual fine-tuning sizes.

    python3 benches/random_checkpoint.py --shape 1B --to /tmp/1B [--dtype bf16]

Use it to time RISE rounds without a real checkpoint: at equal answer lengths, the cost does not depend on the weights.
It needs numpy and tokenizers. The chat template is ChatML. The tokenizer has all bytes, and one character for each
other token, so a random answer has as many tokens when the next turn shows it again. English text is one token a byte:
three to four times as many as with a trained tokenizer.
"""

import argparse
import json
from itertools import chain
from pathlib import Path

import numpy
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

HERE = Path(__file__).parent
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
SHARD = 4 << 30  # bytes
SHAPES = {
    "tiny": {"width": 64, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 96, "tied": True, "vocabulary": 1000},
    "0.5B": {"width": 896, "layers": 24, "heads": 14, "kv_heads": 2, "hidden": 4864, "tied": True, "vocabulary": 151_936},
    "1B": {"width": 2048, "layers": 22, "heads": 32, "kv_heads": 4, "hidden": 5632, "tied": False, "vocabulary": 32_000},
    "7B": {"width": 4096, "layers": 32, "heads": 32, "kv_heads": 32, "hidden": 11008, "tied": False, "vocabulary": 32_000},
}


def letters():
    """The character that represents each byte in byte-level tokenizers."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}


def tokenizer(size):
    """A byte-level tokenizer of a given size; most of its tokens are characters outside English."""
    letter = letters()
    vocabulary = {name: number for number, name in enumerate([*SPECIAL, *letter.values()])}
    merges = []
    for code in chain(range(0x800, 0xD800), range(0xE000, 0x40000)):
        parts = [letter[byte] for byte in chr(code).encode()]
        for count in range(1, len(parts)):
            begun = "".join(parts[:count])
            if begun + parts[count] not in vocabulary and len(vocabulary) < size:
                vocabulary[begun + parts[count]] = len(vocabulary)
                merges.append((begun, parts[count]))
        if len(vocabulary) >= size:
            break
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
    return made


def tensors(shape):
    """Every tensor's name and shape, in the order of the layers."""
    width, hidden = shape["width"], shape["hidden"]
    keys = width // shape["heads"] * shape["kv_heads"]
    yield "model.embed_tokens.weight", (shape["vocabulary"], width)
    for layer in range(shape["layers"]):
        block = {
            "input_layernorm": (width,), "self_attn.q_proj": (width, width), "self_attn.k_proj": (keys, width),
            "self_attn.v_proj": (keys, width), "self_attn.o_proj": (width, width), "post_attention_layernorm": (width,),
            "mlp.gate_proj": (hidden, width), "mlp.up_proj": (hidden, width), "mlp.down_proj": (width, hidden),
        }
        yield from ((f"model.layers.{layer}.{name}.weight", size) for name, size in block.items())
    yield "model.norm.weight", (width,)
    if not shape["tied"]:
        yield "lm_head.weight", (shape["vocabulary"], width)


def values(draws, name, size, dtype):
    """A tensor's bytes: gains are 1, other weights normal with standard deviation 0.02."""
    made = numpy.ones(size, numpy.float32) if "norm" in name else draws.standard_normal(size, numpy.float32) * numpy.float32(0.02)
    if dtype == "bf16":
        bits = made.view(numpy.uint32)
        made = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16)
    return made.tobytes()


def write_shard(path, shard, dtype):
    """A safetensors file: header length, header, tensors."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, (size, data) in shard.items():
        header[name] = {"dtype": dtype.upper(), "shape": size, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.writelines(data for _, data in shard.values())


def write_weights(shape, dtype, seed, folder):
    """The weights in shards that fit into memory, and their index."""
    draws, places, shard, room = numpy.random.default_rng(seed), {}, {}, SHARD
    for name, size in chain(tensors(shape), [(None, ())]):
        data = values(draws, name, size, dtype) if name else b""
        if shard and (name is None or len(data) > room):
            file = f"model-{len(set(places.values())) + 1:05}.safetensors"
            write_shard(folder / file, shard, dtype)
            places |= dict.fromkeys(shard, file)
            shard, room = {}, SHARD
        shard[name] = size, data
        room -= len(data)
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def config(shape, positions, dtype):
    return {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": shape["vocabulary"],
        "hidden_size": shape["width"], "intermediate_size": shape["hidden"], "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"], "num_key_value_heads": shape["kv_heads"], "rms_norm_eps": 1e-5,
        "max_position_embeddings": positions, "rope_theta": 10_000.0, "tie_word_embeddings": shape["tied"],
        "hidden_act": "silu", "torch_dtype": {"bf16": "bfloat16", "f32": "float32"}[dtype],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--to", type=Path, required=True, help="create this folder")
    parser.add_argument("--dtype", choices=["bf16", "f32"], default="bf16")
    parser.add_argument("--positions", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    shape, folder = SHAPES[wanted.shape], wanted.to
    folder.mkdir(parents=True)
    write_weights(shape, wanted.dtype, wanted.seed, folder)
    tokenizer(shape["vocabulary"]).save(str(folder / "tokenizer.json"))
    template = (HERE.parent / "templates" / "chat" / "chatml.jinja").read_text()
    named = {"chat_template": template, "eos_token": SPECIAL[2], "pad_token": SPECIAL[0], "bos_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(named, indent=2))
    # Write the sizes last, because they mark the folder as a complete checkpoint.
    (folder / "config.json").write_text(json.dumps(config(shape, wanted.positions, wanted.dtype), indent=2))


if __name__ == "__main__":
    main()
