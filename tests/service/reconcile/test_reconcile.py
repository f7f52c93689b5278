"""What is lost, what is unneeded and what runs in vain is found, and nothing else."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.storage.keys import spec_key
from cluster.storage.store import ObjectInfo
from service.cli.main import app
from service.db import tables
from service.db.organization.projects import Projects
from service.reconcile.attempts import check_attempts
from service.reconcile.encryption import check_keys
from service.reconcile.findings import Finding
from service.reconcile.objects import check_objects, check_unneeded
from service.scheduling.sweeping.sweep import SweepOptions
from tests.fakes import FakeRayJobs
from tests.keyed_store import KEY, KeyedStore
from tests.service.db.rows import TENANT
from tests.service.scheduling.world import World

DRY = SweepOptions(0, 0, is_dry_run=True)


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with closing(World(database_url, tmp_path / "objects")) as world:
        yield world


def verdicts(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    return [(finding.verdict, finding.subject) for finding in findings]


def test_lost_and_truncated_objects_are_found(world: World) -> None:
    job = world.start()
    world.train(job)
    world.scheduler().tick()
    assert verdicts(check_objects(world.database, world.store)) == [("ok", "")]
    (model,) = world.models()
    weights = model.manifest_key.replace("manifest.json", "adapter.safetensors")
    world.store.put(f"files/{job.training_file}", b"nine byte")
    world.store.put(weights, b"")
    found = list(check_objects(world.database, world.store))
    assert verdicts(iter(found)) == [("failed", f"files/{job.training_file}"), ("failed", weights)]
    assert found[0].found == f"It has 9 bytes, and not 10; the file {job.training_file} needs it."
    world.store.delete(model.manifest_key)
    assert ("failed", model.manifest_key) in verdicts(check_objects(world.database, world.store))


def test_what_was_deleted_in_the_meantime_is_not_lost(world: World) -> None:
    job = world.start()

    class Store:
        """Has its file deleted, as its owner may, between the reading of rows and objects."""

        def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
            world.store.delete(f"files/{job.training_file}")
            with world.database.write() as session:
                session.get_one(tables.File, job.training_file).deleted_at = 1
            return world.store.list(prefix)

    assert verdicts(check_objects(world.database, Store())) == [("ok", "")]  # type: ignore[arg-type]


def test_what_the_next_sweep_removes_is_counted_and_stays(world: World) -> None:
    world.start()
    world.store.put("files/file-unknown", b"12345")
    finding = check_unneeded(world.database, world.store, DRY)
    assert (finding.verdict, "1 objects of 5 bytes: 1 files" in finding.found) == ("ok", True)
    assert world.store.get("files/file-unknown") == b"12345"


def test_processes_that_no_attempt_knows_are_found_and_stopped_if_they_are_ours(world: World) -> None:
    job = world.start()
    ray: FakeRayJobs = world.ray
    assert verdicts(check_attempts(world.database, world.store, ray, fixes=False)) == [("ok", "")]
    world.store.put(spec_key("ftjob-lost", 2), b"{}")
    ray.statuses |= {"ftjob-lost-a2": "running", "ftjob-others-a1": "pending", "raysubmit_x": "running"}
    ray.statuses |= {"ftjob-lost-a1": "failed", f"{job.id}-a1": "absent"}
    expected = [
        ("warning", f"{job.id}-a1"),
        ("failed", "ftjob-lost-a2"),
        ("warning", "ftjob-others-a1"),
    ]
    assert verdicts(check_attempts(world.database, world.store, ray, fixes=False)) == expected
    assert ray.stopped == []
    assert ("fixed", "ftjob-lost-a2") in verdicts(
        check_attempts(world.database, world.store, ray, fixes=True)
    )
    assert ray.stopped == ["ftjob-lost-a2"]


def test_the_command_ends_with_1_if_something_is_lost(
    world: World, tmp_path: Path, database_url: str
) -> None:
    job = world.start()
    places = {"TUNERY_DATABASE_URL": database_url, "TUNERY_STORAGE_URL": f"file://{tmp_path}/objects"}
    done = CliRunner().invoke(app, ["reconcile"], env=places)
    assert done.exit_code == 0, done.output
    assert "TUNERY_RAY_URL is not set" in done.stdout
    world.store.delete(f"files/{job.training_file}")
    done = CliRunner().invoke(app, ["reconcile", "--json"], env=places)
    assert (done.exit_code, f"files/{job.training_file}" in done.stdout) == (1, True)


def test_a_key_that_storage_does_not_take_is_named_with_its_projects(world: World, tmp_path: Path) -> None:
    assert list(check_keys(world.database, world.store)) == []
    with world.database.write() as session:
        Projects(session, TENANT.organization_id).set_encryption_key(TENANT.project_id, KEY)
    store = KeyedStore(tmp_path / "objects")
    assert verdicts(check_keys(world.database, store)) == [("ok", "")]
    assert [info.key for info in store.list("health")] == []
    store.refused.add(KEY)
    assert verdicts(check_keys(world.database, store)) == [("failed", KEY)]
    (finding,) = check_keys(world.database, world.store)
    assert (finding.verdict, TENANT.project_id in finding.found) == ("failed", True)
