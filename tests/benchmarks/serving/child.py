"""Measures one system in a process of its own: `python -m tests.benchmarks.serving.child ours '<task>'`.

Prints the measurements by system and level as one line of JSON; for `gateway`, what HTTP adds.
"""

import json
import os
import sys
from dataclasses import asdict

from tests.benchmarks.serving.task import Measurement, Task
from tests.benchmarks.training.chats import Lengths


def main(name: str, text: str) -> None:
    options = json.loads(text)
    task = Task(**{**options, "lengths": Lengths(**options["lengths"]), "levels": tuple(options["levels"])})
    # Our engine uses all cores but one, which it leaves to the event loop.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: task.threads + 1])
    if name == "gateway":
        from tests.benchmarks.serving.gateway import gateway

        print(json.dumps(gateway(task, rounds=2 * task.repeats)))
        return
    print(json.dumps(_measure(name, task), default=asdict))


def _measure(name: str, task: Task) -> dict[str, dict[int, Measurement]]:
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(task.threads)
    # Some of these modules can be imported only in the system's own environment.
    match name:
        case "ours":
            from tests.benchmarks.serving.ours import ours

            return ours(task)
        case "vllm_cpu":
            from tests.benchmarks.serving.vllm_peer import vllm_cpu

            return {name: vllm_cpu(task)}
        case "llama_cpp":
            from tests.benchmarks.serving.llama_cpp_peer import llama_cpp_cpu

            return {name: llama_cpp_cpu(task)}
        case _:
            from tests.benchmarks.serving.peers import PEERS

            return {name: PEERS[name](task)}


if __name__ == "__main__":
    main(*sys.argv[1:])
