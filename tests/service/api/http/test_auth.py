"""Every route needs a key with the right scope, unless it is listed as public."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.http.auth import PUBLIC_PATHS, Requires, admin_key, operators_key
from service.api.state import AppState
from service.db.organization.api_keys import ApiKeys
from service.db.organization.key_sets import KeySet
from service.settings import Settings
from tests.api import Project, add_admin_key, add_key, add_project, jsonl

WITHOUT_KEY = {"/healthz", "/readyz", "/openapi.json"}
"""Repeated here on purpose: making another path public must require changing a test."""
CHANGES_NOTHING = {
    "/v1/fine_tuning/jobs/estimate",
    "/v1/fine_tuning/jobs/preview",
    "/v1/fine_tuning/alpha/graders/run",
    "/v1/fine_tuning/alpha/graders/validate",
}
"""Routes that take a body and only read."""


def routes(app: FastAPI) -> Iterator[Any]:
    yield from iter_route_contexts(app.routes)


def methods_and_path(route: Any) -> list[tuple[str, str]]:
    path = re.sub(r"\{[^}]*\}", "1", route.path)
    return [(method, path) for method in sorted(route.methods - {"HEAD"})]


def scopes_of(dependant: Dependant) -> list[str]:
    found = list(dependant.call.scopes) if isinstance(dependant.call, Requires) else []
    if dependant.call is admin_key:
        found.append("admin key")
    if dependant.call is operators_key:
        found.append("operator's key")
    return found + [scope for inner in dependant.dependencies for scope in scopes_of(inner)]


def test_the_public_list_is_this_short() -> None:
    assert PUBLIC_PATHS == WITHOUT_KEY


def test_every_route_is_public_or_names_its_scope() -> None:
    found = 0
    for route in routes(create_app(Settings())):
        found += 1
        if route.path in WITHOUT_KEY:
            continue
        assert scopes_of(route.dependant), f"{route.path} asks for no scope"
        writes = route.methods & {"POST", "PUT", "PATCH", "DELETE"}
        may_write = route.path in CHANGES_NOTHING or "read" not in scopes_of(route.dependant)
        assert not writes or may_write, f"{route.path} may be changed by readers"
    assert found >= 20


def test_no_route_answers_without_a_good_key(http: TestClient, subtests: pytest.Subtests) -> None:
    app = http.app
    assert isinstance(app, FastAPI)
    forged = "tk-" + "a" * 12 + "-" + "0" * 64 + "-00000000"
    for route in routes(app):
        if route.path in WITHOUT_KEY:
            continue
        for method, path in methods_and_path(route):
            for header in ("", "Bearer ", "Basic abc", "Bearer wrong", f"Bearer {forged}", "Bearer é"):
                with subtests.test(method=method, path=path, header=header):
                    answer = http.request(
                        method, path, headers={"authorization": header.encode("latin-1")}, json={}
                    )
                    assert answer.status_code == 401
                    assert answer.json()["error"]["type"] == "authentication_error"
                    assert answer.headers["www-authenticate"] == "Bearer"


def test_an_unknown_path_needs_a_key_too(http: TestClient) -> None:
    for path in ("/v1", "/docs", "/healthz/x", "/internal", "/openapi.json/x"):
        assert http.get(path, headers={"authorization": ""}).status_code == 401, path


def test_public_paths_need_none(http: TestClient) -> None:
    for path in WITHOUT_KEY:
        assert http.get(path, headers={"authorization": ""}).status_code in (200, 503), path


def test_a_key_does_only_what_its_scopes_allow(
    state: AppState, project: Project, http: TestClient, subtests: pytest.Subtests
) -> None:
    chat = {"model": "base-1", "messages": [{"role": "user", "content": "x"}]}
    calls: list[tuple[str, str, Any, set[str]]] = [
        ("GET", "/v1/files", None, {"read"}),
        ("GET", "/v1/fine_tuning/jobs", None, {"read"}),
        ("GET", "/v1/models", None, {"read", "infer"}),
        ("POST", "/v1/fine_tuning/jobs", {}, {"write"}),
        ("POST", "/v1/files", None, {"write"}),
        ("DELETE", "/v1/files/file-1", None, {"write"}),
        ("DELETE", "/v1/models/m", None, {"write"}),
        ("POST", "/v1/chat/completions", chat, {"infer"}),
        ("POST", "/v1/completions", {"model": "base-1", "prompt": "x"}, {"infer"}),
        ("POST", "/v1/responses", {"model": "base-1", "input": "x"}, {"infer"}),
        ("GET", "/v1/responses/resp_1", None, {"infer"}),
    ]
    for scope in ("read", "write", "infer", "admin"):
        key = add_key(state.database, project.tenant, frozenset({scope}))
        for method, path, body, allowed in calls:
            with subtests.test(scope=scope, method=method, path=path):
                answer = http.request(method, path, json=body, headers={"authorization": f"Bearer {key}"})
                is_refused = answer.status_code == 403
                assert is_refused == (scope != "admin" and scope not in allowed), answer.text
                if is_refused:
                    assert answer.json()["error"]["code"] == "insufficient_permissions"


def test_a_body_is_not_read_for_a_key_that_may_not_send_it(
    state: AppState, project: Project, http: TestClient, subtests: pytest.Subtests
) -> None:
    """Of every route: dependencies, which check the scope too, run after the body has been received."""

    def body() -> Iterator[bytes]:
        reads.append(1)
        yield b""

    assert isinstance(http.app, FastAPI)
    reads: list[int] = []
    keys = {
        scope: add_key(state.database, project.tenant, frozenset({scope}))
        for scope in ("read", "write", "infer")
    }
    for route in routes(http.app):
        if route.path in WITHOUT_KEY:
            continue
        wrong = [key for scope, key in keys.items() if scope not in scopes_of(route.dependant)]
        assert wrong
        for method, path in methods_and_path(route):
            for key in wrong:
                with subtests.test(method=method, path=path):
                    answer = http.request(
                        method, path, content=body(), headers={"authorization": f"Bearer {key}"}
                    )
                    assert (answer.status_code, reads) == (403, [])


def test_only_admin_keys_manage_an_organization(
    state: AppState, project: Project, http: TestClient, subtests: pytest.Subtests
) -> None:
    assert isinstance(http.app, FastAPI)
    admin = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    found = 0
    for route in routes(http.app):
        scopes = scopes_of(getattr(route, "dependant", Dependant()))
        if "admin key" not in scopes:
            assert "/organization/" not in route.path or "operator's key" in scopes
            continue
        for method, path in methods_and_path(route):
            found += 1
            with subtests.test(method=method, path=path):
                refused = http.request(method, path, json={})
                assert (refused.status_code, refused.json()["error"]["code"]) == (403, "admin_key_required")
                assert http.request(method, path, json={}, headers=admin).status_code in (200, 400, 404)
    assert found >= 20


def test_a_revoked_key_is_refused_at_once(state: AppState, project: Project, http: TestClient) -> None:
    assert http.get("/v1/models").status_code == 200
    with state.database.write() as session:
        key_id = ApiKeys(session).authenticate(project.key).key_id
        KeySet.of_project(session, project.tenant).revoke(key_id)
    assert http.get("/v1/models").status_code == 401


def test_answers_name_the_organization_and_project_that_a_key_acts_in(
    state: AppState, project: Project, http: TestClient
) -> None:
    second = add_project(state.database, organization_id=project.tenant.organization_id)
    admin = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    named = {"openai-project": second.tenant.project_id}
    for headers, tenant in (({}, project.tenant), (admin, project.tenant), (admin | named, second.tenant)):
        for path in ("/v1/models", "/v1/files/file-absent"):
            answer = http.get(path, headers=headers)
            assert answer.headers["openai-organization"] == tenant.organization_id
            assert answer.headers["openai-project"] == tenant.project_id
    assert "openai-project" not in http.get("/v1/models", headers={"authorization": "Bearer x"}).headers


def test_a_header_that_names_another_tenant_is_refused_and_an_empty_one_is_absent(
    state: AppState, project: Project, http: TestClient
) -> None:
    second = add_project(state.database, organization_id=project.tenant.organization_id)
    stranger = add_project(state.database)
    admin = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    good = {
        "openai-organization": project.tenant.organization_id,
        "openai-project": project.tenant.project_id,
    }
    for headers in (good, {"openai-organization": "", "openai-project": ""}):
        assert http.get("/v1/models", headers=headers).status_code == 200
    for headers, code in (
        ({"openai-project": second.tenant.project_id}, "mismatched_project"),
        ({"openai-project": "proj-absent"}, "mismatched_project"),
        ({"openai-organization": stranger.tenant.organization_id}, "mismatched_organization"),
        (admin | {"openai-organization": stranger.tenant.organization_id}, "mismatched_organization"),
        (admin | {"openai-project": stranger.tenant.project_id}, "mismatched_project"),
    ):
        answer = http.get("/v1/models", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
    missing = "proj-" + "0" * len(stranger.tenant.project_id.removeprefix("proj-"))
    texts = [
        http.get("/v1/models", headers=admin | {"openai-project": id}).text.replace(id, "ID")
        for id in (stranger.tenant.project_id, missing)
    ]
    assert texts[0] == texts[1]


def test_what_an_admin_key_makes_belongs_to_the_project_that_it_names(
    state: AppState, project: Project, http: TestClient
) -> None:
    second = add_project(state.database, organization_id=project.tenant.organization_id)
    admin = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    named = admin | {"openai-project": second.tenant.project_id}
    file_id = http.post("/v1/files", headers=named, **upload).json()["id"]
    assert http.get(f"/v1/files/{file_id}").status_code == 404
    assert http.get(f"/v1/files/{file_id}", headers=admin).status_code == 404
    for headers in (named, {"authorization": f"Bearer {second.key}"}):
        assert http.get(f"/v1/files/{file_id}", headers=headers).status_code == 200


def test_a_body_is_not_read_before_its_sender_is_known(http: TestClient) -> None:
    def body() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = http.post("/v1/files", content=body(), headers={"authorization": "Bearer wrong"})
    assert answer.status_code == 401
