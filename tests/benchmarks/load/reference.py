"""Computes what each tuned model must answer, with transformers and PEFT, one request at a time.

Uses none of the engine's code.
"""

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
"""Smallest difference of logits that rounding cannot reverse: ten times the difference between two float32
forward passes. Answers that depend on a smaller difference are not used."""


@dataclass(frozen=True)
class Request:
    """One request, with the fields of its body."""

    prompt: str
    is_chat: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    """temperature, top_p, seed, n, stop."""
    max_tokens: int = 32


@dataclass(frozen=True)
class Choice:
    """One choice."""

    text: str
    finish_reason: str
    num_tokens: int


@dataclass
class Reference:
    """The base model with one adapter or none."""

    adapter: Path | None

    def __post_init__(self) -> None:
        folder = base_folder(load_catalogue()[BASE])
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self._model = (PeftModel.from_pretrained(model, self.adapter) if self.adapter else model).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    def answer(self, request: Request) -> list[Choice] | None:
        """The answer's choices, or None if rounding could change one of them."""
        choices = [self._choice(request, choice) for choice in range(request.options.get("n", 1))]
        return None if None in choices else [choice for choice in choices if choice is not None]

    @torch.inference_mode()
    def _choice(self, request: Request, choice: int) -> Choice | None:
        picker = _Picker(request.options, choice)
        prompt = self._encode(request)
        output = self._model.generate(
            **prompt,
            max_new_tokens=request.max_tokens,
            do_sample=False,
            logits_processor=LogitsProcessorList([picker]),
        )
        tokens = output[0, prompt["input_ids"].shape[1] :].tolist()
        return self._to_choice(tokens, request) if picker.is_clear else None

    def _encode(self, request: Request) -> Any:
        if request.is_chat:
            chat = [{"role": "user", "content": request.prompt}]
            return self._tokenizer.apply_chat_template(
                chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        return self._tokenizer(request.prompt, return_tensors="pt")

    def _to_choice(self, tokens: list[int], request: Request) -> Choice:
        if stop := request.options.get("stop"):
            for count in range(1, len(tokens) + 1):
                if stop in (text := self._text(tokens[:count])):
                    return Choice(text.partition(stop)[0], "stop", count)
        is_ended = tokens[-1] == self._tokenizer.eos_token_id
        return Choice(self._text(tokens), "stop" if is_ended else "length", len(tokens))

    def _text(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


class _Picker(LogitsProcessor):  # type: ignore[misc]
    """Leaves one token at each step: the likeliest, or the one drawn with the request's seed.

    A token is drawn from the nucleus of `top_p` by inverse transform sampling in the vocabulary's order. The
    uniform number is the first 48 bits of BLAKE2b of `seed/choice/position`.
    """

    def __init__(self, options: dict[str, Any], choice: int) -> None:
        self._temperature = options.get("temperature", 1.0)
        self._top_p = options.get("top_p", 1.0)
        self._seed = options.get("seed")
        self._choice = choice
        self._position = 0
        self.is_clear = True

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        logits = scores[0].double().numpy()
        token = self._draw(logits) if self._temperature else self._likeliest(logits)
        self._position += 1
        left = torch.full_like(scores, -torch.inf)
        left[0, token] = 0
        return left

    def _likeliest(self, logits: np.ndarray) -> int:
        second, first = np.partition(logits, -2)[-2:]
        self.is_clear &= bool(first - second > _CLEAR)
        return int(logits.argmax())

    def _draw(self, logits: np.ndarray) -> int:
        clear = _CLEAR / self._temperature  # as a relative difference of weights
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
        # Rounding moves an edge in proportion to the weight on both sides of it.
        around = np.array([0.0, *edges])[place : place + 2]
        self.is_clear &= bool((np.abs(around - number) > clear * around * (1 - around)).all())
        return int(kept[place])

    def _uniform(self) -> float:
        text = f"{self._seed}/{self._choice}/{self._position}"
        digest = hashlib.blake2b(text.encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big") / 2**48
