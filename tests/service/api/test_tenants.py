"""What belongs to another project seems absent: the answer is exactly the same as for an id that never
existed."""

import re
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.http.auth import Requires, admin_key
from service.api.state import AppState
from service.db.organization.scopes import Scope
from service.settings import Settings
from tests.api import Project, add_admin_key, add_key, add_project, add_tuned_model, import_adapter, jsonl
from tests.databases import on_both_databases

BODIES: dict[str, dict[str, Any]] = {
    "fine_tuning_jobs_create": {"model": "base-1", "training_file": "{file_id}"},
    "fine_tuning_jobs_estimate": {"model": "base-1", "training_file": "{file_id}"},
    "fine_tuning_jobs_preview": {"model": "base-1", "training_file": "{file_id}"},
    "fine_tuning_jobs_set_priority": {"priority": "low"},
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
    "project_rights_update": {"methods": ["dpo"]},
    "project_retention_update": {"files": 90},
    "legal_holds_create": {"reason": "x"},
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
    "audit_logs_list",
    "organization_pools_list",
    "organization_queue_list",
    "rights_retrieve",
    "organization_retention_reset",
    "organization_retention_retrieve",
    "organization_retention_update",
    "organization_storage_list",
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
    "organizations_list",
    "organizations_create",
    # Only the operator's key may name another organization.
    "organizations_admin_api_keys_create",
    "organizations_archive",
    "organizations_delete",
    "organization_limits_retrieve",
    "organization_limits_update",
    "organization_limits_reset",
    "organization_project_encryption_retrieve",
    "organization_project_encryption_update",
    "organization_project_encryption_reset",
    "organization_pools_update",
    "maintenance_retrieve",
    "maintenance_begin",
    "maintenance_end",
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


def belongings(http: TestClient, state: AppState, project: Project) -> dict[str, str]:
    """Ids of a project's objects, all of which exist but the response and the delivery."""
    own = {"authorization": f"Bearer {project.key}"}
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", headers=own, **upload).json()["id"]
    create = {"model": "base-1", "training_file": file_id}
    job_id = http.post("/v1/fine_tuning/jobs", headers=own, json=create).json()["id"]
    model, _ = add_tuned_model(state.database, job_id)
    alias = f"{job_id[-6:].lower()}@prod"
    named = http.post(f"/v1/models/{model}/aliases", headers=own, json={"alias": alias})
    assert named.status_code == 200
    endpoint = {
        "name": "theirs",
        "url": "https://hooks.example.com/",
        "event_types": ["fine_tuning.job.cancelled"],
    }
    endpoint_id = http.post("/v1/webhook_endpoints", headers=own, json=endpoint).json()["id"]
    announced = {"bytes": 1, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}
    upload_id = http.post("/v1/uploads", headers=own, json=announced).json()["id"]
    export = http.post(f"/v1/models/{model}/exports", headers=own, json={"format": "gguf"}).json()
    return {
        "file_id": file_id,
        "job_id": job_id,
        "model": model,
        "filename": "config.json",
        "alias": alias,
        "webhook_endpoint_id": endpoint_id,
        "webhook_delivery_id": f"whd_{job_id}",
        "response_id": f"resp_{job_id}",
        "upload_id": upload_id,
        "import_id": import_adapter(http, own)["id"],
        "export_id": export["id"],
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


KINDS: tuple[Scope | None, ...] = ("read", "write", "infer", "admin", None)
"""Keys of a project by their scope, and an admin key of its organization, which acts in that project."""


def test_every_route_treats_what_is_not_the_projects_own_as_absent(
    http: TestClient, state: AppState, project: Project, subtests: pytest.Subtests
) -> None:
    """Two organizations with two projects each, every kind of key, every route. Who calls takes turns by
    route, and each calls with what the three other projects have."""
    stranger = add_project(state.database)
    projects = [
        project,
        add_project(state.database, organization_id=project.tenant.organization_id),
        stranger,
        add_project(state.database, organization_id=stranger.tenant.organization_id),
    ]
    owned = [belongings(http, state, one) for one in projects]
    keys = [
        {
            kind: add_admin_key(state.database, one.tenant)
            if kind is None
            else add_key(state.database, one.tenant, frozenset({kind}))
            for kind in KINDS
        }
        for one in projects
    ]
    for number, route in enumerate(named_routes(of_admins=False)):
        names_something = route.operation_id in BODIES or "{" in route.path
        assert names_something, f"{route.operation_id} names nothing: list it above"
        caller = number % len(projects)
        required = [one.call for one in route.dependant.dependencies if isinstance(one.call, Requires)]
        for kind, key in keys[caller].items():
            may = kind in (None, "admin") or all(kind in one.scopes for one in required)
            refusal = 403 if not may else 400 if route.operation_id in NAMES_PARAMETERS else 404
            with subtests.test(route=route.operation_id, kind=kind, caller=caller):
                absent = asked(http, route, ABSENT, key)
                assert absent.status_code == refusal
                for other in range(len(projects)):
                    if other == caller:
                        continue
                    answer, expected = asked(http, route, owned[other], key), absent.text
                    for mine, never in zip(owned[other].values(), ABSENT.values(), strict=True):
                        expected = expected.replace(never, mine)
                    assert (answer.status_code, answer.text) == (refusal, expected)
        # What is absent for others is there for its owner.
        is_made = not re.search(r"\{(response_id|webhook_delivery_id)", route.path)
        if route.methods == {"GET"} and is_made:
            own = asked(http, route, owned[caller], keys[caller]["admin"])
            assert own.status_code != 404, route.operation_id


def asked(http: TestClient, route: Any, ids: dict[str, str], key: str) -> Any:
    """The answer to a request of this key that names these ids."""
    (method,) = route.methods
    return http.request(
        method,
        filled(route.path, ids),
        json=filled(BODIES.get(route.operation_id), ids),
        files=FORMS.get(route.operation_id),
        headers={"authorization": f"Bearer {key}"},
    )


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
        # Only an archived project can be deleted.
        assert own.status_code == (409 if route.operation_id == "projects_delete" else 200), own.text


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
        "hold_id": _held(http, project_id, admin),
    }


def _held(http: TestClient, project_id: str, admin: dict[str, str]) -> str:
    """A hold on something beside the project."""
    path = f"/v1/organization/projects/{project_id}"
    key = http.post(f"{path}/api_keys", json={"name": "x"}, headers=admin).json()["value"]
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file = http.post("/v1/files", headers={"authorization": f"Bearer {key}"}, **upload).json()
    hold = {"reason": "x", "resource_id": file["id"]}
    return str(http.post(f"{path}/legal_holds", json=hold, headers=admin).json()["id"])


ADMINISTERED_NOWHERE = {
    "project_id": "proj_absent",
    "service_account_id": "svc_acct_absent",
    "api_key_id": "000000000000",
    "key_id": "000000000000",
    "rate_limit_id": "rl-absent",
    "fine_tuned_model_checkpoint": "ft:base-1:none::absent00",
    "permission_id": "cp_absent",
    "hold_id": "hold_absent",
}


@pytest.fixture(params=["another organization", "the same organization"])
def theirs(
    request: pytest.FixtureRequest, state: AppState, http: TestClient, project: Project
) -> dict[str, str]:
    """Ids of another project's objects."""
    is_same = request.param == "the same organization"
    owner = project.tenant.organization_id if is_same else None
    return belongings(http, state, add_project(state.database, organization_id=owner))


@on_both_databases
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


def test_what_an_organization_is_asked_about_another_is_answered_as_about_nothing(
    http: TestClient, state: AppState, project: Project
) -> None:
    ours = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    stranger = add_project(state.database)
    admin = {"authorization": f"Bearer {add_admin_key(state.database, stranger.tenant)}"}
    theirs = administered(http, stranger, admin, state)
    (entry, *_) = http.get("/v1/organization/audit_logs", headers=admin).json()["data"]
    for path, name, id in (
        ("audit_logs", "project_ids[]", theirs["project_id"]),
        ("audit_logs", "actor_ids[]", theirs["api_key_id"]),
        ("audit_logs", "resource_ids[]", theirs["project_id"]),
        ("audit_logs", "after", entry["id"]),
        ("audit_logs", "before", entry["id"]),
        ("projects", "after", theirs["project_id"]),
        ("admin_api_keys", "after", theirs["key_id"]),
        ("usage/completions?start_time=1&bucket_width=1d", "project_ids[]", theirs["project_id"]),
        ("usage/fine_tuning?start_time=1&bucket_width=1d", "api_key_ids[]", theirs["api_key_id"]),
    ):
        sign = "&" if "?" in path else "?"
        texts = []
        for value in (id, "absent"):
            answer = http.get(f"/v1/organization/{path}{sign}{name}={value}", headers=ours)
            assert answer.status_code == (400 if name in ("after", "before") else 200), answer.text
            texts.append(answer.text.replace(value, "ID"))
        assert texts[0] == texts[1]
