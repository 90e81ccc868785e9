"""Batched greedy generation with `LlamaForCausalLM.generate` of the transformers package.

`benches/compare.py` starts it.
"""

from functools import partial

import torch
import transformers
from safetensors.torch import load_file
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

import player
import prompts


def load(setting):
    sizes = setting.model
    config = LlamaConfig(
        vocab_size=setting.data["vocabulary"],
        hidden_size=sizes["width"],
        intermediate_size=sizes["hidden"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv_heads"],
        max_position_embeddings=sizes["positions"],
        rms_norm_eps=sizes["norm_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": sizes["rope_theta"]},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="sdpa",
    )
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(load_file(setting.weights))
    return model


@torch.inference_mode()
def continue_batch(model, texts, limit, stops):
    tokens, pads = prompts.padded(texts)
    mask = (torch.arange(tokens.shape[1]) >= pads[:, None]).long()
    wanted = GenerationConfig(
        max_new_tokens=limit, do_sample=False, eos_token_id=stops or None, pad_token_id=0, use_cache=True
    )
    out = model.generate(input_ids=tokens, attention_mask=mask, generation_config=wanted)
    return out[:, tokens.shape[1] :].tolist()


def open_setting(setting, threads):
    torch.set_num_threads(threads)
    return prompts.Generation(setting, partial(continue_batch, load(setting)))


if __name__ == "__main__":
    torch.set_num_interop_threads(1)
    transformers.logging.set_verbosity_error()
    player.serve(f"transformers {transformers.__version__}, torch {torch.__version__}", open_setting)
