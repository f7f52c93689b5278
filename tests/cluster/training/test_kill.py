"""Workers that die or hang: stored checkpoints resume bit-identically, and hangs are noticed."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cluster.contracts.jobs import Finished, JobSpec
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.checkpoint import download
from tests.cluster.training.recording import Recording, record

pytestmark = pytest.mark.slow

CHILD = """
import sys
from pathlib import Path
import torch
from cluster.contracts.jobs import JobSpec
from cluster.storage.local import LocalStore
from cluster.training.loop import loop
from cluster.training.attempt import run_attempt
from cluster.training.loop.hooks import RunHooks

torch.set_num_threads(1)
loop.CHECKPOINT_SECONDS = 0.0
folder = Path(sys.argv[1])
spec = JobSpec.model_validate_json((folder / "spec.json").read_text())
def report(event):
    if event.type == "resume_state":
        print(event.step, event.manifest_key, flush=True)
run_attempt(spec, LocalStore(folder / "store"), RunHooks(report), device=torch.device("cpu"))
"""

ALONE = """
import os, sys
from pathlib import Path
import torch
from torch import distributed
from cluster.contracts.jobs import JobSpec
from cluster.storage.local import LocalStore
from cluster.training.attempt import run_attempt
from cluster.training.loop.hooks import RunHooks
from cluster.training.watchdog import Watchdog

folder, rank = Path(sys.argv[1]), int(sys.argv[2])
distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
if rank == 1:
    print("joined", flush=True)
    sys.stdin.read()
spec = JobSpec.model_validate_json((folder / "spec.json").read_text())
with Watchdog(3.0, lambda: os._exit(9)) as watchdog:
    hooks = RunHooks(print, heartbeat=watchdog.heartbeat)
    run_attempt(spec, LocalStore(folder / "store"), hooks, device=torch.device("cpu"))
"""


def weights(recording: Recording, store: LocalStore, folder: Path) -> dict[str, torch.Tensor]:
    assert isinstance(recording.result, Finished)
    folder.mkdir()
    download(store, recording.result.manifest_key, folder)
    return load_file(folder / "adapter_model.safetensors")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_run_killed_at_a_random_step_resumes_bit_identically(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path, seed: int
) -> None:
    """The kill may come in the middle of an epoch. Examples are packed, and dropout is on."""
    spec = make_spec(n_epochs=3, dropout=0.1)
    assert spec.config.packing
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    kill_at = random.Random(seed).randrange(2, 16)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            step, manifest_key = line.split()
            if int(step) >= kill_at:
                child.send_signal(signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL

    whole = record(spec.model_copy(update={"attempt": 2}), store)
    again = spec.model_copy(update={"attempt": 3, "resume_from": manifest_key})
    resumed = record(again, store)
    assert resumed.losses == whole.losses[int(step) :]
    expected, found = (
        weights(run, store, tmp_path / f"weights-{n}") for n, run in enumerate((whole, resumed))
    )
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_collective_that_a_worker_never_joins_is_noticed(
    make_spec: Callable[..., JobSpec], tmp_path: Path
) -> None:
    (tmp_path / "spec.json").write_text(make_spec(num_workers=2).model_dump_json())
    command = [sys.executable, "-c", ALONE, str(tmp_path)]
    silent = subprocess.Popen([*command, "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    waiting = subprocess.Popen([*command, "0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert waiting.wait(120) == 9
    finally:
        for worker in (waiting, silent):
            worker.kill()
            worker.communicate()
