"""Drives jobs on a real database and store, with fakes of Ray, Serve and the clock, while everything fails:
schedulers are killed at any point or lose their lease, runners die, are silent or go on after they were given
up, Ray forgets its jobs, Serve and the store do not answer, objects are swept, and owners cancel, pause and
resume. At the end all of it works again, and the auditor looks at what has happened.

The last test plants bugs, which the machine must find."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from cluster.contracts.errors import Conflict, NotFound, Unavailable
from cluster.contracts.jobs import (
    Failed,
    JobSpec,
    JobStatus,
    NumberedEvent,
    RunnerState,
    Running,
    Stopped,
    SyncRequest,
    SyncResponse,
)
from cluster.storage.keys import parse_key, sibling_key
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo, ObjectStore
from service.db import tables
from service.db.database import Database
from service.db.jobs.jobs import Job, Jobs
from service.db.scheduler.attempts import Attempts
from service.scheduling.scheduler import Scheduler
from service.scheduling.sweeping.sweep import SweepOptions, sweep
from tests.chaos.auditor import audit, audit_end
from tests.chaos.history import read_history, record_transitions
from tests.databases import sqlite_copy
from tests.fakes import Fuse, FusedDatabase, Killed
from tests.service.db.rows import TENANT, add_file, resume_state, step
from tests.service.scheduling.world import TOTAL_STEPS, World

CHECKPOINT_STEPS = 2
MOST_JOBS = 4
FAILURES = ("platform_error", "invalid_data")
AWAY = Unavailable("away", code="ray_unavailable")
ROUNDS = 80


class ShakyStore(LocalStore):
    is_down = False

    def put(self, key, source) -> ObjectInfo:
        self._check()
        return super().put(key, source)

    def open(self, key, *, start=0):
        self._check()
        return super().open(key, start=start)

    def stat(self, key) -> ObjectInfo:
        self._check()
        return super().stat(key)

    def list(self, prefix="") -> Iterator[ObjectInfo]:
        self._check()
        return super().list(prefix)

    def delete_many(self, keys) -> None:
        self._check()
        super().delete_many(keys)

    def _check(self) -> None:
        if self.is_down:
            raise Unavailable("The store does not answer.")


@dataclass
class Runner:
    """One process that trains. It may go on long after everybody else took it for dead."""

    job: Job
    spec: JobSpec
    step: int
    seq: int = 0
    unsent: list[NumberedEvent] = field(default_factory=list)
    state: RunnerState = field(default_factory=Running)
    is_over: bool = False

    @property
    def name(self) -> str:
        return f"{self.job.id}-a{self.spec.attempt}"


@dataclass
class Candidate:
    """A scheduler process."""

    scheduler: Scheduler
    fuse: Fuse
    database: FusedDatabase


def swept(database: Database, store: ObjectStore) -> None:
    sweep(database, store, SweepOptions(0, 0), clock=lambda: time.time() + 10)


class Machine(RuleBasedStateMachine):
    template: Path
    attempts: type[Attempts] = Attempts
    store_type: type[ShakyStore] = ShakyStore
    sweep: Callable[[Database, ObjectStore], None] = staticmethod(swept)

    @initialize()
    def install(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=self.template.parent))
        self.world = World(sqlite_copy(self.template), self.folder / "objects")
        record_transitions(self.world.database)
        self.store = self.store_type(self.folder / "objects")
        self.world.store = self.store
        self.world.settings = self.world.settings.model_copy(update={"training_slots": 2})
        self.jobs: list[Job] = []
        self.runners: dict[str, Runner] = {}
        self.candidates = [self.candidate() for _ in range(2)]

    def candidate(self) -> Candidate:
        fuse = Fuse()
        scheduler = self.world.scheduler(fuse)
        return Candidate(scheduler, fuse, self.world.schedulers_database)

    # What owners do

    @rule()
    def create(self) -> None:
        if len(self.jobs) < MOST_JOBS and not self.store.is_down:
            file = add_file(self.world.database)
            LocalStore(self.folder / "objects").put(file.object_key, b"ten bytes.")
            self.jobs.append(self.world.job(file=file))

    @rule(
        which=st.integers(0, 99),
        what=st.sampled_from((Jobs.cancel, Jobs.pause, Jobs.pause, Jobs.resume, Jobs.resume)),
    )
    def steer(self, which: int, what: Callable[[Jobs, str], Job]) -> None:
        if self.jobs:
            with suppress(Conflict), self.world.database.write() as session:
                what(Jobs(session, TENANT), self.jobs[which % len(self.jobs)].id)

    # What schedulers do, and what happens to them

    @rule(which=st.integers(0, 1))
    def tick(self, which: int) -> None:
        self.let_tick(which)

    @rule(which=st.integers(0, 1), points=st.integers(1, 30))
    def kill_in_tick(self, which: int, points: int) -> None:
        self.let_tick(which, points)

    def let_tick(self, which: int, points: int | None = None) -> None:
        candidate = self.candidates[which]
        fuse = self.world.ray.fuse = self.world.serving.fuse = candidate.fuse
        fuse.at = None if points is None else fuse.passed + points
        try:
            candidate.scheduler.tick()
        except Killed:
            self.candidates[which] = self.candidate()
        fuse.at = None

    @rule()
    def take_over(self) -> None:
        """Whoever asks next leads."""
        self.world.expire_lease()

    @rule(seconds=st.sampled_from((3.0, 60.0, 600.0)))
    def pass_time(self, seconds: float) -> None:
        self.world.advance(seconds)

    @rule(is_down=st.booleans())
    def break_ray(self, is_down: bool) -> None:
        self.world.ray.fault = AWAY if is_down else None

    @rule()
    def forget(self) -> None:
        """Ray loses what it knows. The processes may not notice."""
        self.world.ray.statuses.clear()

    @rule(is_down=st.booleans())
    def break_serving(self, is_down: bool) -> None:
        self.world.serving.fault = Unavailable("away") if is_down else None

    @rule(is_down=st.booleans())
    def break_store(self, is_down: bool) -> None:
        self.store.is_down = is_down

    @rule(which=st.integers(0, 1), is_down=st.booleans())
    def break_database(self, which: int, is_down: bool) -> None:
        self.candidates[which].database.is_down = is_down

    @rule()
    def sweep_objects(self) -> None:
        with suppress(Unavailable):
            type(self).sweep(self.world.database, self.store)

    # What runners do, and what happens to them

    @rule(which=st.integers(0, 99), steps=st.integers(1, TOTAL_STEPS))
    def train(self, which: int, steps: int) -> None:
        if runner := self.pick(which):
            for _ in range(steps):
                self.train_step(runner)

    @rule(which=st.integers(0, 99), is_answer_lost=st.booleans())
    def sync(self, which: int, is_answer_lost: bool) -> None:
        if runner := self.pick(which):
            self.let_sync(runner, is_answer_lost=is_answer_lost)

    @rule(which=st.integers(0, 99), is_user_fault=st.booleans())
    def fail(self, which: int, is_user_fault: bool) -> None:
        if (runner := self.pick(which)) and isinstance(runner.state, Running):
            code = "invalid_data" if is_user_fault else "worker_lost"
            runner.state = Failed(code=code, message="It failed.", is_user_fault=is_user_fault)

    @rule(which=st.integers(0, 99), is_noticed=st.booleans())
    def kill_runner(self, which: int, is_noticed: bool) -> None:
        """Or cut it off, so that Ray takes it for dead while it goes on."""
        if runner := self.pick(which):
            self.world.ray.statuses[runner.name] = "failed"
            runner.is_over = is_noticed

    def pick(self, which: int) -> Runner | None:
        self.start_runners()
        alive = [runner for runner in self.runners.values() if not runner.is_over]
        return alive[which % len(alive)] if alive else None

    def start_runners(self) -> None:
        for name, key in self.world.ray.specs.items():
            if name in self.runners:
                continue
            try:
                spec = JobSpec.model_validate_json(self.store.get(key))
            except NotFound:  # Its job has ended, and its specification was swept.
                self.world.ray.statuses[name] = "failed"
                continue
            except Unavailable:
                continue
            job = next(job for job in self.jobs if job.id == spec.job_id)
            place = parse_key(spec.resume_from or "")
            self.runners[name] = Runner(job, spec, getattr(place, "step", None) or 0)

    def train_step(self, runner: Runner) -> None:
        if runner.step == TOTAL_STEPS or not isinstance(runner.state, Running):
            return
        number, attempt = runner.step + 1, runner.spec.attempt
        try:
            saved = self.save(runner, number) if number % CHECKPOINT_STEPS == 0 else []
            if number == TOTAL_STEPS:
                runner.state = self.world.finished(runner.job, attempt=attempt)
        except Unavailable:
            return
        runner.unsent += [step(runner.seq, number, TOTAL_STEPS), *saved]
        runner.step, runner.seq = number, runner.seq + 1 + len(saved)

    def save(self, runner: Runner, number: int) -> list[NumberedEvent]:
        job, attempt, seq = runner.job, runner.spec.attempt, runner.seq
        saved = self.world.checkpoint(job, seq + 1, number, attempt=attempt)
        state = resume_state(job.id, seq + 2, number, attempt)
        self.store.put(sibling_key(state.manifest_key, "resume.safetensors"), b"moments")
        self.store.put(state.manifest_key, b"{}")
        return [saved, state]

    def let_sync(self, runner: Runner, *, is_answer_lost: bool = False) -> None:
        request = SyncRequest(events=runner.unsent, state=runner.state)
        before = self.world.see(runner.job)
        is_fenced = before.attempt != runner.spec.attempt
        try:
            with self.world.database.write() as session:
                response = self.attempts(session, self.world.settings.retries).sync(
                    runner.job.id, runner.spec.attempt, runner.spec.attempt_token, request
                )
        except Conflict:
            self.end(runner)
            return
        assert not is_fenced, "a fenced attempt was accepted"
        if not is_answer_lost:
            self.obey(runner, response)

    def obey(self, runner: Runner, response: SyncResponse) -> None:
        runner.unsent = []
        if response.command == "cancel" or not isinstance(runner.state, Running):
            self.end(runner)
        elif response.command == "pause":
            runner.state = Stopped()

    def end(self, runner: Runner) -> None:
        runner.is_over = True
        if runner.name in self.world.ray.statuses:
            self.world.ray.statuses[runner.name] = "succeeded"

    # The end

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.settle()
                self.check()
        finally:
            if hasattr(self, "world"):
                self.world.close()
                shutil.rmtree(self.folder)

    def settle(self) -> None:
        """Everything works again, until nothing is left to do."""
        self.world.ray.fault = self.world.serving.fault = None
        self.store.is_down = False
        for _ in range(ROUNDS):
            for job in self.jobs:
                if self.world.status(job) is JobStatus.PAUSED:
                    with self.world.database.write() as session:
                        Jobs(session, TENANT).resume(job.id)
            self.world.advance(61)
            self.candidates[0] = self.candidate()
            self.let_tick(0)
            self.start_runners()
            for runner in self.runners.values():
                if not runner.is_over and not self.is_cut_off(runner):
                    self.train_step(runner)
                    self.let_sync(runner)
            if all(self.world.status(job).is_terminal and self.are_released(job) for job in self.jobs):
                return

    def is_cut_off(self, runner: Runner) -> bool:
        """Until another attempt has taken over, or the job has ended without it."""
        job = self.world.see(runner.job)
        is_newest = job.attempt == runner.spec.attempt and not job.status.is_terminal
        return is_newest and self.world.ray.statuses.get(runner.name) != "running"

    def are_released(self, job: Job) -> bool:
        return all(attempt.released_at is not None for attempt in self.world.attempts(job))

    def check(self) -> None:
        type(self).sweep(self.world.database, self.store)
        keys = [info.key for info in self.store.list()]
        history = read_history(self.world.database, keys, [job.id for job in self.jobs])
        problems = audit(history, checkpoint_steps=CHECKPOINT_STEPS) + audit_end(history, failures=FAILURES)
        assert not problems, "\n".join(problems)


QUICK = settings(
    max_examples=25,
    stateful_step_count=40,
    # What is found is not made smaller, which takes minutes.
    phases=(Phase.generate,),
    report_multiple_bugs=False,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_jobs_keep_their_promises_whatever_fails(sqlite_template: Path) -> None:
    Machine.template = sqlite_template
    run_state_machine_as_test(Machine, settings=QUICK)


class Unfenced(Attempts):
    """Takes what an attempt says for the newest attempt's words."""

    def authenticate(self, job_id, number, token):
        return self._session.get_one(tables.Attempt, (job_id, number))

    def sync(self, job_id, number, token, request):
        job = self._session.get_one(tables.Job, job_id)
        return super().sync(job_id, job.attempt, token, request)


class Forgetful(ShakyStore):
    """Loses some weights that it has acknowledged."""

    count = 0

    def put(self, key, source) -> ObjectInfo:
        info = super().put(key, source)
        Forgetful.count += key.endswith("adapter.safetensors")
        if key.endswith("adapter.safetensors") and Forgetful.count % 3 == 0:
            self.delete(key)
        return info


def eager(database: Database, store: ObjectStore) -> None:
    """Sweeps before the rows of what was stored are read."""
    store.delete_many([info.key for info in store.list("jobs/") if info.key.endswith("/manifest.json")])


@pytest.mark.parametrize(
    ("bug", "found"),
    [
        ({"attempts": Unfenced}, "a fenced attempt was accepted"),
        ({"sweep": staticmethod(eager)}, "failed with corrupt_artefact|no weights in storage"),
        ({"store_type": Forgetful}, "failed with corrupt_artefact|no weights in storage"),
    ],
)
def test_planted_bugs_are_found(sqlite_template: Path, bug: dict[str, object], found: str) -> None:
    broken = type("Broken", (Machine,), {"template": sqlite_template, **bug})
    with pytest.raises(AssertionError, match=found):
        run_state_machine_as_test(broken, settings=settings(QUICK, max_examples=200, print_blob=False))
