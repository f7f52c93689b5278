"""A serving step of a model whose tensors have a device and a shape but no contents."""

from typing import Any

import torch
from torch import Tensor

from cluster.contracts.generation import Sampling
from cluster.serving.embedded.attention import read_attention
from cluster.serving.embedded.batched import BatchedRunner
from cluster.serving.embedded.draw import Draw, SeenTokens
from cluster.serving.embedded.lora.adapted_model import AdaptedModel
from cluster.serving.embedded.sampling import pick_tokens
from cluster.serving.weights.adapter import Adapter, LoraPair

_PROMPTS = [[5] * 900, [6] * 40, [7] * 300, [8] * 41]


def serve(model: Any, gpu: torch.device) -> None:
    """Prefills prompts of the base and of two adapters in two parts, decodes them together, samples in all
    ways, and releases a row. `model` is on the fake GPU."""
    with torch.inference_mode():
        adapted = AdaptedModel(model.eval().requires_grad_(False))
        attention = read_attention(adapted.config, adapted.dtype)
        assert attention is not None
        assert {layer.device.type for layer in model.buffers()} == {gpu.type}
        adapters = [None, *(_adapter(adapted, name, rank, gpu) for name, rank in (("a", 8), ("b", 16)))]
        runner = BatchedRunner(adapted, attention, max_rows=8, max_length=2048)
        prefill = runner.start(_PROMPTS, [*adapters, adapters[1]])
        runner.prefill(prefill, 512, keeps_all=False)
        logits = runner.prefill(prefill, 512, keeps_all=False)
        assert prefill.is_done
        _check(logits, len(_PROMPTS), gpu)
        scored = runner.start([_PROMPTS[1]], [adapters[2]])
        assert runner.prefill(scored, 64, keeps_all=True).shape[:2] == (1, len(_PROMPTS[1]))
        for row in range(len(_PROMPTS)):
            runner.add_row(prefill, row)
        for _ in range(2):
            logits = runner.decode([9] * len(_PROMPTS))
            _check(logits, len(_PROMPTS), gpu)
            _check(
                pick_tokens(
                    logits, _draws(), {1: torch.ones(logits.shape[-1], dtype=torch.bool, device=gpu)}
                ),
                len(_PROMPTS),
                gpu,
            )
        runner.swap(0, 2)
        runner.release(1)
        # All that are left have one adapter, or none.
        _check(runner.decode([9] * 3), 3, gpu)
        runner.clear()


def _adapter(model: AdaptedModel, digest: str, rank: int, gpu: torch.device) -> Adapter:
    pairs = {
        name: LoraPair(torch.empty(rank, inputs, device=gpu), torch.empty(rank, outputs, device=gpu))
        for name, (inputs, outputs) in model.shapes.items()
    }
    return Adapter(digest, pairs)


def _draws() -> list[Draw]:
    settings: list[dict[str, Any]] = [
        {"temperature": 0.0},
        {"temperature": 0.8, "top_p": 0.9, "top_k": 40, "min_p": 0.05},
        {"temperature": 1.0, "logit_bias": {7: 1.0}, "presence_penalty": 0.5, "frequency_penalty": 0.5},
        {"temperature": 0.0, "repetition_penalty": 1.2},
    ]
    seen = SeenTokens(torch.tensor([1, 2, 3]), max_tokens=4)
    return [
        Draw(
            Sampling(**options),
            seed=1,
            choice=0,
            position=row,
            counts={3: 1},
            seen=seen if "repetition_penalty" in options else None,
            forbidden=frozenset({2}),
        )
        for row, options in enumerate(settings)
    ]


def _check(tensor: Tensor, rows: int, gpu: torch.device) -> None:
    assert (len(tensor), tensor.device.type) == (rows, gpu.type)
