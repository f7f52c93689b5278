"""Tokens of an identity provider do what keys do, within what the operator's rules grant."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from openai import OpenAI
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.state import AppState
from tests.api import Project, add_project, jsonl
from tests.service.oidc.issuing import ISSUER, Provider


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def second(state: AppState, project: Project) -> Project:
    """Another project of the organization."""
    return add_project(state.database, organization_id=project.tenant.organization_id)


@pytest.fixture
def stranger(state: AppState) -> Project:
    return add_project(state.database)


@pytest.fixture
def http(
    state: AppState, project: Project, second: Project, stranger: Project, provider: Provider
) -> Iterator[TestClient]:
    """Trainers may write in the first project and read in the second; a boss is the organization's admin."""

    def rule(group: str, where: Project, *scopes: str, **more: object) -> dict[str, Any]:
        return {
            "claims": {"groups": group},
            "project": where.tenant.project_id,
            "scopes": scopes,
        } | more

    tokens = provider.tokens(
        rule("/ml", project, "read", "write"),
        rule("/ml", second, "read"),
        rule("/boss", project, organization_admin=True),
        rule("/gone", Project(project.tenant.__class__("org-x", "proj-x"), ""), "read"),
    )
    app = create_app(state.settings, open_state=lambda _: replace(state, tokens=tokens))
    with TestClient(app) as client:
        yield client


def bearer(token: str, **headers: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }


def uploaded(http: TestClient, headers: dict[str, str]) -> Any:
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    return http.post("/v1/files", headers=headers, **upload)


def test_a_token_acts_in_the_projects_of_its_rules_with_their_scopes(
    http: TestClient, provider: Provider, project: Project, second: Project, stranger: Project
) -> None:
    token = provider.token()
    made = uploaded(http, bearer(token))
    assert (made.status_code, made.headers["openai-project"]) == (200, project.tenant.project_id)
    create = {"model": "base-1", "training_file": made.json()["id"]}
    assert http.post("/v1/fine_tuning/jobs", json=create, headers=bearer(token)).status_code == 200
    there = bearer(token, openai_project=second.tenant.project_id)
    assert http.get("/v1/files", headers=there).json()["data"] == []
    assert uploaded(http, there).status_code == 403
    assert http.get("/v1/organization/projects", headers=bearer(token)).status_code == 403
    for header, code in (
        ({"openai_project": stranger.tenant.project_id}, "mismatched_project"),
        ({"openai_project": "proj-absent"}, "mismatched_project"),
        ({"openai_organization": stranger.tenant.organization_id}, "mismatched_organization"),
    ):
        answer = http.get("/v1/files", headers=bearer(token, **header))
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)


def test_refusals_have_the_shape_of_openais(http: TestClient, provider: Provider) -> None:
    for token, status, code in (
        (provider.token(aud="else"), 401, "invalid_api_key"),
        (provider.token(exp=1), 401, "expired_api_key"),
        (provider.token()[:-9], 401, "invalid_api_key"),
        (provider.token(groups=["/gone"]), 401, "project_archived"),
        (provider.token(groups=[]), 403, "insufficient_permissions"),
    ):
        answer = http.get("/v1/files", headers=bearer(token))
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)
    provider.is_up, provider.seconds = False, provider.seconds + 1e6
    answer = http.get("/v1/files", headers=bearer(provider.token()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


def test_an_organizations_admin_manages_it_and_sees_who_did_what(
    http: TestClient, provider: Provider, project: Project, second: Project
) -> None:
    alice, boss = provider.token(), provider.token(sub="bob", groups=["/boss"])
    file_id = uploaded(http, bearer(alice)).json()["id"]
    there = bearer(boss, openai_project=second.tenant.project_id)
    assert uploaded(http, there).headers["openai-project"] == second.tenant.project_id
    assert http.get("/v1/organizations", headers=bearer(boss)).status_code == 403
    root = f"/v1/organization/projects/{project.tenant.project_id}/api_keys"
    keys = {key["name"]: key for key in http.get(root, headers=bearer(boss)).json()["data"]}
    assert keys["alice"]["tunery"] == {"scopes": ["read", "write"], "issuer": ISSUER}
    entries = http.get("/v1/organization/audit_logs", headers=bearer(boss)).json()["data"]
    (entry,) = [
        one for one in entries if one["type"] == "file.created" and one["file.created"]["id"] == file_id
    ]
    id = keys["alice"]["id"]
    assert entry["actor"]["session"] | {"ip_address": ""} == {
        "user": {"id": id},
        "ip_address": "",
        "issuer": ISSUER,
        "subject": "alice",
    }
    found = http.get(f"/v1/organization/audit_logs?actor_ids[]={id}", headers=bearer(boss)).json()["data"]
    assert entry["id"] in [one["id"] for one in found]
    changed = http.post(f"{root}/{id}", json={"scopes": ["infer"]}, headers=bearer(boss))
    assert (changed.status_code, changed.json()["error"]["code"]) == (409, "token_holder")


def test_limits_of_a_subject_hold_and_one_that_is_deleted_is_excluded(
    http: TestClient, provider: Provider, project: Project
) -> None:
    alice, boss = bearer(provider.token()), bearer(provider.token(sub="bob", groups=["/boss"]))
    create = {"model": "base-1", "training_file": uploaded(http, alice).json()["id"]}
    root = f"/v1/organization/projects/{project.tenant.project_id}/api_keys"
    (id,) = [key["id"] for key in http.get(root, headers=boss).json()["data"] if key["name"] == "alice"]
    limits = f"{root}/{id}/limits"
    assert http.post(limits, json={"max_jobs_per_1_day": 0}, headers=boss).status_code == 200
    assert http.post("/v1/fine_tuning/jobs", json=create, headers=alice).status_code == 429
    assert http.delete(f"{root}/{id}", headers=boss).status_code == 200
    assert http.get("/v1/files", headers=alice).status_code == 401
    assert http.get("/v1/files", headers=bearer(provider.token(sub="carol"))).status_code == 200


def test_an_administrator_stays_excluded_from_a_project_whatever_the_tokens_say(
    http: TestClient, provider: Provider, second: Project
) -> None:
    boss = bearer(provider.token(sub="bob", groups=["/boss"]))
    there = {"openai_project": second.tenant.project_id}
    both = bearer(provider.token(groups=["/ml", "/boss"]), **there)
    assert http.get("/v1/files", headers=both).status_code == 200
    root = f"/v1/organization/projects/{second.tenant.project_id}/api_keys"
    (id,) = [key["id"] for key in http.get(root, headers=boss).json()["data"] if key["name"] == "alice"]
    assert http.delete(f"{root}/{id}", headers=boss).status_code == 200
    for groups in (["/ml", "/boss"], ["/boss"]):
        refused = http.get("/v1/files", headers=bearer(provider.token(groups=groups), **there))
        assert refused.status_code == 401
    assert http.get("/v1/files", headers=bearer(provider.token(groups=["/boss"]))).status_code == 200


def test_tokens_that_differ_are_not_written_each_time(
    state: AppState, http: TestClient, provider: Provider
) -> None:
    tokens = [provider.token(), provider.token(groups=["/ml", "/boss"])]
    for _ in range(3):
        for token in tokens:
            assert http.get("/v1/files", headers=bearer(token)).status_code == 200
    entries = http.get("/v1/organization/audit_logs", headers=bearer(tokens[1])).json()["data"]
    own = [one["type"] for one in entries if one["type"] in ("api_key.created", "api_key.updated")]
    assert own.count("api_key.updated") == 1
    # The scopes are those of the token, whatever the row shows.
    assert http.get("/v1/organization/projects", headers=bearer(tokens[0])).status_code == 403


def test_the_openai_sdk_takes_a_token_for_its_key(http: TestClient, provider: Provider) -> None:
    client = OpenAI(api_key=provider.token(), base_url="http://testserver/v1", http_client=http)  # type: ignore[arg-type]
    assert client.files.list().data == []
