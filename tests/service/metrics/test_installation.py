"""What Prometheus learns of the whole installation from the database."""

from prometheus_client import CollectorRegistry
from sqlalchemy import select, update

from cluster.contracts.devices import Pool
from cluster.contracts.jobs import Failed, JobStatus, SyncRequest
from service.db import tables
from service.db.database import Database, now
from service.db.jobs.jobs import Jobs
from service.db.retention.stored import record_stored
from service.db.scheduler.attempts import Attempts
from service.db.scheduler.leases import READINESS, Leases
from service.db.scheduler.pool_views import PoolNode, record_pool_views
from service.db.webhooks.endpoints import WebhookEndpoints
from service.db.webhooks.queue import EVENT_TYPES, WebhookQueue
from service.metrics import declared
from service.metrics.installation import InstallationCollector
from tests.databases import on_both_databases
from tests.fakes import Fuse, FusedDatabase
from tests.service.db.rows import (
    TENANT,
    TOKEN,
    add_job,
    add_running_job,
    add_tenants,
    checkpoint,
    move,
    refuse,
    step,
    train,
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
        nodes = [PoolNode("a", "standing", 8, 5), PoolNode("b", "draining", 8, 0)]
        record_pool_views(session, {"big": nodes}, at=at)
    registry = scraped(database)

    for status in ("queued", "running"):
        assert registry.get_sample_value("tunery_jobs", {"status": status}) == 1
    assert registry.get_sample_value("tunery_jobs", {"status": "succeeded"}) is None
    about(database, "tunery_job_oldest_seconds", 900, status="queued", priority="high")
    about(database, "tunery_attempt_sync_age_seconds", 60)
    about(database, "tunery_checkpoint_age_seconds", 300)
    about(database, "tunery_outbox_oldest_seconds", 40)
    left = registry.get_sample_value("tunery_lease_remaining_seconds", {"lease": "scheduler"})
    assert left is not None
    assert left <= 10
    assert registry.get_sample_value("tunery_lease_remaining_seconds", {"lease": READINESS}) is None
    assert registry.get_sample_value("tunery_attempts", {"state": "running"}) == 1
    assert registry.get_sample_value("tunery_training_slots_held") == 3
    for pool, devices, held in (("big", 8, 3), ("spot", 4, 0)):
        assert registry.get_sample_value("tunery_pool_devices", {"pool": pool}) == devices
        assert registry.get_sample_value("tunery_pool_devices_held", {"pool": pool}) == held
    for state, number in (("standing", 1), ("draining", 1), ("avoided", 0)):
        assert registry.get_sample_value("tunery_pool_nodes", {"pool": "big", "state": state}) == number
    assert registry.get_sample_value("tunery_pool_devices_free", {"pool": "big"}) == 5
    assert registry.get_sample_value("tunery_pool_devices_free", {"pool": "spot"}) is None
    assert registry.get_sample_value("tunery_training_slots") == 4
    assert registry.get_sample_value("tunery_training_tokens_per_second", {"base": "tiny"}) == 125.5


def about(database: Database, name: str, expected: float, **labels: str) -> None:
    value = scraped(database).get_sample_value(name, labels)
    assert value is not None, name
    assert expected - 2 <= value <= expected + 30, (name, value)


def test_the_time_that_a_requeued_job_has_trained_is_no_waiting(database: Database) -> None:
    add_tenants(database)
    job = add_job(database)
    move(database, job.id, JobStatus.QUEUED)
    with database.write() as session:
        since = now(session) - 27 * 3600
        trained = {"created_at": int(since), "queued_at": since, "held_seconds": 26 * 3600.0}
        session.execute(update(tables.Job).values(**trained))
    about(database, "tunery_job_oldest_seconds", 3600, status="queued", priority="normal")


def test_a_job_that_is_published_again_has_not_waited_since_its_training(database: Database) -> None:
    add_tenants(database)
    job = add_job(database)
    train(database, job.id)
    with database.write() as session:
        session.execute(update(tables.Job).values(trained_at=int(now(session)) - 86_400))
    refuse(database, job.id)
    with database.write() as session:
        Jobs(session, TENANT).republish(job.id)
    about(database, "tunery_job_oldest_seconds", 0, status="publishing", priority="normal")


def test_a_receiver_that_does_not_answer_makes_no_delivery_late(database: Database) -> None:
    """Its deliveries have been due for hours, but it is tried as intended. One that nobody tries is late."""
    add_tenants(database)
    for url in ("https://dead.example/", "https://alive.example/"):
        with database.write() as session:
            WebhookEndpoints(session, TENANT).create(name="test", url=url, event_types=EVENT_TYPES)
    move(database, add_job(database).id, JobStatus.CANCELLED)
    WebhookQueue(database, retention_seconds=3600, disable_after_seconds=3600).fan_out()
    endpoint, delivery = tables.WebhookEndpoint, tables.WebhookDelivery
    dead = select(endpoint.id).where(endpoint.url == "https://dead.example/").scalar_subquery()
    with database.write() as session:
        at = now(session)
        session.execute(update(delivery).where(delivery.endpoint_id == dead).values(next_try_at=at - 7200))
        session.execute(update(endpoint).where(endpoint.id == dead).values(held_until=at + 600))
    about(database, "tunery_webhook_oldest_due_seconds", 0)
    with database.write() as session:
        session.execute(update(endpoint).where(endpoint.id == dead).values(held_until=now(session) - 60))
    about(database, "tunery_webhook_oldest_due_seconds", 60)
    with database.write() as session:
        session.execute(
            update(delivery).where(delivery.endpoint_id != dead).values(next_try_at=now(session) - 1200)
        )
    about(database, "tunery_webhook_oldest_due_seconds", 1200)


def test_the_age_of_the_last_complete_sweep_shows_also_before_the_first(database: Database) -> None:
    add_tenants(database)
    assert scraped(database).get_sample_value("tunery_sweep_age_seconds") is None, "nothing to sweep"
    add_job(database)
    with database.write() as session:
        session.execute(update(tables.File).values(created_at=int(now(session)) - 5000))
    about(database, "tunery_sweep_age_seconds", 5000)
    with database.write() as session:
        record_stored(session, {})
    about(database, "tunery_sweep_age_seconds", 0)


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
