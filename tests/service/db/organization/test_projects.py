"""Projects, and what archiving one does."""

import pytest

from cluster.contracts.errors import AuthenticationFailed, Conflict, NotFound
from cluster.contracts.jobs import JobStatus
from service.db.archiving import archive_project
from service.db.database import Database
from service.db.organization.api_keys import ApiKeys
from service.db.organization.projects import Projects
from service.db.tenancy import Tenant
from tests.service.db.rows import OTHER, TENANT, add_file, add_job, add_tenants, get_job, move, outbox

ORGANIZATION = TENANT.organization_id


def add_project(database: Database, name: str = "second") -> Tenant:
    with database.write() as session:
        return Tenant(ORGANIZATION, Projects(session, ORGANIZATION).create(name).id)


def archive(database: Database, tenant: Tenant) -> None:
    with database.write() as session:
        archive_project(session, tenant.organization_id, tenant.project_id)


def test_projects_are_listed_newest_first_and_archived_ones_on_request(database: Database) -> None:
    add_tenants(database)
    added = [add_project(database, name) for name in "abc"]
    archive(database, added[1])
    with database.read() as session:
        projects = Projects(session, ORGANIZATION)
        first = projects.page(limit=1)
        assert ([project.name for project in first.data], first.has_more) == (["c"], True)
        rest = projects.page(limit=9, after=added[2].project_id)
        assert ([project.name for project in rest.data], rest.has_more) == (["a", "default"], False)
        every = projects.page(limit=9, include_archived=True)
        assert [project.name for project in every.data] == ["c", "b", "a", "default"]
        assert projects.get(added[1].project_id).archived_at is not None
        # A cursor stays valid when its project is archived.
        assert projects.page(limit=9, after=added[1].project_id).data == rest.data


def test_another_organizations_project_is_absent(database: Database) -> None:
    add_tenants(database)
    with database.write() as session:
        projects = Projects(session, ORGANIZATION)
        for act in (projects.get, projects.tenant, projects.active_tenant, projects.lock):
            with pytest.raises(NotFound):
                act(OTHER.project_id)
        with pytest.raises(NotFound):
            archive_project(session, ORGANIZATION, OTHER.project_id)
        assert OTHER.project_id not in [project.id for project in projects.page(limit=9).data]


def test_an_archived_project_refuses_its_keys_and_every_change(database: Database) -> None:
    add_tenants(database)
    tenant = add_project(database)
    with database.write() as session:
        key, _ = ApiKeys(session).create(tenant, name="k", scopes=frozenset({"read"}))
        assert ApiKeys(session).authenticate(key).tenant == tenant
    archive(database, tenant)
    with database.write() as session:
        with pytest.raises(AuthenticationFailed) as refused:
            ApiKeys(session).authenticate(key)
        assert refused.value.code == "project_archived"
        projects = Projects(session, ORGANIZATION)
        at = projects.get(tenant.project_id).archived_at
        assert archive_project(session, ORGANIZATION, tenant.project_id).archived_at == at
        with pytest.raises(Conflict):
            projects.rename(tenant.project_id, "new")
        with pytest.raises(Conflict):
            projects.active_tenant(tenant.project_id)


def test_archiving_cancels_unended_jobs_and_no_new_one_begins(database: Database) -> None:
    add_tenants(database)
    tenant = add_project(database)
    file = add_file(database, tenant, status="processed", format="chat", n_examples=10)
    waiting, running, done = (add_job(database, tenant, file) for _ in range(3))
    move(database, running.id, JobStatus.QUEUED, JobStatus.STARTING)
    move(database, done.id, JobStatus.FAILED)
    others = add_job(database)
    archive(database, tenant)
    statuses = [get_job(database, job.id, tenant).status for job in (waiting, running, done)]
    assert statuses == [JobStatus.CANCELLED, JobStatus.CANCELLED, JobStatus.FAILED]
    assert get_job(database, others.id).status is JobStatus.VALIDATING_FILES
    assert outbox(database).count("fine_tuning.job.cancelled") == 2
    with pytest.raises(Conflict) as refused:
        add_job(database, tenant, file)
    assert refused.value.code == "project_archived"


def test_the_project_of_admin_keys_cannot_be_archived(database: Database) -> None:
    add_tenants(database)
    with pytest.raises(Conflict) as refused:
        archive(database, TENANT)
    assert refused.value.code == "default_project"
    with database.read() as session:
        assert Projects(session, ORGANIZATION).get(TENANT.project_id).archived_at is None
