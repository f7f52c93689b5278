"""Turns a runner's reports into rows: log lines in OpenAI's wording, checkpoints and progress."""

import math
from collections.abc import Sequence
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from cluster.contracts.integrations import TRACKER_NAMES, TrackerReport
from cluster.contracts.jobs import (
    CheckpointSaved,
    NumberedEvent,
    ResumeStateSaved,
    RunnerMessage,
    StepMetrics,
    WorkersStarted,
)
from service.db import tables
from service.db.ids import new_id
from service.db.jobs.faults import RESET_FAULTS
from service.db.models.aliases import models_with_aliases
from service.db.retention.holds import Held, held_of
from service.db.superseded import note_superseded
from service.db.transitions import NewEvent, add_events

_LONGEST_REPORT = 2000
"""Maximum number of characters of a tracker's report."""
CHECKPOINTS_KEPT = 3
"""Number of a job's newest checkpoints that are listed and usable, as with OpenAI."""


def record_events(
    session: Session,
    job: tables.Job,
    attempt: int,
    events: Sequence[NumberedEvent],
    *,
    at: float,
    checkpoints_kept: int = CHECKPOINTS_KEPT,
) -> None:
    """Adds the new ones of `events`, which are ordered by `seq`.

    The caller holds the job's lock. Nothing is recorded twice: an event is identified by (attempt, seq), and
    a step or checkpoint also by its number, because an attempt that continues from a checkpoint repeats the
    steps after it.
    """
    known = _known_seqs(session, job, attempt, events)
    last_step = int((job.progress or {}).get("step", 0))
    last_checkpoint = session.scalar(
        select(func.max(tables.Checkpoint.step)).where(tables.Checkpoint.job_id == job.id)
    )
    new: list[NewEvent] = []
    for event in events:
        if event.seq in known:
            continue
        match event:
            case StepMetrics():
                if event.step <= last_step:
                    continue
                last_step = event.step
                _note_progress(job)
                _show_progress(job, event, at)
                data = metrics_of(event) | _optimizer(event) | _progress(event) | {"attempt": attempt}
                line = NewEvent(_step_message(event), type="metrics", data=data)
            case CheckpointSaved():
                if last_checkpoint is not None and event.step <= last_checkpoint:
                    _take_again(session, job, event, at)
                    continue
                last_checkpoint = event.step
                _note_progress(job)
                if event.provenance is not None:
                    job.provenance = event.provenance.model_dump(mode="json")
                line = NewEvent(_add_checkpoint(session, job, event, at, checkpoints_kept))
            case ResumeStateSaved():
                _take_resume_state(session, job, event, at)
                continue
            case WorkersStarted():
                _note_start(session, job, attempt, event, at)
                continue
            case TrackerReport():
                if not _note_report(job, event):
                    continue
                line = _report_line(event)
            case RunnerMessage():
                line = NewEvent(event.message.replace("\x00", "\ufffd"), level=event.level)
        new.append(_stamped(line, event, attempt, at))
    add_events(session, job, new, at=at)


def metrics_of(step: StepMetrics) -> dict[str, Any]:
    """The metrics under OpenAI's names, or under ours if OpenAI has none. Values that were not measured are
    absent; values that are not a number are null."""
    return _measured(
        step=step.step,
        train_loss=step.train_loss,
        train_mean_token_accuracy=step.train_mean_token_accuracy,
        valid_loss=step.valid_loss,
        valid_mean_token_accuracy=step.valid_mean_token_accuracy,
        full_valid_loss=step.full_valid_loss,
        full_valid_mean_token_accuracy=step.full_valid_mean_token_accuracy,
        full_valid_f1=step.full_valid_f1,
        reward_margin=step.reward_margin,
    )


def _known_seqs(
    session: Session, job: tables.Job, attempt: int, events: Sequence[NumberedEvent]
) -> frozenset[int | None]:
    if not events:
        return frozenset()
    rows = session.scalars(
        select(tables.JobEvent.attempt_seq).where(
            tables.JobEvent.job_id == job.id,
            tables.JobEvent.attempt == attempt,
            tables.JobEvent.attempt_seq.between(events[0].seq, events[-1].seq),
        )
    )
    return frozenset(rows)


def _stamped(line: NewEvent, event: NumberedEvent, attempt: int, at: float) -> NewEvent:
    return NewEvent(
        message=line.message,
        level=line.level,
        type=line.type,
        data=line.data,
        created_at=min(event.created_at, int(at)),
        attempt=attempt,
        attempt_seq=event.seq,
    )


def _step_message(step: StepMetrics) -> str:
    message = f"Step {step.step}/{step.total_steps}: training loss={step.train_loss:.2f}"
    if step.valid_loss is not None:
        message += f", validation loss={step.valid_loss:.2f}"
    if step.full_valid_loss is not None:
        message += f", full validation loss={step.full_valid_loss:.2f}"
    return message


def _optimizer(step: StepMetrics) -> dict[str, Any]:
    return _measured(learning_rate=step.learning_rate, grad_norm=step.grad_norm)


def _progress(step: StepMetrics) -> dict[str, Any]:
    return _measured(
        step=step.step,
        total_steps=step.total_steps,
        tokens_per_second=step.tokens_per_second,
        eta_seconds=step.eta_seconds,
        memory_bytes=step.memory_bytes,
        mfu=step.mfu,
    )


def _show_progress(job: tables.Job, step: StepMetrics, at: float) -> None:
    job.progress = _progress(step)
    eta_seconds = job.progress["eta_seconds"]
    job.estimated_finish = None if eta_seconds is None else int(at + eta_seconds)


def _note_start(session: Session, job: tables.Job, number: int, started: WorkersStarted, at: float) -> None:
    """Records that the attempt holds devices from now on."""
    attempt = session.get_one(tables.Attempt, (job.id, number))
    if attempt.started_at is None:
        attempt.started_at = at
        attempt.nodes = started.nodes or attempt.nodes


def _note_progress(job: tables.Job) -> None:
    for column, value in RESET_FAULTS.items():
        setattr(job, column, value)


def _take_resume_state(session: Session, job: tables.Job, saved: ResumeStateSaved, at: float) -> None:
    """The job continues from this state from now on. Its log does not mention that."""
    if saved.step <= job.resume_step:
        return
    _note_progress(job)
    if job.resume_manifest_key is not None:
        note_superseded(session, [job.resume_manifest_key], at=at)
    job.resume_manifest_key, job.resume_step, job.resume_saved_at = saved.manifest_key, saved.step, at


def _add_checkpoint(
    session: Session, job: tables.Job, saved: CheckpointSaved, at: float, checkpoints_kept: int
) -> str:
    name = f"{job.output_model}:ckpt-step-{saved.step}"
    session.add(
        tables.Checkpoint(
            id=new_id("ftckpt_"),
            job_id=job.id,
            step=saved.step,
            model_name=name,
            manifest_key=saved.manifest_key,
            manifest_sha256=saved.manifest_sha256,
            form=saved.form,
            metrics=metrics_of(saved.metrics),
            created_at=min(saved.created_at, int(at)),
        )
    )
    session.flush()
    if saved.best_step is not None or job.training.get("early_stopping") is None:
        superseded = _superseded(session, job, saved.best_step, checkpoints_kept)
        note_superseded(session, [row.manifest_key for row in superseded], at=at)
        for row in superseded:
            session.delete(row)
    return f"Checkpoint created at step {saved.step} with Snapshot ID: {name}"


def _take_again(session: Session, job: tables.Job, saved: CheckpointSaved, at: float) -> None:
    """An attempt that continues from an earlier state has stored this step again. The runner will name its
    own weights, so the listed checkpoint is changed to these, unless the former ones are held."""
    table = tables.Checkpoint
    row = session.scalar(select(table).where(table.job_id == job.id, table.step == saved.step))
    if row is None or row.manifest_key == saved.manifest_key:
        return
    if held_of(session, job.project_id).has_model(row.model_name, job.id):
        return
    note_superseded(session, [row.manifest_key], at=at)
    row.manifest_key, row.manifest_sha256, row.form = saved.manifest_key, saved.manifest_sha256, saved.form


def _note_report(job: tables.Job, report: TrackerReport) -> bool:
    """Returns whether the report is new: each attempt opens the run again."""
    results = job.integration_results or {}
    former = results.get(report.tracker)
    # The page of a run stays the same, whatever happens to the run.
    told = {"url": report.url or (former or {}).get("url"), "problem": report.problem}
    result = {name: _stored_text(text) for name, text in told.items() if text is not None}
    if result == former:
        return False
    job.integration_results = results | {report.tracker: result}
    return True


def _report_line(report: TrackerReport) -> NewEvent:
    name = TRACKER_NAMES[report.tracker]
    data: dict[str, Any] = {"integration": report.tracker}
    if report.problem is not None:
        message = f"{name} gets no more metrics from this job. {_stored_text(report.problem)}"
        return NewEvent(message, level="warn", data=data)
    if report.url is None:
        return NewEvent(f"Streaming metrics to {name}", data=data)
    # OpenAI's wording.
    url = _stored_text(report.url)
    return NewEvent(f"Streaming metrics to {name} run {url}", data={**data, "url": url})


def _stored_text(text: str) -> str:
    """Replaces NUL, which PostgreSQL refuses."""
    return text[:_LONGEST_REPORT].replace("\x00", "\ufffd")


def _superseded(
    session: Session, job: tables.Job, best_step: int | None, kept: int
) -> Sequence[tables.Checkpoint]:
    """The checkpoints that are neither among the newest, nor the best one, nor named by an alias or a
    permission, nor held. With early stopping, the job may return to the best one."""
    checkpoint, permission = tables.Checkpoint, tables.CheckpointPermission
    of_job = select(checkpoint).where(checkpoint.job_id == job.id).order_by(checkpoint.step.desc())
    is_permitted = exists().where(permission.checkpoint_id == checkpoint.id)
    older = session.scalars(of_job.where(~is_permitted).offset(kept)).all()
    older = [row for row in older if row.step != best_step]
    named = models_with_aliases(session, [row.model_name for row in older])
    held = held_of(session, job.project_id) if older else Held()
    return [
        row for row in older if row.model_name not in named and not held.has_model(row.model_name, job.id)
    ]


def _measured(**figures: float | None) -> dict[str, Any]:
    """Leaves out values that are None. Infinity and NaN become null, because JSON lacks them and PostgreSQL
    refuses them."""
    return {
        name: figure if math.isfinite(figure) else None
        for name, figure in figures.items()
        if figure is not None
    }
