"""vLLM's engine for CPUs, with an adapter per row, like ours."""

import os

from tests.benchmarks.serving.meter import Arrived, measure
from tests.benchmarks.serving.prepare import adapter_folder
from tests.benchmarks.serving.task import Measurement, Request, Task


def vllm_cpu(task: Task) -> dict[int, Measurement]:
    # Run in this process, whose CPU-seconds are measured, with as many threads as the other systems.
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    from vllm import EngineArgs, SamplingParams
    from vllm.inputs import tokens_input
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.llm_engine import LLMEngine

    arguments = EngineArgs(
        model=f"{task.folder}/base",
        dtype="float32",
        max_model_len=task.context,
        max_num_seqs=max(task.levels),
        skip_tokenizer_init=True,
        enable_prefix_caching=False,
        enable_lora=True,
        max_loras=task.n_adapters,
        max_lora_rank=task.rank,
    )
    engine = LLMEngine.from_engine_args(arguments)
    adapters = [
        LoRARequest(f"a{number}", number + 1, str(adapter_folder(task, number)))
        for number in range(task.n_adapters)
    ]
    params = SamplingParams(temperature=0, max_tokens=task.new_tokens, ignore_eos=True, detokenize=False)

    def answer(burst: list[Request], arrived: Arrived) -> list[list[int]]:
        for place, request in enumerate(burst):
            engine.add_request(
                str(place), tokens_input(request.prompt), params, lora_request=adapters[request.adapter]
            )
        outputs: dict[int, list[int]] = {}
        while engine.has_unfinished_requests():
            for output in engine.step():
                arrived(int(output.request_id))
                if output.finished:
                    outputs[int(output.request_id)] = list(output.outputs[0].token_ids)
        return [outputs[place] for place in range(len(burst))]

    return measure(task, answer)
