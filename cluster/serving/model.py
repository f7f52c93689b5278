"""Loads a causal language model and runs it unmodified: prefill into a cache of its own, joint decoding."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache

from cluster.contracts.errors import InvalidConfiguration
from cluster.serving.cache import SlotCache
from cluster.serving.row_lora import Adapter, RowLora

_IGNORED = 0
"""Token id that fills short rows of a prefill; causal attention keeps it from being seen."""


def load_model(folder: Path, *, dtype: str, device: torch.device) -> Any:
    """The model in `folder`, frozen. Raises InvalidConfiguration for an architecture whose attention is not
    over the whole context in every layer, which the slot cache would get wrong."""
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=getattr(torch, dtype),
        attn_implementation="sdpa",
        use_safetensors=True,
        local_files_only=True,
    )
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    if kinds != {"full_attention"} or (window is not None and getattr(config, "layer_types", None) is None):
        raise InvalidConfiguration(
            f"The model in {folder} uses {', '.join(sorted(kinds))} with window {window}; this engine serves "
            "models with full attention in every layer."
        )
    return model.eval().requires_grad_(False).to(device)


@dataclass
class Prefill:
    """Prompts on their way into a cache, rows padded on the right."""

    token_ids_KT: Tensor
    lengths: list[int]
    adapters: list[Adapter | None]
    cache: Any
    done: int = 0
    """Tokens of the padded length that have been through the model."""

    @property
    def is_done(self) -> bool:
        return self.done == self.token_ids_KT.shape[1]


class ModelRunner:
    """A model with its slot cache and row LoRA. Knows tensors and rows, nothing of requests. Belongs to one
    thread."""

    def __init__(self, model: Any, *, max_rows: int, max_length: int) -> None:
        self._model = model
        self._device = model.device
        self._rows = RowLora(model)
        self._adapters: list[Adapter | None] = []
        layers = model.config.get_text_config().num_hidden_layers
        self._cache = SlotCache(layers, max_rows=max_rows, max_length=max_length)
        self._drop_rowless_layers()

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """(in, out) of the linear layers that adapters may change, by name."""
        return self._rows.shapes

    @property
    def num_embeddings(self) -> int:
        """Token ids that the model takes: 0 to this less one."""
        return int(self._model.get_input_embeddings().num_embeddings)

    def start(self, prompts: Sequence[list[int]], adapters: Sequence[Adapter | None]) -> Prefill:
        lengths = [len(prompt) for prompt in prompts]
        padded = [prompt + [_IGNORED] * (max(lengths) - len(prompt)) for prompt in prompts]
        # Without the configuration: layers that keep everything, as the slot cache does.
        return Prefill(torch.tensor(padded, device=self._device), lengths, list(adapters), DynamicCache())

    def prefill(self, prefill: Prefill, num_tokens: int, *, keeps_all: bool) -> Tensor:
        """Runs the next `num_tokens` positions. Returns float32 logits: with `keeps_all` [K, T, V] of all of
        them, otherwise [K, V], after each row's last token; those mean something once `is_done`."""
        chunk_KT = prefill.token_ids_KT[:, prefill.done : prefill.done + num_tokens]
        last_K1 = torch.tensor(
            [[length - 1 - prefill.done] for length in prefill.lengths], device=self._device
        )
        self._rows.assign(prefill.adapters, self._device)
        logits_KTV: Tensor = self._model(
            input_ids=chunk_KT,
            position_ids=torch.arange(
                prefill.done, prefill.done + chunk_KT.shape[1], device=self._device
            ).expand(len(chunk_KT), -1),
            past_key_values=prefill.cache,
            use_cache=True,
            logits_to_keep=0 if keeps_all else last_K1.clamp_(0, chunk_KT.shape[1] - 1),
        ).logits.float()
        prefill.done += chunk_KT.shape[1]
        return logits_KTV if keeps_all else logits_KTV[:, 0]

    def add_row(self, prefill: Prefill, row: int) -> None:
        """Gives row `row` of a prefill that is done a slot, as the last row of the batch."""
        self._cache.append(prefill.cache, row, prefill.lengths[row])
        self._adapters.append(prefill.adapters[row])

    def decode(self, tokens: Sequence[int]) -> Tensor:
        """Feeds one token to each row. Returns float32 logits [B, V]."""
        positions_B1, mask_B11L = self._cache.advance()
        self._rows.assign(self._adapters, self._device)
        logits_B1V: Tensor = self._model(
            input_ids=torch.tensor(tokens, device=self._device)[:, None],
            position_ids=positions_B1,
            attention_mask=mask_B11L,
            past_key_values=self._cache,
            use_cache=True,
        ).logits
        return logits_B1V[:, 0].float()

    def release(self, row: int) -> None:
        """Frees a row; the last row moves to its place."""
        self._cache.release(row)
        self._adapters[row] = self._adapters[-1]
        self._adapters.pop()
        if not self._adapters:
            self._rows.forget()

    def clear(self) -> None:
        self._cache.clear()
        self._adapters.clear()
        self._rows.forget()

    @torch.inference_mode()
    def _drop_rowless_layers(self) -> None:
        """Takes out of `shapes` the layers that see tokens without their rows (routers of experts do): there
        is no telling whose adapter is meant."""
        seen: set[str] = set()

        def note(name: str) -> Any:
            def hook(_: Any, inputs: tuple[Tensor, ...]) -> None:
                if inputs[0].shape[:-1] == (2, 3):
                    seen.add(name)

            return hook

        hooks = [
            self._model.get_submodule(name).register_forward_pre_hook(note(name))
            for name in self._rows.shapes
        ]
        self._model(input_ids=torch.zeros(2, 3, dtype=torch.long, device=self._device), use_cache=False)
        for hook in hooks:
            hook.remove()
        self._rows.shapes = {name: shape for name, shape in self._rows.shapes.items() if name in seen}
