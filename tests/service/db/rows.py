"""Initial rows for tests of the database."""

import secrets

from sqlalchemy import select

from cluster.contracts.errors import TrainingFailed
from cluster.contracts.jobs import (
    Finished,
    JobStatus,
    NumberedCheckpoint,
    NumberedResumeState,
    NumberedStep,
    SyncRequest,
)
from service.db import tables
from service.db.database import Database, now
from service.db.files.files import File, Files
from service.db.jobs.events import Event, JobEvents
from service.db.jobs.jobs import Job, Jobs, NewJob
from service.db.jobs.publishing import refuse_publishing
from service.db.organization.api_keys import DEFAULT_TENANT, ApiKeys
from service.db.scheduler.attempts import Attempts, token_sha256
from service.db.tenancy import Tenant
from service.db.transitions import lock, transition

TENANT = DEFAULT_TENANT
OTHER = Tenant("org-other", "proj-other")
TOKEN = "t" * 64


def add_tenants(database: Database) -> None:
    with database.write() as session:
        ApiKeys(session).ensure_admin("an-admin-key-for-tests")
        session.add(tables.Organization(id=OTHER.organization_id, name="other", created_at=0))
        session.flush()
        session.add(
            tables.Project(
                id=OTHER.project_id, organization_id=OTHER.organization_id, name="other", created_at=0
            )
        )


def add_file(database: Database, tenant: Tenant = TENANT, purpose: str = "fine-tune", **checked) -> File:
    with database.write() as session:
        files = Files(session, tenant)
        file_id = Files.new_id()
        file = files.create(
            id=file_id,
            filename="data.jsonl",
            purpose=purpose,
            bytes=10,
            sha256="0" * 64,
            object_key=f"files/{file_id}",
        )
        return files.set_checked(file_id, **checked) if checked else file


def add_job(database: Database, tenant: Tenant = TENANT, file: File | None = None, **new) -> Job:
    file = file or add_file(database, tenant)
    with database.write() as session:
        return Jobs(session, tenant).create(NewJob(**{"model": "tiny", "training_file": file.id} | new))


def add_running_job(database: Database) -> Job:
    """A job whose attempt 1, with the token TOKEN, is submitted and has not synced yet."""
    job = add_job(database)
    move(database, job.id, JobStatus.QUEUED, JobStatus.STARTING)
    add_attempt(database, job.id, 1)
    return get_job(database, job.id)


def add_attempt(database: Database, job_id: str, number: int) -> None:
    with database.write() as session:
        at = now(session)
        row = lock(session, job_id)
        row.attempt = number
        session.add(
            tables.Attempt(
                job_id=job_id,
                number=number,
                submission_id=f"{job_id}-a{number}",
                token_sha256=token_sha256(TOKEN),
                state="submitted",
                created_at=at,
                heartbeat_at=at,
            )
        )


def train(database: Database, job_id: str) -> None:
    """Takes a new job to where its weights are stored."""
    move(database, job_id, JobStatus.QUEUED, JobStatus.STARTING)
    add_attempt(database, job_id, 1)
    with database.write() as session:
        request = SyncRequest(events=[step(0, 10)], state=finished(job_id, 10))
        Attempts(session).sync(job_id, 1, TOKEN, request)


def refuse(database: Database, job_id: str) -> None:
    """Fails a trained job at the publish gate."""
    error = TrainingFailed("Mean difference 0.5 nats, allowed 0.1.", code="serving_mismatch")
    with database.write() as session:
        row = lock(session, job_id)
        refuse_publishing(session, row, error, keeps_weights=True, at=now(session))


def move(database: Database, job_id: str, *path: JobStatus) -> None:
    with database.write() as session:
        for to in path:
            transition(session, lock(session, job_id), to, at=now(session))


def get_job(database: Database, job_id: str, tenant: Tenant = TENANT) -> Job:
    with database.read() as session:
        return Jobs(session, tenant).get(job_id)


def log_of(database: Database, job_id: str) -> list[Event]:
    """The whole log, oldest first. Also checks that it is numbered without gaps."""
    with database.read() as session:
        events = list(JobEvents(session, TENANT).since(job_id, seq=-1, limit=100_000))
    assert [event.seq for event in events] == list(range(len(events)))
    return events


def messages(database: Database, job_id: str) -> list[str]:
    return [event.message for event in log_of(database, job_id)]


def outbox(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(tables.OutboxEntry.topic).order_by(tables.OutboxEntry.id)))


def step(seq: int, number: int, total: int = 10, **measured) -> NumberedStep:
    return NumberedStep(
        seq=seq,
        created_at=1,
        step=number,
        total_steps=total,
        train_loss=1.0 / number,
        train_mean_token_accuracy=0.5,
        learning_rate=1e-3,
        grad_norm=1.5,
        tokens_per_second=1000.0,
        eta_seconds=60.0,
        **measured,
    )


def resume_state(job_id: str, seq: int, number: int, attempt: int = 1) -> NumberedResumeState:
    folder = f"jobs/{job_id}/attempts/{attempt}/checkpoints/step-{number:08d}"
    return NumberedResumeState(
        seq=seq,
        created_at=1,
        step=number,
        manifest_key=f"{folder}/resume_manifest.json",
        manifest_sha256=secrets.token_hex(32),
    )


def checkpoint(
    job_id: str, seq: int, number: int, attempt: int = 1, best_step: int | None = 0
) -> NumberedCheckpoint:
    return NumberedCheckpoint(
        seq=seq,
        created_at=1,
        step=number,
        manifest_key=f"jobs/{job_id}/attempts/{attempt}/checkpoints/step-{number:08d}/manifest.json",
        manifest_sha256=secrets.token_hex(32),
        form="lora",
        metrics=step(seq, number),
        best_step=best_step,
    )


def finished(job_id: str, number: int = 10, attempt: int = 1, **fields) -> Finished:
    return Finished(
        trained_tokens=1234,
        manifest_key=f"jobs/{job_id}/attempts/{attempt}/checkpoints/step-{number:08d}/manifest.json",
        manifest_sha256="0" * 64,
        **{"form": "lora"} | fields,
    )


def pass_days(database: Database, days: float) -> None:
    """Moves all that has happened so far into the past. The audit log cannot be changed."""
    with database.write() as session:
        for table in tables.Table.metadata.sorted_tables:
            if table.name in ("audit_log", "leases"):
                continue
            times = [column for column in table.c if column.name.endswith("_at") or column.name == "start"]
            if times:
                shifted = {column.name: column - int(days * 86_400) for column in times}
                session.execute(table.update().values(shifted))
