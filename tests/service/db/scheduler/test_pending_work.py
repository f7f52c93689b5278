"""What the scheduler reads in each round."""

import time
from dataclasses import asdict
from typing import Any

from sqlalchemy import event, update

from service.db import tables
from service.db.database import Database
from service.db.jobs.publishing import PublishFault, Publishing
from service.db.scheduler.pending_work import PendingWork, pending_work
from service.db.scheduler.queue_window import PlannedGang
from tests.service.db.rows import OTHER, TENANT, add_running_job, add_tenants
from tests.service.db.scheduler.test_queue_window import fill


def pending(database: Database) -> PendingWork:
    with database.read() as session:
        return pending_work(session)


def test_a_job_is_expected_to_take_as_long_as_in_the_pool_that_it_runs_in(database: Database) -> None:
    add_tenants(database)
    job = add_running_job(database)
    cheap, fast = PlannedGang("l4", 8, 8000.0, (4,)), PlannedGang("h100", 2, 1000.0)
    with database.write() as session:
        gangs = [asdict(gang) for gang in (cheap, fast)]
        session.execute(update(tables.Job).values(gangs=gangs))
    for pool, workers, seconds in [("l4", 8, 8000), ("l4", 4, 16000), ("h100", 2, 1000), ("gone", 8, 8000)]:
        with database.write() as session:
            attempt = session.get_one(tables.Attempt, (job.id, 1))
            attempt.pool, attempt.num_workers = pool, workers
        (holding,) = pending(database).holdings
        assert holding.ends_at is not None
        assert holding.ends_at - holding.started_at == seconds


def test_a_projects_many_validations_hold_up_no_other_projects(database: Database) -> None:
    fill(database, 60, status="validating_files")
    with database.write() as session:
        others = tables.Job.project_id == OTHER.project_id
        session.execute(update(tables.Job).where(others).values(created_at=1))
    found = [job.tenant.project_id for job in pending(database).validating]
    assert len(found) == 100
    assert found[:4] == [TENANT.project_id, OTHER.project_id] * 2


def test_jobs_are_put_in_turn_without_reading_whole_rows(database: Database) -> None:
    fill(database, 1, status="validating_files")
    statements: list[str] = []
    with database.read() as session:
        bind = session.get_bind()

        def note(_connection, _cursor, statement: str, *_: object) -> None:
            statements.append(statement)

        event.listen(bind, "before_cursor_execute", note)
        try:
            pending_work(session)
        finally:
            event.remove(bind, "before_cursor_execute", note)
    numbering = [each[each.rindex("SELECT") :] for each in statements if "row_number()" in each]
    assert numbering
    assert not any("hyperparameters" in each for each in numbering)


def publishing(
    tries: int = 0, waits: int = 0, *, age: float = 0.0, waited: float | None = None, code: str | None = None
) -> dict[str, Any]:
    """Began `age` seconds ago, and found jobs on its GPUs `waited` ago. `code` is the last fault's."""
    stored = Publishing(
        weights="w",
        trained_at=0,
        since=time.time() - age,
        tries=tries,
        waits=waits,
        waited_until=None if waited is None else time.time() - waited,
        fault=None if code is None else PublishFault(code=code, message="Later."),
    )
    return stored.model_dump(mode="json")


def test_the_first_tries_of_publishing_hold_up_jobs_that_want_its_devices(database: Database) -> None:
    fill(database, 1, status="publishing", publishing=publishing(3))
    assert len(pending(database).publishing) == 6
    old = publishing(2)
    del old["waits"]
    cases = [
        (publishing(3), False),
        (None, False),
        (publishing(2), True),
        (old, True),
        (publishing(12, 10), True),
        (publishing(12, 9), False),
        (publishing(12, 10, age=1700.0), True),
        (publishing(12, 10, age=1900.0), False),
        (publishing(0, age=1900.0), False),
        # Jobs have its GPUs for days, and then leave them to it.
        (publishing(12, 12, age=200_000.0, waited=7200.0, code="gpu_in_use"), True),
        (publishing(12, 9, age=200_000.0, waited=7200.0, code="gpu_in_use"), False),
        (publishing(13, 13, age=200_000.0, waited=1700.0, code="model_not_ready"), True),
        (publishing(13, 13, age=200_000.0, waited=1900.0, code="model_not_ready"), False),
    ]
    for stored, holds_up in cases:
        with database.write() as session:
            # Far from its next try, it still holds them up.
            session.execute(update(tables.Job).values(publishing=stored, retry_at=time.time() + 900))
        assert pending(database).publishes_soon == holds_up, stored


def test_a_first_try_of_publishing_counts_behind_many_that_have_failed(database: Database) -> None:
    fill(database, 20, status="publishing", publishing=publishing(3))
    with database.write() as session:
        last = tables.Job.id == f"ftjob-{OTHER.project_id}-low-19"
        session.execute(update(tables.Job).where(last).values(publishing=publishing(), created_at=1))
    assert pending(database).publishes_soon
