"""What the scheduler makes of the policy's decisions."""

import time

import pytest
from sqlalchemy import select, update

from cluster.contracts.errors import Conflict
from cluster.contracts.jobs import JobStatus, Stopped
from service.db import tables
from service.db.jobs.jobs import Jobs
from service.db.jobs.queue_places import QueuePlace, queue_places
from service.db.limits.limits import Limits
from service.db.scheduler.pool_limits import set_pool_limit
from service.scheduling.scheduler import Scheduler
from tests.databases import on_both_databases
from tests.service.db.rows import OTHER, TENANT, add_job, resume_state, step
from tests.service.scheduling.world import TOTAL_STEPS, World


def place(world: World, job) -> QueuePlace | None:
    with world.database.read() as session:
        return queue_places(session, [world.see(job)]).get(job.id)


def running(world: World, **new):
    """A job that holds the only slot."""
    job = world.job(**new)
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    world.sync(job, [step(0, 1, TOTAL_STEPS)])
    return job, scheduler


def make_room(world: World, scheduler: Scheduler, job) -> None:
    assert world.status(job) is JobStatus.PAUSING
    assert world.sync(job).command == "pause"
    world.sync(job, [resume_state(job.id, 1, 1)], Stopped())
    world.ray.statuses[f"{job.id}-a{world.see(job).attempt}"] = "succeeded"
    scheduler.tick()


@on_both_databases
def test_a_higher_priority_starts_first(world: World) -> None:
    low, normal, high = (world.job(priority=priority) for priority in ("low", "normal", "high"))
    scheduler = world.scheduler()
    scheduler.tick()
    for job in (high, normal, low):
        scheduler.tick()
        scheduler.tick()
        assert world.ray.submissions[-1] == f"{job.id}-a1"
        world.train(job)
        scheduler.tick()


def test_a_running_job_makes_room_for_a_higher_priority_and_then_continues(world: World) -> None:
    low, scheduler = running(world, priority="low")
    high = world.job(priority="high")
    scheduler.tick()
    scheduler.tick()
    make_room(world, scheduler, low)
    assert world.status(low) is JobStatus.QUEUED
    assert world.status(high) is JobStatus.STARTING
    with world.database.read() as session:
        row = session.get_one(tables.Job, low.id)
        assert (row.faults, row.retry_at, row.displacements) == (0, None, 1)
    told = [message for message in world.messages(low) if "devices" in message]
    assert told == [
        "Pausing to free devices for a job of a higher priority; training resumes from the saved checkpoint",
        "Checkpoint saved and devices freed, moving job to queued state",
    ]
    assert high.id not in " ".join(world.messages(low))
    world.train(high)
    scheduler.tick()
    scheduler.tick()
    assert world.status(low) is JobStatus.STARTING
    assert world.spec(f"{low.id}-a2").resume_from.endswith("step-00000001/resume_manifest.json")


def test_an_owner_who_pauses_a_job_that_makes_room_finds_it_paused(world: World) -> None:
    low, scheduler = running(world, priority="low")
    world.job(priority="high")
    scheduler.tick()
    scheduler.tick()
    with world.database.write() as session:
        jobs = Jobs(session, TENANT)
        with pytest.raises(Conflict, match="continues by itself"):
            jobs.resume(low.id)
        jobs.pause(low.id)
    make_room(world, scheduler, low)
    assert world.status(low) is JobStatus.PAUSED


def test_without_preemption_nothing_is_paused(world: World) -> None:
    world.settings = world.settings.model_copy(update={"preemption": False})
    low, scheduler = running(world, priority="low")
    high = world.job(priority="high")
    scheduler.tick()
    scheduler.tick()
    assert world.status(low) is JobStatus.RUNNING
    assert place(world, high).reason == "pool_full"


def test_a_job_that_waits_says_why_and_tells_it_once(world: World) -> None:
    _, scheduler = running(world)
    first, second = world.job(), world.job()
    for _ in range(4):
        scheduler.tick()
    found = place(world, second)
    assert (found.position, found.reason) == (2, "pool_full")
    assert found.message == "Needs 1 device of pool training; 0 are free."
    assert time.time() <= found.estimated_start
    # Nothing like it has run, so that nobody can tell when it ends.
    assert found.estimated_finish is None
    waits = [event for event in world.log(first) if event.message.startswith("Waiting: ")]
    assert [(event.level, event.data["reason"]) for event in waits] == [("info", "pool_full")]


def test_a_job_that_starts_is_no_longer_in_the_queue(world: World) -> None:
    first, scheduler = running(world)
    second = world.job()
    scheduler.tick()
    scheduler.tick()
    world.train(first)
    scheduler.tick()
    scheduler.tick()
    assert place(world, second) is None
    with world.database.read() as session:
        assert session.scalars(select(tables.QueuePlace)).all() == []


def test_a_project_holds_no_more_devices_than_its_quota(world: World) -> None:
    world.settings = world.settings.model_copy(update={"training_slots": 4})
    with world.database.write() as session:
        Limits(session).change(TENANT.project_id, {"max_devices": 1})
    first, second = world.job(), world.job()
    other = add_job(world.database, OTHER)
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    assert sorted(world.ray.submissions) == sorted([f"{first.id}-a1", f"{other.id}-a1"])
    assert place(world, second).reason == "project_quota"


def test_jobs_hold_no_more_of_a_limited_pool_and_start_when_the_limit_is_gone(world: World) -> None:
    world.settings = world.settings.model_copy(update={"training_slots": 2})
    first, scheduler = running(world)
    limit_pool(world, 1)
    second = world.job()
    scheduler.tick()
    scheduler.tick()
    assert (world.status(first), world.status(second)) == (JobStatus.RUNNING, JobStatus.QUEUED)
    assert place(world, second).reason == "pool_full"
    limit_pool(world, 0)
    scheduler.tick()
    found = place(world, second)
    assert (found.reason, found.estimated_start) == ("pool_limited", None)
    assert found.message == "Needs 1 device of pool training, of which jobs may hold 0 at present."
    assert world.status(first) is JobStatus.RUNNING
    limit_pool(world, None)
    scheduler.tick()
    assert world.status(second) is JobStatus.STARTING


def limit_pool(world: World, max_devices: int | None) -> None:
    with world.database.write() as session:
        set_pool_limit(session, TENANT, "training", max_devices)


@on_both_databases
def test_a_project_that_has_used_much_comes_after_one_that_has_not(world: World) -> None:
    first, scheduler = running(world)
    with world.database.write() as session:
        session.execute(update(tables.Attempt).values(started_at=tables.Attempt.created_at - 3600))
    world.train(first)
    scheduler.tick()
    with world.database.read() as session:
        (use,) = session.scalars(select(tables.DeviceUse))
        assert (use.project_id, use.device_seconds) == (TENANT.project_id, pytest.approx(2597, abs=20))
    ours = world.job()
    theirs = add_job(world.database, OTHER)
    scheduler.tick()
    scheduler.tick()
    assert world.ray.submissions[-1] == f"{theirs.id}-a1"
    assert world.status(ours) is JobStatus.QUEUED


def test_a_job_that_did_not_start_in_time_fails(world: World) -> None:
    _, scheduler = running(world)
    late = world.job(start_by=int(time.time()) + 40)
    scheduler.tick()
    scheduler.tick()
    assert world.status(late) is JobStatus.QUEUED
    warning = world.log(late)[-1]
    assert (warning.level, "after its start_by" in warning.message) == ("warn", True)
    with world.database.write() as session:
        session.get_one(tables.Job, late.id).start_by = 1
    scheduler.tick()
    assert (world.status(late), world.see(late).error.code) == (JobStatus.FAILED, "start_by_passed")


def test_a_started_job_is_not_bound_by_its_start_time(world: World) -> None:
    job, scheduler = running(world, start_by=int(time.time()) + 1000)
    with world.database.write() as session:
        session.get_one(tables.Job, job.id).start_by = 1
    world.sync(job, [], Stopped())
    scheduler.tick()
    assert world.status(job) is not JobStatus.FAILED
