"""Several data-parallel workers are one worker, in other clothes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cluster.contracts.jobs import JobSpec
from cluster.storage.keys import manifest_key, sibling_key
from cluster.storage.local import LocalStore
from tests.cluster.training.recording import record

WORKER = """
import json, sys
from pathlib import Path
import torch
from torch import distributed
from cluster.contracts.jobs import JobSpec
from cluster.storage.local import LocalStore
from tests.cluster.training.recording import record

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
    """Each worker's reported steps of each job, run one after the other in the same processes."""
    (folder / "specs.json").write_text(json.dumps([spec.model_dump() for spec in specs]))
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(rank), str(size), str(folder)])
        for rank in range(size)
    ]
    assert [worker.wait(240) for worker in workers] == [0] * size
    return [json.loads((folder / f"steps-{rank}.json").read_text()) for rank in range(size)]


def adapter(store: LocalStore, attempt: int, step: int, tmp_path: Path) -> dict[str, torch.Tensor]:
    key = manifest_key("ftjob-test", attempt, step)
    path = tmp_path / f"adapter-{attempt}.safetensors"
    store.download(sibling_key(key, "adapter_model.safetensors"), path)
    return load_file(path)


def test_two_workers_train_as_one_and_one_goes_on_where_they_stopped(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path
) -> None:
    """Batches of an even and an uneven number, and a last batch with an example for one worker only."""
    specs = [make_spec({"attempt": 10 * n}, batch_size=n) for n in (4, 5, 20)]
    reported, silent = run_gang(specs, 2, tmp_path)
    assert silent == [[], [], []]
    for spec, steps in zip(specs, reported, strict=True):
        alone = record(spec.model_copy(update={"attempt": spec.attempt + 1}), store)
        last = len(alone.steps)
        assert [step["train_loss"] for step in steps] == pytest.approx(alone.losses, abs=1e-5)
        norms = [step.grad_norm for step in alone.steps]
        assert [step["grad_norm"] for step in steps] == pytest.approx(norms, rel=1e-4)
        held_out = [step.full_valid_loss for step in alone.steps if step.full_valid_loss is not None]
        assert [step["full_valid_loss"] for step in steps if step["full_valid_loss"]] == pytest.approx(
            held_out
        )
        expected = adapter(store, spec.attempt + 1, last, tmp_path)
        for name, weight in adapter(store, spec.attempt, last, tmp_path).items():
            torch.testing.assert_close(weight, expected[name], atol=1e-5, rtol=1e-4)

        resume_from = manifest_key("ftjob-test", spec.attempt, last // 2)
        again = spec.model_copy(update={"attempt": spec.attempt + 2, "resume_from": resume_from})
        assert record(again, store).losses == pytest.approx(alone.losses[last // 2 :], abs=1e-5)
