"""Maintenance: no job is created or started, what runs finishes or pauses, and everything else goes on."""

import openai
import pytest

from cluster.contracts.errors import Unavailable
from cluster.contracts.jobs import JobStatus, Stopped
from service.api.jobs.public_jobs import public_job
from service.db import tables
from service.db.jobs.jobs import Job, Jobs
from service.db.maintenance import current_maintenance, end_maintenance, set_maintenance
from service.db.organization.api_keys import ApiKeys
from service.db.scheduler.attempts import MAINTENANCE
from service.scheduling.policy.snapshot import WaitReason
from tests.api import LiveApi, add_admin_key
from tests.service.cli.running import run_tunery
from tests.service.db.rows import TENANT
from tests.service.scheduling.conftest import world
from tests.service.scheduling.world import World

__all__ = ["world"]


@pytest.fixture
def operator(live: LiveApi) -> str:
    with live.state.database.write() as session:
        return ApiKeys(session).ensure_admin(None)


def test_no_job_is_created_but_files_and_models_can_be_used(live: LiveApi, operator: str) -> None:
    assert run_tunery(live, "maintenance", "status", key=operator).stdout == "off\n"
    begun = run_tunery(live, "maintenance", "on", "--pause", key=operator)
    assert (begun.exit_code, "jobs that run pause" in begun.stdout) == (0, True)
    file = live.upload()
    with live.openai() as client:
        with pytest.raises(openai.InternalServerError) as raised:
            client.fine_tuning.jobs.create(model="base-1", training_file=file)
        assert (raised.value.status_code, raised.value.code) == (503, "maintenance")
        assert raised.value.response.headers["retry-after"] == "60"
        assert client.completions.create(model="base-1", prompt="hi").choices
        for _ in range(2):
            ended = run_tunery(live, "maintenance", "off", key=operator)
            assert (ended.exit_code, ended.stdout) == (0, "off\n")
        assert client.fine_tuning.jobs.create(model="base-1", training_file=file).id
    entries = run_tunery(live, "audit", "ls", "--type", "maintenance.began", key=operator).stdout
    assert entries.count("maintenance.began") == 1


def test_only_the_operators_key_begins_it(live: LiveApi) -> None:
    admin = add_admin_key(live.state.database, live.project.tenant)
    for key in (admin, live.project.key):
        for command in ("on", "off", "status"):
            done = run_tunery(live, "maintenance", command, key=key)
            assert (done.exit_code, "operator's key" in done.stderr) == (3, True)
    with live.state.database.read() as session:
        assert current_maintenance(session) is None


def test_queued_jobs_wait_and_running_ones_finish(world: World) -> None:
    running = world.start()
    queued = world.job()
    world.scheduler().tick()
    with world.database.write() as session:
        set_maintenance(session, pauses_jobs=False)
    with pytest.raises(Unavailable):
        world.job()
    world.train(running)
    for _ in range(3):
        world.scheduler().tick()
    assert world.status(running) is JobStatus.SUCCEEDED
    assert world.status(queued) is JobStatus.QUEUED
    with world.database.write() as session:
        end_maintenance(session, TENANT)
    world.scheduler().tick()
    assert world.status(queued) is JobStatus.STARTING


def _shown(world: World, job: Job) -> tuple[str, str]:
    """The job's status and state in the API."""
    with world.database.read() as session:
        shown = public_job(Jobs(session, TENANT).get(job.id))
    return shown.status, shown.tunery.state


def test_a_job_is_shown_as_pausing_only_if_its_owner_paused_it(world: World) -> None:
    job = world.start()
    with world.database.write() as session:
        set_maintenance(session, pauses_jobs=True)
    world.scheduler().tick()
    assert _shown(world, job) == ("running", "pausing")
    with world.database.write() as session:
        Jobs(session, TENANT).pause(job.id)
    assert _shown(world, job) == ("pausing", "pausing"), "its owner wants it to stay paused"


def test_running_jobs_pause_and_go_on_by_themselves(world: World) -> None:
    job = world.start()
    for _ in range(2):
        with world.database.write() as session:
            set_maintenance(session, pauses_jobs=True)
        world.scheduler().tick()
    assert world.status(job) is JobStatus.PAUSING
    assert world.messages(job).count(MAINTENANCE) == 1
    assert _shown(world, job) == ("running", "pausing"), "OpenAI's clients go on waiting for it"
    assert world.sync(job).command == "pause"
    world.sync(job, state=Stopped())
    world.ray.statuses[f"{job.id}-a1"] = "succeeded"
    for _ in range(2):
        world.scheduler().tick()
    assert world.status(job) is JobStatus.QUEUED
    with world.database.read() as session:
        assert session.get_one(tables.QueuePlace, job.id).reason == WaitReason.MAINTENANCE
        assert session.get_one(tables.Job, job.id).displacements == 0, "it may have others make room for it"
    with world.database.write() as session:
        end_maintenance(session, TENANT)
    world.scheduler().tick()
    assert world.status(job) is JobStatus.STARTING
