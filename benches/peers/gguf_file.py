"""Writes a checkpoint as a GGUF file in f32, for llama.cpp. It has no tokenizer, because prompts are token ids."""

import gguf
import numpy as np
from safetensors.numpy import load_file

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def interleaved(matrix, heads):
    """Rows in llama.cpp's order: it rotates coordinate 2j with 2j + 1, the checkpoint j with j + size/2."""
    return matrix.reshape(heads, 2, -1, matrix.shape[-1]).swapaxes(1, 2).reshape(matrix.shape)


def write(setting, path):
    sizes, vocabulary = setting.model, setting.data["vocabulary"]
    file = gguf.GGUFWriter(path, "llama")
    file.add_file_type(gguf.LlamaFileType.ALL_F32)
    file.add_vocab_size(vocabulary)
    file.add_context_length(sizes["positions"])
    file.add_embedding_length(sizes["width"])
    file.add_block_count(sizes["layers"])
    file.add_feed_forward_length(sizes["hidden"])
    file.add_head_count(sizes["heads"])
    file.add_head_count_kv(sizes["kv_heads"])
    file.add_layer_norm_rms_eps(sizes["norm_epsilon"])
    file.add_rope_freq_base(sizes["rope_theta"])
    file.add_rope_dimension_count(sizes["width"] // sizes["heads"])
    file.add_tokenizer_model("no_vocab")
    tensors = load_file(setting.weights)
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
