"""The decoder in plain PyTorch, with weights from a checkpoint in Hugging Face's names.

`packed` computes queries, keys and values in one product, and gates and ups in another. The faster form depends on the
shape and PyTorch's mode, so the peers try both.
"""

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn


def rotate(x, cos, sin):
    """Rotates coordinate j with coordinate j + size/2."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Block(nn.Module):
    def __init__(self, sizes, packed):
        super().__init__()
        width, hidden, epsilon = sizes["width"], sizes["hidden"], sizes["norm_epsilon"]
        self.size = width // sizes["heads"]
        self.heads, self.keys, self.hidden, self.packed = sizes["heads"], sizes["kv_heads"], hidden, packed
        kv = self.keys * self.size
        self.attention_norm = nn.RMSNorm(width, eps=epsilon)
        self.mlp_norm = nn.RMSNorm(width, eps=epsilon)
        if packed:
            self.qkv = nn.Linear(width, width + 2 * kv, bias=False)
            self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        else:
            self.q, self.k, self.v = (nn.Linear(width, to, bias=False) for to in (width, kv, kv))
            self.gate, self.up = (nn.Linear(width, hidden, bias=False) for _ in range(2))
        self.o = nn.Linear(width, width, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def project(self, x, cos, sin):
        """Queries [B, H, T, S], keys and values [B, K, T, S]; queries and keys are rotated."""
        h = self.attention_norm(x)
        kv = self.keys * self.size
        parts = self.qkv(h).split([self.heads * self.size, kv, kv], -1) if self.packed else (self.q(h), self.k(h), self.v(h))
        q, k, v = (part.unflatten(-1, (-1, self.size)).transpose(1, 2) for part in parts)
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def finish(self, x, mixed):
        """The rest of the block, from the heads' outputs [B, H, T, S]."""
        x = x + self.o(mixed.transpose(1, 2).flatten(2))
        h = self.mlp_norm(x)
        gate, up = self.gate_up(h).chunk(2, -1) if self.packed else (self.gate(h), self.up(h))
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    def __init__(self, sizes, vocabulary, packed):
        super().__init__()
        self.sizes = sizes
        self.embedding = nn.Embedding(vocabulary, sizes["width"])
        self.blocks = nn.ModuleList(Block(sizes, packed) for _ in range(sizes["layers"]))
        self.norm = nn.RMSNorm(sizes["width"], eps=sizes["norm_epsilon"])
        self.head = nn.Linear(sizes["width"], vocabulary, bias=False)
        size = sizes["width"] // sizes["heads"]
        frequencies = sizes["rope_theta"] ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
        angles = torch.arange(sizes["positions"])[:, None] * frequencies
        angles = torch.cat([angles, angles], dim=-1)
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def forward(self, tokens):
        """Logits of every position of sequences of equal length."""
        length = tokens.shape[1]
        cos, sin = self.cos[:length], self.sin[:length]
        x = self.embedding(tokens)
        grouped = self.sizes["heads"] != self.sizes["kv_heads"]
        for block in self.blocks:
            q, k, v = block.project(x, cos, sin)
            x = block.finish(x, F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped))
        return self.head(self.norm(x))


def load(setting, packed):
    """The decoder of a benchmark setting, with the weights of its checkpoint."""
    decoder = Decoder(setting.model, setting.data["vocabulary"], packed)
    decoder.load_state_dict(own_names(load_file(setting.weights), setting.model, packed))
    return decoder


def own_names(file, sizes, packed):
    out = {
        "embedding.weight": file["model.embed_tokens.weight"],
        "norm.weight": file["model.norm.weight"],
        "head.weight": file["lm_head.weight"],
    }
    for layer in range(sizes["layers"]):
        def theirs(name, layer=layer):
            return file[f"model.layers.{layer}.{name}.weight"]

        q, k, v = (theirs(f"self_attn.{name}_proj") for name in "qkv")
        gate, up = theirs("mlp.gate_proj"), theirs("mlp.up_proj")
        block = {
            "attention_norm": theirs("input_layernorm"),
            "mlp_norm": theirs("post_attention_layernorm"),
            "o": theirs("self_attn.o_proj"),
            "down": theirs("mlp.down_proj"),
        }
        if packed:
            block |= {"qkv": torch.cat([q, k, v]), "gate_up": torch.cat([gate, up])}
        else:
            block |= {"q": q, "k": k, "v": v, "gate": gate, "up": up}
        out |= {f"blocks.{layer}.{name}.weight": value for name, value in block.items()}
    return out
