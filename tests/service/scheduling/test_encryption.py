"""What is written for a job, an import or an export is encrypted with the key of its project."""

from pathlib import Path

import pytest

from cluster.contracts.jobs import JobStatus
from cluster.storage.keys import file_key, spec_key
from service.db.ids import result_file_id
from service.db.organization.projects import Projects
from tests.keyed_store import KEY, KeyedStore
from tests.service.db.rows import TENANT
from tests.service.scheduling.world import World


@pytest.fixture
def store(world: World, tmp_path: Path) -> KeyedStore:
    world.store = KeyedStore(tmp_path / "objects")
    return world.store


def give(world: World, key: str | None) -> None:
    with world.database.write() as session:
        Projects(session, TENANT.organization_id).set_encryption_key(TENANT.project_id, key)


def test_an_attempt_and_its_results_have_the_projects_key(world: World, store: KeyedStore) -> None:
    give(world, KEY)
    job = world.start()
    assert world.spec(f"{job.id}-a1").encryption_key == KEY
    world.train(job)
    world.scheduler().tick()
    assert world.status(job) is JobStatus.SUCCEEDED
    written = (spec_key(job.id, 1), file_key(result_file_id(job.id)))
    assert {store.keys[key] for key in written} == {KEY}
    assert {request.encryption_key for request in world.serving.checked} == {KEY}


def test_without_a_key_nothing_names_one(world: World, store: KeyedStore) -> None:
    job = world.start()
    world.train(job)
    world.scheduler().tick()
    assert world.spec(f"{job.id}-a1").encryption_key is None
    assert world.serving.checked
    assert {request.encryption_key for request in world.serving.checked} == {None}
    assert {*store.keys.values()} == {None}


def test_a_key_counts_from_the_next_attempt(world: World, store: KeyedStore) -> None:
    job = world.start()
    give(world, KEY)
    world.ray.statuses[f"{job.id}-a1"] = "failed"
    world.silence(job, 10_000)
    for _ in range(3):
        world.scheduler().tick()
    assert [world.spec(f"{job.id}-a{number}").encryption_key for number in (1, 2)] == [None, KEY]
    assert [store.keys[spec_key(job.id, number)] for number in (1, 2)] == [None, KEY]


def test_a_job_fails_where_storage_cannot_encrypt_with_the_key(world: World) -> None:
    give(world, KEY)
    job = world.job()
    for _ in range(3):
        world.scheduler().tick()
    failed = world.see(job)
    assert failed.status is JobStatus.FAILED
    assert failed.error is not None
    assert failed.error.code == "encryption_unsupported"
