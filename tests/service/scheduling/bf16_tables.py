"""Log-probability tables of the built-in model in bfloat16, as training and as serving compute them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.bases.catalogue import load_catalogue
from cluster.bases.general import GENERAL_SET
from cluster.bases.resolve import base_folder
from cluster.contracts.manifest import Probe, ProbeScores

_ROWS, _TOKENS = 4, 96
_PARTS = 4


class Tables:
    """A LoRA adapter with random weights on the built-in model. Training computes with PyTorch's fused
    attention and whole matrix products; serving with plain attention and with products that are added up in
    parts, so that rounding happens in different places. Each of the tables is computed once."""

    def __init__(self, dtype: torch.dtype) -> None:
        folder = base_folder(load_catalogue()["tunery-tiny-1"])
        tokenizer = AutoTokenizer.from_pretrained(folder)
        chats = [json.loads(line)["messages"] for line in GENERAL_SET.read_text().splitlines()]
        ids = [tokenizer.apply_chat_template(chat, return_dict=False)[:_TOKENS] for chat in chats]
        self.dtype = str(dtype).removeprefix("torch.")
        self.rows = [row for row in ids if len(row) == _TOKENS][:_ROWS]
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        torch.manual_seed(0)
        config = LoraConfig(r=16, lora_alpha=16, use_rslora=True, target_modules="all-linear")
        self.model = get_peft_model(model, config).to(dtype).eval()
        self.layers = [
            layer for layer in self.model.modules() if isinstance(getattr(layer, "scaling", None), dict)
        ]
        self._served: dict[tuple[float, int | None], ProbeScores] = {}

    def adapt(self, size: float) -> None:
        """Draws an adapter before anything is computed. `size` is the size of its changes."""
        generator = torch.Generator().manual_seed(1)
        for layer in self.layers:
            weight = layer.lora_B["default"].weight
            drawn = torch.randn(weight.shape, generator=generator) * size
            weight.data.copy_(drawn)

    @cached_property
    def trained(self) -> Probe:
        self._attend("sdpa")
        with self.model.disable_adapter():
            base = self._scores()
        tuned = self._scores()
        return Probe(token_ids=self.rows, logprobs=tuned.logprobs, top_ids=tuned.top_ids, base=base)

    def served(self, scale: float = 1.0, *, without: int | None = None) -> ProbeScores:
        """The table with the adapter's scale multiplied by `scale`, or without one of its layers."""
        if (scale, without) not in self._served:
            self._served[scale, without] = self._serve(scale, without)
        return self._served[scale, without]

    @cached_property
    def served_base(self) -> ProbeScores:
        with self.model.disable_adapter():
            return self._serve(1.0, None)

    def _serve(self, scale: float, without: int | None) -> ProbeScores:
        kept = [dict(layer.scaling) for layer in self.layers]
        for number, layer in enumerate(self.layers):
            layer.scaling["default"] *= 0.0 if number == without else scale
        self._attend("eager")
        with _in_parts(self.model):
            scores = self._scores()
        for layer, scaling in zip(self.layers, kept, strict=True):
            layer.scaling = scaling
        return scores

    @torch.no_grad()
    def _scores(self) -> ProbeScores:
        logprobs, top_ids = [], []
        for row in self.rows:
            token_ids = torch.tensor([row])
            scores = self.model(input_ids=token_ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
            logprobs.append(scores.gather(-1, token_ids[0, 1:, None])[:, 0].tolist())
            top_ids.append(scores.argmax(-1).tolist())
        return ProbeScores(logprobs=logprobs, top_ids=top_ids)

    def _attend(self, implementation: str) -> None:
        self.model.get_base_model().config._attn_implementation = implementation


@contextmanager
def _in_parts(model: Any) -> Iterator[None]:
    linears = [module for module in model.modules() if type(module) is nn.Linear]
    for linear in linears:
        linear.forward = partial(_product_in_parts, linear)
    yield
    for linear in linears:
        del linear.forward


def _product_in_parts(linear: nn.Linear, inputs: Tensor) -> Tensor:
    chunks: Callable[[Tensor], tuple[Tensor, ...]] = partial(torch.chunk, chunks=_PARTS, dim=-1)
    parts = [x @ w.T for x, w in zip(chunks(inputs), chunks(linear.weight), strict=True)]
    return sum(part.float() for part in parts).to(inputs.dtype)
