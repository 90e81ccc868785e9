"""Writes tiny checkpoints of every architecture with transformers, and the results that transformers computes with them.

Run it in the root of the repository, in the environment of README.md:

    /tmp/golden/bin/python tests/golden/architectures.py

Each folder in `architectures/` is what `save_pretrained` writes, with `golden.json` and `gradients.safetensors` added.
Seeds are fixed and everything runs on the CPU in float32. Matrices have a standard deviation of 0.3, so that attention is
far from uniform; gains and biases are random too, so that a missing one shows.
"""

import json
import shutil
from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

HERE = Path(__file__).parent / "architectures"
VOCABULARY = 61
SIZES = dict(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)
LLAMA3 = dict(
    rope_type="llama3", rope_theta=500_000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=16,
)
MODELS = {
    "llama-2": transformers.LlamaConfig(**SIZES, rms_norm_eps=1e-5),
    "llama-3.1": transformers.LlamaConfig(**SIZES, rms_norm_eps=1e-5, rope_parameters=LLAMA3),
    "mistral": transformers.MistralConfig(**SIZES, rms_norm_eps=1e-5, sliding_window=6, head_dim=8),
    "qwen2": transformers.Qwen2Config(**SIZES, rms_norm_eps=1e-6, tie_word_embeddings=True, use_sliding_window=False),
    "qwen3": transformers.Qwen3Config(**SIZES, rms_norm_eps=1e-6, head_dim=12, use_sliding_window=False),
}
LENGTHS = [17, 9]
NEW = 12


def randomise(model, random):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if "norm" in name else 0.0
            draws = torch.randn(parameter.shape, generator=random, dtype=torch.float64)
            parameter.copy_(torch.round(centre + 0.3 * draws, decimals=4).float())


def make(name, config, random):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    randomise(model, random)
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, max_shard_size="40KB" if name == "llama-3.1" else "1GB")
    sequences = [torch.randint(3, VOCABULARY, (length,), generator=random) for length in LENGTHS]
    logits, continuations, loss = [], [], 0.0
    for sequence in sequences:
        out = model(sequence[None]).logits[0]
        logits.append([[round(x, 6) for x in row] for row in out.tolist()])
        loss = loss + torch.nn.functional.cross_entropy(out[:-1], sequence[1:], reduction="sum")
        written = sequence.tolist()
        with torch.no_grad():
            for _ in range(NEW):
                written.append(int(model(torch.tensor([written])).logits[0, -1].argmax()))
        continuations.append(written[len(sequence):])
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    save_file(gradients, folder / "gradients.safetensors")
    golden = {
        "vocabulary": VOCABULARY,
        "sequences": [sequence.tolist() for sequence in sequences],
        "logits": logits,
        "continuations": continuations,
        "loss": loss.item(),
    }
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    (folder / "generation_config.json").unlink(missing_ok=True)


def half(name, dtype, random):
    """The Llama 2 checkpoint with 16-bit numbers, and the logits with these numbers computed in 32 bits."""
    source = HERE / "llama-2"
    model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=dtype, attn_implementation="eager")
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    golden = json.loads((source / "golden.json").read_text())
    with torch.no_grad():
        rows = [model.float()(torch.tensor([s])).logits[0] for s in golden["sequences"]]
    golden["logits"] = [[[round(x, 6) for x in row] for row in out.tolist()] for out in rows]
    del golden["continuations"], golden["loss"]
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")


def main():
    random = torch.Generator().manual_seed(20_261_120)
    for name, config in MODELS.items():
        make(name, config, random)
    half("llama-2-bf16", torch.bfloat16, random)
    half("llama-2-f16", torch.float16, random)


if __name__ == "__main__":
    main()
