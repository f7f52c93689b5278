"""A server with files, a tuned model and a job that is running is backed up and restored elsewhere: it gives
the same answers, and the job goes on."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from cluster.contracts.errors import CorruptArtefact
from cluster.contracts.jobs import JobStatus, NumberedResumeState
from cluster.storage.keys import manifest_key, sibling_key, spec_key
from cluster.storage.local import LocalStore
from cluster.storage.s3 import S3Store
from cluster.storage.store import ObjectStore
from service.api.app import create_app
from service.api.state import AppState
from service.audit_chain import chain_fault
from service.backup.folder import BackupReader
from service.backup.making import make_backup
from service.backup.restoring import check_backup, check_empty, restore
from service.db.database import Database
from service.db.jobs.jobs import Job
from service.settings import Settings
from tests.databases import postgres_database, sqlite_copy
from tests.fakes import FakeEngine
from tests.s3_servers import S3Endpoint
from tests.service.scheduling.world import BASE, World

KEY = {"authorization": "Bearer an-admin-key-for-tests"}
SECRET = b"the key of the backup"
ASKED = (
    "/v1/models",
    "/v1/files",
    "/v1/fine_tuning/jobs",
    "/v1/organization/projects",
    "/v1/organization/audit_logs",
)


def answers(database: Database, store: ObjectStore) -> list[Any]:
    """The API's answers, and the contents of all files."""
    state = AppState(Settings(), database, store, FakeEngine(), {"tiny": BASE})
    with TestClient(create_app(state.settings, open_state=lambda _: state), headers=KEY) as http:
        found = [http.get(path) for path in ASKED]
        assert [answer.status_code for answer in found] == [200] * len(ASKED)
        assert chain_fault(found[-1].json()["data"]) is None
        files = [http.get(f"/v1/files/{file['id']}/content") for file in found[1].json()["data"]]
        return [answer.json() for answer in found] + [answer.content for answer in files]


def save_state(world: World, job: Job, number: int) -> str:
    """Reports a resume state with one part. Returns its key."""
    key = sibling_key(manifest_key(job.id, job.attempt, number), "resume_manifest.json")
    world.store.put(sibling_key(key, "resume_part-0.safetensors"), b"state")
    world.store.put(
        key, b'{"best": null, "files": [{"name": "resume_part-0.safetensors", "bytes": 5, "sha256": ""}]}'
    )
    state = NumberedResumeState(
        seq=2 * number, created_at=1, step=number, manifest_key=key, manifest_sha256="0" * 64
    )
    world.sync(job, [state])
    return key


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'other.db'}"
    else:
        with postgres_database(request.getfixturevalue("postgres_url")) as url:
            yield url


@pytest.fixture
def world(tmp_path: Path, sqlite_template: Path) -> Iterator[World]:
    with closing(World(sqlite_copy(sqlite_template), tmp_path / "objects")) as world:
        yield world


def back_up(world: World, folder: Path, **options: Any) -> BackupReader:
    options = {"secret": None, "copies_objects": True, "progress": print} | options
    make_backup(world.database, world.store, folder, **options)
    return BackupReader(folder, options["secret"])


@contextmanager
def restored(backup: BackupReader, url: str, store: ObjectStore) -> Iterator[World]:
    """The world after a restore, with a Ray that knows nothing."""
    with closing(Database(url)) as database:
        check_backup(backup, print)
        restore(backup, database, store, print)
    with closing(World(url, Path("/unused"), has_tenants=True)) as world:
        world.store = store  # type: ignore[assignment]
        yield world


def test_a_restored_server_gives_the_same_answers_and_its_job_goes_on(
    world: World, tmp_path: Path, other_url: str, moto_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_endpoint.environment.items():
        monkeypatch.setenv(name, value)
    store = S3Store(moto_endpoint.bucket, prefix=tmp_path.name, endpoint_url=moto_endpoint.url)
    tuned = world.start()
    world.train(tuned)
    world.scheduler().tick()
    job = world.start()
    state = save_state(world, job, 2)
    before = answers(world.database, world.store)
    backup = back_up(world, tmp_path / "backup", secret=SECRET)
    assert (backup.manifest.objects.missing, backup.manifest.objects.are_copied) == (0, True)

    with restored(backup, other_url, store) as after:
        waiting = after.see(job)
        assert (waiting.status, waiting.resume_manifest_key) == (JobStatus.QUEUED, state)
        found = answers(after.database, store)
        for answer in (before, found):
            # The job's status has changed, and nothing else of the tuned one.
            answer[2] = [one for one in answer[2]["data"] if one["id"] == tuned.id]
        assert found == before
        after.scheduler().tick()
        spec = after.spec(f"{job.id}-a2")
        assert (spec.attempt, spec.resume_from) == (2, state)
        after.sync(job)
        after.train(job)
        after.scheduler().tick()
        assert after.status(job) is JobStatus.SUCCEEDED
        assert after.attempts(job)[0].result is None, "no fault was counted"


def test_a_job_whose_state_was_superseded_goes_on_from_an_older_one(world: World, tmp_path: Path) -> None:
    job = world.start()
    older, newer = save_state(world, job, 1), save_state(world, job, 2)
    world.store.delete(newer)
    backup = back_up(world, tmp_path / "backup")
    assert backup.manifest.objects.missing == 1
    store = LocalStore(tmp_path / "elsewhere")
    # The older one is superseded, so that no row names it: it is in the store that survived.
    for name in ("resume_manifest.json", "resume_part-0.safetensors"):
        store.put(sibling_key(older, name), world.store.get(sibling_key(older, name)))
    with restored(backup, f"sqlite:///{tmp_path / 'new.db'}", store) as after:
        assert after.see(job).resume_manifest_key == older
    with restored(backup, f"sqlite:///{tmp_path / 'newer.db'}", LocalStore(tmp_path / "third")) as after:
        assert after.see(job).resume_manifest_key is None


def test_numbers_of_attempts_that_were_started_after_the_backup_are_not_used_again(
    world: World, tmp_path: Path
) -> None:
    job = world.start()
    backup = back_up(world, tmp_path / "backup", copies_objects=False)
    assert not list((tmp_path / "backup").glob("objects/*"))
    world.store.put(spec_key(job.id, 2), b"{}")
    with restored(backup, f"sqlite:///{tmp_path / 'new.db'}", world.store) as after:
        after.scheduler().tick()
        assert after.ray.submissions == [f"{job.id}-a3"]


def test_a_backup_that_was_changed_or_needs_another_key_is_refused(world: World, tmp_path: Path) -> None:
    world.start()
    folder = tmp_path / "backup"
    backup = back_up(world, folder, secret=SECRET)
    assert {path.stat().st_mode & 0o077 for path in [folder, *folder.rglob("*")]} == {0}
    assert all(b"ten bytes." not in path.read_bytes() for path in folder.rglob("*") if path.is_file())
    with pytest.raises(Exception, match="another key"):
        BackupReader(folder, b"a key that is wrong")
    with pytest.raises(Exception, match="give its key"):
        BackupReader(folder, None)
    (object_file,) = folder.glob("objects/files/*")
    content = object_file.read_bytes()
    for path, changed in ((object_file, content[:-1]), (folder / "tables" / "jobs.jsonl", b"x" * 90)):
        kept = path.read_bytes()
        path.write_bytes(changed)
        with pytest.raises(Exception, match=f"{path.name} of the backup"):
            check_backup(backup, print)
        path.write_bytes(kept)
    check_backup(backup, print)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"missing": 0', '"missing": 1'))
    with pytest.raises(Exception, match="was changed after"):
        BackupReader(folder, SECRET)
    manifest.unlink()
    with pytest.raises(Exception, match="no whole backup"):
        BackupReader(folder, SECRET)


def test_what_may_have_been_put_in_the_place_of_an_encrypted_backup_is_refused(
    world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    back_up(world, folder)
    with pytest.raises(Exception, match="is not encrypted"):
        BackupReader(folder, SECRET)
    manifest = folder / "manifest.json"
    whole = json.loads(manifest.read_text())
    stored = whole["files"]["tables/jobs.jsonl"]
    others = {name: one for name, one in whole["files"].items() if name != "tables/jobs.jsonl"}
    unchecked = {**whole, "files": others}
    outside = {**whole, "files": {**whole["files"], "../../etc/passwd": stored}}
    for changed in (unchecked, outside, {**whole, "rows": {**whole["rows"], "../x": 1}}):
        manifest.write_text(json.dumps(changed))
        with pytest.raises(CorruptArtefact):
            BackupReader(folder, None)


def test_only_an_empty_installation_is_restored_into(world: World, tmp_path: Path) -> None:
    world.start()
    backup = back_up(world, tmp_path / "backup")
    empty = LocalStore(tmp_path / "empty")
    with pytest.raises(Exception, match=r"not empty: it has \d+ rows"):
        check_empty(world.database, empty, keeps_objects=False)
    with pytest.raises(Exception, match=r"not empty: it has \d+ rows"):
        restore(backup, world.database, empty, print)
    with closing(Database(f"sqlite:///{tmp_path / 'new.db'}")) as database:
        with pytest.raises(Exception, match=r"it has files/.*--keep-objects"):
            check_empty(database, world.store, keeps_objects=False)
        check_empty(database, world.store, keeps_objects=True)
        assert restore(backup, database, world.store, print).objects == 0
    with pytest.raises(Exception, match="is not empty"):
        back_up(world, tmp_path / "backup")


def test_a_backup_of_a_later_version_is_refused(world: World, tmp_path: Path) -> None:
    back_up(world, tmp_path / "backup")
    manifest = tmp_path / "backup" / "manifest.json"
    text = manifest.read_text()
    revision = BackupReader(tmp_path / "backup", None).manifest.revision
    manifest.write_text(text.replace(f'"revision": "{revision}"', '"revision": "9999"'))
    with pytest.raises(Exception, match="revision 9999"):
        check_backup(BackupReader(tmp_path / "backup", None), print)
    manifest.write_text(text.replace('"format": 1', '"format": 2'))
    with pytest.raises(Exception, match="format 2"):
        BackupReader(tmp_path / "backup", None)
