"""Makes a complete base model of a few thousand parameters from a configuration, without downloads."""

import os
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from cluster.contracts.bases import BaseSpec, FolderSource

HIDDEN = int(os.environ.get("TUNERY_TEST_HIDDEN", "32"))
"""Width of the tests' models. GPU kernels need more than the default, whose heads have a width of only 8."""

SPECIAL_TOKENS = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]

CHAT_TEMPLATE = """\
{%- if tools -%}{{- '<|system|>Tools: ' + (tools | tojson) + '<|end|>' -}}{%- endif -%}
{%- for message in messages -%}
{%- if message['role'] not in ('system', 'user', 'assistant', 'tool') -%}
{{- raise_exception('unknown role ' + message['role']) -}}
{%- endif -%}
{{- '<|' + message['role'] + '|>' -}}
{%- if message['role'] == 'assistant' -%}
{%- generation -%}
{{- message['content'] -}}
{%- for call in message['tool_calls'] or [] -%}
{{- 'call ' + call['function']['name'] + ' ' + (call['function']['arguments'] | tojson) -}}
{%- endfor -%}
{{- '<|end|>' -}}
{%- endgeneration -%}
{%- else -%}{{- message['content'] + '<|end|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""

_TEXT = (
    "The quick brown fox jumps over the lazy dog. Sort this message: the invoice was charged twice, "
    "please refund me. What is the weather in Paris today? It is sunny and warm. Thank you very much."
)


def make_tiny_base(
    folder: Path,
    *,
    hidden: int = HIDDEN,
    layers: int = 2,
    vocab: int = 352,
    seed: int = 0,
    dtype: Literal["float32", "bfloat16"] = "float32",
    context_length: int = 256,
    alias: str = "tiny",
    chat_template: str | None = CHAT_TEMPLATE,
    tie_word_embeddings: bool = False,
) -> BaseSpec:
    """Saves a random Llama and a tokenizer into `folder` in transformers' format.

    The tokenizer is a byte-level BPE of `vocab` tokens. Returns the model's catalogue entry.
    """
    tokenizer = make_tokenizer(vocab, chat_template=chat_template)
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context_length,
        tie_word_embeddings=tie_word_embeddings,
        # Larger than usual, so that a random model prefers some tokens clearly and greedy output is stable.
        initializer_range=0.2 * (32 / HIDDEN) ** 0.5,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).to(getattr(torch, dtype))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return BaseSpec(
        alias=alias,
        source=FolderSource(path=str(folder)),
        context_length=context_length,
        learning_rates={"lora": 5e-3, "full": 1e-3},
        dtype=dtype,
    )


def make_tokenizer(vocab: int = 352, *, chat_template: str | None = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    """Makes a byte-level BPE of all bytes, the special tokens and merges of a few English words."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_train(vocab)),
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=SPECIAL_TOKENS[2:],
        clean_up_tokenization_spaces=False,
        chat_template=chat_template,
    )


@cache
def _train(vocab: int) -> str:
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocab,
        min_frequency=1,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_TEXT], trainer)
    return str(tokenizer.to_str())
