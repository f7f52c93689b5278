"""What a sweep deletes and what it keeps, between any steps of uploads, jobs and models."""

import hashlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, Self
from uuid import uuid4

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from prometheus_client import CollectorRegistry
from sqlalchemy import select, update
from starlette.datastructures import UploadFile

from cluster.contracts.errors import Conflict, InvalidRequest, NotFound, Unavailable
from cluster.contracts.hyperparameters import EarlyStopping, TrainingOptions
from cluster.contracts.jobs import (
    Failed,
    Finished,
    JobStatus,
    NumberedCheckpoint,
    NumberedEvent,
    NumberedResumeState,
)
from cluster.contracts.manifest import Manifest, ManifestFile, Probe
from cluster.storage.keys import (
    dataset_key,
    file_key,
    manifest_key,
    parse_key,
    part_key,
    report_key,
    sibling_key,
    spec_key,
)
from cluster.storage.local import LocalStore
from cluster.storage.s3 import S3Store
from cluster.storage.store import ObjectInfo, UnfinishedPut, unobserved
from service.api.files.new_files import NewFile, keep
from service.api.routes import files as files_route
from service.api.routes import upload_parts as upload_parts_route
from service.api.routes import uploads as uploads_route
from service.api.schemas.uploads import CreateUploadBody
from service.api.state import AppState
from service.api.uploads.completion import complete_upload
from service.db import tables
from service.db.database import Database
from service.db.files.files import Files
from service.db.files.incoming import LONGEST_SECONDS, IncomingFiles
from service.db.ids import result_file_id
from service.db.jobs.checkpoints import Checkpoints
from service.db.jobs.jobs import Job, Jobs, NewJob
from service.db.models.aliases import Aliases
from service.db.models.models import TunedModels
from service.db.organization.api_keys import Principal
from service.db.organization.audit_log import AuditFilter, AuditLog
from service.db.retention.holds import LegalHolds
from service.db.retention.rules import KINDS, RetentionRules
from service.db.retention.stored import measured_at
from service.db.transitions import HELD_BY_ATTEMPT
from service.metrics.scheduler import SchedulerMetrics
from service.scheduling.sweeping.superseding import delete_superseded
from service.scheduling.sweeping.sweep import SweepOptions, SweepReport, sweep
from service.scheduling.sweeping.sweeper import Sweeper
from service.settings import Settings
from tests.api import jsonl
from tests.databases import on_both_databases, sqlite_copy
from tests.fakes import FakeEngine, InlineExecutor
from tests.s3_servers import S3Endpoint
from tests.service.db.rows import TENANT, step
from tests.service.scheduling.world import BASE, TOTAL_STEPS, World

pytestmark = pytest.mark.slow

MIB = 1 << 20
ADMIN = Principal("key", TENANT, frozenset({"admin"}))
WEIGHTS = "adapter_model.safetensors"
PART, STATE = "resume_part-00000.safetensors", "resume_manifest.json"
NO_GRACE = SweepOptions(grace_seconds=0, resume_state_seconds=0)
NOTHING_IS_KEPT = RetentionRules(dict.fromkeys(KINDS, 0.0))


class MemoryStore:
    """An ObjectStore that lets others act before, during and after each of its operations."""

    encryption_key: str | None = None

    def __init__(self, between: Callable[[], None], is_needed: Callable[[str], bool]) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, UnfinishedPut] = {}
        self._between = between
        self._is_needed = is_needed

    def encrypted_with(self, key: str | None) -> Self:
        assert key is None
        return self

    def put(self, key: str, source: bytes | BinaryIO) -> ObjectInfo:
        content = source if isinstance(source, bytes) else source.read()
        put = UnfinishedPut(key, len(content), 0.0, uuid4().hex)
        self.parts[put.id] = put
        self._between()
        if self.parts.pop(put.id, None) is None:
            assert not self._is_needed(key), f"the put of {key} was cut off"
            raise Unavailable("aborted")
        self.objects[key] = content
        self._between()
        return ObjectInfo(key, len(content), hashlib.sha256(content).hexdigest(), 0.0)

    def get(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFound(key)
        return self.objects[key]

    def open(self, key: str, *, start: int = 0) -> BinaryIO:
        return io.BytesIO(self.get(key)[start:])

    def stat(self, key: str) -> ObjectInfo:
        return ObjectInfo(key, len(self.get(key)), None, 0.0)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for key in sorted(key for key in self.objects if key.startswith(prefix)):
            if key in self.objects:
                yield self.stat(key)
        self._between()

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def delete_many(self, keys: Sequence[str]) -> None:
        self._between()
        for key in keys:
            self.delete(key)

    def join(self, key: str, sources: Mapping[str, int]) -> bool:
        content = b""
        for source in sources:
            self._between()
            content += self.get(source)
        self.put(key, content)
        return True

    def unfinished(self, prefix: str = "") -> Iterator[UnfinishedPut]:
        yield from [put for put in self.parts.values() if put.key.startswith(prefix)]
        self._between()

    def abort(self, put: UnfinishedPut) -> None:
        self.parts.pop(put.id, None)

    def upload(self, key: str, path: Path) -> ObjectInfo:
        return self.put(key, path.read_bytes())

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        raise NotImplementedError


class Installation:
    """A world in which clients, a scheduler and runners act in any order, and sweeps run between their
    steps."""

    def __init__(self, url: str, folder: Path, random: Random) -> None:
        self.random = random
        self.world = World(url, folder)
        self.world.settings = self.world.settings.model_copy(update={"retry_seconds": 0.0})
        self.store = MemoryStore(self._between, self._is_awaited)
        self.world.store = self.store  # type: ignore[assignment]
        self.app_state = AppState(
            Settings(), self.world.database, self.store, FakeEngine(), {BASE.alias: BASE}
        )
        self.scheduler = self.world.scheduler()
        self.depth = 0
        self.is_quiet = self.is_ticking = False
        self.seqs: dict[str, int] = {}
        self.saved: dict[str, list[NumberedCheckpoint]] = {}
        """Checkpoints whose manifests are in storage, by job, whether they were reported or not."""
        self.states: dict[str, NumberedResumeState] = {}
        """The resume states beside them, by the key of the checkpoint's manifest."""
        self.holds: dict[str, set[str]] = {}
        self.held_jobs: dict[str, tuple[str, bool]] = {}
        """By hold: the job, and whether it had not ended by then. A state that was not needed any more may be
        gone before the hold."""
        """Names of models and ids of files that are held, by the hold's id."""
        with self.world.database.read() as session:
            self.key_id = session.scalars(select(tables.ApiKey.id)).one()
        self.best: dict[str, NumberedCheckpoint] = {}
        """The best checkpoint of each job, by the word of its newest attempt."""
        often = [self.whole_job, self.create_job, self.tick, self.save_checkpoint, self.train_to_the_end]
        seldom = [self.upload, self.upload_is_killed, self.delete_file, self.file_expires, self.compile]
        seldom += [self.send_part, self.send_part, self.complete_upload, self.end_upload]
        seldom += [self.hold, self.release, self.name]
        ends = [self.fail, self.mark_lost, self.cancel, self.delete_model, self.delete_checkpoint, self.sweep]
        ends += [self.delete_superseded]
        self.steps: list[Callable[[], object]] = [*often, *often, *seldom, *ends]

    def act(self) -> None:
        """Takes one random step. A refused step changes nothing."""
        self.depth += 1
        try:
            with suppress(Conflict, NotFound, InvalidRequest, Unavailable):
                self._any(self.steps)()
        finally:
            self.depth -= 1

    def _between(self) -> None:
        if not self.is_quiet and self.depth < 3 and self._chance(4):
            self.depth += 1
            self._any([self.sweep, self.delete_superseded, self.act, self.act])()
            self.depth -= 1

    def sweep(self) -> SweepReport:
        retention = self._any([RetentionRules(), RetentionRules(), NOTHING_IS_KEPT])
        options = SweepOptions(0, self._any([0.0, 1e9]), retention=retention)
        report = sweep(self.world.database, self.store, options, clock=lambda: 1)
        self.check_nothing_is_missing()
        return report

    def delete_superseded(self) -> None:
        delete_superseded(self.world.database, self.store)
        self.check_nothing_is_missing()

    def upload(self) -> None:
        content = io.BytesIO(jsonl(self._any([10, 11])))
        made = keep(self.app_state, ADMIN.tenant, content, NewFile("a.jsonl", "fine-tune"))
        assert made.status == "processed"

    def upload_is_killed(self) -> None:
        file_id = Files.new_id()
        with self.world.database.write() as session:
            IncomingFiles(session).begin(file_id)
        self.store.put(file_key(file_id), b"orphan")
        with self.world.database.write() as session:
            session.execute(
                update(tables.IncomingFile)
                .where(tables.IncomingFile.file_id == file_id)
                .values(started_at=tables.IncomingFile.started_at - 2 * LONGEST_SECONDS)
            )

    def send_part(self) -> None:
        """To a pending upload, or to a new one."""
        if not (uploads := self._pending_uploads()) or self._chance(3):
            body = CreateUploadBody(
                bytes=len(jsonl()), filename="a.jsonl", mime_type="text/jsonl", purpose="fine-tune"
            )
            uploads = [uploads_route.create(body, ADMIN, self.app_state).id]
        data = UploadFile(io.BytesIO(jsonl()), size=len(jsonl()))
        upload_parts_route.create(ADMIN, self.app_state, self._any(uploads), data)

    def complete_upload(self) -> None:
        upload_id = self._any(self._pending_uploads())
        with self.world.database.read() as session:
            parts = select(tables.UploadPart.id).where(tables.UploadPart.upload_id == upload_id)
            part_id = self._any(session.scalars(parts).all())
        made = complete_upload(self.app_state, TENANT, upload_id, [part_id], md5=None)
        assert made.status == "completed"

    def end_upload(self) -> None:
        """It is cancelled, or its time is over."""
        upload_id = self._any(self._pending_uploads())
        if self._chance(2):
            uploads_route.cancel(ADMIN, self.app_state, upload_id)
        else:
            self._uploads_expire(upload_id)

    def _uploads_expire(self, *upload_ids: str) -> None:
        row = tables.Upload
        with self.world.database.write() as session:
            session.execute(
                update(row).where(row.id.in_(upload_ids)).values(expires_at=1, completer_expires_at=None)
            )

    def _pending_uploads(self) -> list[str]:
        with self.world.database.read() as session:
            return list(session.scalars(select(tables.Upload.id).where(tables.Upload.status == "pending")))

    def delete_file(self) -> None:
        files_route.delete(ADMIN, self.app_state, self._any(self._files()).id)

    def file_expires(self) -> None:
        held = self._all_held()
        id = self._any([file.id for file in self._files() if file.id not in held])
        with self.world.database.write() as session:
            session.execute(update(tables.File).where(tables.File.id == id).values(expires_at=1))

    def create_job(self) -> None:
        file = self._any(self._files())
        names = self._names()
        with self.world.database.write() as session:
            start = self._any(names) if names and self._chance(2) else None
            restores, stops = self._chance(2), self._chance(2)
            key = None
            if start is not None:
                held = TunedModels(session, TENANT).resolve_and_lock(start)
                key = held.adapter.manifest_key
                restores = restores and Jobs(session, TENANT).get(held.job_id).has_resume_state_of(key)
            training = TrainingOptions(
                from_checkpoint=start,
                restore_optimizer=restores and start is not None,
                validation_split=0.1,
                early_stopping=EarlyStopping() if stops else None,
            )
            new = NewJob(model="tiny", training_file=file.id, start_from=key, training=training)
            Jobs(session, TENANT).create(new)

    def whole_job(self) -> None:
        """Runs a job from creation to end, unless other steps interfere."""
        saves = [self.save_checkpoint] * self.random.randrange(1, TOTAL_STEPS)
        for act in (self.create_job, self.tick, self.tick, *saves, self.train_to_the_end):
            act()
        self.tick()

    def tick(self) -> None:
        """Never nested: one scheduler leads, and it has one thread."""
        if not self.is_ticking:
            self.is_ticking = True
            try:
                self.scheduler.tick()
            finally:
                self.is_ticking = False

    def compile(self) -> None:
        job = self._any(self._unfinished())
        self.store.put(dataset_key(self._data_sha256(job), "0a"), b"compiled")

    def save_checkpoint(self) -> None:
        job = self._any(self._running())
        number = 1 + max((saved.step for saved in self._own(job)), default=self._newest_step(job))
        if number > TOTAL_STEPS:
            return
        self._write_checkpoint(job, number)
        if self._chance(2):
            self.world.sync(job, self._untold_events(job))

    def train_to_the_end(self) -> None:
        job = self._any(self._running())
        number = 1 + max((saved.step for saved in self._own(job)), default=self._newest_step(job))
        if number <= TOTAL_STEPS:
            self._write_checkpoint(job, TOTAL_STEPS)
        self.world.sync(job, self._untold_events(job))
        self._between()
        best = self._any(self._listed(job)[:1])
        if job.training.early_stopping is not None:
            best = self.best[job.id]
        finished = Finished(
            trained_tokens=1,
            manifest_key=best.manifest_key,
            manifest_sha256=best.manifest_sha256,
            form="lora",
        )
        self.world.sync(job, [], finished)

    def fail(self) -> None:
        job = self._any(self._running())
        is_user_fault = self._chance(2)
        self.world.sync(job, [], Failed(code="x", message="x", is_user_fault=is_user_fault))

    def mark_lost(self) -> None:
        self.world.silence(self._any(self._held()), 10_000)
        self.tick()

    def cancel(self) -> None:
        self.world.cancel(self._any(self._unfinished()))

    def delete_model(self) -> None:
        with self.world.database.write() as session:
            models = TunedModels(session, TENANT)
            models.delete(self._any([model.name for model in models.list()]))

    def delete_checkpoint(self) -> None:
        with self.world.database.write() as session:
            names = list(session.scalars(select(tables.Checkpoint.model_name)))
            TunedModels(session, TENANT).delete(self._any(names))

    def hold(self) -> None:
        """A hold on anything. It stays, whatever else happens."""
        jobs, files = self._jobs(), self._files()
        id = self._any([*(job.id for job in jobs), *(file.id for file in files), *self._names()])
        with self.world.database.write() as session:
            hold = LegalHolds(session, TENANT).place(id, "a lawsuit", api_key_id=self.key_id)
            held = {id}
            if hold.type == "job":
                job = session.get_one(tables.Job, id)
                of_job = select(tables.Checkpoint.model_name).where(tables.Checkpoint.job_id == id)
                made = select(tables.Model.id).filter_by(job_id=id, deleted_at=None)
                held = {job.training_file, *session.scalars(of_job), *session.scalars(made)}
                held &= {*self._names(), *(file.id for file in files)}
                self.held_jobs[hold.id] = id, not JobStatus(job.status).is_terminal
        self.holds[hold.id] = held

    def release(self) -> None:
        id = self._any(list(self.holds))
        with self.world.database.write() as session:
            LegalHolds(session, TENANT).release(id)
        del self.holds[id]
        self.held_jobs.pop(id, None)

    def name(self) -> None:
        """An alias moves to a model or a checkpoint."""
        name = self._any(self._names())
        with self.world.database.write() as session:
            TunedModels(session, TENANT).resolve_and_lock(name)
            Aliases(session, TENANT).point("it@prod", name, api_key_id=self.key_id)
        self.named = name

    def check_nothing_is_missing(self) -> None:
        missing = self._needed() - self.store.objects.keys()
        assert not missing, missing

    def settle(self) -> None:
        """Stops all activity and sweeps once."""
        self.is_quiet = True
        with self.world.database.write() as session:
            session.execute(update(tables.IncomingFile).values(started_at=1.0))
        self._uploads_expire(*self._pending_uploads())
        sweep(self.world.database, self.store, NO_GRACE, clock=lambda: 1)
        self.check_nothing_is_missing()
        surplus = {key for key in self.store.objects.keys() - self._needed() if not self._is_allowed(key)}
        assert not surplus, surplus
        assert not {key for key in self.store.parts if not self._is_allowed(self.store.parts[key].key)}

    def delete_everything(self) -> None:
        """Deletes all that the API lists, as a client would."""
        self.is_quiet = True
        for id in list(self.holds):
            with self.world.database.write() as session:
                LegalHolds(session, TENANT).release(id)
        self.holds, self.held_jobs = {}, {}
        with self.world.database.write() as session:
            for alias in Aliases(session, TENANT).list():
                Aliases(session, TENANT).point(alias.name, None, api_key_id=self.key_id)
        for job in self._unfinished():
            self.world.cancel(job)
        with self.world.database.write() as session:
            models = TunedModels(session, TENANT)
            for name in [model.name for model in models.list()]:
                models.delete(name)
            for job in self._jobs():
                for checkpoint in Checkpoints(session, TENANT).page(job.id, limit=100).data:
                    models.delete(checkpoint.model_name)
        for file in self._files():
            files_route.delete(ADMIN, self.app_state, file.id)

    def _needed(self) -> set[str]:
        """Keys of all objects that clients or runners may still read."""
        needed: set[str] = set()
        gone = self._all_held() - {*self._names(), *(file.id for file in self._files())}
        assert not gone, "they were held"
        with self.world.database.read() as session:
            rows = session.scalars(select(tables.File).where(tables.File.deleted_at.is_(None)))
            needed |= {row.object_key for row in rows}
            needed |= {
                part_key(part.upload_id, part.id) for part in session.scalars(select(tables.UploadPart))
            }
            named = {model.adapter.manifest_key for model in TunedModels(session, TENANT).list()}
            named |= set(session.scalars(select(tables.Checkpoint.manifest_key)))
            for manifest in named:
                needed |= self._checkpoint_keys(manifest, False)
            for job in self._jobs():
                key = job.resume_manifest_key
                # An ended job does not go on itself. Another one can only restore what it can name.
                if job.resume_state_gone_at is None and key is not None:
                    is_named = sibling_key(key, "manifest.json") in named
                    is_held = (job.id, True) in self.held_jobs.values()
                    is_needed = is_named or is_held or not job.status.is_terminal
                    needed |= self._state_keys(key) if is_needed else set()
            for job in self._unfinished():
                for file_id in (job.training_file, job.validation_file, job.training.general_file):
                    needed |= set() if file_id is None else {file_key(file_id)}
                if job.start_from is not None:
                    needed |= self._checkpoint_keys(job.start_from, job.training.restore_optimizer)
                if job.status is JobStatus.PUBLISHING:
                    result = session.get_one(tables.Attempt, (job.id, job.attempt)).result
                    assert result is not None
                    needed |= self._checkpoint_keys(result["manifest_key"], False)
        for job in self._running():
            needed.add(spec_key(job.id, job.attempt))
            for saved in self._untold(job):
                needed |= self._checkpoint_keys(saved.manifest_key, True)
        for job in self._unfinished():
            best = self.best.get(job.id)
            if best is not None and best.step in self._listed_steps(job):
                needed |= self._checkpoint_keys(best.manifest_key, False)
        return needed

    def _is_allowed(self, key: str) -> bool:
        """Whether the object may stay although nothing needs it: it could be created anew, or is in
        progress."""
        kind, *rest = key.split("/")
        if kind == "uploads":
            return rest[0] in self._pending_uploads()
        if kind == "datasets":
            with self.world.database.read() as session:
                live = select(tables.File.sha256).where(tables.File.deleted_at.is_(None))
                return rest[0] in set(session.scalars(live))
        publishing = [job for job in self._unfinished() if job.status is JobStatus.PUBLISHING]
        if kind == "files":
            return rest[0] in {result_file_id(job.id) for job in publishing}
        job = self.world.see(next(job for job in self._jobs() if job.id == rest[0]))
        if job.status.is_terminal:
            state = job.resume_manifest_key
            if (job.id, False) in self.held_jobs.values() and state and key in self._state_keys(state):
                return True
            # Checkpoints that a job starts from.
            return any((other.start_from or "").rpartition("/")[0] in key for other in self._unfinished())
        place = parse_key(key)
        is_own = job.status in HELD_BY_ATTEMPT and key.startswith(f"jobs/{job.id}/attempts/{job.attempt}/")
        return is_own and (getattr(place, "step", None) or 10**9) > self._newest_step(job)

    def _is_awaited(self, key: str) -> bool:
        """Whether this put may still succeed: its upload or attempt has not been replaced."""
        kind, *rest = key.split("/")
        if kind != "jobs":
            with self.world.database.read() as session:
                is_upload = session.get(tables.IncomingFile, rest[0]) is not None
            return is_upload or self._is_allowed(key)
        job = self.world.see(next(job for job in self._jobs() if job.id == rest[0]))
        return job.status in HELD_BY_ATTEMPT and f"/attempts/{job.attempt}/" in key

    def _checkpoint_keys(self, manifest_key: str, with_resume: bool) -> set[str]:
        served = {manifest_key, sibling_key(manifest_key, WEIGHTS)}
        return served | self._state_keys(manifest_key) if with_resume else served

    def _state_keys(self, manifest_key: str) -> set[str]:
        return {sibling_key(manifest_key, name) for name in (PART, STATE)}

    def _write_checkpoint(self, job: Job, number: int) -> None:
        assert job.config is not None
        key = manifest_key(job.id, job.attempt, number)
        content = f"weights of step {number}".encode()
        self.store.put(sibling_key(key, WEIGHTS), content)
        digest = hashlib.sha256(content).hexdigest()
        files = [ManifestFile(name=WEIGHTS, bytes=len(content), sha256=digest)]
        self.store.put(sibling_key(key, PART), b"part")
        manifest = Manifest(
            job_id=job.id,
            attempt=job.attempt,
            step=number,
            total_steps=TOTAL_STEPS,
            epoch=1.0,
            form="lora",
            base_alias=job.model,
            base_digest="0" * 64,
            data_sha256=self._data_sha256(job),
            template_sha256="0" * 64,
            config=job.config,
            files=files,
            probe=Probe(token_ids=[[1, 2, 3]], logprobs=[[-1.0, -1.0]]),
        )
        content = manifest.model_dump_json().encode()
        self.store.put(key, content)
        self.store.put(sibling_key(key, STATE), b"state")
        before = self.best.get(job.id)
        is_known = before is not None and before.step in self._listed_steps(job)
        keeps_best = is_known and self._chance(2)
        saved = NumberedCheckpoint(
            seq=self.seqs.get(job.id, 0),
            created_at=1,
            step=number,
            manifest_key=key,
            manifest_sha256=hashlib.sha256(content).hexdigest(),
            form="lora",
            metrics=step(0, number, TOTAL_STEPS),
            best_step=before.step if before is not None and keeps_best else number,
        )
        if not keeps_best:
            self.best[job.id] = saved
        self.states[key] = NumberedResumeState(
            seq=saved.seq + 1,
            created_at=1,
            step=number,
            manifest_key=sibling_key(key, STATE),
            manifest_sha256="0" * 64,
        )
        self.seqs[job.id] = saved.seq + 2
        self.saved.setdefault(job.id, []).append(saved)

    def _data_sha256(self, job: Job) -> str:
        with self.world.database.read() as session:
            return session.get_one(tables.File, job.training_file).sha256

    def _own(self, job: Job) -> list[NumberedCheckpoint]:
        """Checkpoints of the job's current attempt."""
        prefix = f"jobs/{job.id}/attempts/{job.attempt}/"
        return [saved for saved in self.saved.get(job.id, []) if saved.manifest_key.startswith(prefix)]

    def _untold(self, job: Job) -> list[NumberedCheckpoint]:
        return [saved for saved in self._own(job) if saved.step > self._newest_step(job)]

    def _untold_events(self, job: Job) -> list[NumberedEvent]:
        return [event for saved in self._untold(job) for event in (saved, self.states[saved.manifest_key])]

    def _listed_steps(self, job: Job) -> set[int]:
        with self.world.database.read() as session:
            found = select(tables.Checkpoint.step).where(tables.Checkpoint.job_id == job.id)
            return set(session.scalars(found))

    def _listed(self, job: Job) -> list[Any]:
        with self.world.database.read() as session:
            return list(Checkpoints(session, TENANT).page(job.id).data)

    def _newest_step(self, job: Job) -> int:
        return max((checkpoint.step for checkpoint in self._listed(job)), default=0)

    def _names(self) -> list[str]:
        with self.world.database.read() as session:
            models = [model.name for model in TunedModels(session, TENANT).list()]
            return models + list(session.scalars(select(tables.Checkpoint.model_name)))

    def _all_held(self) -> set[str]:
        return set().union(*self.holds.values())

    def _files(self) -> list[Any]:
        with self.world.database.read() as session:
            return list(Files(session, TENANT).list().data)

    def _jobs(self) -> list[Job]:
        with self.world.database.read() as session:
            return list(Jobs(session, TENANT).list(limit=100).data)

    def _unfinished(self) -> list[Job]:
        return [job for job in self._jobs() if not job.status.is_terminal]

    def _held(self) -> list[Job]:
        return [job for job in self._jobs() if job.status in HELD_BY_ATTEMPT]

    def _running(self) -> list[Job]:
        """Jobs whose runners have been started."""
        return [job for job in self._held() if f"{job.id}-a{job.attempt}" in self.world.ray.specs]

    def _chance(self, one_in: int) -> bool:
        return self.random.randrange(one_in) == 0

    def _any(self, items: Sequence[Any]) -> Any:
        if not items:
            raise NotFound("nothing there")
        return self.random.choice(items)


@pytest.fixture(scope="module")
def installation(sqlite_template: Path) -> Callable[..., Any]:
    @contextmanager
    def make(random: Random) -> Iterator[Installation]:
        with tempfile.TemporaryDirectory() as folder:
            made = Installation(sqlite_copy(sqlite_template), Path(folder), random)
            yield made
            made.world.close()

    return make


_ANY_STEPS = settings(
    deadline=None,
    # Ids and times do not depend on the seed, so that shrinking is pointless.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


@settings(_ANY_STEPS, max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_no_sweep_between_any_steps_deletes_what_is_needed_and_one_at_the_end_deletes_all_else(
    installation: Callable[..., Any], seed: int
) -> None:
    check_any_steps(installation, seed)


@pytest.mark.thorough
@settings(_ANY_STEPS, max_examples=100)
@given(seed=st.integers(0, 2**32))
def test_nor_does_one_in_many_more_runs(installation: Callable[..., Any], seed: int) -> None:
    check_any_steps(installation, seed)


def check_any_steps(installation: Callable[..., Any], seed: int) -> None:
    random = Random(seed)
    with installation(random) as made:
        made.upload()
        for _ in range(random.randrange(5, 40)):
            made.act()
        failures = [job.error for job in made._jobs() if job.status is JobStatus.FAILED]
        assert {error.code for error in failures} <= {"x", "platform_error"}, failures
        made.settle()
        made.delete_everything()
        sweep(made.world.database, made.store, NO_GRACE, clock=lambda: 1)
        assert made.store.objects == {}
        assert made.store.parts == {}


@pytest.fixture(params=["folder", "moto", "rclone"])
def whole(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[World]:
    """A world with a real store of each kind."""
    world = World(database_url, tmp_path / "objects")
    if request.param != "folder":
        endpoint: S3Endpoint = request.getfixturevalue(
            "moto_endpoint" if request.param == "moto" else "s3_endpoint"
        )
        with pytest.MonkeyPatch.context() as patch:
            for name, value in endpoint.environment.items():
                patch.setenv(name, value)
            world.store = S3Store(endpoint.bucket, prefix=uuid4().hex, endpoint_url=endpoint.url)  # type: ignore[assignment]
    yield world
    world.close()


def upload(world: World) -> str:
    state = AppState(Settings(), world.database, world.store, FakeEngine(), {BASE.alias: BASE})
    return keep(state, ADMIN.tenant, io.BytesIO(jsonl()), NewFile("a.jsonl", "fine-tune")).id


def keys(world: World) -> list[str]:
    return [info.key for info in world.store.list()]


def only_file(world: World, file_id: str) -> Any:
    with world.database.read() as session:
        return Files(session, TENANT).get(file_id)


def published(world: World) -> Job:
    """A succeeded job, with a compiled file and superseded checkpoints in storage."""
    file = only_file(world, upload(world))
    world.data_sha256 = file.sha256
    job = world.job(file=file)
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    world.store.put(dataset_key(file.sha256, "0a"), b"compiled")
    world.store.put(report_key(file.sha256, "0b"), b"{}")
    for number in range(1, TOTAL_STEPS):
        world.sync(job, [world.checkpoint(job, 10 + number, number)])
    world.train(job)
    scheduler.tick()
    assert world.status(job) is JobStatus.SUCCEEDED, world.see(job).error
    return world.see(job)


def delete_all(world: World, job: Job) -> None:
    with world.database.write() as session:
        TunedModels(session, TENANT).delete(job.output_model)
        for file in Files(session, TENANT).list().data:
            Files(session, TENANT).delete(file.id)


def test_one_sweep_after_everything_was_deleted_leaves_a_fresh_installation(whole: World) -> None:
    """Interrupted uploads are deleted too."""
    fresh = keys(whole)
    job = published(whole)
    upload(whole)
    put_is_cut_off(whole, f"files/{Files.new_id()}")
    put_is_cut_off(whole, manifest_key(job.id, 1, 9))
    delete_all(whole, job)
    before = {info.key: info.bytes for info in whole.store.list()}
    left = sum(put.bytes for put in whole.store.unfinished())
    dry = sweep(whole.database, whole.store, SweepOptions(0, 0, is_dry_run=True), clock=later)
    assert {info.key: info.bytes for info in whole.store.list()} == before
    assert dry.total().bytes == sum(before.values()) + left > 16 * MIB
    report = sweep(whole.database, whole.store, NO_GRACE, clock=later)
    assert report == dry
    assert keys(whole) == fresh == []
    assert list(whole.store.unfinished()) == []


def later() -> float:
    """Clocks of stores may differ slightly, and may have a resolution of a second."""
    return time.time() + 5


def put_is_cut_off(world: World, key: str) -> None:
    """An upload whose process dies after 8 MiB, without cleaning up."""
    store = world.store
    if isinstance(store, LocalStore):
        path = store._root / f"{key}~{uuid4().hex[:16]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(8 * MIB))
        return
    name = store._name(key)
    made = store._client.create_multipart_upload(Bucket=store._bucket, Key=name)
    store._client.upload_part(
        Bucket=store._bucket, Key=name, UploadId=made["UploadId"], PartNumber=1, Body=bytes(8 * MIB)
    )


def test_an_ended_job_keeps_what_can_be_served_and_for_a_while_its_resume_state(
    world: World,
) -> None:
    job = published(world)
    folder = manifest_key(job.id, 1, TOTAL_STEPS).removesuffix("manifest.json")
    superseded = manifest_key(job.id, 1, 1)
    world.store.put(folder + PART, b"moments")
    sweep(world.database, world.store, SweepOptions(0, resume_state_seconds=1e6), clock=later)
    assert superseded not in keys(world)
    assert spec_key(job.id, 1) not in keys(world)
    assert folder + PART in keys(world)
    assert world.see(job).resume_state_gone_at is None
    sweep(world.database, world.store, NO_GRACE, clock=later)
    assert folder + PART not in keys(world)
    assert world.see(job).resume_state_gone_at is not None
    with world.database.read() as session:
        wanted = AuditFilter(event_types=["fine_tuning.job.resume_state.deleted"])
        (entry,) = AuditLog(session, TENANT.organization_id).page(wanted).data
    assert (entry["fine_tuning.job.resume_state.deleted"], entry["actor"]) == ({"id": job.id}, None)
    steps = range(TOTAL_STEPS - 2, TOTAL_STEPS + 1)
    weights = [sibling_key(manifest_key(job.id, 1, number), "adapter.safetensors") for number in steps]
    assert set(weights) <= set(keys(world))


def test_objects_younger_than_the_grace_stay(world: World) -> None:
    delete_all(world, published(world))
    before = keys(world)
    report = sweep(world.database, world.store, SweepOptions(grace_seconds=3600, resume_state_seconds=0))
    assert (keys(world), report.total().objects, report.kept.objects) == (before, 0, len(before))


def test_nothing_is_deleted_for_a_database_that_was_never_used(world: World, sqlite_template: Path) -> None:
    """A mistyped database URL must not delete all models."""
    published(world)
    before = keys(world)
    with closing(Database(f"sqlite:///{sqlite_template}")) as other:
        assert sweep(other, world.store, NO_GRACE, clock=later) == SweepReport()
    assert keys(world) == before


def test_foreign_objects_are_left_alone(world: World) -> None:
    published(world)
    foreign = ["backup/2026.tar", "files/a/b", "jobs/x", "jobs/y/attempts/one/spec.json", "datasets/x"]
    for key in foreign:
        world.store.put(key, b"1")
    sweep(world.database, world.store, NO_GRACE, clock=later)
    assert set(foreign) <= set(keys(world))


def test_an_upload_in_progress_is_not_swept_but_an_abandoned_one_cannot_become_a_file(
    world: World,
) -> None:
    published(world)
    file_id = Files.new_id()
    with world.database.write() as session:
        IncomingFiles(session).begin(file_id)
    world.store.put(file_key(file_id), b"bytes")
    sweep(world.database, world.store, NO_GRACE, clock=later)
    assert file_key(file_id) in keys(world)
    with world.database.write() as session:
        session.execute(
            update(tables.IncomingFile).values(started_at=tables.IncomingFile.started_at - LONGEST_SECONDS)
        )
    sweep(world.database, world.store, NO_GRACE, clock=later)
    assert file_key(file_id) not in keys(world)
    with world.database.write() as session, pytest.raises(Unavailable, match="Send the file again"):
        IncomingFiles(session).finish(file_id)


def test_parts_are_kept_until_their_upload_has_ended_and_expires(world: World) -> None:
    state = AppState(Settings(), world.database, world.store, FakeEngine(), {BASE.alias: BASE})
    body = CreateUploadBody(bytes=3, filename="a.txt", mime_type="text/plain", purpose="user_data")
    upload_id = uploads_route.create(body, ADMIN, state).id
    data = UploadFile(io.BytesIO(b"abc"), size=3)
    part_id = upload_parts_route.create(ADMIN, state, upload_id, data).id
    sweep(world.database, world.store, NO_GRACE, clock=later)
    assert keys(world) == [part_key(upload_id, part_id)]

    def expire_at(seconds: int, completer_until: float | None) -> None:
        with world.database.write() as session:
            session.execute(
                update(tables.Upload).values(
                    expires_at=int(time.time()) + seconds, completer_expires_at=completer_until
                )
            )

    expire_at(-1, time.time() + 60)
    assert uploads_route.retrieve(ADMIN, state, upload_id).status == "pending"
    sweep(world.database, world.store, NO_GRACE, clock=later)
    assert keys(world) == [part_key(upload_id, part_id)], "it is being completed"
    expire_at(-1, None)
    assert uploads_route.retrieve(ADMIN, state, upload_id).status == "expired"
    report = sweep(world.database, world.store, NO_GRACE, clock=later)
    assert (keys(world), report.removed["parts of uploads"].bytes) == ([], 3)
    assert uploads_route.retrieve(ADMIN, state, upload_id).status == "expired"


def test_an_expired_file_is_swept_once_no_job_uses_it(world: World) -> None:
    file = only_file(world, upload(world))
    job = world.job(file=file)
    with world.database.write() as session:
        session.execute(update(tables.File).values(expires_at=1))
    sweep(world.database, world.store, NO_GRACE, clock=later)
    assert file.object_key in keys(world)
    world.cancel(job)
    sweep(world.database, world.store, NO_GRACE, clock=later)
    assert keys(world) == []


def test_a_full_disk_is_swept_of_what_needs_no_write(world: World) -> None:
    delete_all(world, published(world))

    class Full(Database):
        @contextmanager
        def write(self, *, frees_space: bool = False) -> Iterator[Any]:
            raise Unavailable("database or disk is full")
            yield

    with closing(Full(world.database._engine.url.render_as_string(hide_password=False))) as full:
        sweep(full, world.store, NO_GRACE, clock=later)
    assert keys(world) == []


@on_both_databases
def test_schedulers_sweep_once_per_interval_in_the_whole_installation(world: World) -> None:
    delete_all(world, published(world))
    settings = Settings(sweep_interval_seconds=0.05, sweep_grace_seconds=0, resume_state_seconds=0)
    registry = CollectorRegistry()
    metrics = SchedulerMetrics(registry)
    sweeper = Sweeper(world.database, world.store, settings, InlineExecutor(), metrics, name="one")
    sweeper.begin_if_due()
    assert keys(world) != [], "the first look is not at once"

    def is_swept() -> bool:
        sweeper.begin_if_due()
        return keys(world) == []

    await_true(is_swept, 300)
    removed = registry.get_sample_value("tunery_sweep_removed_bytes_total", {"kind": "checkpoints"})
    assert removed is not None
    assert removed > 0
    world.store.put("files/orphan", b"1")
    hourly = Settings(sweep_interval_seconds=3600, sweep_grace_seconds=0)
    with world.database.write() as session:
        session.execute(update(tables.Lease).where(tables.Lease.name == "sweep").values(expires_at=0.0))
    for name in ("two", "three"):
        other = Sweeper(world.database, world.store, hourly, InlineExecutor(), metrics, name=name)
        other._checks.due_at = 0.0
        other.begin_if_due()
        if name == "two":
            assert keys(world) == []
            world.store.put("files/orphan", b"1")
    assert keys(world) == ["files/orphan"]


def await_true(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_sweep_that_fails_is_counted_and_looks_like_none(world: World, tmp_path: Path) -> None:
    class Refusing(LocalStore):
        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            raise PermissionError("not allowed to list objects")

    published(world)
    settings, registry = Settings(sweep_interval_seconds=3600), CollectorRegistry()
    store = Refusing(tmp_path)
    sweeper = Sweeper(
        world.database, store, settings, InlineExecutor(), SchedulerMetrics(registry), name="one"
    )
    sweeper._checks.due_at = 0.0
    sweeper.begin_if_due()
    assert registry.get_sample_value("tunery_background_failures_total", {"work": "sweep"}) == 1
    with world.database.read() as session:
        assert measured_at(session) is None
