"""Optimizer steps in PyTorch: fused AdamW, SDPA, clipping by the global norm; `--compile` for torch.compile.

`benches/compare.py` starts it. It tries packed and separate projections, and keeps the faster form.
"""

import sys

import torch
import torch.nn.functional as F

import decoder
import player

RATE, BETAS, DECAY, CLIP = 5e-4, (0.9, 0.98), 0.01, 1.0
CHECKED = 4


def objective(model, tokens):
    logits = model(tokens[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


class Trial:
    """One form of the model with its optimizer."""

    def __init__(self, setting, packed, compiled):
        self.model = decoder.load(setting, packed)
        self.start = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.batches = [torch.tensor(batch) for batch in setting.data["batches"]]
        self.objective = torch.compile(objective, dynamic=False) if compiled else objective
        self.reset()

    def reset(self):
        self.model.load_state_dict(self.start)
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": DECAY},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, fused=True)
        self.steps = 0

    def step(self):
        tokens = self.batches[self.steps % len(self.batches)]
        self.steps += 1
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.objective(self.model, tokens)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        return loss.item(), norm.item()


class Training:
    def __init__(self, setting, threads, compiled):
        torch.set_num_threads(threads)
        torch._dynamo.reset()
        trials = {
            "packed": Trial(setting, True, compiled),
            "separate": Trial(setting, False, compiled),
        }
        self.variant, self.tried = player.fastest({name: trial.step for name, trial in trials.items()}, threads)
        self.trial = trials[self.variant]
        self.trial.reset()
        self.tokens = setting.wanted["batch"] * setting.wanted["length"]

    def check(self):
        losses, norms = zip(*(self.trial.step() for _ in range(CHECKED)))
        return {"losses": losses, "norms": norms}

    def run(self):
        self.trial.step()
        return self.tokens


if __name__ == "__main__":
    compiled = "--compile" in sys.argv
    torch.set_num_interop_threads(1)
    player.serve(f"torch {torch.__version__}", lambda setting, threads: Training(setting, threads, compiled))
