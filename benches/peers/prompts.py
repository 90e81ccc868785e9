"""Shared code of the generating peers: batches with padding on the left, and continuations up to a stop token."""

import torch

ROWS = 64
"""Rows that are continued together."""


def batches(prompts):
    """Indices of prompts, `ROWS` at a time; prompts of similar lengths share a batch, to save padding."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    return [order[first : first + ROWS] for first in range(0, len(order), ROWS)]


def padded(prompts):
    """Tokens [B, T] with padding on the left, and the padding of each row."""
    longest = max(map(len, prompts))
    pads = [longest - len(prompt) for prompt in prompts]
    return torch.tensor([[0] * pad + prompt for pad, prompt in zip(pads, prompts)]), torch.tensor(pads)


def cut(tokens, stops):
    """The tokens up to the first stop token, which is included."""
    end = next((i + 1 for i, token in enumerate(tokens) if token in stops), len(tokens))
    return tokens[:end]


class Generation:
    """A player that continues all prompts of a setting with `continue_batch(prompts, limit, stops)`."""

    def __init__(self, setting, continue_batch):
        self.prompts, self.stops = setting.data["prompts"], setting.data["stops"]
        self.limit = setting.wanted["tokens"]
        self.continue_batch = continue_batch

    def continuations(self):
        out = [None] * len(self.prompts)
        for rows in batches(self.prompts):
            written = self.continue_batch([self.prompts[i] for i in rows], self.limit, self.stops)
            for i, tokens in zip(rows, written):
                out[i] = cut(tokens, self.stops)
        return out

    def check(self):
        return {"continuations": self.continuations()}

    def run(self):
        return sum(map(len, self.continuations()))
