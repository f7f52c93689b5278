"""Turns conversations into batches of token ids without the template engine.

A test checks that the result equals the rendered chat template.
"""

import json
import random
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from cluster.bases.tiny.recipe.chat import Chat, Message
from cluster.bases.tiny.recipe.tokenizer import ASSISTANT, END, PAD, SYSTEM, TOOL, USER

ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT, "tool": TOOL}
LONGEST = 640
"""Conversations with more tokens are left out of pre-training."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of a conversation. `learned[i]` is true if token i counts in the loss."""

    tokens: list[int]
    learned: list[bool]


@dataclass(frozen=True)
class Batch:
    """Right-padded rows. `targets_n` are the tokens that follow the flat grid indices `positions_n`."""

    tokens_bt: Tensor
    positions_n: Tensor
    targets_n: Tensor


def encode_chats(chats: list[Chat], tokenizer: Tokenizer) -> list[Encoded]:
    """Encodes conversations as the chat template renders them."""
    segments = [segment for chat in chats for segment in _segments(chat)]
    contents = iter(tokenizer.encode_batch([text for _, text, _ in segments]))
    encoded = []
    for chat in chats:
        tokens: list[int] = []
        learned: list[bool] = []
        for role, _, counts in _segments(chat):
            content = next(contents).ids
            tokens += [role, *content, END]
            learned += [False, *[counts] * (len(content) + 1)]
        encoded.append(Encoded(tokens, learned))
    return encoded


def make_batches(encoded: list[Encoded], batch_tokens: int, rng: random.Random) -> list[Batch]:
    """Batches rows of similar lengths, in random order. A batch has at least two rows.

    A batch has at most `batch_tokens` cells, unless two rows have more.
    """
    rows = sorted(
        (row for row in encoded if len(row.tokens) <= LONGEST), key=lambda row: len(row.tokens), reverse=True
    )
    batches = []
    while len(rows) >= 2:
        length = -(-len(rows[0].tokens) // 8) * 8
        count = max(2, batch_tokens // length)
        batches.append(collate(rows[:count], length))
        rows = rows[count:]
    rng.shuffle(batches)
    return batches


def collate(rows: list[Encoded], length: int) -> Batch:
    """Makes one batch, padded to `length`."""
    tokens_bt = torch.full((len(rows), length), PAD)
    learned_bt = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        tokens_bt[index, : len(row.tokens)] = torch.tensor(row.tokens)
        learned_bt[index, : len(row.tokens)] = torch.tensor(row.learned)
    next_n = learned_bt.flatten().nonzero().squeeze(1)
    return Batch(tokens_bt, next_n - 1, tokens_bt.flatten()[next_n])


def _segments(chat: Chat) -> list[tuple[int, str, bool]]:
    segments = []
    if chat.tools:
        segments.append((SYSTEM, "Tools: " + json.dumps(chat.tools, ensure_ascii=False), False))
    for index, message in enumerate(chat.messages):
        counts = message["role"] == "assistant" and index >= chat.learned_from
        segments.append((ROLES[message["role"]], _text(message), counts))
    return segments


def _text(message: Message) -> str:
    calls = [call["function"] for call in message.get("tool_calls", [])]
    rendered = [
        f'<|tool_call|>{{"name": "{call["name"]}", "arguments": {call["arguments"]}}}' for call in calls
    ]
    return str(message["content"]) + "".join(rendered)
