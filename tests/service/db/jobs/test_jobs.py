import threading

import pytest

from cluster.contracts.errors import Conflict, InvalidRequest, NotFound
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.jobs import JobStatus, SyncRequest
from service.db import tables
from service.db.database import Database
from service.db.files.files import Files
from service.db.jobs.checkpoints import Checkpoints
from service.db.jobs.events import JobEvents
from service.db.jobs.jobs import Jobs, NewJob
from service.db.scheduler.attempts import Attempts
from service.db.scheduler.pending_work import pending_work
from tests.service.db.rows import (
    OTHER,
    TENANT,
    TOKEN,
    add_file,
    add_job,
    add_running_job,
    add_tenants,
    checkpoint,
    finished,
    get_job,
    messages,
    move,
    outbox,
    step,
)


@pytest.fixture(autouse=True)
def _tenants(database: Database) -> None:
    add_tenants(database)


def test_a_new_job_has_a_row_a_log_and_an_outbox_entry(database: Database) -> None:
    training, validation = add_file(database), add_file(database)
    job = add_job(database, file=training, validation_file=validation.id, suffix="mine", seed=7)
    assert job.id.startswith("ftjob-")
    assert len(job.id) == 30
    assert job.status is JobStatus.VALIDATING_FILES
    assert job.seed == 7
    assert job.output_model.startswith("ft:tiny:tunery:mine:")
    assert len(job.output_model.rpartition(":")[2]) == 8
    assert job.fine_tuned_model is None
    assert messages(database, job.id) == [
        f"Created fine-tuning job: {job.id}",
        f"Validating training file: {training.id} and validation file: {validation.id}",
    ]
    assert outbox(database) == ["fine_tuning.job.created"]


def test_a_job_without_suffix_or_seed_gets_an_empty_suffix_and_a_random_seed(database: Database) -> None:
    job = add_job(database)
    assert job.output_model.startswith("ft:tiny:tunery::")
    assert 0 <= job.seed < 2**31
    assert job.seed != add_job(database).seed


@pytest.mark.parametrize("param", ["training_file", "validation_file", "training.general_file"])
def test_an_unusable_file_is_refused_with_its_param(database: Database, param: str) -> None:
    good = add_file(database).id
    deleted = add_file(database)
    with database.write() as session:
        Files(session, TENANT).delete(deleted.id)
    broken = add_file(database, status="error", status_details="Line 3: not JSON")
    for bad, words in [
        ("file-absent", "does not exist"),
        (add_file(database, OTHER).id, "does not exist"),
        (deleted.id, "does not exist"),
        (add_file(database, purpose="batch").id, "purpose 'fine-tune'"),
        (broken.id, "Line 3: not JSON"),
    ]:
        with pytest.raises(InvalidRequest, match=words) as raised, database.write() as session:
            Jobs(session, TENANT).create(with_file(param, bad, good))
        assert (raised.value.param, raised.value.code) == (param, f"invalid_{param.split('.')[-1]}")
    with database.read() as session:
        assert Jobs(session, TENANT).list().data == []


@pytest.mark.parametrize("param", ["training_file", "validation_file", "training.general_file"])
def test_a_file_of_another_format_is_refused_with_its_param(database: Database, param: str) -> None:
    good = add_file(database, status="processed", format="chat").id
    bad = add_file(database, status="processed", format="preference").id
    with pytest.raises(InvalidRequest) as raised, database.write() as session:
        Jobs(session, TENANT).create(with_file(param, bad, good))
    assert (raised.value.param, raised.value.code) == (param, "wrong_format")
    assert raised.value.message == f"{bad} holds preference rows, but the job needs chat or completion rows."


def test_a_general_set_must_be_text_whatever_the_job_trains_on(database: Database) -> None:
    pairs = add_file(database, status="processed", format="preference")
    text = add_file(database, status="processed", format="completion")
    options = {"formats": ("preference",), "method": "dpo", "training": TrainingOptions(general_file=text.id)}
    job = add_job(database, file=pairs, validation_file=pairs.id, **options)
    assert (job.method, job.training.general_file) == ("dpo", text.id)


def with_file(param: str, id: str, training_file: str) -> NewJob:
    if param == "training.general_file":
        training = TrainingOptions(general_file=id)
        return NewJob(model="tiny", training_file=training_file, training=training)
    return NewJob(**{"model": "tiny", "training_file": training_file, param: id})


def test_jobs_are_listed_newest_first_page_by_page(database: Database) -> None:
    ids = [add_job(database).id for _ in range(5)]
    with database.read() as session:
        jobs = Jobs(session, TENANT)
        first = jobs.list(limit=2)
        rest = jobs.list(after=first.data[-1].id, limit=20)
    assert [job.id for job in [*first.data, *rest.data]] == ids[::-1]
    assert (first.has_more, rest.has_more) == (True, False)


def test_jobs_are_listed_by_metadata(database: Database) -> None:
    both = add_job(database, metadata={"team": "a", "run": "1"})
    one = add_job(database, metadata={"team": "a"})
    none = add_job(database)
    with database.read() as session:
        jobs = Jobs(session, TENANT)
        assert [job.id for job in jobs.list(metadata={"team": "a"}).data] == [one.id, both.id]
        assert [job.id for job in jobs.list(metadata={"team": "a", "run": "1"}).data] == [both.id]
        assert jobs.list(metadata={"team": "b"}).data == []
        assert [job.id for job in jobs.list(metadata="null").data] == [none.id]


def test_metadata_keys_may_hold_any_character(database: Database) -> None:
    job = add_job(database, metadata={"a.b['x'] \"quoted\" $": "väl'ue"})
    with database.read() as session:
        found = Jobs(session, TENANT).list(metadata={"a.b['x'] \"quoted\" $": "väl'ue"})
    assert [one.id for one in found.data] == [job.id]


def test_another_tenants_job_is_absent(database: Database) -> None:
    theirs = add_job(database, OTHER)
    with database.write() as session:
        jobs, events = Jobs(session, TENANT), JobEvents(session, TENANT)
        assert jobs.list().data == []
        for call in (
            jobs.get,
            jobs.cancel,
            jobs.pause,
            jobs.resume,
            events.page,
            events.position,
            lambda id: events.since(id, seq=-1),
            Checkpoints(session, TENANT).page,
        ):
            with pytest.raises(NotFound):
                call(theirs.id)
    assert get_job(database, theirs.id, OTHER) == theirs


def test_cancel_ends_a_job_at_once_and_only_once(database: Database) -> None:
    job = add_job(database)
    with database.write() as session:
        cancelled = Jobs(session, TENANT).cancel(job.id)
    assert cancelled.status is JobStatus.CANCELLED
    assert cancelled.finished_at is not None
    with database.write() as session, pytest.raises(Conflict, match="already been cancelled"):
        Jobs(session, TENANT).cancel(job.id)
    assert messages(database, job.id)[-1] == "The job has been cancelled"
    assert outbox(database) == ["fine_tuning.job.created", "fine_tuning.job.cancelled"]


def test_a_queued_job_is_paused_at_once_and_resumed_with_a_new_budget_of_faults(database: Database) -> None:
    job = add_job(database)
    move(database, job.id, JobStatus.QUEUED)
    with database.write() as session:
        row = session.get_one(tables.Job, job.id)
        row.faults, row.retry_at = 2, 1e12
    with database.write() as session:
        jobs = Jobs(session, TENANT)
        assert jobs.pause(job.id).status is JobStatus.PAUSED
        assert jobs.pause(job.id).status is JobStatus.PAUSED, "again changes nothing"
    with database.read() as session:
        assert pending_work(session).queued == []
    with database.write() as session:
        assert Jobs(session, TENANT).resume(job.id).status is JobStatus.QUEUED
    with database.read() as session:
        assert [queued.job_id for queued in pending_work(session).queued] == [job.id]
        assert session.get_one(tables.Job, job.id).faults == 0
    assert messages(database, job.id)[-2:] == [
        "The job has been paused",
        "The job has been resumed, moving job to queued state",
    ]


@pytest.mark.parametrize(
    ("path", "call", "reason"),
    [
        ([], "pause", "is validating its files"),
        ([JobStatus.QUEUED], "resume", "is queued, not paused"),
        ([JobStatus.QUEUED, JobStatus.STARTING, JobStatus.RUNNING], "resume", "is running, not paused"),
        ([JobStatus.QUEUED, JobStatus.STARTING, JobStatus.PAUSING], "resume", "is still pausing"),
        (
            [JobStatus.QUEUED, JobStatus.STARTING, JobStatus.RUNNING, JobStatus.PUBLISHING],
            "pause",
            "can no longer be paused",
        ),
        ([JobStatus.CANCELLED], "pause", "cannot be paused"),
        ([JobStatus.FAILED], "resume", "cannot be resumed"),
    ],
)
def test_pausing_or_resuming_in_any_other_state_is_refused_with_the_reason(
    database: Database, path: list[JobStatus], call: str, reason: str
) -> None:
    job = add_job(database)
    move(database, job.id, *path)
    log = messages(database, job.id)
    with database.write() as session, pytest.raises(Conflict, match=reason):
        getattr(Jobs(session, TENANT), call)(job.id)
    assert messages(database, job.id) == log


def test_a_cancel_that_races_completion_leaves_one_final_state(database: Database) -> None:
    for _ in range(8):
        job = add_running_job(database)
        start = threading.Barrier(2)

        def cancel(job=job, start=start) -> None:
            start.wait()
            with database.write() as session:
                Jobs(session, TENANT).cancel(job.id)

        def finish(job=job, start=start) -> None:
            start.wait()
            with database.write() as session:
                Attempts(session).sync(job.id, 1, TOKEN, SyncRequest(state=finished(job.id)))

        threads = [threading.Thread(target=cancel), threading.Thread(target=finish)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert get_job(database, job.id).status is JobStatus.CANCELLED
        log = messages(database, job.id)
        assert log.count("The job has been cancelled") == 1
        assert log[-1] == "The job has been cancelled"


def test_events_are_newest_first_page_by_page(database: Database) -> None:
    job = add_running_job(database)
    with database.write() as session:
        request = SyncRequest(events=[step(i, i + 1) for i in range(5)])
        Attempts(session).sync(job.id, 1, TOKEN, request)
    with database.read() as session:
        events = JobEvents(session, TENANT)
        first = events.page(job.id, limit=3)
        rest = events.page(job.id, after=first.data[-1].id, limit=20)
        assert events.since(job.id, seq=4)[0].seq == 5
    assert [event.seq for event in [*first.data, *rest.data]] == [7, 6, 5, 4, 3, 2, 1, 0]
    assert (first.has_more, rest.has_more) == (True, False)
    assert {event.type for event in first.data} == {"metrics"}


def test_an_event_or_checkpoint_of_another_job_is_refused_as_a_cursor(database: Database) -> None:
    job, other = add_running_job(database), add_running_job(database)
    for one in (job, other):
        with database.write() as session:
            Attempts(session).sync(one.id, 1, TOKEN, SyncRequest(events=[checkpoint(one.id, 0, 1)]))
    with database.read() as session:
        events, checkpoints = JobEvents(session, TENANT), Checkpoints(session, TENANT)
        event, saved = events.page(other.id).data[0], checkpoints.page(other.id).data[0]
        with pytest.raises(InvalidRequest):
            events.page(job.id, after=event.id)
        with pytest.raises(InvalidRequest):
            checkpoints.page(job.id, after=saved.id)
