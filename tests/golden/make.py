"""Makes the golden numbers in this directory with PyTorch.

Run it in the root of the repository (the environment may be in any folder):

    python3 -m venv /tmp/golden
    /tmp/golden/bin/pip install torch==2.9.1 numpy safetensors==0.8.0 transformers==5.23.0
    /tmp/golden/bin/python tests/golden/make.py

Everything runs on the CPU with fixed seeds. Each number is computed twice, in float64 and in float32, from the
same float32 inputs. The program writes the float64 result, rounded to 7 significant digits, so every digit is
true. `float32_gap` is the distance of PyTorch's float32 result: the accuracy that a float32 implementation can reach.
The decoder below is plain PyTorch. The program compares it with `LlamaForCausalLM` of transformers, to catch a misread
architecture.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import save_file

HERE = Path(__file__).parent
DIGITS = 7
VOCABULARY = 37
CONFIG = {
    "width": 16,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "hidden": 24,
    "positions": 32,
    "rope_theta": 10000.0,
    "norm_epsilon": 1e-5,
    "tied": False,
}
PAD = 0


def normal(shape, random, scale=1.0, mean=0.0):
    """Random float32 numbers of four decimals: exact in a file, and the same on every processor."""
    return torch.round(mean + scale * torch.randn(shape, dtype=torch.float64, generator=random), decimals=4).float()


# Operations. Activations are [batch, time, heads, head size] throughout.


def rms_norm(x, weight, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * weight


def rotary(x, positions, theta):
    """Rotates coordinate j with coordinate j + size/2 by positions * theta^(-2j/size)."""
    size = x.shape[-1]
    frequencies = theta ** (-torch.arange(0, size, 2, dtype=x.dtype) / size)
    angles = positions.to(x.dtype)[..., None, None] * frequencies
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def swiglu(gate, up):
    return gate * torch.sigmoid(gate) * up


def attention(query, key, value, visible):
    """Grouped-query attention; `visible` [batch or 1, time, time] says which key each query may see."""
    group = query.shape[2] // key.shape[2]
    key, value = (t.repeat_interleave(group, dim=2) for t in (key, value))
    scores = torch.einsum("bthd,bshd->bhts", query, key) / math.sqrt(query.shape[-1])
    shares = scores.masked_fill(~visible[:, None], -math.inf).softmax(-1)
    return torch.einsum("bhts,bshd->bthd", shares, value)


def causal(time):
    return torch.ones(1, time, time, dtype=torch.bool).tril()


def negative_log_likelihood(logits, targets):
    return torch.logsumexp(logits, -1) - logits.gather(-1, targets[..., None])[..., 0]


# The decoder.


def fresh_weights():
    """Random weights under their Hugging Face names, wide enough for attention to be far from uniform."""
    width, hidden = CONFIG["width"], CONFIG["hidden"]
    kv_width = CONFIG["kv_heads"] * (width // CONFIG["heads"])
    shapes = {"model.embed_tokens.weight": (VOCABULARY, width)}
    for layer in range(CONFIG["layers"]):
        shapes |= {
            f"model.layers.{layer}.{name}.weight": shape
            for name, shape in {
                "input_layernorm": (width,),
                "self_attn.q_proj": (width, width),
                "self_attn.k_proj": (kv_width, width),
                "self_attn.v_proj": (kv_width, width),
                "self_attn.o_proj": (width, width),
                "post_attention_layernorm": (width,),
                "mlp.gate_proj": (hidden, width),
                "mlp.up_proj": (hidden, width),
                "mlp.down_proj": (width, hidden),
            }.items()
        }
    shapes |= {"model.norm.weight": (width,), "lm_head.weight": (VOCABULARY, width)}
    random = torch.Generator().manual_seed(1)
    weights = {}
    for name, shape in shapes.items():
        weights[name] = normal(shape, random, 0.3) if len(shape) == 2 else normal(shape, random, 0.1, mean=1.0)
    return weights


def decoder(weights, ids, positions=None, visible=None):
    """Logits [batch, time, vocabulary]; by default every row starts at position 0 and nothing is padding."""
    batch, time = ids.shape
    positions = torch.arange(time).expand(batch, time) if positions is None else positions
    visible = causal(time) if visible is None else visible
    size = CONFIG["width"] // CONFIG["heads"]
    epsilon, theta = CONFIG["norm_epsilon"], CONFIG["rope_theta"]

    x = weights["model.embed_tokens.weight"][ids]
    for layer in range(CONFIG["layers"]):
        part = {
            name.removeprefix(f"model.layers.{layer}.").removesuffix(".weight"): weight
            for name, weight in weights.items()
            if name.startswith(f"model.layers.{layer}.")
        }
        h = rms_norm(x, part["input_layernorm"], epsilon)
        q, k, v = (
            (h @ part[f"self_attn.{name}_proj"].T).view(batch, time, -1, size) for name in ("q", "k", "v")
        )
        mixed = attention(rotary(q, positions, theta), rotary(k, positions, theta), v, visible)
        x = x + mixed.reshape(batch, time, -1) @ part["self_attn.o_proj"].T
        h = rms_norm(x, part["post_attention_layernorm"], epsilon)
        inner = swiglu(h @ part["mlp.gate_proj"].T, h @ part["mlp.up_proj"].T)
        x = x + inner @ part["mlp.down_proj"].T
    return rms_norm(x, weights["model.norm.weight"], epsilon) @ weights["lm_head.weight"].T


def llama(weights, dtype):
    """The same model in an independent implementation."""
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=CONFIG["width"],
        num_hidden_layers=CONFIG["layers"],
        num_attention_heads=CONFIG["heads"],
        num_key_value_heads=CONFIG["kv_heads"],
        intermediate_size=CONFIG["hidden"],
        max_position_embeddings=CONFIG["positions"],
        rms_norm_eps=CONFIG["norm_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": CONFIG["rope_theta"]},
        tie_word_embeddings=CONFIG["tied"],
    )
    model = transformers.LlamaForCausalLM(config).to(dtype)
    model.load_state_dict(weights)
    return model.eval()


# The objective.

# Rows of token ids and the trained messages in them: (row, first token, one past the last, weight).
BATCH_LENGTHS = [11, 9]
MESSAGES = [(0, 2, 5, 1.5), (0, 7, 11, 3.0), (1, 6, 9, -0.75)]


def loss_batch():
    random = torch.Generator().manual_seed(3)
    ids = torch.randint(1, VOCABULARY - 1, (2, 11), generator=random)
    token_weights = torch.zeros(2, 11)
    for row, length in enumerate(BATCH_LENGTHS):
        ids[row, length:] = PAD
    for row, start, end, weight in MESSAGES:
        token_weights[row, start:end] = weight / (end - start)
    return ids, token_weights, sum(abs(weight) for *_, weight in MESSAGES)


def objective(logits, ids, token_weights, weight_sum):
    """sum_t a_t NLL_t / sum_i |w_i|; the logits at p - 1 predict token p, so token 0 is never trained."""
    surprise = negative_log_likelihood(logits[:, :-1], ids[:, 1:])
    return (token_weights[:, 1:].to(logits.dtype) * surprise).sum() / weight_sum


def parameters(weights, dtype):
    return {name: weight.to(dtype).clone().requires_grad_() for name, weight in weights.items()}


def global_norm(tensors):
    return torch.sqrt(sum(t.detach().pow(2).sum() for t in tensors))


# The contents of the files.


def rounded(number):
    return float(f"{number:.{DIGITS}g}") + 0.0  # The sum turns -0.0 into 0.0.


def tensor(t):
    """A result, or integers; flat, row-major, with its shape."""
    values = t.detach().flatten().tolist()
    return {"shape": list(t.shape), "data": [rounded(v) if t.is_floating_point() else v for v in values]}


def exact(t):
    """A float32 input. The file must hold its exact value."""
    written = tensor(t)
    assert torch.equal(torch.tensor(written["data"]).view(t.shape), t)
    return written


def gap(single, double):
    """Largest difference, as a fraction of the largest magnitude in the tensor."""
    difference = (single.detach().double() - double.detach()).abs().max()
    return (difference / double.detach().abs().max().clamp_min(1e-30)).item()


def one_digit(number):
    return float(f"{number:.0e}")


def text(value, depth=0):
    """JSON with one line per tensor or list and one per field."""
    if not isinstance(value, dict) or "data" in value:
        return json.dumps(value)
    inside = "  " * (depth + 1)
    fields = [f"{inside}{json.dumps(key)}: {text(item, depth + 1)}" for key, item in value.items()]
    return "{\n" + ",\n".join(fields) + "\n" + "  " * depth + "}"


def write(name, content):
    (HERE / name).write_text(text({"torch": torch.__version__.split("+")[0], **content}) + "\n")


def in_both(compute):
    """Runs `compute(dtype)`, which returns named tensors, in both precisions: the float64 ones, and the gap."""
    double, single = compute(torch.float64), compute(torch.float32)
    return double, one_digit(max(gap(single[name], double[name]) for name in double))


# The files.


def model_file(weights):
    random = torch.Generator().manual_seed(2)
    ids = torch.randint(1, VOCABULARY, (2, 11), generator=random)
    short = ids[1:, :7]
    margin = torch.full((1, 11 - short.shape[1]), PAD)
    right, left = torch.cat([short, margin], 1), torch.cat([margin, short], 1)

    def compute(dtype):
        cast = {name: weight.to(dtype) for name, weight in weights.items()}
        return {"logits": decoder(cast, ids), "short": decoder(cast, short)}

    double, float32_gap = in_both(compute)
    padding_leaves_no_trace(weights, left, right, margin.shape[1], double["short"])
    with torch.no_grad():
        other = llama(weights, torch.float32)(ids).logits
    agreement = gap(other, double["logits"])
    assert agreement < 2e-6, agreement
    content = {
        "float32_gap": float32_gap,
        "llama_gap": one_digit(agreement),
        "transformers": transformers.__version__,
        "vocabulary": VOCABULARY,
        "config": CONFIG,
        "pad": PAD,
        "ids": tensor(ids),
        "logits": tensor(double["logits"]),
        "short": {
            "ids": tensor(short),
            "right_padded": tensor(torch.cat([ids[:1], right])),
            "left_padded": tensor(torch.cat([ids[:1], left])),
            "lengths": tensor(torch.tensor([ids.shape[1], short.shape[1]])),
            "logits": tensor(double["short"]),
        },
    }
    save_file(weights, HERE / "model.safetensors", metadata={"format": "pt"})
    write("model.json", content)


def padding_leaves_no_trace(weights, left, right, margin, expected):
    """Padding and start position do not change the logits of a row."""
    cast = {name: weight.double() for name, weight in weights.items()}
    time = left.shape[1]
    real = torch.arange(time) >= margin
    # A padded query sees itself, because an empty softmax is undefined.
    visible = (causal(time) & real) | torch.eye(time, dtype=torch.bool)
    from_zero = (torch.arange(time) - margin).clamp_min(0)[None]
    for positions in (from_zero, torch.arange(time)[None]):
        assert gap(decoder(cast, left, positions, visible)[:, margin:], expected) < 1e-12
    assert gap(decoder(cast, right)[:, : time - margin], expected) < 1e-12


def loss_file(weights):
    ids, token_weights, weight_sum = loss_batch()

    def compute(dtype):
        learned = parameters(weights, dtype)
        loss = objective(decoder(learned, ids), ids, token_weights, weight_sum)
        loss.backward()
        gradients = {name: weight.grad for name, weight in learned.items()}
        return {"loss": loss, "gradient_norm": global_norm(gradients.values()), **gradients}

    double, float32_gap = in_both(compute)
    per_message = by_message(weights, ids)
    assert abs(per_message - double["loss"].item()) < 1e-12
    agreement = llama_gradient_gap(weights, ids, token_weights, weight_sum, double)
    assert agreement < 5e-6, agreement
    loss, gradient_norm = double.pop("loss"), double.pop("gradient_norm")
    content = {
        "float32_gap": float32_gap,
        "llama_gap": one_digit(agreement),
        "ids": tensor(ids),
        "lengths": tensor(torch.tensor(BATCH_LENGTHS)),
        "messages": [
            {"row": row, "start": start, "end": end, "weight": weight} for row, start, end, weight in MESSAGES
        ],
        "token_weights": exact(token_weights),
        "weight_sum": weight_sum,
        "loss": rounded(loss.item()),
        "gradient_norm": rounded(gradient_norm.item()),
        "gradients": {name: tensor(gradient) for name, gradient in double.items()},
    }
    write("loss.json", content)


def by_message(weights, ids):
    """The same loss from its definition: one message at a time, with its row cut after it."""
    cast = {name: weight.double() for name, weight in weights.items()}
    total = 0.0
    for row, start, end, weight in MESSAGES:
        dialogue = ids[row : row + 1, :end]
        chances = decoder(cast, dialogue).log_softmax(-1)[0]
        surprises = [-chances[p - 1, dialogue[0, p]].item() for p in range(start, end)]
        total += weight * sum(surprises) / len(surprises)
    return total / sum(abs(weight) for *_, weight in MESSAGES)


def llama_gradient_gap(weights, ids, token_weights, weight_sum, double):
    model = llama(weights, torch.float32)
    objective(model(ids).logits, ids, token_weights, weight_sum).backward()
    return max(gap(parameter.grad, double[name]) for name, parameter in model.named_parameters())


RATES = [1e-3, 2e-3, 5e-4]
ADAMW = {"beta1": 0.9, "beta2": 0.98, "epsilon": 1e-8, "weight_decay": 0.01, "clip": 1.0}
SHOWN = 8


def adamw_file(weights):
    ids, token_weights, weight_sum = loss_batch()

    def compute(dtype):
        learned = parameters(weights, dtype)
        matrices = [weight for weight in learned.values() if weight.dim() == 2]
        vectors = [weight for weight in learned.values() if weight.dim() == 1]
        groups = [
            {"params": matrices, "weight_decay": ADAMW["weight_decay"]},
            {"params": vectors, "weight_decay": 0.0},
        ]
        betas = (ADAMW["beta1"], ADAMW["beta2"])
        optimizer = torch.optim.AdamW(groups, betas=betas, eps=ADAMW["epsilon"], foreach=False)
        losses, norms = [], []
        for rate in RATES:
            optimizer.zero_grad()
            loss = objective(decoder(learned, ids), ids, token_weights, weight_sum)
            loss.backward()
            losses.append(loss.detach())
            norms.append(torch.nn.utils.clip_grad_norm_(learned.values(), ADAMW["clip"]))
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        final = objective(decoder(learned, ids), ids, token_weights, weight_sum)
        return {
            "losses": torch.stack([*losses, final.detach()]),
            "gradient_norms": torch.stack(norms),
            "sum": sum(weight.detach().sum() for weight in learned.values()),
            "norm": global_norm(learned.values()),
            **{name: weight.detach() for name, weight in learned.items()},
        }

    double, float32_gap = in_both(compute)
    content = {
        "float32_gap": float32_gap,
        "rates": RATES,
        **ADAMW,
        "losses": tensor(double.pop("losses")),
        "gradient_norms": tensor(double.pop("gradient_norms")),
        "sum": rounded(double.pop("sum").item()),
        "norm": rounded(double.pop("norm").item()),
        "sums": {name: rounded(weight.sum().item()) for name, weight in double.items()},
        "first": {name: tensor(weight.flatten()[:SHOWN]) for name, weight in double.items()},
    }
    write("adamw.json", content)


def operation(function, inputs, upstream=None):
    """Inputs, output and gradients of `function(**inputs)`, the upstream gradient being 1 for a scalar output."""

    def compute(dtype):
        leaves = {name: t.to(dtype).requires_grad_() for name, t in inputs.items()}
        output = function(**leaves)
        output.backward(torch.ones_like(output) if upstream is None else upstream.to(dtype))
        return {"output": output, **{f"d_{name}": leaf.grad for name, leaf in leaves.items()}}

    double, float32_gap = in_both(compute)
    results = {name: rounded(t.item()) if t.dim() == 0 else tensor(t) for name, t in double.items()}
    sources = inputs if upstream is None else {**inputs, "upstream": upstream}
    return {"float32_gap": float32_gap, **{name: exact(t) for name, t in sources.items()}, **results}


def rms_norm_case(random):
    epsilon = 1e-5
    x = normal((2, 3, 6), random)
    x[1, 1] = normal((6,), random, 0.003)  # The mean square is near epsilon, so that the place of epsilon matters.
    x[1, 2] = 0.0
    weight, upstream = normal((6,), random, 0.2, mean=1.0), normal((2, 3, 6), random)
    case = operation(lambda x, weight: rms_norm(x, weight, epsilon), {"x": x, "weight": weight}, upstream)
    double = F.rms_norm(x.double(), (6,), weight.double(), epsilon)
    assert gap(rms_norm(x.double(), weight.double(), epsilon), double) < 1e-14
    return {"epsilon": epsilon, **case}


def rotary_case(random, offset):
    theta = 10000.0
    x, upstream = normal((2, 5, 2, 6), random), normal((2, 5, 2, 6), random)
    positions = torch.arange(offset, offset + 5)
    case = operation(lambda x: rotary(x, positions, theta), {"x": x}, upstream)
    return {"theta": theta, "offset": offset, **case}


def swiglu_case(random):
    gate, up, upstream = normal((3, 6), random, 2.0), normal((3, 6), random), normal((3, 6), random)
    gate[2, :3] = torch.tensor([0.0, 90.0, -90.0])  # exp(90) overflows float32.
    case = operation(swiglu, {"gate": gate, "up": up}, upstream)
    assert gap(swiglu(gate.double(), up.double()), F.silu(gate.double()) * up.double()) < 1e-14
    return case


def attention_case(random):
    shapes = {"query": (2, 5, 4, 6), "key": (2, 5, 2, 6), "value": (2, 5, 2, 6)}
    inputs = {name: normal(shape, random, 1.5) for name, shape in shapes.items()}
    upstream = normal((2, 5, 4, 6), random)
    case = operation(lambda query, key, value: attention(query, key, value, causal(5)), inputs, upstream)
    heads_first = [t.double().transpose(1, 2) for t in inputs.values()]
    double = F.scaled_dot_product_attention(*heads_first, is_causal=True, enable_gqa=True).transpose(1, 2)
    assert gap(attention(*(t.double() for t in inputs.values()), causal(5)), double) < 1e-14
    return case


def cross_entropy_case(random):
    logits = normal((2, 4, 7), random, 2.0)
    logits[1, 1, 3] = 95.0  # exp(95) overflows float32.
    targets = torch.randint(0, 7, (2, 4), generator=random)
    token_weights = torch.tensor([[0.0, 0.5, 0.5, 0.75], [0.75, -0.25, 0.0, -0.25]])
    weight_sum = 3.0

    def weighted(logits):
        surprise = negative_log_likelihood(logits, targets)
        return (token_weights.to(logits.dtype) * surprise).sum() / weight_sum

    case = operation(weighted, {"logits": logits})
    surprise = negative_log_likelihood(logits.double(), targets)
    double = F.cross_entropy(logits.double().flatten(0, 1), targets.flatten(), reduction="none")
    assert gap(surprise.flatten(), double) < 1e-14
    return {
        "targets": tensor(targets),
        "token_weights": exact(token_weights),
        "weight_sum": weight_sum,
        "negative_log_likelihood": tensor(surprise),
        **case,
    }


def ops_file():
    random = torch.Generator().manual_seed(4)
    content = {
        "rms_norm": rms_norm_case(random),
        "rotary": rotary_case(random, 0),
        "rotary_offset": rotary_case(random, 9),
        "swiglu": swiglu_case(random),
        "attention": attention_case(random),
        "cross_entropy": cross_entropy_case(random),
    }
    write("ops.json", content)


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    weights = fresh_weights()
    model_file(weights)
    loss_file(weights)
    adamw_file(weights)
    ops_file()


if __name__ == "__main__":
    main()
