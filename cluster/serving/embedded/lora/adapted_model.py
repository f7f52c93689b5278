"""A causal model of transformers in which each row of a batch may have its own adapter."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from cluster.bases.layer_kinds import layer_kinds
from cluster.bases.lora_form import ROW_LAYERS
from cluster.serving.embedded.lora.rows import RowLora
from cluster.serving.weights.adapter import Adapter
from cluster.serving.weights.packed_linear import pack_layers


class AdaptedModel:
    """A model with row LoRA. Used from one thread."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.config = model.config.get_text_config()
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        layers = [name for name, kind in layer_kinds(model).items() if kind in ROW_LAYERS]
        pack_layers(model, layers)
        self._rows = RowLora(model, layers, self.device)
        self.states = self._find_states()
        """(heads, key width, value width) that each layer caches per token, except layers at the end that
        reuse the cache of earlier ones. Empty for a model that caches something else and therefore supports
        no prefix."""

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Returns (in, out) of the linear layers that adapters may change, by name. Excludes layers whose
        input no longer has the row structure, because its tokens cannot be matched to adapters."""
        return self._rows.shapes

    @property
    def num_embeddings(self) -> int:
        """Size of the embedding: valid token ids are 0 to `num_embeddings - 1`."""
        return int(self._model.get_input_embeddings().num_embeddings)

    @property
    def attention(self) -> str:
        """transformers' name of the attention implementation."""
        name: str = self.config._attn_implementation
        return name

    def forward(
        self, token_ids: Tensor | Sequence[Sequence[int]], adapters: Sequence[Adapter | None], **options: Any
    ) -> Tensor:
        """Returns float32 logits [B, T, V] of `token_ids` [B, T], each row with its adapter's LoRA. `options`
        are passed to the model's forward."""
        input_ids = torch.as_tensor(token_ids, device=self.device)
        self._rows.assign(adapters)
        try:
            logits: Tensor = self._model(input_ids=input_ids, **options).logits
        finally:
            # The adapters of the last pass must not stay in memory.
            self._rows.assign([])
        return logits.float()

    @torch.inference_mode()
    def _find_states(self) -> list[tuple[int, int, int]]:
        cache = DynamicCache(config=self.config)
        with self._rows.watching():
            self._model(
                input_ids=torch.tensor([[1]], device=self.device), past_key_values=cache, use_cache=True
            )
        if any(hasattr(layer, "conv_states") for layer in cache.layers):
            return []
        layers = [(layer.keys, layer.values) for layer in cache.layers]
        while layers and layers[-1][0] is None:
            layers.pop()
        if any(keys is None for keys, _ in layers):
            return []
        return [(keys.shape[1], keys.shape[3], values.shape[3]) for keys, values in layers]

    def forget(self) -> None:
        """Drops cached data of adapters that no row uses."""
        self._rows.forget()
