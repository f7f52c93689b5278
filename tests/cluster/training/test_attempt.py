"""What keeps an attempt alive before its first step: bytes that move, not time that passes."""

import tempfile
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from cluster.bases.resolve import base_folder
from cluster.contracts.jobs import Finished, JobSpec, RunnerEvent, RunnerMessage, WorkerCommand
from cluster.storage.files import store_unavailable, unobserved
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from cluster.training import attempt, starting_point
from cluster.training.attempt import run_attempt
from cluster.training.loop import reporting
from cluster.training.loop.hooks import RunHooks
from tests.cluster.training.recording import record

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


class StuckStore(LocalStore):
    """Its first download of a key that contains `place` moves no byte until a message says that `phase` is
    slow."""

    def __init__(self, folder: Path, place: str, phase: str) -> None:
        super().__init__(folder)
        self._place, self._phase = place, phase
        self._is_reported = threading.Event()
        self._beats = 0
        self.beats_while_stuck: int | None = None

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        if self._place in key and self.beats_while_stuck is None:
            before = self._beats
            assert self._is_reported.wait(300)
            self.beats_while_stuck = self._beats - before
        return super().download(key, path, on_progress=on_progress)

    def report(self, event: RunnerEvent) -> None:
        if isinstance(event, RunnerMessage) and event.message.startswith(self._phase):
            self._is_reported.set()

    def heartbeat(self) -> None:
        self._beats += 1


class RestartingStore(LocalStore):
    """Does not answer the first time that each object is asked for, sent or named."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._known: set[tuple[str, str]] = set()

    def get(self, key: str) -> bytes:
        self._answer("get", key)
        return super().get(key)

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        self._answer("put", key)
        return super().put(key, source)

    def upload(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        self._answer("upload", key)
        return super().upload(key, path, on_progress=on_progress)

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        self._answer("download", key)
        return super().download(key, path, on_progress=on_progress)

    def _answer(self, method: str, key: str) -> None:
        if (method, key) not in self._known:
            self._known.add((method, key))
            raise store_unavailable("Storage does not answer.")


def test_a_store_that_restarts_ends_no_attempt(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path
) -> None:
    spec = make_spec()
    assert isinstance(record(spec, RestartingStore(store._root)).result, Finished)


@pytest.mark.parametrize(
    ("place", "phase"),
    [("/file-training", "Reading the training data"), ("/adapter_model", "Fetching the weights")],
)
def test_a_download_that_hangs_looks_like_one(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path, place: str, phase: str
) -> None:
    spec = make_spec(n_epochs=1)
    if phase.startswith("Fetching"):
        parent = record(spec, store).result
        assert isinstance(parent, Finished)
        spec = spec.model_copy(update={"job_id": "ftjob-child", "start_from": parent.manifest_key})
    stuck = StuckStore(tmp_path / "store", place, phase)
    run_attempt(spec, stuck, RunHooks(stuck.report, heartbeat=stuck.heartbeat), device=CPU)
    assert stuck.beats_while_stuck == 0


def test_waiting_for_a_base_that_another_process_downloads_is_no_hang(
    make_spec: Callable[..., JobSpec], store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat, looks = threading.Event(), count()

    def wait_for_lock(*arguments: Any, **keywords: Any) -> Path:
        if "report" in keywords:
            beat.clear()
            assert beat.wait(300)
        return base_folder(*arguments, **keywords)

    monkeypatch.setattr(reporting, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(attempt, "arriving", lambda base: next(looks))
    monkeypatch.setattr(attempt, "base_folder", wait_for_lock)
    run_attempt(make_spec(n_epochs=1), store, RunHooks(lambda _: None, heartbeat=beat.set), device=CPU)
    assert next(looks) > 1


def test_a_merge_which_shows_no_progress_is_no_hang(
    make_spec: Callable[..., JobSpec], store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat, merge = threading.Event(), starting_point.merge
    spec = make_spec(n_epochs=1)
    parent = record(spec, store).result
    assert isinstance(parent, Finished)
    config = spec.config.model_copy(update={"type": "full"})
    child = {"job_id": "ftjob-child", "start_from": parent.manifest_key, "config": config}

    def merge_slowly(*arguments: Any) -> None:
        beat.clear()
        assert beat.wait(300)
        merge(*arguments)

    monkeypatch.setattr(reporting, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(starting_point, "merge", merge_slowly)
    hooks = RunHooks(lambda _: None, heartbeat=beat.set)
    run_attempt(spec.model_copy(update=child), store, hooks, device=CPU)


def test_a_resumed_run_keeps_no_files_of_the_state_that_it_has_read(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are as large as what training has in memory."""
    spec = make_spec()
    state = record(spec, store, stop_after=2).states[-1]
    node = tmp_path / "node"
    node.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(node))
    left: list[list[Path]] = []

    def command() -> WorkerCommand:
        left.append([path for path in node.rglob("resume_*") if path.suffix != ".lock"])
        return "cancel"

    again = spec.model_copy(update={"attempt": 2, "resume_from": state.manifest_key})
    run_attempt(again, store, RunHooks(lambda _: None, command), device=CPU)
    assert left == [[]]
