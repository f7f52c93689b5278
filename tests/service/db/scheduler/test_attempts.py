"""The runner's sync, on both databases."""

import math
import random
import threading
from dataclasses import asdict

import pytest
from sqlalchemy import select

from cluster.contracts.errors import AuthenticationFailed, Conflict, InvalidRequest
from cluster.contracts.evaluation import Comparison, EvaluationReport
from cluster.contracts.jobs import (
    Failed,
    JobStatus,
    NumberedMessage,
    NumberedStart,
    Stopped,
    SyncRequest,
    SyncResponse,
)
from service.db import tables
from service.db.database import Database
from service.db.jobs.checkpoints import Checkpoints
from service.db.jobs.jobs import Job, Jobs
from service.db.models.aliases import Aliases
from service.db.models.checkpoint_permissions import CheckpointPermissions
from service.db.organization.api_keys import ApiKeys
from service.db.organization.projects import Projects
from service.db.retention.holds import LegalHolds
from service.db.scheduler.attempts import Attempts, put_back_all
from service.db.scheduler.leases import Leases
from service.db.scheduler.store import LEASE, SchedulerStore
from service.db.superseded import superseded_folders
from service.db.usage.device_time import device_time
from tests.service.db.rows import (
    TENANT,
    TOKEN,
    add_attempt,
    add_running_job,
    add_tenants,
    checkpoint,
    finished,
    get_job,
    log_of,
    messages,
    move,
    outbox,
    resume_state,
    step,
)

REPORT = EvaluationReport(
    held_out=Comparison(n_examples=9, base_loss=2.0, tuned_loss=0.5, base_accuracy=0.25, tuned_accuracy=0.75),
    general=Comparison(n_examples=8, base_loss=1.0, tuned_loss=1.25, base_accuracy=0.5, tuned_accuracy=0.5),
    general_kl=0.125,
    regression=0.25,
)
CREATED = 2
"""Number of events that every job's log begins with."""


@pytest.fixture
def job(database: Database) -> Job:
    add_tenants(database)
    return add_running_job(database)


def sync(database: Database, job: Job, *, number: int = 1, token: str = TOKEN, **request) -> SyncResponse:
    with database.write() as session:
        return Attempts(session).sync(job.id, number, token, SyncRequest(**request))


def test_the_first_sync_starts_the_job(database: Database, job: Job) -> None:
    assert sync(database, job) == SyncResponse(command="continue")
    assert get_job(database, job.id).status is JobStatus.RUNNING
    assert messages(database, job.id)[CREATED:] == ["Fine-tuning job started"]
    sync(database, job)
    assert len(log_of(database, job.id)) == CREATED + 1


def test_a_step_is_reported_in_openais_wording(database: Database, job: Job) -> None:
    plain = step(0, 3, 300).model_copy(update={"train_loss": 0.152})
    measured = {
        "valid_loss": 0.27,
        "valid_mean_token_accuracy": 0.625,
        "full_valid_loss": 0.4,
        "full_valid_mean_token_accuracy": 0.75,
    }
    validated = step(1, 300, 300, **measured)
    sync(database, job, events=[plain, validated.model_copy(update={"train_loss": 0.15})])
    first, last = log_of(database, job.id)[-2:]
    assert first.message == "Step 3/300: training loss=0.15"
    assert first.type == "metrics"
    assert first.data == {
        "step": 3,
        "total_steps": 300,
        "train_loss": 0.152,
        "train_mean_token_accuracy": 0.5,
        "tokens_per_second": 1000.0,
        "eta_seconds": 60.0,
        "learning_rate": 1e-3,
        "grad_norm": 1.5,
        "attempt": 1,
    }
    assert last.message == "Step 300/300: training loss=0.15, validation loss=0.27, full validation loss=0.40"
    assert last.data.items() >= measured.items()


def test_a_validation_loss_is_reported_only_if_it_was_measured(database: Database, job: Job) -> None:
    sync(database, job, events=[step(0, 1, valid_loss=0.5), step(1, 2, full_valid_loss=0.25)])
    assert messages(database, job.id)[-2:] == [
        "Step 1/10: training loss=1.00, validation loss=0.50",
        "Step 2/10: training loss=0.50, full validation loss=0.25",
    ]
    first, last = log_of(database, job.id)[-2:]
    assert "full_valid_loss" not in first.data
    assert "valid_loss" not in last.data


def test_metrics_that_openai_lacks_are_reported_too(database: Database, job: Job) -> None:
    extra = {"full_valid_f1": 0.5, "reward_margin": -0.25, "memory_bytes": 2**31, "mfu": 0.375}
    sync(database, job, events=[step(0, 1, **extra)])
    assert log_of(database, job.id)[-1].data.items() >= extra.items()
    assert get_job(database, job.id).progress.items() >= {"memory_bytes": 2**31, "mfu": 0.375}.items()
    saved = checkpoint(job.id, 1, 1)
    sync(database, job, events=[saved.model_copy(update={"metrics": step(1, 1, **extra)})])
    with database.read() as session:
        metrics = Checkpoints(session, TENANT).page(job.id).data[0].metrics
    assert (metrics["full_valid_f1"], metrics["reward_margin"]) == (0.5, -0.25)


def test_the_newest_step_becomes_the_jobs_progress(database: Database, job: Job) -> None:
    sync(database, job, events=[step(0, 1), step(1, 2)])
    after = get_job(database, job.id)
    assert after.progress == {"step": 2, "total_steps": 10, "tokens_per_second": 1000.0, "eta_seconds": 60.0}
    assert after.estimated_finish is not None


def test_a_repeated_request_changes_nothing(database: Database, job: Job) -> None:
    request = {
        "events": [step(0, 1), checkpoint(job.id, 1, 1), NumberedMessage(seq=2, created_at=1, message="hi")]
    }
    sync(database, job, **request)
    before, row = log_of(database, job.id), get_job(database, job.id)
    assert sync(database, job, **request) == SyncResponse()
    assert log_of(database, job.id) == before
    assert get_job(database, job.id) == row


def test_an_upload_that_overlaps_the_last_adds_only_what_is_new(database: Database, job: Job) -> None:
    sync(database, job, events=[step(0, 1), step(1, 2)])
    sync(database, job, events=[step(1, 2), step(2, 3)])
    assert [event.data["step"] for event in log_of(database, job.id) if event.type == "metrics"] == [1, 2, 3]


def test_events_of_one_request_are_stored_in_order(database: Database, job: Job) -> None:
    events = [step(seq, seq + 1, 50) for seq in range(50)]
    random.Random(1).shuffle(events)
    sync(database, job, events=events)
    steps = [event.data["step"] for event in log_of(database, job.id) if event.type == "metrics"]
    assert steps == list(range(1, 51))


def test_concurrent_repeats_of_one_request_are_stored_once(database: Database, job: Job) -> None:
    events = [NumberedMessage(seq=seq, created_at=1, message=f"line {seq}") for seq in range(20)]
    threads = [
        threading.Thread(target=sync, args=(database, job), kwargs={"events": events}) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert messages(database, job.id)[CREATED + 1 :] == [f"line {seq}" for seq in range(20)]


def test_steps_repeated_after_a_checkpoint_are_not_recorded_again(database: Database, job: Job) -> None:
    started = NumberedStart(seq=4, created_at=1)
    sync(database, job, events=[step(0, 1), step(1, 2), checkpoint(job.id, 2, 2), step(3, 3), started])
    move(database, job.id, JobStatus.QUEUED, JobStatus.STARTING)
    add_attempt(database, job.id, 2)
    again = [step(0, 3), step(1, 4), checkpoint(job.id, 2, 4, attempt=2)]
    sync(database, job, number=2, events=again)
    steps = [event.data["step"] for event in log_of(database, job.id) if event.type == "metrics"]
    assert steps == [1, 2, 3, 4]
    log = messages(database, job.id)
    assert log.count("Fine-tuning job started") == 1
    assert "Fine-tuning job resumed by attempt 2" in log


def test_numbers_that_json_cannot_hold_become_null(database: Database, job: Job) -> None:
    wild = step(0, 1).model_copy(update={"train_loss": float("nan"), "eta_seconds": float("inf")})
    sync(database, job, events=[wild])
    event = log_of(database, job.id)[-1]
    assert event.data["train_loss"] is None
    assert get_job(database, job.id).estimated_finish is None


def test_a_message_may_hold_any_character(database: Database, job: Job) -> None:
    sync(database, job, events=[NumberedMessage(seq=0, created_at=1, message="nul \x00 and 🎉")])
    assert messages(database, job.id)[-1] == "nul \ufffd and 🎉"


def test_the_last_three_checkpoints_are_kept(database: Database, job: Job) -> None:
    saved = [checkpoint(job.id, seq, seq + 1) for seq in range(5)]
    sync(database, job, events=saved)
    sync(database, job, events=saved[:2])  # the oldest, once more: they do not come back
    with database.read() as session:
        kept = Checkpoints(session, TENANT).page(job.id).data
        page = Checkpoints(session, TENANT).page(job.id, limit=1, after=kept[0].id)
    assert [one.step for one in kept] == [5, 4, 3]
    assert kept[0].model_name == f"{job.output_model}:ckpt-step-5"
    assert kept[0].id.startswith("ftckpt_")
    assert (kept[0].manifest_key, kept[0].manifest_sha256) == (
        saved[4].manifest_key,
        saved[4].manifest_sha256,
    )
    assert kept[0].form == "lora"
    assert kept[0].metrics == {"step": 5, "train_loss": 0.2, "train_mean_token_accuracy": 0.5}
    assert ([one.step for one in page.data], page.has_more) == ([4], True)


def test_the_best_checkpoint_is_kept_beside_the_newest(database: Database, job: Job) -> None:
    saved = [checkpoint(job.id, number, number, best_step=min(number, 2)) for number in range(1, 7)]
    sync(database, job, events=saved)
    assert listed(database, job) == [6, 5, 4, 2]
    assert waiting(database) == [folder_of(job, 1), folder_of(job, 3)]
    sync(database, job, events=[checkpoint(job.id, 7, 7, best_step=7)])
    assert listed(database, job) == [7, 6, 5]


def test_checkpoints_that_are_named_or_shared_are_kept(database: Database, job: Job) -> None:
    sync(database, job, events=[checkpoint(job.id, number, number) for number in (1, 2, 3)])
    with database.write() as session:
        second = Projects(session, TENANT.organization_id).create("second").id
        names = [f"{job.output_model}:ckpt-step-{number}" for number in (1, 2, 3)]
        _, key_id = ApiKeys(session).create(TENANT, name="test", scopes=frozenset({"write"}))
        aliases = Aliases(session, TENANT)
        aliases.point("support@prod", names[0], api_key_id=key_id)
        aliases.point("support@test", names[2], api_key_id=key_id)
        aliases.point("support@test", "tiny", api_key_id=key_id)
        CheckpointPermissions(session, TENANT.organization_id, names[1]).grant([second])
    sync(database, job, events=[checkpoint(job.id, number, number) for number in (4, 5, 6)])
    assert listed(database, job) == [6, 5, 4, 2, 1]


def test_how_many_checkpoints_are_kept_is_the_operators_choice(database: Database, job: Job) -> None:
    with database.write() as session:
        attempts = Attempts(session, checkpoints_kept=1)
        request = SyncRequest(events=[checkpoint(job.id, number, number) for number in (1, 2, 3)])
        attempts.sync(job.id, 1, TOKEN, request)
    assert listed(database, job) == [3]


def test_without_word_of_the_best_one_early_stopping_keeps_all(database: Database, job: Job) -> None:
    """A runner of an earlier release may still return to any of them."""
    with database.write() as session:
        session.get_one(tables.Job, job.id).training = {"early_stopping": {"patience": 1}}
    events = [checkpoint(job.id, number, number, best_step=None) for number in range(1, 6)]
    sync(database, job, events=events)
    assert listed(database, job) == [5, 4, 3, 2, 1]
    assert waiting(database) == []


def test_a_job_goes_on_from_its_newest_resume_state(database: Database, job: Job) -> None:
    """States are no events of the job's log."""
    sync(database, job, events=[checkpoint(job.id, 0, 4), resume_state(job.id, 1, 4)])
    before = messages(database, job.id)
    newer = resume_state(job.id, 2, 6)
    for _ in range(2):
        sync(database, job, events=[newer])
    sync(database, job, events=[resume_state(job.id, 3, 5)])
    assert messages(database, job.id) == before
    assert waiting(database) == [folder_of(job, 4)]
    sync(database, job, state=Failed(code="x", message="x", is_user_fault=False))
    with database.write() as session:
        session.get_one(tables.Job, job.id).retry_at = None
        epoch = Leases(session).acquire(LEASE, "one", seconds=60)
    assert epoch is not None
    claim = SchedulerStore(database, epoch).claim(job.id, "training", 1, {})
    assert claim is not None
    assert claim.resume_from == newer.manifest_key


def test_a_state_of_another_job_is_refused(database: Database, job: Job) -> None:
    with pytest.raises(InvalidRequest, match="is not an object of job"):
        sync(database, job, events=[resume_state("ftjob-other", 0, 4)])


def listed(database: Database, job: Job) -> list[int]:
    with database.read() as session:
        return [one.step for one in Checkpoints(session, TENANT).page(job.id).data]


def waiting(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(superseded_folders(session))


def folder_of(job: Job, number: int) -> str:
    return f"jobs/{job.id}/attempts/1/checkpoints/step-{number:08d}/"


def test_a_finished_run_moves_the_job_to_publishing(database: Database, job: Job) -> None:
    last = {"events": [step(0, 10)], "state": finished(job.id)}
    assert sync(database, job, **last) == SyncResponse()
    after = get_job(database, job.id)
    assert (after.status, after.trained_tokens) == (JobStatus.PUBLISHING, 1234)
    assert after.fine_tuned_model is None
    assert messages(database, job.id)[-1].endswith("served model is checked before it is published")
    assert sync(database, job, **last) == SyncResponse(), "its answer was lost: the same words are fine"
    with pytest.raises(Conflict):
        sync(database, job, events=[step(1, 11)])


def test_the_evaluation_is_on_the_job_once_training_is_complete(database: Database, job: Job) -> None:
    sync(database, job, state=finished(job.id, report=REPORT))
    assert get_job(database, job.id).report == REPORT
    move(database, job.id, JobStatus.FAILED)
    assert get_job(database, job.id).report == REPORT


def test_an_evaluation_may_hold_numbers_that_json_cannot(database: Database, job: Job) -> None:
    wild = REPORT.model_copy(update={"general_kl": math.inf, "regression": math.nan})
    request = SyncRequest(state=finished(job.id, report=wild)).model_dump_json()
    for _ in range(2):  # its answer was lost: the same words are fine
        sync(database, job, state=SyncRequest.model_validate_json(request).state)
    report = get_job(database, job.id).report
    assert report.general_kl == math.inf
    assert math.isnan(report.regression)


def test_a_users_fault_fails_the_job(database: Database, job: Job) -> None:
    expected = {"code": "diverged", "message": "The loss is NaN at step 3.", "param": "hyperparameters"}
    fault = Failed(**expected, is_user_fault=True)
    sync(database, job, state=fault)
    after = get_job(database, job.id)
    assert after.status is JobStatus.FAILED
    assert asdict(after.error) == expected
    last = log_of(database, job.id)[-1]
    assert (last.level, last.message) == ("error", "The loss is NaN at step 3.")
    assert outbox(database)[-1] == "fine_tuning.job.failed"
    assert sync(database, job, state=fault) == SyncResponse()


def test_a_platform_fault_puts_the_job_back_into_the_queue(database: Database, job: Job) -> None:
    sync(database, job, state=Failed(code="worker_died", message="A worker was killed.", is_user_fault=False))
    assert get_job(database, job.id).status is JobStatus.QUEUED
    last = log_of(database, job.id)[-1]
    assert last.level == "warn"
    expected = "Attempt 1 ended early: A worker was killed. It will be retried in 2 seconds; 2 more"
    assert last.message.startswith(expected)


def test_only_faults_since_the_last_checkpoint_count(database: Database, job: Job) -> None:
    """A long job survives its third preemption, and its tenth. A job without progress does not."""
    fault = Failed(code="preempted", message="The node was taken away.", is_user_fault=False)

    def preempt(number: int, **request) -> JobStatus:
        sync(database, job, number=number, state=fault, **request)
        status = get_job(database, job.id).status
        if status is JobStatus.QUEUED:
            move(database, job.id, JobStatus.STARTING)
            add_attempt(database, job.id, number + 1)
        return status

    for number in range(1, 6):
        saved = checkpoint(job.id, 0, number, attempt=number)
        assert preempt(number, events=[saved]) is JobStatus.QUEUED, number
    old = checkpoint(job.id, 0, 5, attempt=6)
    assert preempt(6, events=[old]) is JobStatus.QUEUED, "the same step again is no progress"
    assert preempt(7) is JobStatus.FAILED
    error = get_job(database, job.id).error
    assert (error.code, "failed 3 times in a row" in error.message) == ("platform_error", True)


def test_a_stop_from_outside_is_no_fault_and_counts_as_none(database: Database, job: Job) -> None:
    for number in range(1, 6):
        sync(database, job, number=number, state=Stopped())
        with database.read() as session:
            row = session.get_one(tables.Job, job.id)
            assert (row.status, row.faults, row.retry_at) == ("queued", 0, None)
        last = log_of(database, job.id)[-1]
        assert (last.level, last.message) == (
            "info",
            f"Attempt {number} was stopped from outside. The job continues from its last checkpoint.",
        )
        move(database, job.id, JobStatus.STARTING)
        add_attempt(database, job.id, number + 1)


def test_passes_that_do_not_fit_shrink_in_the_next_attempt_and_count_as_no_fault(
    database: Database, job: Job
) -> None:
    """Also for the fourth time. A runner that asks for as many tokens as it had is at fault."""
    for number, tokens in enumerate((4096, 2048, 1024, 512), start=1):
        too_large = Failed(code="out_of_memory", message="No room.", is_user_fault=False, pass_tokens=tokens)
        sync(database, job, number=number, state=too_large)
        with database.read() as session:
            row = session.get_one(tables.Job, job.id)
            assert (row.status, row.faults, row.retry_at) == ("queued", 0, None)
            assert row.config["microbatch_tokens"] == tokens
        last = log_of(database, job.id)[-1]
        assert (last.level, "No room." in last.message, f"at most {tokens}" in last.message) == (
            "warn",
            True,
            True,
        )
        move(database, job.id, JobStatus.STARTING)
        add_attempt(database, job.id, number + 1)
    sync(database, job, number=5, state=too_large)
    with database.read() as session:
        assert session.get_one(tables.Job, job.id).faults == 1


def test_a_server_that_was_stopped_puts_its_jobs_back(database: Database, job: Job) -> None:
    sync(database, job)
    pausing, queued = add_running_job(database), add_running_job(database)
    _pause(database, pausing)
    move(database, queued.id, JobStatus.QUEUED)
    before = log_of(database, queued.id)
    for _ in range(2):
        with database.write() as session:
            put_back_all(session)
    assert get_job(database, job.id).status is JobStatus.QUEUED
    assert get_job(database, pausing.id).status is JobStatus.PAUSED
    assert messages(database, pausing.id)[-1] == "The job has been paused"
    assert log_of(database, queued.id) == before
    assert sum("stopped from outside" in text for text in messages(database, job.id)) == 1
    with database.read() as session:
        attempts = session.scalars(select(tables.Attempt.state)).all()
    assert set(attempts) == {"ended"}


def test_a_pausing_job_is_paused_by_its_runner_and_goes_on_with_the_next_attempt(
    database: Database, job: Job
) -> None:
    sync(database, job, events=[NumberedStart(seq=2, created_at=1), step(0, 1)])
    _pause(database, job)
    assert sync(database, job) == SyncResponse(command="pause")
    sync(database, job, events=[checkpoint(job.id, 1, 1)], state=Stopped())
    paused = get_job(database, job.id)
    assert (paused.status, paused.estimated_finish) == (JobStatus.PAUSED, None)
    with database.write() as session:
        Jobs(session, TENANT).resume(job.id)
    move(database, job.id, JobStatus.STARTING)
    add_attempt(database, job.id, 2)
    assert sync(database, job, number=2) == SyncResponse()
    shown = [event.message for event in log_of(database, job.id) if event.type == "message"]
    assert [message for message in shown if not message.startswith("Checkpoint")][-5:] == [
        "Fine-tuning job started",
        "The job is pausing: it saves a checkpoint first",
        "The job has been paused",
        "The job has been resumed, moving job to queued state",
        "Fine-tuning job resumed by attempt 2",
    ]


def test_a_job_that_never_had_devices_is_not_resumed(database: Database, job: Job) -> None:
    sync(database, job)
    move(database, job.id, JobStatus.QUEUED, JobStatus.STARTING)
    add_attempt(database, job.id, 2)
    sync(database, job, number=2)
    assert messages(database, job.id)[-1] == "Fine-tuning job started"


def test_a_job_that_is_paused_before_its_runner_reports_starts_only_after_the_resume(
    database: Database, job: Job
) -> None:
    _pause(database, job)
    assert sync(database, job) == SyncResponse(command="pause")
    sync(database, job, state=Stopped())
    assert get_job(database, job.id).status is JobStatus.PAUSED
    assert "Fine-tuning job started" not in messages(database, job.id)


def test_an_attempt_that_leaves_its_nodes_is_no_fault_and_says_why(database: Database, job: Job) -> None:
    saved = [step(0, 1), checkpoint(job.id, 1, 1)]
    sync(database, job, events=saved, state=Stopped(reason="a node is about to go."))
    found = get_job(database, job.id)
    assert found.status is JobStatus.QUEUED
    assert messages(database, job.id)[-1] == (
        "Attempt 1 was stopped: a node is about to go. The job continues from its last checkpoint."
    )


@pytest.mark.parametrize(
    "end", [Failed(code="worker_lost", message="A worker died.", is_user_fault=False), None], ids=str
)
def test_a_pausing_job_whose_runner_dies_is_paused_and_not_started_again(
    database: Database, job: Job, end: Failed | None
) -> None:
    sync(database, job)
    _pause(database, job)
    if end is None:
        _lose(database, job)
    else:
        sync(database, job, state=end)
    assert get_job(database, job.id).status is JobStatus.PAUSED
    warning, paused = messages(database, job.id)[-2:]
    assert warning.startswith("Attempt 1 ended early: ")
    assert warning.endswith("The job will continue from its last checkpoint.")
    assert paused == "The job has been paused"


def test_a_job_that_finishes_while_it_is_pausing_is_published(database: Database, job: Job) -> None:
    sync(database, job)
    _pause(database, job)
    sync(database, job, state=finished(job.id))
    assert get_job(database, job.id).status is JobStatus.PUBLISHING


def _pause(database: Database, job: Job) -> None:
    with database.write() as session:
        assert Jobs(session, TENANT).pause(job.id).status is JobStatus.PAUSING


def _lose(database: Database, job: Job) -> None:
    with database.write() as session:
        lease = Leases(session).acquire(LEASE, "me", seconds=60)
    assert lease
    store = SchedulerStore(database, lease)
    (attempt,) = store.pending_work().attempts
    assert store.mark_lost(attempt, "the cluster no longer knows its process.")


def test_a_cancelled_jobs_runner_gets_the_command_and_its_events_are_dropped(
    database: Database, job: Job
) -> None:
    sync(database, job, events=[step(0, 1)])
    with database.write() as session:
        Jobs(session, TENANT).cancel(job.id)
    log = log_of(database, job.id)
    for state in ({}, {"state": Stopped()}, {"state": finished(job.id)}):
        assert sync(database, job, events=[step(1, 2)], **state) == SyncResponse(command="cancel")
    assert log_of(database, job.id) == log
    assert get_job(database, job.id).status is JobStatus.CANCELLED


def test_an_older_attempt_is_fenced(database: Database, job: Job) -> None:
    sync(database, job)
    move(database, job.id, JobStatus.QUEUED)
    with pytest.raises(Conflict) as raised:
        sync(database, job, events=[step(0, 1)])
    assert raised.value.code == "fenced"
    move(database, job.id, JobStatus.STARTING)
    add_attempt(database, job.id, 2)
    with pytest.raises(Conflict):
        sync(database, job, state=finished(job.id))
    assert get_job(database, job.id).status is JobStatus.STARTING
    sync(database, job, number=2)
    assert get_job(database, job.id).status is JobStatus.RUNNING


def test_only_the_attempts_own_token_is_accepted(database: Database, job: Job) -> None:
    for wrong in ({"token": "x" * 64}, {"token": ""}, {"number": 2}):
        with pytest.raises(AuthenticationFailed):
            sync(database, job, **wrong)
    with database.write() as session, pytest.raises(AuthenticationFailed):
        Attempts(session).sync("ftjob-absent", 1, TOKEN, SyncRequest())
    assert get_job(database, job.id).status is JobStatus.STARTING


def test_a_runner_may_only_name_its_own_jobs_objects(database: Database, job: Job) -> None:
    foreign = checkpoint("ftjob-other", 0, 1)
    with pytest.raises(InvalidRequest):
        sync(database, job, events=[foreign])
    end = finished("ftjob-other")
    with pytest.raises(InvalidRequest):
        sync(database, job, state=end)
    assert get_job(database, job.id).status is JobStatus.STARTING


def test_every_sync_is_a_heartbeat(database: Database, job: Job) -> None:
    def heartbeat() -> float:
        with database.read() as session:
            return session.get_one(tables.Attempt, (job.id, 1)).heartbeat_at

    before = heartbeat()
    sync(database, job)
    first = heartbeat()
    sync(database, job)
    assert before < first < heartbeat()


def test_device_time_begins_when_the_workers_have_their_devices(database: Database) -> None:
    add_tenants(database)
    job = add_running_job(database)
    with database.write() as session:
        row = session.get_one(tables.Attempt, (job.id, 1))
        row.created_at -= 1000.0
    with database.read() as session:
        assert device_time(session, [tables.Job.id == job.id], 0.0, math.inf) == []
    for _ in range(2):
        with database.write() as session:
            events = [NumberedStart(seq=0, created_at=1)]
            Attempts(session).sync(job.id, 1, TOKEN, SyncRequest(events=events))
    with database.read() as session:
        (part,) = device_time(session, [tables.Job.id == job.id], 0.0, math.inf)
        assert part.start > session.get_one(tables.Attempt, (job.id, 1)).created_at + 999.0


def test_a_step_that_is_stored_again_has_the_later_attempts_weights(database: Database) -> None:
    """The first attempt died before its resume state of that step was known."""
    add_tenants(database)
    job = add_running_job(database)
    first = checkpoint(job.id, 0, 2)
    with database.write() as session:
        Attempts(session).sync(job.id, 1, TOKEN, SyncRequest(events=[first]))
    add_attempt(database, job.id, 2)
    again = checkpoint(job.id, 0, 2, attempt=2)
    with database.write() as session:
        Attempts(session).sync(job.id, 2, TOKEN, SyncRequest(events=[again]))
    with database.read() as session:
        (row,) = session.scalars(select(tables.Checkpoint).where(tables.Checkpoint.job_id == job.id))
        assert (row.manifest_key, row.manifest_sha256) == (again.manifest_key, again.manifest_sha256)
        assert superseded_folders(session) == [first.manifest_key.removesuffix("manifest.json")]


def test_a_held_step_that_is_stored_again_keeps_its_weights(database: Database) -> None:
    add_tenants(database)
    job = add_running_job(database)
    first = checkpoint(job.id, 0, 2)
    with database.write() as session:
        Attempts(session).sync(job.id, 1, TOKEN, SyncRequest(events=[first]))
        key_id = ApiKeys(session).create(TENANT, name="admin", scopes=frozenset({"admin"}))[1]
        LegalHolds(session, TENANT).place(job.id, "a lawsuit", api_key_id=key_id)
    add_attempt(database, job.id, 2)
    with database.write() as session:
        events = [checkpoint(job.id, 0, 2, attempt=2)]
        Attempts(session).sync(job.id, 2, TOKEN, SyncRequest(events=events))
    with database.read() as session:
        (row,) = session.scalars(select(tables.Checkpoint).where(tables.Checkpoint.job_id == job.id))
        assert row.manifest_key == first.manifest_key
        assert superseded_folders(session) == []
