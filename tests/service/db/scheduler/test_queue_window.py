"""A tick reads a window of the queue, on both databases."""

from collections import Counter
from dataclasses import asdict

from sqlalchemy import delete, insert, update

from cluster.contracts.jobs import PRIORITIES
from service.db import tables
from service.db.database import Database
from service.db.scheduler.queue_window import PlannedGang, WaitingJob, gang_shape, queue_window
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
    found = window(database, window_per_group=8, at_most=13)
    assert len(found) == 13
    assert set(Counter((job.project_id, job.priority) for job in found).values()) == {2, 3}
    assert len(window(database, window_per_group=8, at_most=1)) == 6, (
        "one of each, so that nobody is left out"
    )


def test_jobs_that_pause_after_a_fault_are_left_out(database: Database) -> None:
    fill(database, 2, retry_at=2e9)
    assert window(database) == []


def test_jobs_that_pause_take_no_place_of_those_behind_them(database: Database) -> None:
    fill(database, 8)
    with database.write() as session:
        session.execute(update(tables.Job).where(tables.Job.queued_at < 2).values(retry_at=2e9))
    assert {job.job_id[-1] for job in window(database, window_per_group=3)} == {"4", "5", "6"}


def test_many_jobs_that_fit_nowhere_hide_none_that_fit_elsewhere(database: Database) -> None:
    whole, elastic = PlannedGang("h100", 8, None), PlannedGang("h100", 8, None, (4, 2))
    kinds = [(whole,), (elastic,), (PlannedGang("l4", 8, None),), (whole, PlannedGang("l4", 8, None))]
    fill(database, 8)
    with database.write() as session:
        for number in range(8):
            gangs = kinds[max(0, number - 4)]
            values = {"gangs": [asdict(gang) for gang in gangs], "gang_shape": gang_shape(gangs)}
            session.execute(update(tables.Job).where(tables.Job.id.endswith(f"-{number}")).values(values))
    found = window(database, window_per_group=2)
    assert {job.job_id[-1] for job in found} == {"0", "1", "5", "6", "7"}
    assert len(found) == 5 * 6


def test_groups_of_few_jobs_leave_their_share_to_the_others(database: Database) -> None:
    fill(database, 8)
    with database.write() as session:
        few = (tables.Job.project_id == OTHER.project_id) | (tables.Job.priority != "low")
        session.execute(delete(tables.Job).where(few, tables.Job.queued_at > 0))
    found = window(database, window_per_group=8, at_most=17)
    assert Counter((job.project_id, job.priority) for job in found)[TENANT.project_id, "low"] == 7


def test_gangs_have_one_shape_wherever_they_can_start_in_the_same_places() -> None:
    first = (PlannedGang("a", 8, 10.0, (4, 2)), PlannedGang("b", 1, 5.0))
    assert gang_shape(first) == gang_shape((PlannedGang("b", 1, None), PlannedGang("a", 2, None)))
    others = [(), first[:1], (PlannedGang("a", 4, None), first[1]), (PlannedGang(None, 2, None),)]
    assert len({gang_shape(gangs) for gangs in [first, *others]}) == 5
    assert gang_shape(()) == ""
