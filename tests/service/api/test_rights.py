"""Which base models and methods a project may use."""

import openai
import pytest

from cluster.contracts.jobs import PRIORITIES, JobStatus
from service.db.limits.limits import Limits
from tests.api import BASE, LiveApi, add_admin_key, add_tuned_model
from tests.service.cli.running import run_tunery
from tests.service.db.rows import move


@pytest.fixture
def admin(live: LiveApi) -> str:
    return add_admin_key(live.state.database, live.project.tenant)


def change(live: LiveApi, admin: str, *rights: str) -> str:
    done = run_tunery(live, "projects", "rights", live.project.tenant.project_id, *rights, key=admin)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def allow_priority(live: LiveApi, most: str) -> None:
    with live.state.database.write() as session:
        places = {"max_priority": PRIORITIES.index(most)}
        Limits(session).change(live.project.tenant.project_id, places)


def test_a_base_that_is_not_allowed_is_neither_listed_nor_trained_nor_asked(
    live: LiveApi, admin: str
) -> None:
    client = live.openai()
    create = {"model": "base-1", "training_file": live.upload()}
    tuned, _ = add_tuned_model(live.state.database, client.fine_tuning.jobs.create(**create).id)
    assert isinstance(live.state.catalogue, dict)
    live.state.catalogue["other"] = BASE.model_copy(update={"alias": "other"})
    assert change(live, admin, "--model", "other").startswith("MODELS\tother")
    assert [model.id for model in client.models.list()] == ["other", tuned]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("base-1")
    with pytest.raises(openai.PermissionDeniedError, match=r"'base-1'\. It may use: other\.") as refused:
        client.fine_tuning.jobs.create(**create)
    assert (refused.value.code, refused.value.param) == ("not_permitted", "model")
    with pytest.raises(openai.PermissionDeniedError):
        client.completions.create(model="base-1", prompt="x")
    with pytest.raises(openai.PermissionDeniedError):
        client.embeddings.create(model="base-1", input="x")
    client.completions.create(model="other", prompt="x")
    client.completions.create(model=tuned, prompt="x")
    assert change(live, admin, "--all").startswith("MODELS\tall")
    client.completions.create(model="base-1", prompt="x")


def test_a_method_and_a_training_type_that_are_not_allowed_are_refused(live: LiveApi, admin: str) -> None:
    client = live.openai()
    create = {"model": "base-1", "training_file": live.upload()}
    change(live, admin, "--method", "dpo")
    with pytest.raises(openai.PermissionDeniedError, match="the method 'supervised'") as refused:
        client.fine_tuning.jobs.create(**create)
    assert refused.value.param == "method.type"
    change(live, admin, "--method", "supervised", "--training-type", "qlora")
    with pytest.raises(openai.PermissionDeniedError, match="the training type 'lora'"):
        client.fine_tuning.jobs.create(**create)
    client.fine_tuning.jobs.create(**create, extra_body={"training": {"type": "qlora"}})


def test_a_job_that_was_paused_before_needs_its_rights_to_go_on(live: LiveApi, admin: str) -> None:
    client = live.openai()
    create = {"model": "base-1", "training_file": live.upload()}
    allow_priority(live, "high")
    job = client.fine_tuning.jobs.create(**create, extra_body={"tunery": {"priority": "high"}})
    move(live.state.database, job.id, JobStatus.QUEUED)
    client.fine_tuning.jobs.pause(job.id)
    change(live, admin, "--training-type", "qlora")
    with pytest.raises(openai.PermissionDeniedError, match="the training type 'lora'"):
        client.fine_tuning.jobs.resume(job.id)
    change(live, admin, "--all")
    allow_priority(live, "normal")
    with pytest.raises(openai.PermissionDeniedError, match="no higher priority than 'normal'"):
        client.fine_tuning.jobs.resume(job.id)
    client.post(f"/fine_tuning/jobs/{job.id}/priority", body={"priority": "normal"}, cast_to=object)
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"


def test_only_known_models_can_be_named_and_only_by_admins(live: LiveApi, admin: str) -> None:
    arguments = ("projects", "rights", live.project.tenant.project_id, "--model", "unheard-of")
    done = run_tunery(live, *arguments, key=admin)
    assert (done.exit_code, "No base model of this server" in done.stderr) == (4, True)
    assert run_tunery(live, *arguments).exit_code == 3
    assert run_tunery(live, *arguments, "--all", key=admin).exit_code == 2


def test_a_key_without_the_organization_sees_what_its_own_project_may_use(live: LiveApi, admin: str) -> None:
    everything = {
        "organization_id": live.project.tenant.organization_id,
        "is_admin_key": False,
        "is_operators_key": False,
        "models": None,
        "methods": None,
        "training_types": None,
    }

    def own() -> dict[str, object]:
        found = live.openai().get("/rights", cast_to=object)
        assert isinstance(found, dict)
        assert (found.pop("object"), found.pop("project_id")) == ("rights", live.project.tenant.project_id)
        return found

    assert own() == everything | {"priorities": ["low", "normal"]}
    change(live, admin, "--method", "dpo", "--training-type", "lora")
    allow_priority(live, "high")
    narrowed = {"methods": ["dpo"], "training_types": ["lora"], "priorities": ["low", "normal", "high"]}
    assert own() == everything | narrowed
