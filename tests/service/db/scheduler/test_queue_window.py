"""A tick reads a window of the queue, on both databases."""

from collections import Counter

from sqlalchemy import insert

from cluster.contracts.jobs import PRIORITIES
from service.db import tables
from service.db.database import Database
from service.db.scheduler.queue_window import WaitingJob, queue_window
from tests.service.db.rows import OTHER, TENANT, add_file, add_tenants


def window(database: Database, *, window_per_group: int = 3, at_most: int = 100) -> list[WaitingJob]:
    with database.read() as session:
        return queue_window(session, 1e9, window_per_group=window_per_group, at_most=at_most)


def fill(database: Database, each: int, **columns: object) -> None:
    """`each` queued jobs of both projects and all priorities, the oldest first."""
    add_tenants(database)
    file = add_file(database)
    rows = [
        {
            "id": f"ftjob-{tenant.project_id}-{priority}-{number}",
            "organization_id": tenant.organization_id,
            "project_id": tenant.project_id,
            "status": "queued",
            "version": 0,
            "model": "tiny",
            "training_file": file.id,
            "seed": 1,
            "hyperparameters": {},
            "training": {},
            "output_model": "",
            "priority": priority,
            # Two jobs of the same age, which their ids tell apart.
            "queued_at": float(number // 2),
            "created_at": 0,
            **columns,
        }
        for tenant in (TENANT, OTHER)
        for priority in PRIORITIES
        for number in range(each)
    ]
    with database.write() as session:
        session.execute(insert(tables.Job), rows)


def test_an_empty_queue_has_no_heads(database: Database) -> None:
    assert window(database) == []


def test_each_project_and_priority_brings_its_oldest_jobs(database: Database) -> None:
    fill(database, 8)
    found = window(database, window_per_group=3)
    assert Counter((job.project_id, job.priority) for job in found) == {
        (tenant.project_id, priority): 3 for tenant in (TENANT, OTHER) for priority in PRIORITIES
    }
    assert {job.job_id[-1] for job in found} == {"0", "1", "2"}
    assert len(window(database, window_per_group=100)) == 48


def test_many_projects_share_what_a_tick_may_read(database: Database) -> None:
    fill(database, 8)
    assert len(window(database, window_per_group=8, at_most=13)) == 12
    assert len(window(database, window_per_group=8, at_most=1)) == 6, (
        "one of each, so that nobody is left out"
    )


def test_jobs_that_pause_after_a_fault_are_left_out(database: Database) -> None:
    fill(database, 2, retry_at=2e9)
    assert window(database) == []
