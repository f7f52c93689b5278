"""PEFT and transformers as their users run them, with all adapters loaded in advance."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig
from transformers.generation.streamers import BaseStreamer

from tests.benchmarks.serving.meter import Arrived, measure
from tests.benchmarks.serving.prepare import adapter_folder
from tests.benchmarks.serving.task import Measurement, Request, Task


def naive_peft(task: Task) -> dict[int, Measurement]:
    """One request at a time: `set_adapter`, then `generate`."""
    model = _peft_model(task)

    def answer(burst: list[Request], arrived: Arrived) -> list[list[int]]:
        outputs = []
        for place, request in enumerate(burst):
            model.set_adapter(f"a{request.adapter}")
            outputs += _generate(task, model, [request], functools.partial(arrived, place))
        return outputs

    return measure(task, answer)


def peft_mixed(task: Task) -> dict[int, Measurement]:
    """The whole burst in one `generate` with `adapter_names`, with prompts padded on the left."""
    model = _peft_model(task)

    def answer(burst: list[Request], arrived: Arrived) -> list[list[int]]:
        def all_arrived() -> None:
            for place in range(len(burst)):
                arrived(place)

        names = [f"a{request.adapter}" for request in burst]
        return _generate(task, model, burst, all_arrived, adapter_names=names)

    return measure(task, answer)


def transformers_cb(task: Task) -> dict[int, Measurement]:
    """Transformers' continuous batching with the first adapter merged, as it has no adapters per row."""
    model = _peft_model(task).merge_and_unload(adapter_names=["a0"])
    config = GenerationConfig(max_new_tokens=task.new_tokens, do_sample=False, eos_token_id=-1)
    manager = model.init_continuous_batching(
        generation_config=config,
        continuous_batching_config=ContinuousBatchingConfig(
            # Room for the largest burst. The default takes nine tenths of the memory.
            num_blocks=256,
            page_size=64,
            max_batch_tokens=1024,
            allow_block_sharing=False,
        ),
    )
    manager.start()

    def answer(burst: list[Request], arrived: Arrived) -> list[list[int]]:
        ids = [
            manager.add_request(request.prompt, max_new_tokens=task.new_tokens, streaming=True)
            for request in burst
        ]
        outputs: dict[str, list[int]] = {}
        while len(outputs) < len(ids):
            result = manager.get_result(timeout=60)
            assert result is not None, "no answer in a minute"
            assert result.error is None, result.error
            arrived(ids.index(result.request_id))
            if result.is_finished():
                outputs[result.request_id] = list(result.generated_tokens)
        return [outputs[id_] for id_ in ids]

    try:
        return measure(task, answer)
    finally:
        manager.stop(block=True)


PEERS: dict[str, Callable[[Task], dict[int, Measurement]]] = {
    "naive_peft": naive_peft,
    "peft_mixed": peft_mixed,
    "transformers_cb": transformers_cb,
}


class _FirstToken(BaseStreamer):  # type: ignore[misc]
    """Calls `arrived` at the first generated token. `generate` puts the prompt first."""

    def __init__(self, arrived: Callable[[], None]) -> None:
        self._arrived, self._seen = arrived, 0

    def put(self, value: Tensor) -> None:
        self._seen += 1
        if self._seen == 2:
            self._arrived()

    def end(self) -> None: ...


def _peft_model(task: Task) -> Any:
    base = AutoModelForCausalLM.from_pretrained(f"{task.folder}/base", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, adapter_folder(task, 0), adapter_name="a0")
    for number in range(1, task.n_adapters):
        model.load_adapter(adapter_folder(task, number), adapter_name=f"a{number}")
    return model.eval()


@torch.inference_mode()
def _generate(
    task: Task, model: Any, requests: list[Request], arrived: Callable[[], None], **options: Any
) -> list[list[int]]:
    longest = max(len(request.prompt) for request in requests)
    padding = [longest - len(request.prompt) for request in requests]
    token_ids = [[0] * pad + request.prompt for pad, request in zip(padding, requests, strict=True)]
    mask = [[0] * pad + [1] * (longest - pad) for pad in padding]
    sequences = model.generate(
        input_ids=torch.tensor(token_ids),
        attention_mask=torch.tensor(mask),
        max_new_tokens=task.new_tokens,
        do_sample=False,
        streamer=_FirstToken(arrived),
        **options,
    )
    outputs: list[list[int]] = sequences[:, longest:].tolist()
    return outputs
