"""Plans beside what runs take: `python -m tests.benchmarks.plans`.

Trains random Llamas on CPUs, with one worker or several, and compares the peak of every worker's anonymous
memory in its steps with the plan. Prints a table, and exits with 1 if a prediction is more than 20 % off.
`--case` measures some cases alone, and `--write` puts what was measured into the table of docs/planning.md,
beside the other cases' rows."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cluster.bases.configs import read_config
from cluster.contracts.bases import BaseSpec, FolderSource
from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import Hyperparameters, Method, TrainingOptions, resolve
from cluster.contracts.jobs import JobSpec
from cluster.contracts.plan import Footprint
from cluster.planning.memory import Lengths, Way, footprint
from cluster.planning.planner import task_of
from cluster.planning.shapes import shape_of
from cluster.storage.keys import file_key
from cluster.storage.local import LocalStore
from tests.benchmarks.plans.page import PAGE, table_lines, with_row
from tests.benchmarks.training.shapes import Shape, make_base

ROOT = Path(__file__).parents[3]
TOLERANCE = 0.2
SHAPES = {
    "tiny": Shape(hidden=128, layers=2, intermediate=256, heads=4, key_heads=2, vocab=1000),
    "0.3B": Shape(hidden=1024, layers=16, intermediate=4096, heads=16, key_heads=4, vocab=32_000),
    "0.6B": Shape(hidden=1280, layers=20, intermediate=5120, heads=20, key_heads=4, vocab=32_000),
    "1.0B": Shape(hidden=2048, layers=20, intermediate=5632, heads=32, key_heads=4, vocab=32_000),
    "1.5B": Shape(hidden=2048, layers=30, intermediate=5632, heads=32, key_heads=4, vocab=32_000),
}
_STEPS, _PASSES = 2, 2
"""Optimizer steps, and passes of each worker in a step: from the second step on, moments are there, and from
the second pass on, gradients."""
_LIMIT_SECONDS = 1800


@dataclass(frozen=True, slots=True)
class Case:
    shape: str
    type: str
    workers: int = 1
    tokens: int = 128
    """Of an example and of a pass."""
    dtype: str = "bfloat16"
    method: Method = "supervised"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        kind = {"lora": "LoRA", "qlora": "QLoRA", "full": "full"}[self.type]
        dtype = {"bfloat16": "bf16", "float32": "fp32"}[self.dtype]
        method = [] if self.method == "supervised" else ["DPO"]
        is_recomputed = self.options.get("activation_checkpointing") == "full"
        return ", ".join([self.shape, kind, dtype, *method, *["activations recomputed"] * is_recomputed])


CASES = {
    "lora": Case("0.3B", "lora"),
    "lora-ddp": Case("0.3B", "lora", workers=2),
    "lora-fsdp": Case("0.3B", "lora", workers=4, options={"parallelism": "fsdp"}),
    "lora-fp32": Case("0.3B", "lora", dtype="float32"),
    "lora-long": Case("0.3B", "lora", tokens=1024),
    "dpo": Case("0.3B", "lora", method="dpo"),
    "full": Case("0.3B", "full"),
    "full-fp32": Case("0.3B", "full", dtype="float32"),
    "full-fsdp-2": Case("0.3B", "full", workers=2),
    "full-fsdp-4": Case("0.3B", "full", tokens=64, workers=4),
    "qlora": Case("0.6B", "qlora"),
    "qlora-ddp": Case("0.6B", "qlora", workers=2),
    "qlora-1b": Case("1.0B", "qlora"),
    "lora-1b-fsdp": Case("1.0B", "lora", workers=4, options={"parallelism": "fsdp"}),
    "lora-1.5b": Case("1.5B", "lora", options={"activation_checkpointing": "full"}),
}
_TINY = (Case("tiny", "lora", tokens=64), Case("tiny", "full", workers=2, tokens=64))


@dataclass(frozen=True, slots=True)
class Found:
    """Bytes of the worker that took the most."""

    case: Case
    parallelism: str
    predicted: int
    measured: int
    loading: int

    @property
    def is_close(self) -> bool:
        return abs(self.measured / self.predicted - 1) <= TOLERANCE

    def row(self) -> list[str]:
        workers = (
            str(self.case.workers) if self.case.workers == 1 else f"{self.case.workers}, `{self.parallelism}`"
        )
        sizes = (self.predicted, self.measured, self.loading)
        planned, measured, loading = (f"{each / 1e6:,.0f}" for each in sizes)
        ratio = f"{self.measured / self.predicted:.2f}"
        return [self.case.name, workers, f"{self.case.tokens:,}", planned, measured, ratio, loading]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.plans", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="two cases of a tiny model, judged by nothing")
    parser.add_argument(
        "--case", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES)
    )
    parser.add_argument("--write", action="store_true", help="into docs/planning.md")
    arguments = parser.parse_args()
    cases = _TINY if arguments.tiny else [CASES[name] for name in arguments.case]
    print("\n".join(table_lines([])), flush=True)
    are_close = True
    for case in cases:
        found = _measure(case)
        print(table_lines([found.row()])[-1], flush=True)
        are_close &= found.is_close
        if arguments.write:
            PAGE.write_text(with_row(PAGE.read_text(), found.row()))
    return 0 if are_close or arguments.tiny else 1


def _measure(case: Case) -> Found:
    with tempfile.TemporaryDirectory(prefix="bench-plans-") as name:
        spec, predicted = _prepare(case, Path(name))
        workers = _run(spec, Path(name))
    training, loading = (max(worker[phase] for worker in workers) for phase in ("training", "loading"))
    return Found(case, spec.config.parallelism, predicted, training, loading)


def _prepare(case: Case, folder: Path) -> tuple[JobSpec, int]:
    """The job, and the anonymous memory in bytes that is predicted for each of its workers."""
    weights = folder / "base"
    dtype = getattr(torch, case.dtype)
    make_base(weights, SHAPES[case.shape], context=case.tokens, dtype=dtype, device=torch.device("cpu"))
    base = BaseSpec(
        alias="bench",
        source=FolderSource(path=str(weights)),
        context_length=case.tokens,
        learning_rates={"lora": 1e-4, "full": 1e-5},
        dtype=case.dtype,
    )
    options = TrainingOptions.model_validate(
        {"type": case.type, "num_workers": case.workers, "on_overlength": "truncate", **case.options}
    )
    batch = case.workers * _PASSES
    rows = "".join(json.dumps(_row(case)) + "\n" for _ in range(_STEPS * batch)).encode()
    store = LocalStore(folder / "store")
    store.put(file_key("file-a"), rows)
    requested = Hyperparameters(batch_size=batch, n_epochs=1)
    _, config = resolve(requested, options, base, n_examples=_STEPS * batch, seed=0, method=case.method)
    checkpointing = "none" if options.activation_checkpointing == "auto" else options.activation_checkpointing
    config = config.model_copy(
        update={"microbatch_tokens": case.tokens, "activation_checkpointing": checkpointing}
    )
    spec = JobSpec.model_validate(
        {
            "job_id": "ftjob-bench",
            "device": "cpu",
            "attempt": 1,
            "attempt_token": "none",
            "service_url": "http://127.0.0.1:1",
            "base": base,
            "config": config,
            "training_key": file_key("file-a"),
            "training_sha256": hashlib.sha256(rows).hexdigest(),
        }
    )
    (folder / "spec.json").write_text(spec.model_dump_json())
    shape = shape_of(read_config(weights))
    assert shape is not None
    example = case.tokens * (2 if case.method == "dpo" else 1)
    task = task_of(shape, base, options, case.method, Lengths(example, case.tokens))
    way = Way(case.workers, config.parallelism, checkpointing, case.tokens)
    pool = Pool.model_validate({"kind": "cpu", "devices": case.workers, "host_bytes": "1TB"})
    found = footprint(task, way, pool)
    return spec, found.device.total - _mapped(case, found, shape.embeddings + shape.head)


def _mapped(case: Case, found: Footprint, outer: int) -> int:
    """Weights that are read from the file where they lie: those that keep the type of the file."""
    if case.type == "full":
        return found.device.weights if case.dtype == "float32" and case.workers == 1 else 0
    if case.type == "qlora":
        return outer * 2
    return found.device.weights


def _row(case: Case) -> dict[str, Any]:
    """Longer than an example may be, and cut."""
    words = "sort this message " * case.tokens
    question = [{"role": "user", "content": "Hello"}]
    if case.method == "dpo":
        preferred, other = ({"role": "assistant", "content": each + words} for each in ("a ", "b "))
        return {
            "input": {"messages": question},
            "preferred_output": [preferred],
            "non_preferred_output": [other],
        }
    return {"messages": [*question, {"role": "assistant", "content": words}]}


def _run(spec: JobSpec, folder: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.benchmarks.plans.worker", str(folder / "spec.json"), str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TUNERY_CACHE_DIR": str(folder / "cache")}
    processes = [
        subprocess.Popen([*command, str(rank)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for rank in range(spec.config.num_workers)
    ]
    said = [process.communicate(timeout=_LIMIT_SECONDS)[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit("A worker failed; its error is above.")
    return [json.loads(each.splitlines()[-1]) for each in said]


if __name__ == "__main__":
    sys.exit(main())
