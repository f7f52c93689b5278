"""The environment of a scheduler: a real database and store, fakes of Ray and Serve, and a manual runner."""

import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select, update

from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.costs import RunCost
from cluster.contracts.datasets import DatasetCheck
from cluster.contracts.evaluation import EvaluationReport
from cluster.contracts.jobs import (
    Finished,
    JobSpec,
    JobStatus,
    NumberedCheckpoint,
    NumberedEvent,
    RunnerState,
    Running,
    SyncRequest,
    SyncResponse,
)
from cluster.contracts.manifest import AnswerPrompt, Manifest, ManifestFile, Probe, ProbeScores, provenance_of
from cluster.contracts.provenance import Environment
from cluster.storage.keys import manifest_key, sibling_key
from cluster.storage.local import LocalStore
from service.db import tables
from service.db.jobs.jobs import Job, Jobs
from service.db.scheduler.attempts import Attempts
from service.scheduling.interfaces import ClusterView
from service.scheduling.scheduler import Dependencies, Scheduler
from service.settings import Settings
from tests.databases import opened
from tests.fakes import FakeRayJobs, FakeServing, Fuse, FusedDatabase, InlineExecutor
from tests.service.db.rows import TENANT, add_file, add_job, add_tenants, get_job, log_of, messages, step

BASE = BaseSpec(
    alias="tiny",
    source=BuiltinSource(name="tiny"),
    context_length=64,
    learning_rates={"lora": 1e-3},
    max_training_examples=1000,
)
ENCODER = BASE.model_copy(update={"alias": "encoder", "architecture": "encoder"})
GOOD = DatasetCheck(n_examples=20, n_tokens=200, n_supervised_tokens=100, longest=20)
TOTAL_STEPS = 4
_names = itertools.count()


class World:
    def __init__(self, url: str, folder: Path, *, has_tenants: bool = False) -> None:
        self.database = opened(url)
        self.store = LocalStore(folder)
        self.ray = FakeRayJobs()
        self.serving = FakeServing(GOOD)
        self.cluster: ClusterView | None = None
        """None: the cluster is as the settings describe it."""
        self.settings = Settings(
            service_url="http://service",
            stop_grace_seconds=0,
            leader_lease_seconds=600,
            retry_seconds=0,
            queue_report_seconds=0,
        )
        self.data_sha256 = "0" * 64
        """SHA-256 of the training file, in every manifest."""
        self.answer_prompts: list[AnswerPrompt] = []
        """Part of every manifest."""
        self.base_scores: ProbeScores | None = None
        """The base's scores of the probe, in every manifest."""
        self.schedulers_database = FusedDatabase(self.database, Fuse())
        """The database as the newest scheduler uses it."""
        if not has_tenants:
            add_tenants(self.database)

    def scheduler(self, fuse: Fuse | None = None, executor=None, bases=None) -> Scheduler:
        """A new scheduler, as after a restart, which takes over the lease at once."""
        self.expire_lease()
        self.ray.fuse = self.serving.fuse = fuse or Fuse()
        self.schedulers_database = FusedDatabase(self.database, fuse or Fuse())
        bases = bases or {"tiny": BASE, "encoder": ENCODER}
        dependencies = Dependencies(
            self.schedulers_database, self.store, self.ray, self.serving, bases, cluster=self.cluster
        )
        return Scheduler(dependencies, self.settings, executor or InlineExecutor(), name=f"s{next(_names)}")

    def expire_lease(self) -> None:
        with self.database.write() as session:
            session.execute(update(tables.Lease).values(expires_at=0.0))

    def close(self) -> None:
        self.database.close()

    def job(self, **new) -> Job:
        return add_job(self.database, **new)

    def start(self) -> Job:
        """A job whose file is stored and whose first attempt runs."""
        file = add_file(self.database)
        self.store.put(file.object_key, b"ten bytes.")
        job = self.job(file=file)
        scheduler = self.scheduler()
        scheduler.tick()
        scheduler.tick()
        self.sync(job)
        return self.see(job)

    def see(self, job: Job) -> Job:
        return get_job(self.database, job.id)

    def status(self, job: Job) -> JobStatus:
        return self.see(job).status

    def messages(self, job: Job) -> list[str]:
        return messages(self.database, job.id)

    def cancel(self, job: Job) -> None:
        with self.database.write() as session:
            Jobs(session, TENANT).cancel(job.id)

    def spec(self, submission_id: str) -> JobSpec:
        return JobSpec.model_validate_json(self.store.get(self.ray.specs[submission_id]))

    def sync(
        self,
        job: Job,
        events: Sequence[NumberedEvent] = (),
        state: RunnerState | None = None,
        *,
        attempt: int | None = None,
    ) -> SyncResponse:
        """Syncs as the runner of the newest attempt, with the token from its stored specification."""
        number = attempt or self.see(job).attempt
        token = self.spec(f"{job.id}-a{number}").attempt_token
        with self.database.write() as session:
            request = SyncRequest(events=list(events), state=state or Running())
            return Attempts(session, self.settings.retries).sync(job.id, number, token, request)

    def checkpoint(
        self, job: Job, seq: int, number: int, *, attempt: int | None = None
    ) -> NumberedCheckpoint:
        """Stores a checkpoint with one weight file, by default as the newest attempt."""
        key, digest = self._write_manifest(job, number, attempt)
        return NumberedCheckpoint(
            seq=seq,
            created_at=1,
            step=number,
            manifest_key=key,
            manifest_sha256=digest,
            form="lora",
            metrics=step(seq, number, TOTAL_STEPS),
            provenance=provenance_of(Manifest.model_validate_json(self.store.get(key))),
        )

    def finished(
        self,
        job: Job,
        report: EvaluationReport | None = None,
        cost: RunCost | None = None,
        *,
        attempt: int | None = None,
    ) -> Finished:
        key, digest = self._write_manifest(job, TOTAL_STEPS, attempt)
        return Finished(
            trained_tokens=321,
            manifest_key=key,
            manifest_sha256=digest,
            form="lora",
            report=report,
            cost=cost,
        )

    def train(self, job: Job, report: EvaluationReport | None = None, cost: RunCost | None = None) -> None:
        """Reports all steps and the end in one sync."""
        events = [step(number - 1, number, TOTAL_STEPS) for number in range(1, TOTAL_STEPS + 1)]
        self.sync(
            job, [*events, self.checkpoint(job, TOTAL_STEPS, TOTAL_STEPS)], self.finished(job, report, cost)
        )
        self.ray.statuses[f"{job.id}-a{self.see(job).attempt}"] = "succeeded"

    def models(self) -> list[tables.Model]:
        with self.database.read() as session:
            return list(session.scalars(select(tables.Model)))

    def attempts(self, job: Job) -> list[tables.Attempt]:
        with self.database.read() as session:
            wanted = select(tables.Attempt).where(tables.Attempt.job_id == job.id)
            return list(session.scalars(wanted.order_by(tables.Attempt.number)))

    def silence(self, job: Job, seconds: float) -> None:
        """Moves the last heartbeat of the job's attempts `seconds` into the past."""
        with self.database.write() as session:
            session.execute(
                update(tables.Attempt)
                .where(tables.Attempt.job_id == job.id)
                .values(heartbeat_at=tables.Attempt.heartbeat_at - seconds)
            )

    def pass_time(self, job: Job, seconds: float) -> None:
        """Moves the job's retry time and the starts of its waits `seconds` into the past."""
        with self.database.write() as session:
            publishing = session.get_one(tables.Job, job.id).publishing
            if publishing is not None:
                publishing = {**publishing, "since": publishing["since"] - seconds}
            session.execute(
                update(tables.Job)
                .where(tables.Job.id == job.id)
                .values(
                    retry_at=tables.Job.retry_at - seconds,
                    waiting_since=tables.Job.waiting_since - seconds,
                    publishing=publishing,
                )
            )

    def advance(self, seconds: float) -> None:
        """Lets time pass: moves everything that the scheduler compares with the clock into the past."""
        job, attempt = tables.Job, tables.Attempt
        with self.database.write() as session:
            columns = ("retry_at", "waiting_since", "queued_at")
            session.execute(update(job).values({name: getattr(job, name) - seconds for name in columns}))
            columns = ("created_at", "started_at", "heartbeat_at", "ended_at", "released_at")
            session.execute(
                update(attempt).values({name: getattr(attempt, name) - seconds for name in columns})
            )
            session.execute(update(tables.Lease).values(expires_at=tables.Lease.expires_at - seconds))

    def log(self, job: Job):
        return log_of(self.database, job.id)

    def _write_manifest(self, job: Job, number: int, attempt: int | None = None) -> tuple[str, str]:
        current = self.see(job)
        attempt = attempt or current.attempt
        key = manifest_key(job.id, attempt, number)
        weights = b"weights of step %d" % number
        self.store.put(sibling_key(key, "adapter.safetensors"), weights)
        manifest = Manifest(
            job_id=job.id,
            attempt=attempt,
            step=number,
            total_steps=TOTAL_STEPS,
            epoch=1.0,
            form="lora",
            base_alias=job.model,
            base_digest="0" * 64,
            data_sha256=self.data_sha256,
            validation_sha256=None if current.validation_file is None else "0" * 64,
            general_sha256=None if current.training.general_file is None else "0" * 64,
            template_sha256="0" * 64,
            environment=Environment(versions={"python": "3"}, code_sha256="0" * 64, device="cpu"),
            config=self.spec(f"{job.id}-a{attempt}").config,
            files=[
                ManifestFile(
                    name="adapter.safetensors", bytes=len(weights), sha256=hashlib.sha256(weights).hexdigest()
                )
            ],
            probe=Probe(token_ids=[[1, 2, 3]], logprobs=[[-1.0, -1.0]], base=self.base_scores),
            answer_prompts=self.answer_prompts,
        )
        content = manifest.model_dump_json().encode()
        self.store.put(key, content)
        return key, hashlib.sha256(content).hexdigest()
