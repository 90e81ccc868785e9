"""Serves a base model of rise-lab with llama.cpp, through the API of API teachers.

    python benches/teacher/serve.py experiments/models/strong [--port 8123] [--alias strong]

MODEL is a path without extension. The program reads `MODEL.safetensors`, `MODEL.tokenizer.json` and the recipe
`MODEL.toml`. The GGUF file holds the tokenizer and a chat template, so the server reads dialogues as rise-lab does.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time
import tomllib

import gguf
import numpy as np
import xllamacpp
from safetensors.numpy import load_file

sys.path.append(str(pathlib.Path(__file__).parent.parent / "peers"))
from gguf_file import NAMES, interleaved  # noqa: E402

# The text that `src/model/tokenizer` writes around messages.
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% if m['role'] == 'assistant' %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def add_tokenizer(file, tokenizer):
    """Single digits, then GPT-2's pattern: `starcoder` in llama.cpp."""
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    special = {token["content"] for token in tokenizer["added_tokens"]}
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("starcoder")
    file.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    file.add_token_types([control if token in special else normal for token in tokens])
    file.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    file.add_eos_token_id(tokens.index("<|end|>"))
    file.add_pad_token_id(tokens.index("<|pad|>"))
    file.add_add_bos_token(False)
    file.add_add_eos_token(False)
    file.add_chat_template(TEMPLATE)


def write(model, path):
    sizes = tomllib.loads(model.with_suffix(".toml").read_text())["model"]
    tokenizer = json.loads(pathlib.Path(f"{model}.tokenizer.json").read_text())
    tensors = load_file(f"{model}.safetensors")
    file = gguf.GGUFWriter(path, "llama")
    file.add_file_type(gguf.LlamaFileType.ALL_F32)
    file.add_vocab_size(len(tokenizer["model"]["vocab"]))
    file.add_context_length(sizes["positions"])
    file.add_embedding_length(sizes["width"])
    file.add_block_count(sizes["layers"])
    file.add_feed_forward_length(sizes["hidden"])
    file.add_head_count(sizes["heads"])
    file.add_head_count_kv(sizes["kv_heads"])
    file.add_layer_norm_rms_eps(sizes.get("norm_epsilon", 1e-5))
    file.add_rope_freq_base(sizes.get("rope_theta", 10_000.0))
    file.add_rope_dimension_count(sizes["width"] // sizes["heads"])
    add_tokenizer(file, tokenizer)
    file.add_tensor("token_embd.weight", tensors["model.embed_tokens.weight"])
    file.add_tensor("output_norm.weight", tensors["model.norm.weight"])
    file.add_tensor("output.weight", tensors["lm_head.weight"])
    turned = {"attn_q": sizes["heads"], "attn_k": sizes["kv_heads"]}
    for layer in range(sizes["layers"]):
        for theirs, name in NAMES.items():
            matrix = tensors[f"model.layers.{layer}.{theirs}.weight"]
            if name in turned:
                matrix = interleaved(matrix, turned[name])
            file.add_tensor(f"blk.{layer}.{name}.weight", np.ascontiguousarray(matrix))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def serve(path, alias, port, slots):
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {alias}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_ctx = 512 * slots
    params.n_parallel = slots
    params.cpuparams.n_threads = 1
    params.warmup = False
    # Plain softmax sampling, as in rise-lab.
    params.sampling.top_k = 0
    params.sampling.min_p = 0.0
    params.sampling.top_p = 1.0
    server = xllamacpp.Server(params)
    print(f"listening at {server.listening_address}/v1", flush=True)
    while True:
        time.sleep(60)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=pathlib.Path)
    arguments.add_argument("--alias", default="strong")
    arguments.add_argument("--port", type=int, default=8123)
    arguments.add_argument("--slots", type=int, default=4)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.gguf"
        write(given.model, path)
        serve(path, given.alias, given.port, given.slots)


if __name__ == "__main__":
    main()
