"""What the scheduler reads in each round."""

from sqlalchemy import update

from service.db import tables
from service.db.database import Database
from service.db.jobs.publishing import Publishing
from service.db.scheduler.pending_work import PendingWork, pending_work
from tests.service.db.rows import OTHER, TENANT
from tests.service.db.scheduler.test_queue_window import fill


def pending(database: Database) -> PendingWork:
    with database.read() as session:
        return pending_work(session)


def test_a_projects_many_validations_hold_up_no_other_projects(database: Database) -> None:
    fill(database, 60, status="validating_files")
    with database.write() as session:
        others = tables.Job.project_id == OTHER.project_id
        session.execute(update(tables.Job).where(others).values(created_at=1))
    found = [job.tenant.project_id for job in pending(database).validating]
    assert len(found) == 100
    assert found[:4] == [TENANT.project_id, OTHER.project_id] * 2


def test_only_the_first_tries_of_publishing_hold_up_jobs_that_want_its_devices(database: Database) -> None:
    tried = Publishing(weights="w", trained_at=0, since=0, tries=3)
    fill(database, 1, status="publishing", publishing=tried.model_dump(mode="json"))
    assert len(pending(database).publishing) == 6
    assert not pending(database).publishes_soon
    with database.write() as session:
        stored = tried.model_copy(update={"tries": 2}).model_dump(mode="json")
        session.execute(update(tables.Job).values(publishing=stored))
    assert pending(database).publishes_soon
