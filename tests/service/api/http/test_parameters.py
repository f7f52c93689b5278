"""Numbers in queries and headers."""

from typing import Any

import pytest
from starlette.testclient import TestClient

HUGE = "9" * 40


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
