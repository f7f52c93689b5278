"""Training goes on while a checkpoint is stored."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from cluster.contracts.errors import PassesTooLarge
from cluster.contracts.jobs import JobSpec, ResumeStateSaved, StepMetrics
from cluster.storage.files import unobserved
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from cluster.training.attempt import run_attempt
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.reporting import FIRST_MESSAGE_SECONDS
from tests.cluster.training.recording import Recording, record

pytestmark = pytest.mark.slow

MakeSpec = Callable[..., JobSpec]


class HeldStore(LocalStore):
    """Holds back the first upload of a resume state until it is released."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.release = threading.Event()
        self.began = threading.Event()

    def upload(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        if "resume_part" in key:
            self.began.set()
            assert self.release.wait(300)
        return super().upload(key, path, on_progress=on_progress)


def test_steps_go_on_while_a_checkpoint_is_uploaded(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    """The upload after the first epoch ends only when the second epoch is nearly over."""
    held = HeldStore(store._root)
    recording = Recording()

    def report(event: object) -> None:
        recording.events.append(event)  # type: ignore[arg-type]
        if isinstance(event, StepMetrics) and event.step == 11:
            assert held.began.is_set()
            held.release.set()

    recording.result = run_attempt(make_spec(), held, RunHooks(report), device=torch.device("cpu"))
    assert [step.step for step in recording.steps] == list(range(1, 13))
    stored = next(n for n, event in enumerate(recording.events) if event.type == "resume_state")
    assert [event.step for event in recording.events[:stored] if isinstance(event, StepMetrics)][-1] >= 11
    assert recording.losses == record(make_spec({"attempt": 2}), store).losses


def test_a_failed_run_does_not_wait_for_an_upload_until_it_is_taken_for_hung(
    make_spec: MakeSpec, store: LocalStore
) -> None:
    held = HeldStore(store._root)

    def report(event: object) -> None:
        if isinstance(event, StepMetrics) and event.step == 8:
            assert held.began.wait(300)
            raise PassesTooLarge("pretended", pass_tokens=5)

    hooks = RunHooks(report, patience_seconds=0.2)
    try:
        with pytest.raises(PassesTooLarge):
            run_attempt(make_spec(), held, hooks, device=torch.device("cpu"))
    finally:
        held.release.set()


def test_an_upload_that_hangs_is_not_taken_for_alive(make_spec: MakeSpec, store: LocalStore) -> None:
    """The second checkpoint waits for the first one's upload, for longer than until the owner is told."""
    held = HeldStore(store._root)
    alive: list[float] = []
    released: list[float] = []

    def release() -> None:
        released.append(time.monotonic())
        held.release.set()

    def report(event: object) -> None:
        if isinstance(event, StepMetrics) and event.step == 12:
            threading.Timer(FIRST_MESSAGE_SECONDS + 2, release).start()

    hooks = RunHooks(report, heartbeat=lambda: alive.append(time.monotonic()))
    run_attempt(make_spec(), held, hooks, device=torch.device("cpu"))
    assert alive[-1] > released[0]
    assert not [at for at in alive if released[0] - FIRST_MESSAGE_SECONDS < at < released[0]]


def test_what_is_stored_is_reported_although_no_step_ends(make_spec: MakeSpec, store: LocalStore) -> None:
    """The next step hangs until the report has come."""
    reported = threading.Event()

    def report(event: object) -> None:
        if isinstance(event, ResumeStateSaved):
            reported.set()
        elif isinstance(event, StepMetrics) and event.step == 7:
            assert reported.wait(300)

    assert run_attempt(make_spec(), store, RunHooks(report), device=torch.device("cpu")) is not None
