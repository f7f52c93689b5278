"""What Prometheus learns of the whole installation from the database."""

from prometheus_client import CollectorRegistry
from sqlalchemy import update

from cluster.contracts.devices import Pool
from cluster.contracts.jobs import Failed, JobStatus, SyncRequest
from service.db import tables
from service.db.database import Database, now
from service.db.scheduler.attempts import Attempts
from service.db.scheduler.leases import READINESS, Leases
from service.metrics import declared
from service.metrics.installation import InstallationCollector
from tests.databases import on_both_databases
from tests.fakes import Fuse, FusedDatabase
from tests.service.db.rows import (
    TOKEN,
    add_job,
    add_running_job,
    add_tenants,
    checkpoint,
    move,
    step,
)

pytestmark = on_both_databases


def scraped(database: Database, *, slots: int = 4) -> CollectorRegistry:
    registry = CollectorRegistry()
    size = {"kind": "cpu", "host_bytes": 2**30}
    pools = [Pool(name="big", devices=8, **size), Pool(name="spot", nodes=2, devices=2, **size)]
    registry.register(InstallationCollector(database, slots=slots, pools=pools))
    return registry


def test_an_empty_installation_has_no_ages(database: Database) -> None:
    add_tenants(database)
    registry = scraped(database)
    families = {family.name: family.samples for family in registry.collect()}
    for metric in (declared.OLDEST_JOB, declared.SYNC_AGE, declared.CHECKPOINT_AGE, declared.LEASE_LEFT):
        assert families[metric.name] == []
    assert registry.get_sample_value("tunery_jobs", {"status": "running"}) == 0
    assert registry.get_sample_value("tunery_database_up") == 1
    assert registry.get_sample_value("tunery_outbox_oldest_seconds") == 0


def test_it_shows_what_waits_what_runs_and_what_is_silent(database: Database) -> None:
    add_tenants(database)
    queued = add_job(database)
    move(database, queued.id, JobStatus.QUEUED)
    job = add_running_job(database)
    with database.write() as session:
        events = [step(0, 1), checkpoint(job.id, 1, 1)]
        Attempts(session).sync(job.id, 1, TOKEN, SyncRequest(events=events))
        at = now(session)
        Leases(session).acquire("scheduler", "one", seconds=10)
        Leases(session).acquire(READINESS, "api", seconds=0)
        session.execute(
            update(tables.Attempt).values(heartbeat_at=at - 60, started_at=at - 500, created_at=at - 600)
        )
        jobs = {"created_at": int(at) - 900, "queued_at": at - 900, "priority": "high"}
        session.execute(update(tables.Job).values(**jobs))
        session.execute(update(tables.Attempt).values(pool="big", num_workers=3))
        session.execute(update(tables.Checkpoint).values(created_at=int(at) - 300))
        session.execute(update(tables.OutboxEntry).values(created_at=int(at) - 40))
        progress = {"step": 1, "total_steps": 9, "tokens_per_second": 125.5}
        session.execute(update(tables.Job).where(tables.Job.id == job.id).values(progress=progress))
    registry = scraped(database)

    def about(name: str, expected: float, **labels: str) -> None:
        value = registry.get_sample_value(name, labels)
        assert value is not None, name
        assert expected - 2 <= value <= expected + 30, (name, value)

    for status in ("queued", "running"):
        assert registry.get_sample_value("tunery_jobs", {"status": status}) == 1
    about("tunery_job_oldest_seconds", 900, status="queued", priority="high")
    about("tunery_attempt_sync_age_seconds", 60)
    about("tunery_checkpoint_age_seconds", 300)
    about("tunery_outbox_oldest_seconds", 40)
    left = registry.get_sample_value("tunery_lease_remaining_seconds", {"lease": "scheduler"})
    assert left is not None
    assert left <= 10
    assert registry.get_sample_value("tunery_lease_remaining_seconds", {"lease": READINESS}) is None
    assert registry.get_sample_value("tunery_attempts", {"state": "running"}) == 1
    assert registry.get_sample_value("tunery_training_slots_held") == 3
    for pool, devices, held in (("big", 8, 3), ("spot", 4, 0)):
        assert registry.get_sample_value("tunery_pool_devices", {"pool": pool}) == devices
        assert registry.get_sample_value("tunery_pool_devices_held", {"pool": pool}) == held
    assert registry.get_sample_value("tunery_training_slots") == 4
    assert registry.get_sample_value("tunery_training_tokens_per_second", {"base": "tiny"}) == 125.5


def test_faults_of_attempts_show_for_an_hour(database: Database) -> None:
    add_tenants(database)
    for is_user_fault in (False, True):
        job = add_running_job(database)
        with database.write() as session:
            failed = Failed(code="hung", message="m", is_user_fault=is_user_fault)
            Attempts(session).sync(job.id, 1, TOKEN, SyncRequest(state=failed))

    def count(fault: str) -> float | None:
        labels = {"result": "failed", "code": "hung", "fault": fault}
        return scraped(database).get_sample_value("tunery_attempts_ended_last_hour", labels)

    assert (count("platform"), count("job")) == (1, 1)
    with database.write() as session:
        session.execute(update(tables.Attempt).values(ended_at=tables.Attempt.ended_at - 3700))
    assert (count("platform"), count("job")) == (None, None)


def test_without_the_database_nothing_old_is_shown_and_it_is_asked_seldom(database: Database) -> None:
    add_tenants(database)
    fused, at = FusedDatabase(database, Fuse()), [0.0]
    registry = CollectorRegistry()
    collector = InstallationCollector(fused, slots=1, clock=lambda: at[0])  # type: ignore[arg-type]
    registry.register(collector)
    assert registry.get_sample_value("tunery_database_up") == 1
    fused.is_down = True
    at[0] = 4.0
    assert registry.get_sample_value("tunery_database_up") == 1, "read again too soon"
    at[0] = 6.0
    assert registry.get_sample_value("tunery_database_up") == 0
    assert registry.get_sample_value("tunery_training_slots_held") is None


def test_it_declares_exactly_what_it_shows(database: Database) -> None:
    add_tenants(database)
    collector = InstallationCollector(database, slots=1)
    assert {family.name for family in collector.collect()} == {one.name for one in declared.INSTALLATION}
