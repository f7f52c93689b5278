"""Serving speed beside others' on a CPU: `python -m tests.benchmarks.serving`.

PEFT and transformers always take part, vLLM and llama.cpp where `make peers` has installed them.

Greedy answers of 64 tokens to prompts of unequal lengths, fp32, eight LoRA adapters of rank 16 on all linear
layers, in bursts of 1, 8 and 32 requests: generated tokens per CPU-second, and the time to the first one. Our
answers must be PEFT's, token by token. Ends with one line of JSON on stdout: our speed divided by each
other's at the largest burst, what HTTP adds to a request on its way through gateway and replica, and the
share of the engine's own tokens per second that 32 streams get over it.
"""

import argparse
import json
import tempfile

from tests.benchmarks.serving.children import measure_all, run_child, say
from tests.benchmarks.serving.prepare import prepare
from tests.benchmarks.serving.table import NOTES, table
from tests.benchmarks.serving.task import MEDIUM, Measurement, Task
from tests.benchmarks.training.shapes import SHAPES, Shape


def main() -> None:
    asked = _arguments()
    shape = SHAPES["tiny"] if asked.shape == "tiny" else MEDIUM
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
        task = Task(
            folder=folder,
            vocab=shape.vocab,
            context=1024,
            new_tokens=asked.new_tokens,
            levels=tuple(asked.levels),
            repeats=asked.repeats,
            threads=asked.threads,
        )
        prepare(task, shape)
        describe(task, shape)
        measured = measure_all(_systems(shape), task)
        say(table(measured))
        check_outputs(measured)
        print(json.dumps({"ratios": ratios(measured), **run_child("gateway", task)}))


def _systems(shape: Shape) -> list[str]:
    """Those that have a process of their own and can run the model."""
    # vLLM's attention on CPUs takes heads of 32 numbers and more.
    is_too_narrow = shape.head_width < 32
    left_out = {"no_lora", "vllm_cpu"} if is_too_narrow else {"no_lora"}
    return [name for name in NOTES if name not in left_out]


def describe(task: Task, shape: Shape) -> None:
    lengths = [len(request.prompt) for request in task.requests()]
    say(
        f"{shape.parameters / 1e6:,.0f} M parameters; {task.n_adapters} adapters of rank {task.rank}; "
        f"prompts of {sum(lengths) / len(lengths):.0f} tokens on average, {max(lengths)} at most; "
        f"{task.new_tokens} new tokens; {task.threads} thread(s)"
    )


def ratios(measured: dict[str, dict[int, Measurement]]) -> dict[str, float]:
    """Ours divided by each other system, at the largest level."""
    level = max(measured["ours"])
    ours = measured["ours"][level].tokens_per_second
    return {
        f"{name}_{level}": round(ours / levels[level].tokens_per_second, 3)
        for name, levels in measured.items()
        if name != "ours"
    }


def check_outputs(measured: dict[str, dict[int, Measurement]]) -> None:
    """Raises SystemExit if our answers are not PEFT's, which would make our speed meaningless."""
    for level, found in measured["ours"].items():
        expected = measured["naive_peft"][level].outputs
        pairs = zip(found.outputs, expected, strict=True)
        if wrong := [place for place, (mine, theirs) in enumerate(pairs) if mine != theirs]:
            raise SystemExit(f"At {level} requests, answers {wrong} of ours are not PEFT's.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.serving", description=__doc__)
    parser.add_argument("--shape", choices=["medium", "tiny"], default="medium")
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 8, 32], help="requests at once")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
