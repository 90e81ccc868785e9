"""Writes small tokenizers with chat templates, and the tokens that transformers makes of dialogues with them.

Run it in the root of the repository, in the environment of README.md:

    /tmp/golden/bin/python tests/golden/chat.py

The templates have the forms of the named models: with and without an end of sequence after an answer, with and without
a default system text, with exceptions, with text about tools, and with line ends between blocks. The vocabularies are
tiny. Special tokens have the models' names, and tokenizers have the models' kinds: merged bytes, or SentencePiece.
SentencePiece writes spaces as `\u2581`, puts one before a text, falls back to bytes, and puts the first token before a text
that is not a dialogue.
"""

import json
import shutil
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).parent / "chat"
SIZE = 300
TEXTS = ["Ann has 8 cards. She gives away 16.", "8-6=2\n#### 2", "That is incorrect, try again.", "user assistant system"]
ALTERNATE = (
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
TEMPLATES = {
    "llama-2": (
        "<s>", "</s>", ["<unk>"],
        "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
        "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
        "{% for message in loop_messages %}" + ALTERNATE +
        "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
        "{% else %}{% set content = message['content'] %}{% endif %}"
        "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}",
    ),
    "llama-3": (
        "<|begin_of_text|>", "<|eot_id|>", ["<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>"],
        "{% set loop_messages = messages %}{% for message in loop_messages %}"
        "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
        "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
    ),
    "mistral-v0.2": (
        "<s>", "</s>", ["<unk>"],
        "{{ bos_token }}{% for message in messages %}" + ALTERNATE +
        "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
        "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
    ),
    "mistral-v0.3": (
        "<s>", "</s>", ["<unk>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"],
        """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" or (message["role"] == "assistant" and message.tool_calls is not defined) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] " + tools | tojson + "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"] + eos_token }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported!") }}
    {%- endif %}
{%- endfor %}
""",
    ),
    "qwen2.5": (
        None, "<|im_end|>", ["<|im_start|>", "<|endoftext|>"],
        """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {{- "# Tools\\n\\nYou may call one or more functions.\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    ),
    "zephyr": (
        "<s>", "</s>", ["<unk>"],
        "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
        "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
        "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n' + message['content'] + eos_token }}\n{% endif %}\n"
        "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
    ),
    "smollm2": (
        "<|im_start|>", "<|im_end|>", ["<|endoftext|>"],
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    ),
}
TURNS = [
    ("user", " Ann has 8 cards. She gives away 6. How many are left? "), ("assistant", "8-6=3\n#### 3"),
    ("user", "That is incorrect, try again."), ("assistant", "8-6=2\n#### 2"), ("user", "That is {{ incorrect }}."),
]


def tokenizer(name, bos, eos, more):
    special = list(dict.fromkeys([*([bos] if bos else []), eos, *more]))
    return sentencepiece(special, bos, SPACES[name]()) if name in SPACES else bytewise(special)


def bytewise(special):
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=added(special), initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    inner.train_from_iterator(TEXTS, trainer)
    return inner


def added(special):
    return [AddedToken(name, special=True, normalized=False) for name in special]


def sentencepiece(special, bos, spaces):
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.Metaspace()
    room = SIZE - len(special) - 256
    learned.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=room, show_progress=False))
    learned = json.loads(learned.to_str())["model"]
    pieces = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *learned["vocab"]]
    merges = [tuple(merge) for merge in learned["merges"]]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    inner = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    for part, value in spaces.items():
        setattr(inner, part, value)
    inner.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    inner.post_processor = processors.TemplateProcessing(single=f"{bos} $A", pair=None, special_tokens=[(bos, vocabulary[bos])])
    inner.add_special_tokens(added(special))
    return inner


# The space before a text: before each span between special tokens, or before the first span only.
MARKED = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
SPACES = {
    "llama-2": lambda: {"normalizer": MARKED},
    "mistral-v0.2": lambda: {"normalizer": MARKED},
    "zephyr": lambda: {"normalizer": MARKED},
    "mistral-v0.3": lambda: {"pre_tokenizer": pre_tokenizers.Metaspace(prepend_scheme="first", split=False)},
}


def main():
    for name, (bos, eos, more, template) in TEMPLATES.items():
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        named = {"bos_token": bos, "eos_token": eos}
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer(name, bos, eos, more), **{k: v for k, v in named.items() if v})
        fast.chat_template = template
        fast.save_pretrained(folder, save_jinja_files=name == "llama-3")
        cases = []
        for count in range(1, len(TURNS) + 1):
            messages = [{"role": role, "content": content} for role, content in TURNS[:count]]
            is_open = TURNS[count - 1][0] == "user"
            text = fast.apply_chat_template(messages, tokenize=False, add_generation_prompt=is_open)
            ids = fast.apply_chat_template(messages, tokenize=True, add_generation_prompt=is_open, return_dict=False)
            cases.append({"messages": count, "text": text, "ids": ids})
        (folder / "golden.json").write_text(json.dumps({"turns": TURNS, "cases": cases}, indent=0) + "\n")


if __name__ == "__main__":
    main()
