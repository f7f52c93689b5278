"""What belongs to another project seems absent: the answer is exactly the same as for an id that never
existed."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.http.auth import admin_key
from service.api.state import AppState
from service.settings import Settings
from tests.api import Project, add_admin_key, add_project, add_tuned_model, import_adapter, jsonl

BODIES: dict[str, dict[str, Any]] = {
    "fine_tuning_jobs_create": {"model": "base-1", "training_file": "{file_id}"},
    "fine_tuning_jobs_estimate": {"model": "base-1", "training_file": "{file_id}"},
    "fine_tuning_jobs_preview": {"model": "base-1", "training_file": "{file_id}"},
    "completions_create": {"model": "{model}", "prompt": "x"},
    "classifications_create": {"model": "{model}", "input": "x"},
    "embeddings_create": {"model": "{model}", "input": "x"},
    "aliases_set": {"alias": "mine@prod"},
    "responses_create": {"model": "{model}", "input": "x"},
    "exports_create": {"format": "gguf"},
    "models_import": {"base": "base-1", "files": ["{file_id}", "{file_id}"]},
    "chat_completions_create": {"model": "{model}", "messages": [{"role": "user", "content": "x"}]},
    "webhooks_update": {"name": "x"},
    "webhooks_test": {"event_type": "fine_tuning.job.failed"},
    "uploads_complete": {"part_ids": []},
    "projects_update": {"name": "x"},
    "project_limits_update": {"max_jobs_per_1_day": 1},
    "api_key_limits_update": {"max_jobs_per_1_day": 1},
    "project_rate_limits_update": {"max_requests_per_1_minute": 1},
    "project_api_keys_create": {"name": "x"},
    "project_api_keys_update": {"scopes": ["read"]},
    "service_accounts_create": {"name": "x"},
    "service_accounts_update": {"name": "x"},
    "service_account_api_keys_create": {"name": "x"},
    "checkpoint_permissions_create": {"project_ids": ["{project_id}"]},
}
"""For routes that name an object in the body, or need one."""

FORMS: dict[str, dict[str, Any]] = {"upload_parts_create": {"data": b"x"}}

NAMES_PARAMETERS = {
    "fine_tuning_jobs_create",
    "fine_tuning_jobs_estimate",
    "fine_tuning_jobs_preview",
    "models_import",
}
"""What they name is a parameter of something new, so that an absent one is an invalid request, as with
OpenAI."""

NAMES_NOTHING = {
    "aliases_list",
    "files_create",
    "files_list",
    "fine_tuning_jobs_list",
    "models_import_list",
    "models_list",
    "uploads_create",
    "usage_list",
    "webhooks_create",
    "webhooks_list",
    "webhooks_event_types_list",
    "fine_tuning_alpha_graders_validate",
    "fine_tuning_alpha_graders_run",
    "usage_completions",
    "usage_embeddings",
    "usage_classifications",
    "usage_fine_tuning",
    "usage_costs",
    "projects_list",
    "projects_create",
    "admin_api_keys_list",
    "admin_api_keys_create",
    "healthz",
    "readyz",
}


def named_routes(*, of_admins: bool) -> list[Any]:
    app = create_app(Settings())
    return [
        route
        for route in iter_route_contexts(app.routes)
        if getattr(route, "operation_id", None)
        and route.operation_id not in NAMES_NOTHING
        and of_admins == any(one.call is admin_key for one in route.dependant.dependencies)
    ]


def filled(template: Any, ids: dict[str, str]) -> Any:
    if isinstance(template, dict):
        return {key: filled(value, ids) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, ids) for value in template]
    return (
        re.sub(r"\{(\w+)[^}]*\}", lambda match: ids[match[1]], template)
        if isinstance(template, str)
        else template
    )


@pytest.fixture(params=["another organization", "the same organization"])
def theirs(
    request: pytest.FixtureRequest, state: AppState, http: TestClient, project: Project
) -> dict[str, str]:
    """Ids of another project's objects, all of which exist."""
    is_same = request.param == "the same organization"
    stranger = add_project(
        state.database, organization_id=project.tenant.organization_id if is_same else None
    )
    other = {"authorization": f"Bearer {stranger.key}"}
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", headers=other, **upload).json()["id"]
    create = {"model": "base-1", "training_file": file_id}
    job_id = http.post("/v1/fine_tuning/jobs", headers=other, json=create).json()["id"]
    model, _ = add_tuned_model(state.database, job_id)
    assert http.get(f"/v1/models/{model}", headers=other).status_code == 200
    named = http.post(f"/v1/models/{model}/aliases", headers=other, json={"alias": "theirs@prod"})
    assert named.status_code == 200
    endpoint = {
        "name": "theirs",
        "url": "https://hooks.example.com/",
        "event_types": ["fine_tuning.job.cancelled"],
    }
    endpoint_id = http.post("/v1/webhook_endpoints", headers=other, json=endpoint).json()["id"]
    announced = {"bytes": 1, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}
    upload_id = http.post("/v1/uploads", headers=other, json=announced).json()["id"]
    return {
        "file_id": file_id,
        "job_id": job_id,
        "model": model,
        "filename": "config.json",
        "alias": "theirs@prod",
        "webhook_endpoint_id": endpoint_id,
        "webhook_delivery_id": "whd_theirs",
        "response_id": "resp_theirs",
        "upload_id": upload_id,
        "import_id": import_adapter(http, other)["id"],
        "export_id": http.post(f"/v1/models/{model}/exports", headers=other, json={"format": "gguf"}).json()[
            "id"
        ],
    }


ABSENT = {
    "file_id": "file-absent",
    "job_id": "ftjob-absent",
    "model": "ft:base-1:none::absent00",
    "filename": "config.json",
    "alias": "absent@prod",
    "webhook_endpoint_id": "we_absent",
    "webhook_delivery_id": "whd_absent",
    "response_id": "resp_absent",
    "upload_id": "upload_absent",
    "import_id": "modelimport-absent",
    "export_id": "modelexport-absent",
}


def test_every_route_treats_another_projects_things_as_absent(
    http: TestClient, theirs: dict[str, str], subtests: pytest.Subtests
) -> None:
    assert isinstance(http.app, FastAPI)
    for route in named_routes(of_admins=False):
        (method,) = route.methods
        body, form = BODIES.get(route.operation_id), FORMS.get(route.operation_id)
        assert body is not None or "{" in route.path, f"{route.operation_id} names nothing: list it above"
        with subtests.test(route=route.operation_id):
            other, absent = (
                http.request(method, filled(route.path, ids), json=filled(body, ids), files=form)
                for ids in (theirs, ABSENT)
            )
            assert other.status_code == absent.status_code
            assert other.status_code == (400 if route.operation_id in NAMES_PARAMETERS else 404)
            expected = other.text
            for mine, never in zip(theirs.values(), ABSENT.values(), strict=True):
                expected = expected.replace(mine, never)
            assert expected == absent.text


def test_every_admin_route_treats_another_organizations_things_as_absent(
    state: AppState, http: TestClient, project: Project, subtests: pytest.Subtests
) -> None:
    ours = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    stranger = add_project(state.database)
    admin = {"authorization": f"Bearer {add_admin_key(state.database, stranger.tenant)}"}
    theirs, absent = administered(http, stranger, admin, state), ADMINISTERED_NOWHERE
    for route in named_routes(of_admins=True):
        (method,) = route.methods
        body = BODIES.get(route.operation_id)
        mine = administered(http, project, ours, state)
        # Each id alone and all together: an id of theirs is absent below a project of ours, too.
        for name in {"all", *re.findall(r"\{(\w+)", route.path)}:
            with subtests.test(route=route.operation_id, theirs=name):
                other, never = (
                    {**mine, **ids} if name == "all" else {**mine, name: ids[name]}
                    for ids in (theirs, absent)
                )
                if other == mine:
                    continue
                answers = [
                    http.request(method, filled(route.path, ids), json=filled(body, ids), headers=ours)
                    for ids in (other, never)
                ]
                assert [answer.status_code for answer in answers] == [404, 404]
                expected = answers[0].text
                for id, nothing in zip(theirs.values(), absent.values(), strict=True):
                    expected = expected.replace(id, nothing)
                assert expected == answers[1].text
        own = http.request(method, filled(route.path, mine), json=filled(body, mine), headers=ours)
        assert own.status_code == 200, own.text


def administered(
    http: TestClient, project: Project, admin: dict[str, str], state: AppState
) -> dict[str, str]:
    """Ids of everything that an admin of the project's organization may change."""
    root, own = "/v1/organization", {"authorization": f"Bearer {project.key}"}
    project_id = http.post(f"{root}/projects", json={"name": "x"}, headers=admin).json()["id"]
    account = http.post(
        f"{root}/projects/{project_id}/service_accounts", json={"name": "x"}, headers=admin
    ).json()
    made = http.post(f"{root}/admin_api_keys", json={"name": "x"}, headers=admin).json()
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", headers=own, **upload).json()["id"]
    create = {"model": "base-1", "training_file": file_id}
    job_id = http.post("/v1/fine_tuning/jobs", headers=own, json=create).json()["id"]
    model, _ = add_tuned_model(state.database, job_id)
    permissions = f"/v1/fine_tuning/checkpoints/{model}/permissions"
    granted = http.post(permissions, json={"project_ids": [project_id]}, headers=admin).json()
    return {
        "project_id": project_id,
        "service_account_id": account["id"],
        "api_key_id": account["api_key"]["id"],
        "key_id": made["id"],
        "rate_limit_id": "rl-base-1",
        "fine_tuned_model_checkpoint": model,
        "permission_id": granted["data"][0]["id"],
    }


ADMINISTERED_NOWHERE = {
    "project_id": "proj_absent",
    "service_account_id": "svc_acct_absent",
    "api_key_id": "000000000000",
    "key_id": "000000000000",
    "rate_limit_id": "rl-absent",
    "fine_tuned_model_checkpoint": "ft:base-1:none::absent00",
    "permission_id": "cp_absent",
}


def test_lists_and_cursors_show_nothing_of_another_project(http: TestClient, theirs: dict[str, str]) -> None:
    assert http.get("/v1/files").json()["data"] == []
    assert http.get("/v1/fine_tuning/jobs").json()["data"] == []
    assert http.get("/v1/models/import").json()["data"] == []
    assert [model["id"] for model in http.get("/v1/models").json()["data"]] == ["base-1"]
    for path, name in (("/v1/files", "file_id"), ("/v1/fine_tuning/jobs", "job_id")):
        other, absent = (http.get(f"{path}?after={ids[name]}") for ids in (theirs, ABSENT))
        assert (other.status_code, other.text) == (400, absent.text.replace(ABSENT[name], theirs[name]))


def test_a_job_cannot_use_another_projects_validation_file(
    http: TestClient, project: Project, theirs: dict[str, str]
) -> None:
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    own = http.post("/v1/files", **upload).json()["id"]
    create = {"model": "base-1", "training_file": own, "validation_file": theirs["file_id"]}
    answer = http.post("/v1/fine_tuning/jobs", json=create)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_validation_file")


def test_a_retried_create_never_finds_another_projects_job(http: TestClient, state: AppState) -> None:
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    own = http.post("/v1/files", **upload).json()["id"]
    create = {"model": "base-1", "training_file": own}
    first = http.post("/v1/fine_tuning/jobs", json=create).json()["id"]
    retry = {"x-stainless-retry-count": "1"}
    assert http.post("/v1/fine_tuning/jobs", json=create, headers=retry).json()["id"] == first
    stranger = retry | {"authorization": f"Bearer {add_project(state.database).key}"}
    assert http.post("/v1/fine_tuning/jobs", json=create, headers=stranger).status_code == 400
