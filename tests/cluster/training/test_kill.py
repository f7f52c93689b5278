"""Workers that die or hang: stored checkpoints resume bit-identically, and hangs are noticed."""

import os
import random
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import distributed

from cluster.contracts.jobs import Finished, JobSpec, RunnerEvent
from cluster.storage.files import unobserved
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from cluster.training.attempt import run_attempt
from cluster.training.checkpoints.checkpoint import download
from cluster.training.loop import loop
from cluster.training.loop.hooks import RunHooks
from cluster.training.watchdog import Watchdog
from tests.cluster.training.forks import FORKS, exit_codes, start_fork
from tests.cluster.training.recording import Recording, read_state, record

pytestmark = pytest.mark.slow


def train(folder: Path, saved: Connection) -> None:
    """Tells `saved` the step and the manifest of each state that it can be resumed from: one a step."""
    loop.CHECKPOINT_SECONDS = 0.0
    spec = JobSpec.model_validate_json((folder / "spec.json").read_text())

    def report(event: RunnerEvent) -> None:
        if event.type == "resume_state":
            saved.send((event.step, event.manifest_key))

    run_attempt(spec, LocalStore(folder / "store"), RunHooks(report), device=torch.device("cpu"))


class HangingStore(LocalStore):
    """Tells `said` that the second epoch's state is being uploaded, which never ends."""

    def __init__(self, root: Path, said: Connection) -> None:
        super().__init__(root)
        self._said = said

    def upload(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        if "step-00000012/resume_part" in key:
            self._said.send("uploading")
            threading.Event().wait()
        return super().upload(key, path, on_progress=on_progress)


def train_until_an_upload_hangs(folder: Path, said: Connection) -> None:
    """Tells `said` the manifest of each state that it can be resumed from."""
    spec = JobSpec.model_validate_json((folder / "spec.json").read_text())

    def report(event: RunnerEvent) -> None:
        if event.type == "resume_state":
            said.send(event.manifest_key)

    store = HangingStore(folder / "store", said)
    run_attempt(spec, store, RunHooks(report), device=torch.device("cpu"))


def train_while_watched(folder: Path, rank: int) -> None:
    """One of two workers. The second never takes part."""
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2)
    if rank == 1:
        signal.pause()
    spec = JobSpec.model_validate_json((folder / "spec.json").read_text())
    with Watchdog(3.0, lambda: os._exit(9)) as watchdog:
        hooks = RunHooks(lambda _: None, heartbeat=watchdog.heartbeat)
        run_attempt(spec, LocalStore(folder / "store"), hooks, device=torch.device("cpu"))


def weights(recording: Recording, store: LocalStore, folder: Path) -> dict[str, torch.Tensor]:
    assert isinstance(recording.result, Finished)
    folder.mkdir()
    download(store, recording.result.manifest_key, folder)
    return load_file(next(folder.glob("*model.safetensors")))


@pytest.mark.parametrize(("seed", "type_"), [(1, "lora"), (2, "full")])
def test_a_run_killed_at_a_random_step_resumes_bit_identically(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path, seed: int, type_: str
) -> None:
    """The kill may come in the middle of an epoch. Examples are packed, and dropout is on. The resumed run's
    evaluation is that of the whole one, although the base is gone after the first step of full
    fine-tuning."""
    spec = make_spec(n_epochs=3, dropout=0.1, type=type_)
    assert spec.config.packing
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    kill_at = random.Random(seed).randrange(2, 16)
    receiver, sender = FORKS.Pipe(duplex=False)
    child = start_fork(train, tmp_path, sender)
    # So that the end of the child is the end of what it tells.
    sender.close()
    step, manifest_key = receiver.recv()
    while step < kill_at:
        step, manifest_key = receiver.recv()
    child.kill()
    assert exit_codes([child], seconds=60) == [-signal.SIGKILL]

    whole = record(spec.model_copy(update={"attempt": 2}), store)
    again = spec.model_copy(update={"attempt": 3, "resume_from": manifest_key})
    resumed = record(again, store)
    assert resumed.losses == whole.losses[step:]
    assert isinstance(whole.result, Finished)
    assert isinstance(resumed.result, Finished)
    assert resumed.result.report == whole.result.report
    kept = [name for name in read_state(store, manifest_key, tmp_path / "state")[1] if "/before/" in name]
    assert bool(kept) == (type_ == "full")
    expected, found = (
        weights(run, store, tmp_path / f"weights-{n}") for n, run in enumerate((whole, resumed))
    )
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_kill_during_an_upload_leaves_the_state_before_it_usable(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path
) -> None:
    spec = make_spec(n_epochs=3)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    receiver, sender = FORKS.Pipe(duplex=False)
    child = start_fork(train_until_an_upload_hangs, tmp_path, sender)
    sender.close()
    manifest_key = receiver.recv()
    assert manifest_key.endswith("step-00000006/resume_manifest.json")
    assert receiver.recv() == "uploading"
    child.kill()
    assert exit_codes([child], seconds=60) == [-signal.SIGKILL]
    whole = record(spec.model_copy(update={"attempt": 2}), store)
    again = record(spec.model_copy(update={"attempt": 3, "resume_from": manifest_key}), store)
    assert again.losses == whole.losses[6:]


def test_a_collective_that_a_worker_never_joins_is_noticed(
    make_spec: Callable[..., JobSpec], tmp_path: Path
) -> None:
    (tmp_path / "spec.json").write_text(make_spec(num_workers=2).model_dump_json())
    waiting, silent = (start_fork(train_while_watched, tmp_path, rank) for rank in range(2))
    try:
        assert exit_codes([waiting], seconds=120) == [9]
    finally:
        for worker in (waiting, silent):
            worker.kill()
            worker.join()
