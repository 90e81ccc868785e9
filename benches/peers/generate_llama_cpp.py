"""Batched greedy generation with llama.cpp, through the low-level bindings of llama-cpp-python.

`benches/compare.py` starts it. Weights are f32. Batching is continuous: the next prompt replaces a finished row. Keys
and values are f32, or llama.cpp's f16 with `--f16`. It tries prompts in one call with the other rows' next tokens, and
in a call of their own, with and without flash attention. It keeps the fastest.
"""

import ctypes
import sys
from collections import deque
from functools import partial

import llama_cpp as lib
import numpy as np

import gguf_file
import player

ROWS = 64
F32, F16 = 0, 1
"""Of `ggml_type`: what keys and values are kept in."""


class Context:
    """Sequences of one model, and the batch that feeds them."""

    def __init__(self, model, vocabulary, tokens, length, threads, kind, flash):
        wanted = lib.llama_context_default_params()
        wanted.n_ctx = ROWS * length
        wanted.n_batch = wanted.n_ubatch = tokens
        wanted.n_seq_max = wanted.n_outputs_max = ROWS
        wanted.n_threads = wanted.n_threads_batch = threads
        wanted.type_k = wanted.type_v = kind
        # One cache for all sequences is several times slower.
        wanted.kv_unified, wanted.no_perf = False, True
        wanted.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.context = lib.llama_init_from_model(model, wanted)
        if not self.context:
            raise RuntimeError("llama.cpp cannot create a context of these sizes")
        self.memory = lib.llama_get_memory(self.context)
        self.vocabulary = vocabulary
        self.tokens, self.positions, self.sequences = (np.zeros(tokens, np.int32) for _ in range(3))
        self.counts, self.wanted = np.ones(tokens, np.int32), np.zeros(tokens, np.int8)
        self.batch = lib.llama_batch()
        for name, values in (("token", self.tokens), ("pos", self.positions), ("n_seq_id", self.counts)):
            setattr(self.batch, name, pointer(values))
        self.batch.logits = self.wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))
        # Each token has an array of sequence ids; here each array has one.
        lists = [pointer(self.sequences[i:]) for i in range(tokens)]
        self.lists = (ctypes.POINTER(ctypes.c_int32) * tokens)(*lists)
        self.batch.seq_id = self.lists

    def close(self):
        lib.llama_free(self.context)

    def advance(self, news):
        """Evaluates (sequence, position, tokens) and returns the most likely next token of each."""
        lengths = [len(tokens) for _, _, tokens in news]
        end = sum(lengths)
        self.tokens[:end] = [token for _, _, tokens in news for token in tokens]
        self.positions[:end] = [position + i for _, position, tokens in news for i in range(len(tokens))]
        self.sequences[:end] = np.repeat([sequence for sequence, _, _ in news], lengths)
        self.wanted[:end] = 0
        self.wanted[np.cumsum(lengths) - 1] = 1
        self.batch.n_tokens = end
        if lib.llama_decode(self.context, self.batch) != 0:
            raise RuntimeError("llama_decode failed")
        logits = np.ctypeslib.as_array(lib.llama_get_logits(self.context), (len(news), self.vocabulary))
        return logits.argmax(axis=-1).tolist()

    def forget(self, sequence):
        lib.llama_memory_seq_rm(self.memory, sequence, -1, -1)


def pointer(values):
    return values.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))


class Generation:
    def __init__(self, setting, context, apart):
        self.prompts, self.stops = setting.data["prompts"], set(setting.data["stops"])
        self.limit = setting.wanted["tokens"]
        self.context, self.apart = context, apart

    def continuations(self, count=None):
        prompts = self.prompts[:count]
        out = [[] for _ in prompts]
        waiting = deque(range(len(prompts)))
        free, running = list(range(ROWS)), {}
        while waiting or running:
            news = []
            for sequence, prompt in running.items():
                written = out[prompt]
                news.append((sequence, len(prompts[prompt]) + len(written) - 1, written[-1:]))
            calls = [news] if news else []
            while waiting and free:
                sequence, prompt = free.pop(), waiting.popleft()
                running[sequence] = prompt
                entering = (sequence, 0, prompts[prompt])
                if self.apart or not calls:
                    calls.append([entering])
                else:
                    calls[-1].append(entering)
            for news in calls:
                for (sequence, _, _), token in zip(news, self.context.advance(news)):
                    written = out[running[sequence]]
                    written.append(token)
                    if len(written) == self.limit or token in self.stops:
                        del running[sequence]
                        free.append(sequence)
                        self.context.forget(sequence)
        return out

    def check(self):
        return {"continuations": self.continuations()}

    def run(self):
        return sum(map(len, self.continuations()))


def open_setting(setting, threads, kind):
    path = setting.folder / "model.gguf"
    gguf_file.write(setting, path)
    model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
    if not model:
        raise RuntimeError(f"llama.cpp cannot read {path}")
    prompts = setting.data["prompts"]
    tokens = sum(sorted(map(len, prompts))[-ROWS:])
    length = max(map(len, prompts)) + setting.wanted["tokens"]
    trials = {}
    for flash in (False, True):
        context = Context(model, setting.data["vocabulary"], tokens, length, threads, kind, flash)
        name = "flash attention" if flash else "no flash attention"
        trials[name] = Generation(setting, context, False)
        trials[f"{name}, prompts apart"] = Generation(setting, context, True)
    works = {name: partial(trial.continuations, ROWS) for name, trial in trials.items()}
    variant, tried = player.fastest(works, threads, tries=1)
    for context in {trial.context for trial in trials.values()} - {trials[variant].context}:
        context.close()
    chosen = trials[variant]
    chosen.variant, chosen.tried = variant, tried
    return chosen


@lib.llama_log_callback
def silent(level, text, data):
    """Drops the log of llama.cpp."""


if __name__ == "__main__":
    lib.llama_log_set(silent, ctypes.c_void_p(0))
    lib.llama_backend_init()
    kind = F16 if "--f16" in sys.argv else F32
    player.serve(f"llama-cpp-python {lib.__version__}", partial(open_setting, kind=kind))
