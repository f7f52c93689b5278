"""A base that always generates the same text, so that tests know every token in advance."""

import itertools
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.contracts.bases import BaseSpec
from cluster.contracts.generation import TokenPrompt
from tests.tiny_base import CHAT_TEMPLATE, make_tiny_base

START = TokenPrompt(token_ids=[4])
"""The header of the assistant's turn."""
_END = 1
_VOCAB = 352
_HIDDEN = 384
"""One axis per token, and heads of a width that attention kernels support."""


def make_scripted_base(folder: Path, text: str, *, chat_template: str = CHAT_TEMPLATE) -> BaseSpec:
    """A Llama whose layers do nothing and whose head maps each token to its successor: after START it
    generates `text` and ends. `text` must not contain a token twice."""
    spec = make_tiny_base(
        folder, hidden=_HIDDEN, layers=1, vocab=_VOCAB, alias="scripted", chat_template=chat_template
    )
    tokens = [*START.token_ids, *AutoTokenizer.from_pretrained(folder).encode(text), _END]
    assert len(set(tokens)) == len(tokens), "each token must have one successor"
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for parameter in (model.model.layers[0].self_attn.o_proj, model.model.layers[0].mlp.down_proj):
            parameter.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(_VOCAB, _HIDDEN))
        model.lm_head.weight.zero_()
        for token, successor in itertools.pairwise(tokens):
            model.lm_head.weight[successor, token] = 1.0
    model.save_pretrained(folder)
    return spec
