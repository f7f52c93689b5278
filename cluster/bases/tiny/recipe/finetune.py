"""A plain LoRA training loop and greedy decoding for the evaluation.

Uses only torch, transformers and peft.
"""

import random
import time
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from torch import Tensor

from cluster.bases.tiny.recipe.heldout import Message

IGNORED = -100
DECODED_TOGETHER = 50


@dataclass(frozen=True)
class LoraRecipe:
    """Hyperparameters of a fine-tuning."""

    learning_rate: float = 2e-3
    """Peak rate. It rises over the first 5 % of the steps and falls linearly to zero."""
    epochs: int = 4
    batch_size: int = 8
    """Conversations per step."""
    rank: int = 16
    alpha: int = 32
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Seconds:
    """Wall-clock time and CPU time of the whole process."""

    wall: float
    cpu: float


def finetune(
    base: Any, tokenizer: Any, chats: list[list[Message]], recipe: LoraRecipe, seed: int
) -> tuple[Any, Seconds]:
    """Trains a LoRA on the chats' answers. Returns the model and the time that training took."""
    started = Seconds(time.perf_counter(), time.process_time())
    torch.manual_seed(seed)
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model = get_peft_model(base, config)
    rows = [_encode(tokenizer, chat) for chat in chats]
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    batches = _batches(rows, recipe, random.Random(seed))
    model.train()
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * _scale(step, len(batches))
        _loss(model, batch).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model.eval(), Seconds(time.perf_counter() - started.wall, time.process_time() - started.cpu)


@torch.no_grad()
def answer(model: Any, tokenizer: Any, prompts: list[list[Message]], longest: int = 72) -> list[str]:
    """Generates greedy answers, in the order of the prompts.

    Prompts of similar lengths are decoded together, padded on the left.
    """
    tokenized = [
        tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"] for chat in prompts
    ]
    order = sorted(range(len(prompts)), key=lambda index: len(tokenized[index]))
    answers = [""] * len(prompts)
    for start in range(0, len(order), DECODED_TOGETHER):
        indices = order[start : start + DECODED_TOGETHER]
        width = len(tokenized[indices[-1]])
        gaps = [width - len(tokenized[index]) for index in indices]
        rows = [
            [tokenizer.pad_token_id] * gap + tokenized[index]
            for gap, index in zip(gaps, indices, strict=True)
        ]
        output = model.generate(
            input_ids=torch.tensor(rows),
            attention_mask=torch.tensor([[0] * gap + [1] * (width - gap) for gap in gaps]),
            max_new_tokens=longest,
            do_sample=False,
        )
        texts = tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
        for index, text in zip(indices, texts, strict=True):
            answers[index] = text
    return answers


def exact_match(
    model: Any, tokenizer: Any, chats: list[list[Message]]
) -> tuple[float, list[tuple[str, str]]]:
    """Returns the share of chats whose last answer the model gives exactly.

    Also returns the (wanted, given) pairs that differ.
    """
    given = answer(model, tokenizer, [chat[:-1] for chat in chats])
    pairs = [(chat[-1]["content"], text) for chat, text in zip(chats, given, strict=True)]
    misses = [pair for pair in pairs if pair[0] != pair[1]]
    return 1 - len(misses) / len(chats), misses


def _encode(tokenizer: Any, chat: list[Message]) -> tuple[list[int], list[int]]:
    rendered = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    tokens, mask = rendered["input_ids"], rendered["assistant_masks"]
    return tokens, [token if counts else IGNORED for token, counts in zip(tokens, mask, strict=True)]


def _batches(
    rows: list[tuple[list[int], list[int]]], recipe: LoraRecipe, rng: random.Random
) -> list[tuple[Tensor, Tensor]]:
    """Batches of rows of similar lengths for all epochs. Each epoch's batches are in random order."""
    batches = []
    for _ in range(recipe.epochs):
        order = sorted(rows, key=lambda row: len(row[0]) + rng.random() * 6)
        epoch = [
            order[start : start + recipe.batch_size] for start in range(0, len(order), recipe.batch_size)
        ]
        rng.shuffle(epoch)
        batches += [
            (_pad([row[0] for row in group], 0), _pad([row[1] for row in group], IGNORED)) for group in epoch
        ]
    return batches


def _pad(rows: list[list[int]], filler: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [filler] * (longest - len(row)) for row in rows])


def _loss(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean cross-entropy of the answers. With causal attention, padding on the right needs no mask."""
    tokens_bt, labels_bt = batch
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=tokens_bt, use_cache=False).logits[:, :-1].float()
    return F.cross_entropy(logits.flatten(0, 1), labels_bt[:, 1:].flatten(), ignore_index=IGNORED)


def _scale(step: int, steps: int) -> float:
    rise = max(1, steps // 20)
    return min((step + 1) / rise, (steps - step) / (steps - rise + 1))
