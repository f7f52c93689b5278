"""Several data-parallel workers compute the same as one."""

import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from cluster.contracts.jobs import Finished, JobSpec
from cluster.contracts.manifest import Manifest
from cluster.storage.files import unobserved
from cluster.storage.keys import manifest_key
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from cluster.training.attempt import run_attempt
from cluster.training.checkpoints.resume_state import WEIGHTS
from cluster.training.loop import reporting
from cluster.training.loop.hooks import RunHooks
from cluster.training.world import joined_world, message_timeout
from tests.cluster.training.forks import exit_codes, start_fork
from tests.cluster.training.recording import Recording, read_state, record
from tests.tiers import sampled
from tests.tiny_base import make_tiny_base

pytestmark = pytest.mark.slow

SLOW_SECONDS = 14


class SlowStore(LocalStore):
    """Takes long to begin its first download."""

    is_slow = True

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        if self.is_slow:
            self.is_slow = False
            time.sleep(SLOW_SECONDS)
        return super().download(key, path, on_progress=on_progress)


def train_on_a_slow_node(rank: int, folder: Path) -> None:
    """One of two workers that give up on messages sooner than the second one has its files."""
    timeout = timedelta(seconds=SLOW_SECONDS - 4)
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", meeting, rank=rank, world_size=2, timeout=timeout)
    store = (SlowStore if rank == 1 else LocalStore)(folder / "store")
    record(JobSpec.model_validate_json((folder / "spec.json").read_text()), store)


class WatchedStore(LocalStore):
    """Of one of two nodes. Resume states take long to arrive at the second one, and do not arrive before the
    first one has been heard from while it waits with its own."""

    def __init__(self, rank: int, folder: Path) -> None:
        super().__init__(folder / "store")
        self._is_slow, self._heard = rank == 1, folder / "heard"
        self._waiting_from = float("inf")

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        found = super().download(key, path, on_progress=on_progress)
        if "/resume_part" in key:
            self._waiting_from = time.monotonic() + 2
            if self._is_slow:
                time.sleep(SLOW_SECONDS)
                wait_until(self._heard.exists)
        return found

    def heartbeat(self) -> None:
        if not self._is_slow and time.monotonic() >= self._waiting_from:
            self._heard.touch()


def resume_on_a_slow_node(rank: int, folder: Path) -> None:
    """One of two workers, each on a node of its own, that give up on messages sooner than the second one has
    its files."""
    tempfile.tempdir = str(folder / f"node-{rank}")
    Path(tempfile.tempdir).mkdir()
    reporting.HEARTBEAT_SECONDS = 0.5
    timeout = timedelta(seconds=SLOW_SECONDS - 4)
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", meeting, rank=rank, world_size=2, timeout=timeout)
    store = WatchedStore(rank, folder)
    hooks = RunHooks(lambda _: None, heartbeat=store.heartbeat)
    spec = JobSpec.model_validate_json((folder / "spec.json").read_text())
    run_attempt(spec, store, hooks, device=torch.device("cpu"))


def note_timeouts(rank: int, folder: Path) -> None:
    """One of two workers, each on a node of its own."""
    os.environ["LOCAL_WORLD_SIZE"] = "1"
    meeting, timeout = f"file://{folder}/meeting", timedelta(seconds=77)
    distributed.init_process_group("gloo", meeting, rank=rank, world_size=2, timeout=timeout)
    cpu = torch.device("cpu")
    mesh = joined_world("hsdp").mesh(cpu)
    seconds = [message_timeout(mesh.get_group(name), cpu).total_seconds() for name in mesh.mesh_dim_names]
    (folder / f"timeouts-{rank}.json").write_text(json.dumps(seconds))
    distributed.destroy_process_group()


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def train(rank: int, size: int, folder: Path) -> None:
    """One worker of a gang."""
    os.environ["LOCAL_WORLD_SIZE"] = str(size // 2)
    distributed.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=size)
    runs, reports = [], []
    for spec in json.loads((folder / "specs.json").read_text()):
        recording = record(JobSpec.model_validate(spec), LocalStore(folder / "store"))
        runs.append([step.model_dump() for step in recording.steps])
        result = recording.result
        reports.append(result.report.model_dump() if isinstance(result, Finished) and result.report else None)
    (folder / f"reports-{rank}.json").write_text(json.dumps(reports))
    (folder / f"steps-{rank}.json").write_text(json.dumps(runs))
    distributed.destroy_process_group()


def run_gang(specs: list[JobSpec], size: int, folder: Path) -> list[list[list[dict[str, float]]]]:
    """Runs jobs one after the other in the same workers, as if they were on two nodes. Returns the steps that
    each worker reported of each job."""
    (folder / "specs.json").write_text(json.dumps([spec.model_dump() for spec in specs]))
    workers = [start_fork(train, rank, size, folder) for rank in range(size)]
    assert exit_codes(workers, seconds=240) == [0] * size
    return [json.loads((folder / f"steps-{rank}.json").read_text()) for rank in range(size)]


def assert_same_report(report: dict[str, Any], alone: Recording) -> None:
    assert isinstance(alone.result, Finished)
    assert alone.result.report is not None
    assert report == approximately(alone.result.report.model_dump())


def assert_same_probe(store: LocalStore, spec: JobSpec, alone: Recording) -> None:
    """What the publish gate compares, of the model and of the base."""
    key = manifest_key("ftjob-test", spec.attempt, len(alone.steps))
    found, expected = (
        Manifest.model_validate_json(store.get(each)).probe
        for each in (key, alone.checkpoints[-1].manifest_key)
    )
    assert found.base is not None
    assert expected.base is not None
    for ours, theirs in ((found, expected), (found.base, expected.base)):
        for row, other in zip(ours.logprobs, theirs.logprobs, strict=True):
            assert row == pytest.approx(other, abs=1e-4)


def approximately(value: Any) -> Any:
    """The same, with all numbers within rounding."""
    if isinstance(value, dict):
        return {name: approximately(each) for name, each in value.items()}
    return pytest.approx(value, abs=2e-5) if isinstance(value, float) else value


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


@pytest.mark.parametrize("size", sampled([2, 4], [2]))
def test_several_workers_train_as_one_and_one_resumes_their_run(
    make_spec: Callable[..., JobSpec],
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    store: LocalStore,
    tmp_path: Path,
    size: int,
) -> None:
    """With weights that are replicated, sharded, and sharded on each of two nodes; batches of even and odd
    size, in one pass and in several, and a last batch with an example for one worker only. The evaluation has
    three general examples or four, fewer than workers or as many."""
    changes: list[dict[str, Any]] = [
        {"batch_size": 4},
        {"batch_size": 5, "packing": False},
        {"batch_size": 20, "microbatch_tokens": 60},
        {"batch_size": 5, "type": "full", "parallelism": "fsdp", "microbatch_tokens": 60},
        {"batch_size": 8, "parallelism": "fsdp", "microbatch_tokens": 40},
        {"batch_size": 8, "type": "full", "parallelism": "hsdp", "microbatch_tokens": 40},
        {"batch_size": 5, "parallelism": "hsdp", "microbatch_tokens": 60},
        {"use_dora": True},
        {"parallelism": "fsdp"},
    ]
    general_key, general_sha256 = put_rows("file-general", chat_rows[:3])
    general = {"general_key": general_key, "general_sha256": general_sha256}
    specs = [
        make_spec({"attempt": 10 * n, **(general if n % 2 else {})}, **change)
        for n, change in enumerate(changes, start=1)
    ]
    # The last one trains an adapter on another job's weights, into which it is merged.
    parent = record(make_spec({"job_id": "ftjob-parent"}, type="full", n_epochs=1), store)
    start_from = parent.checkpoints[0].manifest_key
    specs[-1] = specs[-1].model_copy(update={"start_from": start_from})
    reported, *silent = run_gang(specs, size, tmp_path)
    assert silent == [[[]] * len(specs)] * (size - 1)
    reports = json.loads((tmp_path / "reports-0.json").read_text())
    for spec, steps, report in zip(specs, reported, reports, strict=True):
        alone = record(spec.model_copy(update={"attempt": spec.attempt + 1}), store)
        assert_as_one_worker(steps, alone)
        assert_same_report(report, alone)
        assert_same_probe(store, spec, alone)
        last = len(alone.steps)
        expected = weights(store, manifest_key("ftjob-test", spec.attempt + 1, last), tmp_path)
        found = weights(store, manifest_key("ftjob-test", spec.attempt, last), tmp_path)
        assert found.keys() == expected.keys()
        for name, weight in found.items():
            torch.testing.assert_close(weight, expected[name], atol=1e-5, rtol=1e-4)

        resume_from = manifest_key("ftjob-test", spec.attempt, last // 2)
        again = spec.model_copy(update={"attempt": spec.attempt + 2, "resume_from": resume_from})
        assert record(again, store).losses == pytest.approx(alone.losses[last // 2 :], abs=1e-5)


@pytest.mark.parametrize("parallelism", sampled(["fsdp", "hsdp"], ["fsdp"]))
def test_workers_train_adapters_of_a_base_in_bf16_in_steps_of_one_pass(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path, parallelism: str
) -> None:
    """The shared model runs without its adapter first, which is when FSDP looks at the types of gradients."""
    rounded = make_tiny_base(tmp_path / "bf16", hidden=64, dtype="bfloat16")
    spec = make_spec({"base": rounded}, batch_size=8, parallelism=parallelism, microbatch_tokens=4096)
    (steps,), _ = run_gang([spec], 2, tmp_path)
    alone = record(spec.model_copy(update={"attempt": 2}), store)
    assert [step["train_loss"] for step in steps] == pytest.approx(alone.losses, abs=0.02)
    assert alone.losses[-1] < alone.losses[0]
    last = len(alone.steps)
    expected = weights(store, manifest_key("ftjob-test", 2, last), tmp_path)
    for name, weight in weights(store, manifest_key("ftjob-test", 1, last), tmp_path).items():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(weight, expected[name], atol=2e-2, rtol=0.2)


def test_messages_within_and_between_replicas_may_take_as_long_as_all_others(tmp_path: Path) -> None:
    workers = [start_fork(note_timeouts, rank, tmp_path) for rank in range(2)]
    assert exit_codes(workers, seconds=120) == [0, 0]
    for rank in range(2):
        assert json.loads((tmp_path / f"timeouts-{rank}.json").read_text()) == [77, 77]


def test_workers_that_share_a_model_leave_rows_out_of_the_evaluation_that_no_memory_was_planned_for(
    make_spec: Callable[..., JobSpec],
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    store: LocalStore,
    tmp_path: Path,
) -> None:
    """Also once a resumed run takes smaller passes: it is compared with what was measured before."""
    content = "the invoice " * 40
    long_row = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "the"}]}
    key, sha256 = put_rows("file-general", [*chat_rows[:3], long_row])
    changes = {"attempt": 1, "general_key": key, "general_sha256": sha256}
    spec = make_spec(changes, type="full", parallelism="fsdp", microbatch_tokens=120, batch_size=8)
    config = spec.config.model_copy(update={"microbatch_tokens": 60})
    resumed = {"attempt": 2, "config": config, "resume_from": manifest_key(spec.job_id, 1, 3)}
    run_gang([spec, spec.model_copy(update=resumed)], 2, tmp_path)
    first, second = json.loads((tmp_path / "reports-0.json").read_text())
    alone = record(spec.model_copy(update={"attempt": 3}), store).result
    assert isinstance(alone, Finished)
    assert alone.report is not None
    assert alone.report.general is not None
    assert (first["general"]["n_examples"], alone.report.general.n_examples) == (3, 4)
    assert second == approximately(first)


def test_a_resumed_run_evaluates_no_rows_that_its_own_workers_have_no_room_for(
    make_spec: Callable[..., JobSpec],
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    store: LocalStore,
    tmp_path: Path,
) -> None:
    """It began in a worker with a model of its own, or in workers that share a model and have more memory.
    It ends as a run whose workers never had more."""
    content = "the invoice " * 40
    long_row = {"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "the"}]}
    files: dict[str, Any] = {}
    for name in ("validation", "general"):
        rows = [chat_rows[0], long_row, *chat_rows[1:3]]
        files[f"{name}_key"], files[f"{name}_sha256"] = put_rows(f"file-long-{name}", rows)
    pairs = [
        {
            "input": {"messages": [{"role": "user", "content": f"message {number}"}]},
            "preferred_output": [{"role": "assistant", "content": "the invoice " * (1 + number % 5)}],
            "non_preferred_output": [{"role": "assistant", "content": "Thank you " * (1 + number % 3)}],
        }
        for number in range(13)
    ]
    long_pair = {**pairs[0], "input": {"messages": [{"role": "user", "content": content}]}}
    preferences: dict[str, Any] = {}
    for name, rows in (("training", pairs), ("validation", [pairs[1], long_pair, pairs[3], pairs[4]])):
        preferences[f"{name}_key"], preferences[f"{name}_sha256"] = put_rows(f"file-{name}-pairs", rows)
    dpo = {"method": "dpo", "beta": 0.1, "type": "full", "learning_rate": 1e-3}
    ways: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (files, {"type": "full", "batch_size": 7}),
        (preferences, {**dpo, "batch_size": 5}),
    ]
    specs = []
    for number, (changes, config) in enumerate(ways, start=1):
        large = make_spec(
            {**changes, "attempt": 10 * number}, **config, parallelism="fsdp", microbatch_tokens=400
        )
        small = large.config.model_copy(update={"microbatch_tokens": 60})
        whole = large.model_copy(update={"attempt": 10 * number + 1, "config": small})
        for attempt in (2, 4):
            before = large.model_copy(update={"attempt": 10 * number + attempt})
            if attempt == 2:
                record(before, store, stop_after=3)
            else:
                specs.append(before)
            specs.append(resumed(before, before.attempt, 3).model_copy(update={"config": small}))
        specs.append(whole)
    runs, _ = run_gang(specs, 2, tmp_path)
    reports = json.loads((tmp_path / "reports-0.json").read_text())
    for first in (0, 4):
        from_one, from_large, whole = first, first + 2, first + 3
        assert reports[first + 1]["held_out"]["n_examples"] == 4
        assert reports[whole]["held_out"]["n_examples"] == 3
        for each in (from_one, from_large):
            assert reports[each] == approximately(reports[whole])
            losses, expected = (
                [step["full_valid_loss"] for step in runs[run] if step["full_valid_loss"] is not None]
                for run in (each, whole)
            )
            assert losses == pytest.approx(expected[-len(losses) :], abs=2e-5)


@pytest.mark.thorough
def test_a_run_goes_on_with_fewer_workers_and_fewer_again(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path
) -> None:
    """Four workers, then two, then one, each from the last checkpoint of those before. Their evaluations are
    equal: what a full fine-tune began as is measured by four workers only."""
    changes: list[dict[str, Any]] = [{"type": "full", "parallelism": "fsdp"}, {"parallelism": "fsdp"}]
    whole = [
        make_spec({"attempt": 10 * number}, n_epochs=3, batch_size=21, **change)
        for number, change in enumerate(changes, start=1)
    ]
    expected, *_ = run_gang(whole, 4, tmp_path)
    reports = json.loads((tmp_path / "reports-0.json").read_text())
    (tmp_path / "meeting").unlink(missing_ok=True)
    later = [resumed(spec, spec.attempt, 1) for spec in whole]
    found, _ = run_gang(later, 2, tmp_path)
    for number, spec in enumerate(later):
        losses = [step["train_loss"] for step in expected[number]]
        assert [step["train_loss"] for step in found[number]] == pytest.approx(losses[1:], abs=1e-5)
        last = record(resumed(spec, spec.attempt, 2), store)
        assert last.losses == pytest.approx(losses[2:], abs=1e-5)
        assert_same_report(reports[number], last)


def resumed(spec: JobSpec, attempt: int, step: int) -> JobSpec:
    """The job's next attempt, from a step of this one."""
    key = manifest_key("ftjob-test", attempt, step)
    return spec.model_copy(update={"attempt": attempt + 1, "resume_from": key})


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
    reports = json.loads((tmp_path / "reports-0.json").read_text())
    for steps, report in zip(reported, reports, strict=True):
        assert_as_one_worker(steps, alone)
        assert_same_report(report, alone)


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


def test_workers_wait_for_one_whose_files_take_longer_than_their_messages_may(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path
) -> None:
    (tmp_path / "spec.json").write_text(make_spec(n_epochs=1).model_dump_json())
    workers = [start_fork(train_on_a_slow_node, rank, tmp_path) for rank in range(2)]
    assert exit_codes(workers, seconds=240) == [0, 0]


def test_workers_wait_for_one_whose_part_of_a_state_takes_longer_than_their_messages_may(
    make_spec: Callable[..., JobSpec], store: LocalStore, tmp_path: Path
) -> None:
    """They are not taken for hung meanwhile."""
    spec = make_spec(n_epochs=2, batch_size=21)
    state = record(spec, store, stop_after=1).states[-1]
    again = spec.model_copy(update={"attempt": 2, "resume_from": state.manifest_key})
    (tmp_path / "spec.json").write_text(again.model_dump_json())
    workers = [start_fork(resume_on_a_slow_node, rank, tmp_path) for rank in range(2)]
    assert exit_codes(workers, seconds=240) == [0, 0]
