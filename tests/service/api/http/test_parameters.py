"""Numbers in queries and headers."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from service.api.state import AppState
from service.db.organization.api_keys import ApiKeys
from tests.api import Project, add_admin_key, jsonl
from tests.databases import on_both_databases

HUGE = "9" * 40


@on_both_databases
def test_numbers_that_no_database_holds_are_refused_by_name(
    http: TestClient, subtests: pytest.Subtests
) -> None:
    paths: dict[str, dict[str, Any]] = http.get("/openapi.json").json()["paths"]
    tried = 0
    for path, operations in paths.items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", []):
                where, name = parameter["in"], parameter["name"]
                if where not in ("query", "header") or '"integer"' not in str(parameter).replace("'", '"'):
                    continue
                tried += 1
                with subtests.test(path=path, method=method, parameter=name):
                    given: Any = {"params" if where == "query" else "headers": {name: HUGE}}
                    answer = http.request(method, path.replace("{", "").replace("}", ""), **given)
                    assert answer.status_code < 500
    assert tried > 20
    refused = http.get("/v1/fine_tuning/jobs/a/events?stream=true", headers={"last-event-id": HUGE})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "last-event-id")


def test_every_route_refuses_a_query_parameter_that_it_does_not_have(
    http: TestClient, state: AppState, subtests: pytest.Subtests
) -> None:
    with state.database.write() as session:
        operator = ApiKeys(session).ensure_admin(None)
    key = {"authorization": f"Bearer {operator}"}
    paths: dict[str, dict[str, Any]] = http.get("/openapi.json").json()["paths"]
    tried = [
        (method, path)
        for path, operations in paths.items()
        for method in operations
        # Parts have their own order: they are refused for their upload first.
        if path.startswith("/v1/") and path != "/v1/uploads/{upload_id}/parts"
    ]
    assert len(tried) > 70
    for method, path in tried:
        with subtests.test(method=method, path=path):
            url = path.replace("{", "").replace("}", "")
            answer = http.request(method, f"{url}?limitt=5", headers=key)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"]) == (400, "unknown_parameter")
            assert (error["param"], error["message"]) == ("limitt", "Unknown parameter: 'limitt'.")


@pytest.mark.parametrize(
    ("path", "query", "param"),
    [
        ("fine_tuning/jobs", "metadata[team]=a&limit[]=5", "limit[]"),
        ("files", "after[x]=1", "after[x]"),
        ("organization/usage/completions", "start_time=1&models[]=a&models[a]=b", "models[a]"),
        ("organization/usage/completions", "start_time=1&user_ids[]=a", "user_ids[]"),
        ("files", "LIMIT=5", "LIMIT"),
    ],
)
def test_brackets_belong_to_lists_and_objects_only(
    http: TestClient, state: AppState, project: Project, path: str, query: str, param: str
) -> None:
    key = {"authorization": f"Bearer {add_admin_key(state.database, project.tenant)}"}
    answer = http.get(f"/v1/{path}?{query}", headers=key)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_an_empty_unknown_parameter_is_absent(http: TestClient) -> None:
    assert http.get("/v1/files?newer=").status_code == 200


def test_forms_refuse_fields_that_they_do_not_have(http: TestClient) -> None:
    file = {"file": ("a.jsonl", jsonl())}
    for more in ({"expires_after": "3600"}, {"expires_after[second]": "3600"}, {"purpos": "fine-tune"}):
        answer = http.post("/v1/files", files=file, data={"purpose": "fine-tune", **more})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (
            400,
            "unknown_parameter",
            next(iter(more)),
        )
    body = {"filename": "a.jsonl", "purpose": "fine-tune", "bytes": 5, "mime_type": "text/jsonl"}
    upload = http.post("/v1/uploads", json=body).json()["id"]
    answer = http.post(f"/v1/uploads/{upload}/parts", files={"data": b"x", "dta": b"y"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "dta")
    unknown_file = http.post("/v1/files", files=file | {"second": ("b", b"")}, data={"purpose": "fine-tune"})
    assert unknown_file.json()["error"]["param"] == "second"
    assert http.get("/v1/files").json()["data"] == []


def test_jobs_are_not_looked_for_by_more_metadata_than_they_can_have(
    http: TestClient, project: Project
) -> None:
    pairs = {f"metadata[a{number}]": "1" for number in range(17)}
    key = {"authorization": f"Bearer {project.key}"}
    answer = http.get("/v1/fine_tuning/jobs", params=pairs, headers=key)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "metadata")
    pairs.popitem()
    assert http.get("/v1/fine_tuning/jobs", params=pairs, headers=key).json()["data"] == []
