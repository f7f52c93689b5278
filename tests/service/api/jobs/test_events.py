"""Following a job: server-sent events that resume after a disconnect."""

import json
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from service.db.database import Database
from service.db.jobs.jobs import Jobs
from service.db.tenancy import Tenant
from tests.api import LiveApi, jsonl
from tests.databases import on_both_databases


def new_job(http: TestClient) -> str:
    upload: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    body = {"model": "base-1", "training_file": file_id}
    return str(http.post("/v1/fine_tuning/jobs", json=body).json()["id"])


def events_of(text: str) -> list[tuple[int, dict[str, Any]]]:
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((int(fields["id"]), json.loads(fields["data"])))
    return found


@on_both_databases
def test_a_stream_sends_every_event_once_in_order_and_ends_with_the_job(http: TestClient) -> None:
    job = new_job(http)
    http.post(f"/v1/fine_tuning/jobs/{job}/cancel")
    answer = http.get(f"/v1/fine_tuning/jobs/{job}/events?stream=true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.text)
    assert [number for number, _ in events] == list(range(len(events)))
    listed = http.get(f"/v1/fine_tuning/jobs/{job}/events").json()["data"]
    assert [event for _, event in events] == listed[::-1]


def test_a_stream_resumes_after_the_last_seen_event(http: TestClient) -> None:
    job = new_job(http)
    http.post(f"/v1/fine_tuning/jobs/{job}/cancel")
    path = f"/v1/fine_tuning/jobs/{job}/events?stream=true"
    whole = events_of(http.get(path).text)
    resumed = events_of(http.get(path, headers={"last-event-id": "0"}).text)
    assert resumed == whole[1:]
    wrong = http.get(path, headers={"last-event-id": "abc"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "last-event-id")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_later_event_reaches_a_listening_client(live: LiveApi) -> None:
    client = live.openai()
    job = client.fine_tuning.jobs.create(model="base-1", training_file=live.upload()).id
    headers = {"authorization": f"Bearer {live.project.key}"}
    with (
        httpx2.Client(trust_env=False, timeout=300) as http,
        http.stream(
            "GET", f"{live.url}/v1/fine_tuning/jobs/{job}/events?stream=true", headers=headers
        ) as stream,
    ):
        lines = stream.iter_lines()
        seen = [json.loads(line.removeprefix("data: "))["message"] for line in _take_data(lines, 2)]
        assert seen[0].startswith("Created")
        _cancel(live.state.database, live.project.tenant, job)
        rest = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert rest
    assert client.fine_tuning.jobs.retrieve(job).status == "cancelled"


def test_an_absent_jobs_stream_is_a_plain_404(http: TestClient) -> None:
    assert http.get("/v1/fine_tuning/jobs/ftjob-absent/events?stream=true").status_code == 404


def _take_data(lines: Any, count: int) -> list[str]:
    found: list[str] = []
    for line in lines:
        if line.startswith("data: "):
            found.append(line)
            if len(found) == count:
                break
    return found


def _cancel(database: Database, tenant: Tenant, job: str) -> None:
    with database.write() as session:
        Jobs(session, tenant).cancel(job)
