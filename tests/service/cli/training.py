"""Plays the part of the cluster: moves a job on, step by step, as the test wants."""

from cluster.contracts.jobs import JobStatus, SyncRequest
from service.db import tables
from service.db.scheduler.attempts import Attempts
from tests.api import LiveApi, add_tuned_model
from tests.service.db.rows import TOKEN, add_attempt, move, step

TOTAL = 10


def only_job(live: LiveApi) -> str:
    (job,) = live.openai().fine_tuning.jobs.list().data
    return job.id


def begin(live: LiveApi, job_id: str) -> None:
    move(live.state.database, job_id, JobStatus.QUEUED, JobStatus.STARTING)
    add_attempt(live.state.database, job_id, 1)


def report_steps(live: LiveApi, job_id: str, first: int, last: int) -> None:
    events = [step(number - 1, number, TOTAL) for number in range(first, last + 1)]
    with live.state.database.write() as session:
        Attempts(session).sync(job_id, 1, TOKEN, SyncRequest(events=events))


def succeed(live: LiveApi, job_id: str) -> str:
    """Returns the name of the model."""
    return add_tuned_model(live.state.database, job_id)[0]


def fail(live: LiveApi, job_id: str) -> None:
    with live.state.database.write() as session:
        job = session.get_one(tables.Job, job_id)
        job.status = JobStatus.FAILED.value
        job.error = {"code": "out_of_memory", "message": "The GPU has too little memory."}
