"""Compare serving speed with other systems on a CPU: `python -m tests.benchmarks.serving`.

Always compares with PEFT and transformers; with vLLM and llama.cpp if `make peers` has installed them.

Generates greedy answers of 64 tokens to prompts of different lengths, in fp32, with eight LoRA adapters of
rank 16 on all linear layers, in bursts of 1, 8 and 32 requests. Measures generated tokens per CPU-second and
the time to the first token. Our answers must equal PEFT's, token by token. Prints one line of JSON on stdout:
our speed divided by each other system's at the largest burst, the time that HTTP adds to a request through
gateway and replica, and the share of the engine's tokens per second that 32 streams reach over HTTP.
"""

import argparse
import json
import tempfile

from tests.benchmarks.serving.children import measure_all, report, run_child
from tests.benchmarks.serving.prepare import prepare
from tests.benchmarks.serving.table import NOTES, table
from tests.benchmarks.serving.task import MEDIUM, Measurement, Task
from tests.benchmarks.training.shapes import SHAPES, Shape


def main() -> None:
    arguments = _arguments()
    shape = SHAPES["tiny"] if arguments.shape == "tiny" else MEDIUM
    with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
        task = Task(
            folder=folder,
            vocab=shape.vocab,
            context=1024,
            new_tokens=arguments.new_tokens,
            levels=tuple(arguments.levels),
            repeats=arguments.repeats,
            threads=arguments.threads,
        )
        prepare(task, shape)
        describe(task, shape)
        measured = measure_all(_systems(shape), task)
        report(table(measured))
        check_outputs(measured)
        print(json.dumps({"ratios": ratios(measured), **run_child("gateway", task)}))


def _systems(shape: Shape) -> list[str]:
    """The systems that run in a process of their own and support the model."""
    # vLLM's attention on CPUs needs a head width of at least 32.
    is_too_narrow = shape.head_width < 32
    excluded = {"no_lora", "vllm_cpu"} if is_too_narrow else {"no_lora"}
    return [name for name in NOTES if name not in excluded]


def describe(task: Task, shape: Shape) -> None:
    lengths = [len(request.prompt) for request in task.requests()]
    report(
        f"{shape.parameters / 1e6:,.0f} M parameters; {task.n_adapters} adapters of rank {task.rank}; "
        f"prompts of {sum(lengths) / len(lengths):.0f} tokens on average, {max(lengths)} at most; "
        f"{task.new_tokens} new tokens; {task.threads} thread(s)"
    )


def ratios(measured: dict[str, dict[int, Measurement]]) -> dict[str, float]:
    """Our speed divided by each other system's, at the largest level."""
    level = max(measured["ours"])
    ours = measured["ours"][level].tokens_per_second
    return {
        f"{name}_{level}": round(ours / levels[level].tokens_per_second, 3)
        for name, levels in measured.items()
        if name != "ours"
    }


def check_outputs(measured: dict[str, dict[int, Measurement]]) -> None:
    """Raises SystemExit if our answers differ from PEFT's; our speed would mean nothing then."""
    for level, measurement in measured["ours"].items():
        expected = measured["naive_peft"][level].outputs
        pairs = zip(measurement.outputs, expected, strict=True)
        if wrong := [index for index, (ours, theirs) in enumerate(pairs) if ours != theirs]:
            raise SystemExit(f"At {level} requests, our answers {wrong} differ from PEFT's.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.serving", description=__doc__)
    parser.add_argument("--shape", choices=["medium", "tiny"], default="medium")
    parser.add_argument("--levels", type=int, nargs="+", default=[1, 8, 32], help="requests in each burst")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3, help="runs of each level; the fastest counts")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
