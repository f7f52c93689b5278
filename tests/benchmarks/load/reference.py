"""What each tuned model must answer, worked out by transformers and PEFT one request at a time, with none of
our engine's code."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor, LogitsProcessorList

from cluster.bases.catalogue import load_catalogue
from cluster.bases.resolve import base_folder
from tests.e2e.server import BASE

_CLEAR = 5e-4
"""In logits: ten times what one float32 forward differs from another by. An answer that hangs by less may
change with rounding, and nobody is asked for it."""


@dataclass(frozen=True)
class Asked:
    """One request, as its body has it."""

    prompt: str
    is_chat: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    """temperature, top_p, seed, n, stop."""
    max_tokens: int = 32


@dataclass(frozen=True)
class Said:
    """One choice."""

    text: str
    finish_reason: str
    num_tokens: int


@dataclass
class Reference:
    """The base, with one adapter or none."""

    adapter: Path | None

    def __post_init__(self) -> None:
        folder = base_folder(load_catalogue()[BASE])
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._model = (PeftModel.from_pretrained(model, self.adapter) if self.adapter else model).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    def answer(self, asked: Asked) -> list[Said] | None:
        """By choice; None if it hangs by a rounding."""
        choices = [self._choice(asked, choice) for choice in range(asked.options.get("n", 1))]
        return None if None in choices else [said for said in choices if said is not None]

    @torch.inference_mode()
    def _choice(self, asked: Asked, choice: int) -> Said | None:
        picker = _Picker(asked.options, choice)
        prompt = self._encoded(asked)
        output = self._model.generate(
            **prompt,
            max_new_tokens=asked.max_tokens,
            do_sample=False,
            logits_processor=LogitsProcessorList([picker]),
        )
        tokens = output[0, prompt["input_ids"].shape[1] :].tolist()
        return self._said(tokens, asked) if picker.is_clear else None

    def _encoded(self, asked: Asked) -> Any:
        if asked.is_chat:
            chat = [{"role": "user", "content": asked.prompt}]
            return self._tokenizer.apply_chat_template(
                chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        return self._tokenizer(asked.prompt, return_tensors="pt")

    def _said(self, tokens: list[int], asked: Asked) -> Said:
        if stop := asked.options.get("stop"):
            for count in range(1, len(tokens) + 1):
                if stop in (text := self._text(tokens[:count])):
                    return Said(text.partition(stop)[0], "stop", count)
        is_ended = tokens[-1] == self._tokenizer.eos_token_id
        return Said(self._text(tokens), "stop" if is_ended else "length", len(tokens))

    def _text(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


class _Picker(LogitsProcessor):  # type: ignore[misc]
    """Leaves one token at each step: the likeliest, or the one that a seed stands for.

    That is by inverse transform, in the vocabulary's order, of the nucleus of `top_p`; the number to be
    inverted is the first 48 bits of BLAKE2b of `seed/choice/position`."""

    def __init__(self, options: dict[str, Any], choice: int) -> None:
        self._temperature = options.get("temperature", 1.0)
        self._top_p = options.get("top_p", 1.0)
        self._seed = options.get("seed")
        self._choice = choice
        self._position = 0
        self.is_clear = True

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        logits = scores[0].double().numpy()
        token = self._drawn(logits) if self._temperature else self._likeliest(logits)
        self._position += 1
        left = torch.full_like(scores, -torch.inf)
        left[0, token] = 0
        return left

    def _likeliest(self, logits: np.ndarray) -> int:
        second, first = np.partition(logits, -2)[-2:]
        self.is_clear &= bool(first - second > _CLEAR)
        return int(logits.argmax())

    def _drawn(self, logits: np.ndarray) -> int:
        clear = _CLEAR / self._temperature  # a relative difference of weights
        weights = np.exp((logits - logits.max()) / self._temperature)
        weights /= weights.sum()
        order = np.argsort(-weights, kind="stable")
        size = len(order)
        if self._top_p < 1:
            before = np.cumsum(weights[order]) - weights[order]
            size = int((before < self._top_p).sum())
            last, first_out = weights[order[size - 1]], weights[order[min(size, len(order) - 1)]]
            self.is_clear &= bool(np.abs(before[: size + 1] - self._top_p).min() > clear * last)
            self.is_clear &= bool(last - first_out > clear * last)
        kept = np.sort(order[:size])
        edges = np.cumsum(weights[kept]) / weights[kept].sum()
        number = self._uniform()
        place = int(np.searchsorted(edges, number, side="right"))
        # The edges between tokens move with what is above and below them.
        around = np.array([0.0, *edges])[place : place + 2]
        self.is_clear &= bool((np.abs(around - number) > clear * around * (1 - around)).all())
        return int(kept[place])

    def _uniform(self) -> float:
        text = f"{self._seed}/{self._choice}/{self._position}"
        digest = hashlib.blake2b(text.encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big") / 2**48
