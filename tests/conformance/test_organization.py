"""Projects, service accounts and keys, through the unmodified openai SDK."""

from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from service.db import tables
from tests.api import LiveApi, add_admin_key, add_tuned_model, jsonl


@pytest.fixture
def client(live: LiveApi) -> Iterator[OpenAI]:
    key = add_admin_key(live.state.database, live.project.tenant)
    with live.openai(admin_api_key=key) as client:
        yield client


def is_accepted(live: LiveApi, key: str, **options: object) -> bool:
    try:
        with live.openai(**{"api_key": key, **options}) as client:
            client.models.list()
    except openai.AuthenticationError:
        return False
    return True


def test_projects_are_created_renamed_listed_and_archived(client: OpenAI) -> None:
    projects = client.admin.organization.projects
    made = [projects.create(name=name) for name in ("a", "b", "  padded  ")]
    assert [project.name for project in made] == ["a", "b", "padded"]
    assert made[0].object == "organization.project"
    assert (made[0].status, made[0].archived_at) == ("active", None)
    assert projects.update(made[1].id, name="renamed").name == "renamed"
    assert projects.retrieve(made[1].id).name == "renamed"
    listed = [project.id for project in projects.list(limit=1)]
    assert listed[:3] == [project.id for project in reversed(made)]
    archived = projects.archive(made[0].id)
    assert archived.status == "archived"
    assert archived.archived_at is not None
    assert made[0].id not in [project.id for project in projects.list()]
    assert made[0].id in [project.id for project in projects.list(include_archived=True)]
    with pytest.raises(openai.ConflictError):
        projects.update(made[0].id, name="x")


@pytest.mark.parametrize("name", ["", "   ", "x" * 65, "two\nlines", "\x1b[31mred"])
def test_a_name_is_short_and_printable(client: OpenAI, name: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.admin.organization.projects.create(name=name)
    assert refused.value.param == "name"


def test_a_service_accounts_keys_are_rotated_without_a_gap(live: LiveApi, client: OpenAI) -> None:
    projects = client.admin.organization.projects
    project = projects.create(name="ci")
    account = projects.service_accounts.create(project.id, name="deploy")
    assert (account.object, account.role) == ("organization.project.service_account", "member")
    assert account.api_key is not None
    first = account.api_key
    assert is_accepted(live, first.value)
    second = projects.service_accounts.api_keys.create(
        account.id, project_id=project.id, name="second", scopes=["infer"]
    )
    assert second.object == "organization.project.service_account.api_key"
    assert is_accepted(live, first.value)
    assert is_accepted(live, second.value)
    listed = {key.id: key for key in projects.api_keys.list(project.id)}
    assert listed.keys() == {first.id, second.id}
    assert listed[first.id].owner.type == "service_account"
    owner = listed[first.id].owner.service_account
    assert owner is not None
    assert (owner.id, owner.name) == (account.id, "deploy")
    assert first.value not in listed[first.id].to_json()
    assert listed[second.id].to_dict()["tunery"] == {"scopes": ["infer"], "issuer": None}
    deleted = projects.api_keys.delete(first.id, project_id=project.id)
    assert (deleted.deleted, deleted.object) == (True, "organization.project.api_key.deleted")
    assert not is_accepted(live, first.value)
    assert is_accepted(live, second.value)
    with pytest.raises(openai.NotFoundError):
        projects.api_keys.retrieve(first.id, project_id=project.id)
    assert projects.service_accounts.retrieve(account.id, project_id=project.id).name == "deploy"
    assert [one.id for one in projects.service_accounts.list(project.id)] == [account.id]
    gone = projects.service_accounts.delete(account.id, project_id=project.id)
    assert (gone.deleted, gone.object) == (True, "organization.project.service_account.deleted")
    assert not is_accepted(live, second.value)
    assert list(projects.api_keys.list(project.id)) == []


def test_a_keys_scopes_and_expiry_are_changed_until_it_expires(live: LiveApi, client: OpenAI) -> None:
    projects = client.admin.organization.projects
    project = projects.create(name="ci")
    made = projects.service_accounts.create(project.id, name="x").api_key
    assert made is not None
    changed = projects.api_keys.update(
        made.id, project_id=project.id, scopes=["write"], expires_in_seconds=3600
    )
    assert changed.to_dict()["tunery"] == {"scopes": ["write"], "issuer": None}
    assert changed.expires_at is not None
    with live.openai(api_key=made.value) as user, pytest.raises(openai.PermissionDeniedError):
        user.models.list()
    again = projects.api_keys.update(made.id, project_id=project.id, scopes=[])
    assert again.to_dict()["tunery"] == {"scopes": ["read", "write", "infer"], "issuer": None}
    assert again.expires_at == changed.expires_at
    with live.state.database.write() as session:
        session.get_one(tables.ApiKey, made.id).expires_at = 1
    with pytest.raises(openai.ConflictError) as refused:
        projects.api_keys.update(made.id, project_id=project.id, expires_in_seconds=60)
    assert refused.value.code == "expired_api_key"


def test_a_service_account_may_be_made_without_a_key(client: OpenAI) -> None:
    projects = client.admin.organization.projects
    project = projects.create(name="ci")
    account = projects.service_accounts.create(project.id, name="x", create_service_account_only=True)
    assert account.api_key is None
    assert list(projects.api_keys.list(project.id)) == []
    renamed = projects.service_accounts.update(account.id, project_id=project.id, name="y")
    assert renamed.name == "y"


def test_admin_keys_come_and_go_and_a_project_key_may_not_make_them(live: LiveApi, client: OpenAI) -> None:
    admin_keys = client.admin.organization.admin_api_keys
    (own,) = admin_keys.list()
    made = admin_keys.create(name="second", expires_in_seconds=3600)
    assert (made.object, made.owner.role) == ("organization.admin_api_key", "owner")
    assert made.expires_at == made.created_at + 3600
    with live.openai(admin_api_key=made.value) as second:
        listed = [key.id for key in second.admin.organization.admin_api_keys.list(order="asc")]
        assert sorted(listed) == sorted([own.id, made.id])
        found = second.admin.organization.admin_api_keys.retrieve(made.id)
        assert found.redacted_value == f"tk-{made.id}-…"
        deleted = admin_keys.delete(made.id)
        assert (deleted.deleted, deleted.object) == (True, "organization.admin_api_key.deleted")
        with pytest.raises(openai.AuthenticationError):
            second.admin.organization.admin_api_keys.list()
    with (
        live.openai(admin_api_key=live.project.key) as project_client,
        pytest.raises(openai.PermissionDeniedError),
    ):
        project_client.admin.organization.admin_api_keys.create(name="mine")


def test_the_sdks_project_and_organization_options_are_honoured(live: LiveApi, client: OpenAI) -> None:
    project = client.admin.organization.projects.create(name="second")
    key = add_admin_key(live.state.database, live.project.tenant)
    with live.openai(api_key=key, project=project.id) as second:
        raw = second.files.with_raw_response.list()
        assert raw.headers["openai-project"] == project.id
    assert is_accepted(live, live.project.key, project=live.project.tenant.project_id)
    assert not is_accepted(live, live.project.key, project=project.id)
    assert not is_accepted(live, live.project.key, organization="org-absent")
    client.admin.organization.projects.archive(project.id)
    assert not is_accepted(live, key, project=project.id)


def test_a_model_is_shared_used_continued_and_no_longer_shared(live: LiveApi, client: OpenAI) -> None:
    with live.openai() as owner:
        job = owner.fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    model, checkpoint = add_tuned_model(live.state.database, job.id)
    projects = client.admin.organization.projects
    project = projects.create(name="product")
    account = projects.service_accounts.create(project.id, name="app")
    assert account.api_key is not None
    key = add_admin_key(live.state.database, live.project.tenant)
    with live.openai(api_key=account.api_key.value) as user, live.openai(api_key=key) as admin:
        permissions = admin.fine_tuning.checkpoints.permissions
        for name in (model, checkpoint):
            with pytest.raises(openai.NotFoundError):
                user.completions.create(model=name, prompt="x")
            (granted,) = permissions.create(name, project_ids=[project.id])
            assert (granted.object, granted.project_id) == ("checkpoint.permission", project.id)
            assert [one.id for one in permissions.list(name, order="ascending")] == [granted.id]
            assert user.completions.create(model=name, prompt="x").model == name
            assert user.models.retrieve(name).to_dict()["tunery"]["job_id"] is None
            assert name in [one.id for one in user.models.list()]
            with pytest.raises(openai.PermissionDeniedError):
                user.models.delete(name)
            file = user.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune").id
            assert user.fine_tuning.jobs.create(model=name, training_file=file).model == "base-1"
            deleted = permissions.delete(granted.id, fine_tuned_model_checkpoint=name)
            assert (deleted.id, deleted.deleted) == (granted.id, True)
            with pytest.raises(openai.NotFoundError):
                user.completions.create(model=name, prompt="x")
            with pytest.raises(openai.BadRequestError) as refused:
                user.fine_tuning.jobs.create(model=name, training_file=file)
            assert refused.value.code == "model_not_found"
        with pytest.raises(openai.PermissionDeniedError):
            user.fine_tuning.checkpoints.permissions.create(model, project_ids=[project.id])
