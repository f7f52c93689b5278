"""Sharing models and checkpoints with other projects of the organization."""

import pytest

from cluster.contracts.errors import InvalidRequest, NotFound, PermissionDenied
from cluster.contracts.jobs import JobStatus, SyncRequest
from service.db import tables
from service.db.archiving import archive_project
from service.db.database import Database
from service.db.models.checkpoint_permissions import CheckpointPermissions
from service.db.models.models import TunedModels
from service.db.organization.projects import Projects
from service.db.scheduler.attempts import Attempts
from service.db.tenancy import Tenant
from tests.service.db.rows import OTHER, TENANT, TOKEN, add_running_job, add_tenants, checkpoint, move

ORGANIZATION = TENANT.organization_id


@pytest.fixture
def names(database: Database) -> tuple[str, str]:
    """A published model and its checkpoint."""
    add_tenants(database)
    job = add_running_job(database)
    with database.write() as session:
        Attempts(session).sync(job.id, 1, TOKEN, SyncRequest(events=[checkpoint(job.id, 0, 7)]))
        session.add(
            tables.Model(
                id=job.output_model,
                organization_id=ORGANIZATION,
                project_id=TENANT.project_id,
                job_id=job.id,
                base="tiny",
                form="lora",
                manifest_key="jobs/x/manifest.json",
                manifest_sha256="d" * 64,
                created_at=5,
            )
        )
    move(database, job.id, JobStatus.CANCELLED)
    return job.output_model, f"{job.output_model}:ckpt-step-7"


@pytest.fixture
def second(database: Database, names: tuple[str, str]) -> Tenant:
    with database.write() as session:
        return Tenant(ORGANIZATION, Projects(session, ORGANIZATION).create("second").id)


def grant(database: Database, name: str, *project_ids: str) -> list[str]:
    with database.write() as session:
        granted = CheckpointPermissions(session, ORGANIZATION, name).grant(project_ids)
        return [permission.id for permission in granted]


def usable(database: Database, tenant: Tenant, names: tuple[str, ...]) -> list[str]:
    with database.read() as session:
        models = TunedModels(session, tenant)
        found = []
        for name in names:
            try:
                found.append(models.resolve(name).name)
            except NotFound:
                continue
        return found


def permissions(database: Database, name: str, **options) -> list[str]:
    options = {"project_id": None, "after": None, "limit": 10, "order": "desc"} | options
    with database.read() as session:
        page = CheckpointPermissions(session, ORGANIZATION, name).page(**options)
        return [permission.id for permission in page.data]


@pytest.mark.parametrize("shared", [0, 1])
def test_a_permitted_project_uses_exactly_what_is_shared(
    database: Database, names: tuple[str, str], second: Tenant, shared: int
) -> None:
    assert usable(database, second, names) == []
    (permission,) = grant(database, names[shared], second.project_id)
    assert usable(database, second, names) == [names[shared]]
    assert usable(database, TENANT, names) == list(names)
    assert usable(database, OTHER, names) == []
    with database.read() as session:
        (listed,) = TunedModels(session, second).list()
        assert (listed.name, listed.owner) == (names[shared], TENANT)
        assert [model.name for model in TunedModels(session, TENANT).list()] == [names[0]]
    with database.write() as session, pytest.raises(PermissionDenied, match="only its own project"):
        TunedModels(session, second).delete(names[shared])
    with database.write() as session:
        CheckpointPermissions(session, ORGANIZATION, names[shared]).delete(permission)
    assert usable(database, second, names) == []
    with database.read() as session:
        assert TunedModels(session, second).list() == []


def test_granting_again_changes_nothing(database: Database, names: tuple[str, str], second: Tenant) -> None:
    model, saved = names
    first = grant(database, model, second.project_id)
    assert grant(database, model, second.project_id, second.project_id) == first
    assert grant(database, saved, second.project_id) != first
    assert permissions(database, model) == first


def test_permissions_are_listed_in_either_order_and_by_project(
    database: Database, names: tuple[str, str], second: Tenant
) -> None:
    model = names[0]
    with database.write() as session:
        third = Projects(session, ORGANIZATION).create("third").id
    (one,), (two,) = grant(database, model, second.project_id), grant(database, model, third)
    assert permissions(database, model) == [two, one]
    assert permissions(database, model, order="asc") == [one, two]
    assert permissions(database, model, limit=1) == [two]
    assert permissions(database, model, after=two) == [one]
    assert permissions(database, model, project_id=third) == [two]
    with pytest.raises(InvalidRequest):
        permissions(database, model, after="cp_absent")


def test_only_active_projects_of_the_organization_are_permitted_and_all_or_none(
    database: Database, names: tuple[str, str], second: Tenant
) -> None:
    with database.write() as session:
        archived = Projects(session, ORGANIZATION).create("archived").id
        archive_project(session, ORGANIZATION, archived)
    for absent in (OTHER.project_id, "proj-absent", archived):
        with pytest.raises(InvalidRequest) as refused:
            grant(database, names[0], second.project_id, absent)
        assert refused.value.param == "project_ids"
    assert permissions(database, names[0]) == []


def test_a_model_of_another_organization_is_absent(database: Database, names: tuple[str, str]) -> None:
    for name in (*names, "ft:tiny:x::absent00"):
        with database.write() as session, pytest.raises(NotFound) as refused:
            CheckpointPermissions(session, OTHER.organization_id, name).grant([OTHER.project_id])
        assert refused.value.code == "model_not_found"


def test_permissions_go_with_the_project_the_model_and_the_checkpoint(
    database: Database, names: tuple[str, str], second: Tenant
) -> None:
    def left() -> int:
        with database.read() as session:
            return session.query(tables.CheckpointPermission).count()

    with database.write() as session:
        third = Projects(session, ORGANIZATION).create("third").id
    for name in names:
        grant(database, name, second.project_id, third)
    assert left() == 4
    with database.write() as session:
        archive_project(session, ORGANIZATION, third)
    assert left() == 2
    with database.write() as session:
        TunedModels(session, TENANT).delete(names[1])
    assert left() == 1
    with database.write() as session:
        TunedModels(session, TENANT).delete(names[0])
    assert left() == 0
