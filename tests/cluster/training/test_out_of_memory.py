"""One of two workers that share a model runs out of memory in the middle of a pass."""

import json
import os
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from torch import distributed

from cluster.contracts.jobs import Failed, JobSpec
from cluster.storage.keys import manifest_key, sibling_key
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.checkpoint import RESUME_MANIFEST
from cluster.training.failure import failed_state
from tests.cluster.training.forks import exit_codes, start_fork
from tests.cluster.training.little_memory import run_out_of_memory
from tests.cluster.training.recording import record

pytestmark = pytest.mark.slow


def train(rank: int, folder: Path, fitting: int, passes: int) -> None:
    """One of the two workers."""
    if rank == 1:
        run_out_of_memory(fitting, after=passes)
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    spec = JobSpec.model_validate_json((folder / "spec.json").read_text())
    try:
        steps = record(spec, LocalStore(folder / "store")).losses
        (folder / f"losses-{rank}.json").write_text(json.dumps(steps))
    except Exception as error:
        (folder / f"failed-{rank}.json").write_text(failed_state(error).model_dump_json())
        os._exit(1)


def test_it_ends_at_once_and_the_next_attempt_goes_on_with_passes_of_half_as_many_tokens(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path
) -> None:
    """From the fifth pass on, as if memory were fragmented. The other worker then waits for a part of the
    weights that never comes, until whatever started it ends it."""
    spec = make_spec({"attempt": 1}, batch_size=10, parallelism="fsdp", n_epochs=3, microbatch_tokens=240)
    alone = record(spec.model_copy(update={"attempt": 9}), store)
    first, second = _gang(spec, tmp_path, fitting=100, after=4)
    try:
        assert exit_codes([second], seconds=300) == [1]
        checkpoint = sibling_key(manifest_key(spec.job_id, 1, 3), RESUME_MANIFEST)
        _wait_until(lambda: any(info.key == checkpoint for info in store.list(f"jobs/{spec.job_id}/")))
    finally:
        first.kill()
        first.join()
    failed = Failed.model_validate_json((tmp_path / "failed-1.json").read_text())
    assert (failed.code, failed.is_user_fault, failed.pass_tokens) == ("out_of_memory", False, 120)

    (tmp_path / "meeting").unlink()
    config = spec.config.model_copy(update={"microbatch_tokens": failed.pass_tokens})
    again = spec.model_copy(update={"attempt": 2, "config": config, "resume_from": checkpoint})
    assert exit_codes(_gang(again, tmp_path, fitting=120, after=0), seconds=300) == [0, 0]
    losses = json.loads((tmp_path / "losses-0.json").read_text())
    assert losses == pytest.approx(alone.losses[3:], abs=1e-5)


def _gang(spec: JobSpec, folder: Path, *, fitting: int, after: int) -> list[BaseProcess]:
    """Two workers; `fitting` tokens of a pass fit into the memory of the second one once it has made `after`
    passes."""
    (folder / "spec.json").write_text(spec.model_dump_json())
    return [start_fork(train, rank, folder, fitting, after) for rank in range(2)]


def _wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
