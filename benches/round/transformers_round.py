"""One whole RISE round with Hugging Face transformers and its Trainer: the peer of rise-lab in `compare_round.py`.

It has the steps of rise-lab's `round.toml`: two own turns on the training problems, the best of 8 own samples where both
failed, weights from rewards, two epochs of `Trainer` with a weighted loss, and five turns on the test problems without
oracle. Token layout, sampling, selection, weights, schedule and optimizer are rise-lab's; only the random numbers differ.

    python transformers_round.py --checkpoint experiments/models/weak.toml --train train.jsonl --test test.jsonl

`--train` and `--test` are `problems.jsonl` files of a rise-lab store. The last line of the output is a JSON object with the
seconds, tokens and accuracies of each phase. The seconds exclude the import of packages.
"""

import argparse
import json
import math
import random
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))
from checkpoint import CONTROL, load, save  # noqa: E402

RETRY = "That is incorrect. Try again."


# Reading answers


def stated(text):
    """The first number after the last `####`, on the same line, in canonical form, or none."""
    _, mark, after = text.rpartition("####")
    line = after.split("\n")[0]
    found = re.search(r"\.?[0-9]+(?:,[0-9]{3}(?![0-9]))*(?:\.[0-9]+)?", line)
    if not mark or not found or re.match(r" */\s*[0-9]", line[found.end() :]):
        return None
    before = line[: found.start()].rstrip("$€£")
    minus = re.search(r"(?<!\w)[-\u2212]$", before) or re.fullmatch(r"\s*[-\u2212]\s*", before)
    whole, _, decimals = found.group().replace(",", "").partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    number = f"{whole}.{decimals}" if decimals else whole
    return f"-{number}" if minus and number != "0" else number


def reward(problem, text):
    """1 for a right answer, 0 for a wrong one, -1 for an unreadable one."""
    answer = stated(text)
    return -1.0 if answer is None else float(answer == problem["answer"])


# Dialogues and sampling


class Policy:
    """A model that answers dialogues."""

    def __init__(self, model, tokenizer, options):
        self.model, self.tokenizer, self.options = model, tokenizer, options
        self.pad, self.user, self.assistant, self.end = (tokenizer.convert_tokens_to_ids(name) for name in CONTROL)
        self.stops = [self.end, self.pad, self.user, self.assistant]

    def encode(self, texts):
        return self.tokenizer(texts, add_special_tokens=False).input_ids

    def dialogues(self, questions, attempts):
        """Token ids of each dialogue: the question and the attempts, with the retry text between them.

        Also the span of each attempt, as (first token, one past the last)."""
        (retry,) = self.encode([RETRY])
        openings = self.encode(questions)
        flat = iter(self.encode([text for texts in attempts for text in texts] or [""]))
        out = []
        for opening, texts in zip(openings, attempts):
            tokens, places = [self.user, *opening], []
            for number, _ in enumerate(texts):
                if number > 0:
                    tokens += [self.user, *retry]
                tokens.append(self.assistant)
                start = len(tokens)
                tokens += [*next(flat), self.end]
                places.append((start, len(tokens)))
            out.append((tokens, places))
        return out

    def prompts(self, questions, attempts):
        """Token ids up to the start of the next attempt."""
        (retry,) = self.encode([RETRY])
        asked = [[self.user, *retry] if texts else [] for texts in attempts]
        laid_out = self.dialogues(questions, attempts)
        return [tokens + more + [self.assistant] for (tokens, _), more in zip(laid_out, asked)]

    def answer(self, prompts, samples=1):
        """`samples` answers for each prompt, as (texts, total sampled tokens)."""
        order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
        rows = max(1, self.options.batch // samples)
        texts, tokens = [None] * len(prompts), 0
        for start in range(0, len(order), rows):
            places = order[start : start + rows]
            written = self.continue_([prompts[place] for place in places], samples)
            lengths = self.lengths(written)
            tokens += sum(lengths)
            cut = [row[:length] for row, length in zip(written.tolist(), lengths)]
            decoded = self.tokenizer.batch_decode(cut, skip_special_tokens=True)
            for number, place in enumerate(places):
                texts[place] = decoded[number * samples : (number + 1) * samples]
        return texts, tokens

    def continue_(self, prompts, samples):
        """New tokens of each sample, padded on the right."""
        batch = self.tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
        sampled = self.options.temperature > 0
        with torch.inference_mode():
            if samples > 1 and self.options.share_prefill:
                batch["past_key_values"] = self.prefilled(batch, samples)
                batch["input_ids"] = batch.input_ids.repeat_interleave(samples, dim=0)
                batch["attention_mask"] = batch.attention_mask.repeat_interleave(samples, dim=0)
                samples = 1
            whole = self.model.generate(
                **batch,
                do_sample=sampled,
                temperature=self.options.temperature if sampled else None,
                top_k=0 if sampled else None,
                top_p=1.0 if sampled else None,
                max_new_tokens=self.options.max_tokens,
                num_return_sequences=samples,
                eos_token_id=self.stops,
                pad_token_id=self.pad,
                cache_implementation=self.options.cache,
            )
        return whole[:, batch.input_ids.shape[1] :]

    def prefilled(self, batch, samples):
        """The cache of each prompt without its last token, computed once for all samples. `generate` alone
        computes a prompt once per sample."""
        mask = batch.attention_mask[:, :-1]
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        ids = batch.input_ids[:, :-1]
        outputs = self.model(ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
        outputs.past_key_values.batch_repeat_interleave(samples)
        return outputs.past_key_values

    def lengths(self, written):
        """Number of tokens of each row up to the first stop token, included."""
        ended = torch.isin(written, torch.tensor(self.stops))
        first = ended.int().argmax(1) + 1
        return torch.where(ended.any(1), first, written.shape[1]).tolist()


def unroll(policy, problems, turns, window=None, stop_on_success=False):
    """Episodes of `turns` turns as lists of (text, reward), and the tokens sampled for them.

    The policy sees the last `window` attempts (none: all). With `stop_on_success`, a right attempt ends its episode."""
    episodes, tokens = [[] for _ in problems], 0
    for _ in range(turns):
        still = [place for place, turns in enumerate(episodes) if not (stop_on_success and turns and turns[-1][1] == 1)]
        if not still:
            break
        shown = [[text for text, _ in episodes[place][-window if window else 0 :]] for place in still]
        prompts = policy.prompts([problems[place]["question"] for place in still], shown)
        answers, more = policy.answer(prompts)
        tokens += more
        for place, (text,) in zip(still, answers):
            episodes[place].append((text, reward(problems[place], text)))
    return episodes, tokens


def improve(policy, problems, episodes, samples):
    """Adds the best own sample, the first of equals, to episodes that do not end right; returns the sampled tokens."""
    failed = [place for place, turns in enumerate(episodes) if turns[-1][1] != 1]
    if not failed:
        return 0
    questions = [problems[place]["question"] for place in failed]
    prompts = policy.prompts(questions, [[text for text, _ in episodes[place]] for place in failed])
    answers, tokens = policy.answer(prompts, samples)
    for place, texts in zip(failed, answers):
        candidates = [(text, reward(problems[place], text)) for text in texts]
        episodes[place].append(max(candidates, key=lambda candidate: candidate[1]))  # the first of the best
    return tokens


# Training


def weigh(policy, problems, episodes, temperature):
    """Training examples: token ids, and targets as (first token, one past the last, weight exp(reward / temperature))."""
    laid_out = policy.dialogues([p["question"] for p in problems], [[text for text, _ in turns] for turns in episodes])
    return [
        {
            "tokens": tokens,
            "targets": [(start, end, math.exp(r / temperature)) for (start, end), (_, r) in zip(places, turns)],
        }
        for (tokens, places), turns in zip(laid_out, episodes)
    ]


def batches(examples, options):
    """Indices of each step's examples over all epochs; a batch has at most `options.targets` targets."""
    dice, out = random.Random(options.seed), []
    for _ in range(options.epochs):
        order = list(range(len(examples)))
        dice.shuffle(order)
        if options.group_by_length:  # like the LengthGroupedSampler of transformers: sorted within blocks of 50 batches
            stretch = 50 * options.targets // 2
            stretches = [order[start : start + stretch] for start in range(0, len(order), stretch)]
            order = [i for part in stretches for i in sorted(part, key=lambda i: -len(examples[i]["tokens"]))]
        epoch, filled = [[]], 0
        for index in order:
            more = len(examples[index]["targets"])
            if filled > 0 and filled + more > options.targets:
                epoch.append([])
                filled = 0
            epoch[-1].append(index)
            filled += more
        if options.group_by_length:
            dice.shuffle(epoch)
        out += epoch
    return out


class Collator:
    """Pads examples on the right: inputs, the token after each input, and its loss weight."""

    def __init__(self, pad, mask):
        self.pad, self.mask = pad, mask

    def __call__(self, examples):
        total = sum(abs(weight) for example in examples for _, _, weight in example["targets"])
        inputs, labels, weights = [], [], []
        for example in examples:
            tokens = torch.tensor(example["tokens"])
            inputs.append(tokens[:-1])
            labels.append(tokens[1:])
            row = torch.zeros(len(tokens) - 1)
            for start, end, weight in example["targets"]:
                row[start - 1 : end - 1] = weight / (end - start) / total
            weights.append(row)
        padded = lambda rows, filler: pad_sequence(rows, batch_first=True, padding_value=filler)
        batch = {"input_ids": padded(inputs, self.pad), "goal": padded(labels, 0), "weights": padded(weights, 0.0)}
        if self.mask:
            batch["attention_mask"] = padded([torch.ones_like(row) for row in inputs], 0)
        return batch


class WeightedTrainer(Trainer):
    """A `Trainer` with the weighted negative log-likelihood: the mean over each target's tokens, times its
    weight, divided by the sum of the batch's weights."""

    def __init__(self, *arguments, order, options, **named):
        super().__init__(*arguments, **named)
        self.order, self.options, self.model_accepts_loss_kwargs = order, options, False
        self.losses = []

    def get_train_dataloader(self):
        loader = DataLoader(self.train_dataset, batch_sampler=self.order, collate_fn=self.data_collator)
        return self.accelerator.prepare(loader)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        goal, weights = inputs.pop("goal"), inputs.pop("weights")
        outputs = model(**inputs, use_cache=False)
        here = weights != 0
        loss = F.cross_entropy(outputs.logits[here], goal[here], reduction="none") @ weights[here]
        self.losses.append(loss.detach())
        return (loss, outputs) if return_outputs else loss

    def create_scheduler(self, num_training_steps, optimizer=None):
        """A linear rise over 5 % of the steps, times a cosine down to a tenth."""
        warmup = max(1, math.floor(self.options.warmup * num_training_steps))
        final = self.options.final_rate

        def rate(step):
            cosine = 0.5 * (1 + math.cos(math.pi * step / num_training_steps))
            return min(1.0, (step + 1) / warmup) * (final + (1 - final) * cosine)

        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, rate)
        return self.lr_scheduler


def train(policy, examples, options, folder):
    """Trains the policy's model in place; returns the loss of each step and the number of tokens."""
    order = batches(examples, options)
    arguments = TrainingArguments(
        output_dir=folder,
        use_cpu=True,
        num_train_epochs=1,  # `order` holds all epochs
        learning_rate=options.learning_rate,
        weight_decay=0.01,
        adam_beta1=0.9,
        adam_beta2=0.98,
        adam_epsilon=1e-8,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        torch_compile=options.compile,
        seed=options.seed,
    )
    trainer = WeightedTrainer(
        policy.model,
        arguments,
        data_collator=Collator(policy.pad, options.mask),
        train_dataset=examples,
        order=order,
        options=options,
    )
    trainer.train()
    policy.model.eval()
    losses = [loss.item() for loss in trainer.losses]
    return losses, sum(len(examples[index]["tokens"]) - 1 for batch in order for index in batch)


# The round


class Phases:
    """Seconds and counts of each phase."""

    def __init__(self):
        self.done, self.last = {}, time.perf_counter()
        self.used = time.process_time()

    def close(self, name, **counts):
        now, used = time.perf_counter(), time.process_time()
        self.done[name] = {"seconds": now - self.last, "cpu_seconds": used - self.used, **counts}
        self.last, self.used = now, used


def voted(texts):
    """The most frequent answer of the texts, the last of equals, or none."""
    answers = [answer for answer in map(stated, texts) if answer is not None]
    latest = list(dict.fromkeys(reversed(answers)))
    return max(latest, key=answers.count, default=None)


def accuracies(problems, episodes):
    """`m1@t1`: the first attempt is right. `m1@t5`: the vote over five turns is right. Also the accuracy of each turn."""
    share = lambda rights: sum(rights) / len(problems)
    turns = len(episodes[0])
    votes = [voted([text for text, _ in log]) == problem["answer"] for problem, log in zip(problems, episodes)]
    by_turn = [share(log[turn][1] == 1 for log in episodes) for turn in range(turns)]
    return {"m1@t1": by_turn[0], f"m1@t{turns}": share(votes), "by_turn": by_turn}


def run(options, train_problems, test_problems, folder):
    phases = Phases()
    policy = Policy(*load(options.checkpoint, options.attention), options)
    phases.close("load")
    episodes, tokens = unroll(policy, train_problems, options.own_turns, stop_on_success=True)
    right = sum(turns[-1][1] == 1 for turns in episodes)
    phases.close("collect", sampled_tokens=tokens, attempts=sum(map(len, episodes)), right=right)
    tokens = improve(policy, train_problems, episodes, options.best_of)
    right = sum(turns[-1][1] == 1 for turns in episodes)
    phases.close("improve", sampled_tokens=tokens, right=right)
    examples = weigh(policy, train_problems, episodes, temperature=0.4)
    phases.close("weigh", targets=sum(len(example["targets"]) for example in examples))
    losses, tokens = train(policy, examples, options, str(folder))
    save(policy.model, policy.tokenizer, Path(folder) / "trained")
    phases.close("train", trained_tokens=tokens, steps=len(losses))
    episodes, tokens = unroll(policy, test_problems, options.turns, window=options.own_turns)
    phases.close("evaluate", sampled_tokens=tokens, **accuracies(test_problems, episodes))
    return phases.done


def read(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def parser():
    parser = argparse.ArgumentParser(description="One whole RISE round with transformers.")
    parser.add_argument("--checkpoint", required=True, help="a recipe or a checkpoint folder of rise-lab")
    parser.add_argument("--train", required=True, help="training problems, one JSON object a line")
    parser.add_argument("--test", required=True, help="test problems, one JSON object a line")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    work = parser.add_argument_group("the work, the same as in round.toml")
    work.add_argument("--own-turns", type=int, default=2)
    work.add_argument("--best-of", type=int, default=8)
    work.add_argument("--turns", type=int, default=5)
    work.add_argument("--temperature", type=float, default=1.0)
    work.add_argument("--max-tokens", type=int, default=96)
    work.add_argument("--epochs", type=int, default=2)
    work.add_argument("--targets", type=int, default=32, help="targets per optimizer step")
    work.add_argument("--learning-rate", type=float, default=5e-4)
    work.add_argument("--warmup", type=float, default=0.05)
    work.add_argument("--final-rate", type=float, default=0.1)
    how = parser.add_argument_group("speed; the defaults were the fastest, see README.md")
    how.add_argument("--batch", type=int, default=64, help="rows of one call of generate")
    how.add_argument("--attention", default="sdpa", help="sdpa or eager")
    how.add_argument("--share-prefill", action=argparse.BooleanOptionalAction, default=True, help="share one prefill among 8 samples")
    how.add_argument("--cache", default=None, help="cache_implementation of generate, e.g. static")
    how.add_argument("--group-by-length", action=argparse.BooleanOptionalAction, default=False, help="batch examples of equal length (other batches than rise-lab)")
    how.add_argument("--mask", action=argparse.BooleanOptionalAction, default=False, help="mask the padding in training")
    how.add_argument("--compile", action="store_true", help="set torch_compile of the Trainer")
    return parser


def main():
    options = parser().parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    transformers.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        began, used = time.perf_counter(), time.process_time()
        phases = run(options, read(options.train), read(options.test), folder)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    packages = {"torch": torch.__version__, "transformers": transformers.__version__}
    result = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": peak, "phases": phases, "packages": packages}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
