"""Chat templates with the features of real models' templates, and a tokenizer with their tokens."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{%- for message in messages -%}"
    "{%- if loop.first and message.role != 'system' -%}"
    "{{- '<|im_start|>system\nYou are helpful.<|im_end|>\n' -}}{%- endif -%}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
"""A template like SmolLM2's: turns end with a token that is not the end of text, there is a default system
prompt, and tools are not supported."""

MARKED_WITHOUT_END = CHATML.replace(
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' -}}",
    "{{- '<|im_start|>' + message.role + '\n' -}}"
    "{%- if message.role == 'assistant' -%}"
    "{%- generation -%}{{- message.content -}}{%- endgeneration -%}"
    "{%- else -%}{{- message.content -}}{%- endif -%}"
    "{{- '<|im_end|>\n' -}}",
)
"""The generation block contains the content, but not the token that ends the turn."""

PLAIN_LINES = (
    "{%- for message in messages -%}{{- message.role + ':' + message.content + '\n' -}}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- 'assistant:' -}}{%- endif -%}"
)
"""Turns end with a line break only."""

FIRST_SYSTEM_ONLY = (
    "{%- if messages[0].role == 'system' -%}"
    "{{- '<|im_start|>' + messages[0].content + '\n\n' -}}{%- endif -%}"
    "{%- for message in messages if message.role != 'system' -%}"
    "{{- '[' + message.role + ']' + (message.content | trim) + '<|im_end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '[assistant]' -}}{%- endif -%}"
)
"""A template like Mistral's: the first system message is put before the first turn, later ones are dropped,
and whitespace around texts is removed."""

TEXT_CONTROL = ("<think>", "</think>", "<tool_call>", "</tool_call>")
"""Qwen3's added tokens that its tokenizer does not mark as special."""
CHANNELS = ("<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>", "<|return|>", "<|call|>")
"""gpt-oss' special tokens."""

CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def chat_tokenizer(template: str | None, *, eos_token: str | None = "<|endoftext|>") -> Any:
    """A byte-level tokenizer with ChatML's tokens, and one token for three line breaks."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_train()),
        eos_token=eos_token,
        clean_up_tokenization_spaces=False,
        chat_template=template,
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in CONTROL])
    return tokenizer


def real_tokenizer(name: str) -> Any:
    """A small tokenizer with a chat template that trl has taken from a real model, and that model's control
    tokens. Line breaks are tokenized alike whatever follows, as in current models."""
    (folder,) = (find_spec("trl") or pytest.fail("trl is not installed")).submodule_search_locations or ()
    tokenizer = chat_tokenizer((Path(folder) / "chat_templates" / f"{name}.jinja").read_text())
    tokenizer.bos_token = CONTROL[0]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s*[\r\n]+|\s?[^\s]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in CHANNELS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in TEXT_CONTROL])
    return tokenizer


@cache
def _train() -> str:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=300,
        min_frequency=1,
        special_tokens=list(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["\n" * 3] * 9 + ["assistant user system"] * 9, trainer)
    return str(tokenizer.to_str())
