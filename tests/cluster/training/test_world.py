"""Several data-parallel workers compute the same as one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.contracts.jobs import JobSpec
from cluster.storage.keys import manifest_key
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.resume_state import WEIGHTS
from tests.cluster.training.recording import Recording, read_state, record

pytestmark = pytest.mark.slow

WORKER = """
import json, sys
from pathlib import Path
import torch
from torch import distributed
from cluster.contracts.jobs import JobSpec
from cluster.storage.local import LocalStore
from tests.cluster.training.recording import Recording, record

torch.set_num_threads(1)
rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=size)
runs = []
for spec in json.loads((folder / "specs.json").read_text()):
    recording = record(JobSpec.model_validate(spec), LocalStore(folder / "store"))
    runs.append([step.model_dump() for step in recording.steps])
(folder / f"steps-{rank}.json").write_text(json.dumps(runs))
distributed.destroy_process_group()
"""


def run_gang(specs: list[JobSpec], size: int, folder: Path) -> list[list[list[dict[str, float]]]]:
    """Runs jobs one after the other in the same workers, as if they were on two nodes. Returns the steps that
    each worker reported of each job."""
    (folder / "specs.json").write_text(json.dumps([spec.model_dump() for spec in specs]))
    two_nodes = {**os.environ, "LOCAL_WORLD_SIZE": str(size // 2)}
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(size), str(folder)], env=two_nodes)
        for rank in range(size)
    ]
    assert [worker.wait(240) for worker in workers] == [0] * size
    return [json.loads((folder / f"steps-{rank}.json").read_text()) for rank in range(size)]


def weights(store: LocalStore, key: str, tmp_path: Path) -> dict[str, torch.Tensor]:
    """The trainable weights in a checkpoint."""
    _, tensors = read_state(store, key, tmp_path / "state")
    return {name: value for name, value in tensors.items() if name.startswith(WEIGHTS)}


def assert_as_one_worker(steps: list[dict[str, float]], alone: Recording) -> None:
    for name, tolerance in (("train_loss", {"abs": 1e-5}), ("grad_norm", {"rel": 1e-4})):
        expected = [getattr(step, name) for step in alone.steps]
        assert [step[name] for step in steps] == pytest.approx(expected, **tolerance)
    held_out = [step.full_valid_loss for step in alone.steps if step.full_valid_loss is not None]
    assert [step["full_valid_loss"] for step in steps if step["full_valid_loss"]] == pytest.approx(held_out)


@pytest.mark.parametrize("size", [2, 4])
def test_several_workers_train_as_one_and_one_resumes_their_run(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path, size: int
) -> None:
    """With weights that are replicated, sharded, and sharded on each of two nodes; batches of even and odd
    size, in one pass and in several, and a last batch with an example for one worker only."""
    changes: list[dict[str, Any]] = [
        {"batch_size": 4},
        {"batch_size": 5, "packing": False},
        {"batch_size": 20, "microbatch_tokens": 60},
        {"batch_size": 5, "type": "full", "parallelism": "fsdp", "microbatch_tokens": 60},
        {"batch_size": 8, "parallelism": "fsdp", "microbatch_tokens": 40},
        {"batch_size": 8, "type": "full", "parallelism": "hsdp", "microbatch_tokens": 40},
        {"batch_size": 5, "parallelism": "hsdp", "microbatch_tokens": 60},
    ]
    specs = [make_spec({"attempt": 10 * n}, **change) for n, change in enumerate(changes, start=1)]
    reported, *silent = run_gang(specs, size, tmp_path)
    assert silent == [[[]] * len(specs)] * (size - 1)
    for spec, steps in zip(specs, reported, strict=True):
        alone = record(spec.model_copy(update={"attempt": spec.attempt + 1}), store)
        assert_as_one_worker(steps, alone)
        last = len(alone.steps)
        expected = weights(store, manifest_key("ftjob-test", spec.attempt + 1, last), tmp_path)
        found = weights(store, manifest_key("ftjob-test", spec.attempt, last), tmp_path)
        assert found.keys() == expected.keys()
        for name, weight in found.items():
            torch.testing.assert_close(weight, expected[name], atol=1e-5, rtol=1e-4)

        resume_from = manifest_key("ftjob-test", spec.attempt, last // 2)
        again = spec.model_copy(update={"attempt": spec.attempt + 2, "resume_from": resume_from})
        assert record(again, store).losses == pytest.approx(alone.losses[last // 2 :], abs=1e-5)


def test_workers_that_share_a_model_compute_the_dpo_reference_together(
    make_spec: Callable[..., JobSpec],
    put_rows: Callable[..., tuple[str, str]],
    store: LocalStore,
    tmp_path: Path,
) -> None:
    pairs = [
        {
            "input": {"messages": [{"role": "user", "content": f"message {number}"}]},
            "preferred_output": [{"role": "assistant", "content": "the invoice " * (1 + number % 5)}],
            "non_preferred_output": [{"role": "assistant", "content": "Thank you " * (1 + number % 3)}],
        }
        for number in range(13)
    ]
    key, sha256 = put_rows("file-pairs", pairs)
    changes = {"training_key": key, "training_sha256": sha256, "validation_key": None}
    config = {"method": "dpo", "beta": 0.1, "type": "full", "learning_rate": 1e-3, "microbatch_tokens": 60}
    specs = [
        make_spec({**changes, "attempt": 10 * number}, **config, parallelism=parallelism)
        for number, parallelism in enumerate(("ddp", "fsdp"), start=1)
    ]
    alone = record(specs[0].model_copy(update={"attempt": 1}), store)
    reported, _ = run_gang(specs, 2, tmp_path)
    for steps in reported:
        assert_as_one_worker(steps, alone)


def test_several_workers_resume_the_run_of_one(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path
) -> None:
    """A checkpoint of one worker is resumed by two that share the model, and by two that do not."""
    changes: list[dict[str, Any]] = [{"type": "full", "parallelism": "fsdp"}, {"type": "full"}, {}]
    specs = []
    for number, change in enumerate(changes, start=1):
        spec = make_spec({"attempt": 10 * number}, **change)
        alone = record(spec, store)
        key = manifest_key("ftjob-test", spec.attempt, len(alone.steps) // 2)
        specs.append((alone, spec.model_copy(update={"attempt": 10 * number + 1, "resume_from": key})))
    reported, _ = run_gang([spec for _, spec in specs], 2, tmp_path)
    for (alone, _), steps in zip(specs, reported, strict=True):
        half = len(alone.losses) // 2
        assert [step["train_loss"] for step in steps] == pytest.approx(alone.losses[half:], abs=1e-5)
