"""Batched greedy generation with llama.cpp, through the low-level bindings of llama-cpp-python.

Started by `benches/compare.py`. Weights, keys and values are f32. Batching is continuous: a finished row's place is
taken by the next prompt, whose tokens share a call with the other rows' next ones. One cache for all sequences or one
for each, with and without flash attention, are tried; the fastest is kept.
"""

import ctypes
from collections import deque
from itertools import product

import llama_cpp as lib
import numpy as np

import gguf_file
import player

ROWS = 64
F32 = 0
"""`GGML_TYPE_F32`."""


class Context:
    """Sequences of one model, and a batch to feed them with."""

    def __init__(self, model, vocabulary, tokens, length, threads, unified, flash):
        wanted = lib.llama_context_default_params()
        wanted.n_ctx = ROWS * length
        wanted.n_batch = wanted.n_ubatch = tokens
        wanted.n_seq_max = wanted.n_outputs_max = ROWS
        wanted.n_threads = wanted.n_threads_batch = threads
        wanted.type_k = wanted.type_v = F32
        wanted.kv_unified, wanted.no_perf = unified, True
        wanted.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self.context = lib.llama_init_from_model(model, wanted)
        if not self.context:
            raise RuntimeError("llama.cpp makes no context of these sizes")
        self.memory = lib.llama_get_memory(self.context)
        self.vocabulary = vocabulary
        self.batch = lib.llama_batch_init(tokens, 0, 1)
        shape = (tokens,)
        self.tokens, self.positions, self.counts, self.wanted = (
            np.ctypeslib.as_array(values, shape)
            for values in (self.batch.token, self.batch.pos, self.batch.n_seq_id, self.batch.logits)
        )
        # A token's list of sequences is an array of its own; each holds one number.
        self.sequences = [self.batch.seq_id[i] for i in range(tokens)]
        self.counts[:] = 1

    def close(self):
        lib.llama_batch_free(self.batch)
        lib.llama_free(self.context)

    def advance(self, news):
        """Takes in (sequence, position, tokens) and returns the most likely next token of each."""
        end = 0
        for sequence, position, tokens in news:
            first, end = end, end + len(tokens)
            self.tokens[first:end] = tokens
            self.positions[first:end] = range(position, position + len(tokens))
            self.wanted[first:end] = 0
            self.wanted[end - 1] = 1
            for i in range(first, end):
                self.sequences[i][0] = sequence
        self.batch.n_tokens = end
        if lib.llama_decode(self.context, self.batch) != 0:
            raise RuntimeError("llama_decode failed")
        logits = np.ctypeslib.as_array(lib.llama_get_logits(self.context), (len(news), self.vocabulary))
        return logits.argmax(axis=-1).tolist()

    def forget(self, sequence):
        lib.llama_memory_seq_rm(self.memory, sequence, -1, -1)


class Generation:
    def __init__(self, setting, context):
        self.prompts, self.stops = setting.data["prompts"], set(setting.data["stops"])
        self.limit = setting.wanted["tokens"]
        self.context = context

    def continuations(self):
        out = [[] for _ in self.prompts]
        waiting = deque(range(len(self.prompts)))
        free, running = list(range(ROWS)), {}
        while waiting or running:
            news = []
            for sequence, prompt in running.items():
                written = out[prompt]
                news.append((sequence, len(self.prompts[prompt]) + len(written) - 1, written[-1:]))
            while waiting and free:
                sequence, prompt = free.pop(), waiting.popleft()
                running[sequence] = prompt
                news.append((sequence, 0, self.prompts[prompt]))
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


def open_setting(setting, threads):
    path = setting.folder / "model.gguf"
    gguf_file.write(setting, path)
    model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
    if not model:
        raise RuntimeError(f"llama.cpp does not read {path}")
    prompts = setting.data["prompts"]
    tokens = sum(sorted(map(len, prompts))[-ROWS:])
    length = max(map(len, prompts)) + setting.wanted["tokens"]
    trials = {}
    for unified, flash in product((True, False), repeat=2):
        name = f"{'one cache' if unified else 'a cache each'}, {'flash attention' if flash else 'no flash attention'}"
        context = Context(model, setting.data["vocabulary"], tokens, length, threads, unified, flash)
        trials[name] = Generation(setting, context)
    variant, tried = player.fastest({name: trial.run for name, trial in trials.items()})
    for name, trial in trials.items():
        if name != variant:
            trial.context.close()
    chosen = trials[variant]
    chosen.variant, chosen.tried = variant, tried
    return chosen


@lib.llama_log_callback
def silent(level, text, data):
    """Takes what llama.cpp would log."""


if __name__ == "__main__":
    lib.llama_log_set(silent, ctypes.c_void_p(0))
    lib.llama_backend_init()
    # Newer versions choose kernels by processor; this one was compiled for it.
    player.serve(f"llama-cpp-python {lib.__version__ if hasattr(lib, '__version__') else ''}".strip(), open_setting)
