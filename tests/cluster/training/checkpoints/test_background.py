"""Training goes on while a checkpoint is stored, and an interrupted upload leaves the one before it."""

import signal
import subprocess
import sys
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


CHILD = """
import sys
from pathlib import Path
import torch
from cluster.contracts.jobs import JobSpec
from cluster.storage.local import LocalStore
from cluster.training.attempt import run_attempt
from cluster.training.loop.hooks import RunHooks

class Stalling(LocalStore):
    def upload(self, key, path, **options):
        if "step-00000012/resume_part" in key:
            print("uploading", flush=True)
            sys.stdin.read()
        return super().upload(key, path, **options)

torch.set_num_threads(1)
folder = Path(sys.argv[1])
spec = JobSpec.model_validate_json((folder / "spec.json").read_text())
def report(event):
    if event.type == "resume_state":
        print(event.manifest_key, flush=True)
run_attempt(spec, Stalling(folder / "store"), RunHooks(report), device=torch.device("cpu"))
"""


def test_a_kill_during_an_upload_leaves_the_state_before_it_usable(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    spec = make_spec(n_epochs=3)
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    manifest_key = child.stdout.readline().strip()
    assert manifest_key.endswith("step-00000006/resume_manifest.json")
    assert child.stdout.readline() == "uploading\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    whole = record(spec.model_copy(update={"attempt": 2}), store)
    again = record(spec.model_copy(update={"attempt": 3, "resume_from": manifest_key}), store)
    assert again.losses == whole.losses[6:]
