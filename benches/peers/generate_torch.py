"""Batched greedy generation in plain PyTorch, with a preallocated cache of keys and values.

`benches/compare.py` starts it. Prompts are padded on the left. The prefill takes all rows at once, or a quarter of the
rows in order of length, which needs less padding. Then every row decodes one token at a time. It tries both prefills,
packed and separate projections, and SDPA and plain attention. It keeps the fastest.
"""

from functools import partial

import torch
import torch.nn.functional as F

import decoder
import player
import prompts


def by_sdpa(q, k, v, mask):
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def by_hand(q, k, v, mask):
    if q.shape[1] != k.shape[1]:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return torch.softmax(scores + mask, dim=-1) @ v


@torch.inference_mode()
def continue_batch(model, attend, parts, texts, limit, stops):
    tokens, pads = prompts.padded(texts)
    rows, longest = tokens.shape
    sizes = model.sizes
    shape = (sizes["layers"], 2, rows, sizes["kv_heads"], longest + limit, sizes["width"] // sizes["heads"])
    cache = torch.zeros(shape)
    place = torch.arange(longest + limit)
    # Only padding attends to padding, because a row of minus infinity alone has no softmax.
    kept = torch.zeros(rows, 1, 1, longest + limit).masked_fill_((place < pads[:, None])[:, None, None], -torch.inf)
    causal = torch.full((longest, longest), -torch.inf).triu_(1)
    alone = torch.eye(longest, dtype=torch.bool)

    def advance(tokens, some, first, attend, mask):
        """Evaluates tokens [B, T] of some rows from position `first`, and returns the most likely next tokens."""
        end = first + tokens.shape[1]
        positions = (place[first:end] - pads[some, None]).clamp_(min=0)
        cos, sin = model.cos[positions][:, None], model.sin[positions][:, None]
        x = model.embedding(tokens)
        begin = first if tokens.shape[1] > 1 else 0
        for block, (keys, values) in zip(model.blocks, cache):
            q, k, v = block.project(x, cos, sin)
            keys[some, :, first:end] = k
            values[some, :, first:end] = v
            x = block.finish(x, attend(q, keys[some, :, begin:end], values[some, :, begin:end], mask))
        return model.head(model.norm(x[:, -1])).argmax(-1)

    def take_in(some):
        first = int(pads[some].min())
        mask = (kept[some, ..., first:longest] + causal[first:, first:]).masked_fill_(alone[first:, first:], 0.0)
        return advance(tokens[some, first:], some, first, by_sdpa, mask)

    every = slice(0, rows)
    size = -(-rows // parts)
    written = [torch.cat([take_in(slice(row, row + size)) for row in range(0, rows, size)])]
    stop = torch.tensor(stops)
    ended = torch.zeros(rows, dtype=torch.bool)
    while len(written) < limit:
        if stops:
            ended |= torch.isin(written[-1], stop)
            if ended.all():
                break
        filled = longest + len(written) - 1
        written.append(advance(written[-1][:, None], every, filled, attend, kept[..., : filled + 1]))
    return torch.stack(written, dim=1).tolist()


def open_setting(setting, threads):
    torch.set_num_threads(threads)
    models = {"packed": decoder.load(setting, True).eval(), "separate": decoder.load(setting, False).eval()}
    ways = {"SDPA": by_sdpa, "attention by hand": by_hand}
    trials = {
        f"{form}, {way}, prompts in {parts}": prompts.Generation(setting, partial(continue_batch, model, attend, parts))
        for form, model in models.items()
        for way, attend in ways.items()
        for parts in (1, 4)
    }
    variant, tried = player.fastest({name: trial.run for name, trial in trials.items()}, threads, tries=1)
    chosen = trials[variant]
    chosen.variant, chosen.tried = variant, tried
    return chosen


if __name__ == "__main__":
    torch.set_num_interop_threads(1)
    player.serve(f"torch {torch.__version__}", open_setting)
