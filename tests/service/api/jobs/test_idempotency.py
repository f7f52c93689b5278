"""One job per call, however often the client sends it."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from cluster.contracts.errors import InProgress, Unavailable
from cluster.contracts.jobs import JobStatus
from service.api.app import create_app
from service.api.jobs.idempotency import create_idempotently
from service.api.state import AppState
from service.db import tables
from service.db.database import Database, now
from service.db.idempotency import IN_PROGRESS_SECONDS, CreateRequest, IdempotencyKeys
from service.db.jobs.jobs import Job, Jobs, NewJob
from tests.api import Project, add_key, add_project, jsonl
from tests.databases import on_both_databases

pytestmark = on_both_databases

PATH = "/v1/fine_tuning/jobs"


def upload(http: TestClient) -> str:
    form: Any = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    return str(http.post("/v1/files", **form).json()["id"])


@pytest.fixture
def body(http: TestClient) -> dict[str, Any]:
    return {"model": "base-1", "training_file": upload(http)}


def send(http: TestClient, body: dict[str, Any], retry_count: int = 0, **headers: str) -> str:
    """Returns the job's id."""
    stated = {"x-stainless-retry-count": str(retry_count), "x-stainless-read-timeout": "600"}
    answer = http.post(PATH, json=body, headers=stated | headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def keyed(http: TestClient, body: dict[str, Any], key: str = "k", **headers: str) -> Any:
    return http.post(PATH, json=body, headers={"idempotency-key": key} | headers)


def pass_time(database: Database, seconds: float) -> None:
    """Moves everything that is recorded so far into the past."""
    row = tables.IdempotencyKey
    with database.write() as session:
        session.execute(
            update(row).values(
                began_at=row.began_at - seconds,
                claimed_at=row.claimed_at - seconds,
                answered_at=row.answered_at - seconds,
                expires_at=row.expires_at - seconds,
            )
        )


def end(database: Database, job_id: str, status: JobStatus) -> None:
    with database.write() as session:
        session.get_one(tables.Job, job_id).status = status.value


def num_jobs(database: Database) -> int:
    with database.read() as session:
        return session.scalars(select(func.count()).select_from(tables.Job)).one()


def test_a_retry_finds_the_job_of_its_own_call(
    http: TestClient, state: AppState, body: dict[str, Any]
) -> None:
    first = send(http, body)
    assert [send(http, body, count) for count in (1, 2)] == [first, first]
    pass_time(state.database, 15)
    assert send(http, body, 2) == first
    second = send(http, body)
    assert second != first
    assert send(http, body, 1) == second


@pytest.mark.parametrize("status", [JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.SUCCEEDED])
def test_no_retry_is_answered_with_a_job_that_has_ended(
    http: TestClient, state: AppState, body: dict[str, Any], status: JobStatus
) -> None:
    first = send(http, body)
    end(state.database, first, status)
    second = send(http, body, 1)
    assert second != first
    assert send(http, body, 2) == second


class Refusing(Database):
    """A database that refuses the next writes."""

    left: int

    def __init__(self, database: Database) -> None:
        self.__dict__ = database.__dict__ | {"left": 0}

    @contextmanager
    def write(self, *, frees_space: bool = False) -> Iterator[Session]:
        if self.left:
            self.left -= 1
            raise Unavailable("The database does not answer.")
        with super().write(frees_space=frees_space) as session:
            yield session


@pytest.mark.parametrize("num_refusals", [1, 2, 3])
def test_a_second_call_whose_first_request_met_a_503_creates_its_own_job(
    state: AppState, project: Project, num_refusals: int
) -> None:
    database = Refusing(state.database)
    app = create_app(state.settings, open_state=lambda _: replace(state, database=database))
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as http:
        body = {"model": "base-1", "training_file": upload(http)}
        first = send(http, body)
        database.left = num_refusals
        for count in range(num_refusals):
            answer = http.post(PATH, json=body, headers={"x-stainless-retry-count": str(count)})
            assert answer.status_code == 503
        second = send(http, body, num_refusals)
        assert second != first
        assert send(http, body, num_refusals + 1) == second
    assert num_jobs(state.database) == 2


def test_a_first_request_that_fails_after_being_recorded_leaves_no_job_to_its_retry(
    http: TestClient, state: AppState, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = send(http, body)

    def fail(*_: Any) -> Job:
        raise Unavailable("The database does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(Jobs, "create", fail)
        assert http.post(PATH, json=body, headers={"x-stainless-retry-count": "0"}).status_code == 503
    second = send(http, body, 1)
    assert second != first
    assert send(http, body, 2) == second


def test_a_retry_whose_first_request_never_arrived_creates_its_own_job(
    http: TestClient, state: AppState, body: dict[str, Any]
) -> None:
    first = send(http, body)
    pass_time(state.database, 60)
    second = send(http, body, 1)
    assert second != first
    assert send(http, body, 2) == second


def test_a_retry_after_a_timeout_finds_the_job_that_its_client_waited_for(
    http: TestClient, state: AppState, body: dict[str, Any]
) -> None:
    first = send(http, body)
    pass_time(state.database, 601)
    assert send(http, body, 1) == first
    pass_time(state.database, 300)
    assert send(http, body, 1) != first


def test_another_key_of_the_project_is_another_client(
    http: TestClient, state: AppState, project: Project, body: dict[str, Any]
) -> None:
    first = send(http, body)
    other = add_key(state.database, project.tenant, frozenset({"write"}))
    assert send(http, body, 1, authorization=f"Bearer {other}") != first


def test_a_retry_with_another_body_is_another_request(http: TestClient, body: dict[str, Any]) -> None:
    first = send(http, body)
    assert send(http, body | {"suffix": "other"}, 1) != first
    assert send(http, body | {"suffix": None}, 1) == first


@dataclass
class Client:
    """Sends requests of one call, below HTTP. `age` says how many seconds ago each one began."""

    state: AppState
    project: Project
    training_file: str

    def send(self, retry_count: int, *, age: float = 0.0) -> str:
        request = CreateRequest(
            api_key_id="key", request_sha256="sha", began=time.monotonic() - age, retry_count=retry_count
        )
        return create_idempotently(self.state, self.project.tenant, request, self.create).id

    def create(self, session: Any) -> Job:
        new = NewJob(model="base-1", training_file=self.training_file)
        return Jobs(session, self.project.tenant).create(new)

    def keys(self, session: Any) -> IdempotencyKeys:
        return IdempotencyKeys(session, self.project.tenant, keep_seconds=60)


@pytest.fixture
def client(state: AppState, project: Project, body: dict[str, Any]) -> Client:
    return Client(state, project, body["training_file"])


def test_a_first_request_overtaken_by_its_retry_creates_no_second_job(client: Client) -> None:
    job = client.send(1, age=60)
    assert client.send(0, age=120) == job
    assert client.send(2, age=0) == job
    assert client.send(0, age=0) != job


def test_a_request_whose_retry_took_over_is_fenced(client: Client) -> None:
    """The first request hung between being recorded and doing its work."""
    request = CreateRequest(api_key_id="key", request_sha256="sha", began=time.monotonic())
    with client.state.database.write() as session:
        claim: Any = client.keys(session).begin(request)
    job = client.send(1)
    with client.state.database.write() as session:
        assert client.keys(session).finish(claim, lambda: client.create(session)).id == job
    assert num_jobs(client.state.database) == 1


def test_two_equal_calls_at_once_are_two_jobs(client: Client) -> None:
    claims: Any = []
    for _ in range(2):
        with client.state.database.write() as session:
            request = CreateRequest(api_key_id="key", request_sha256="sha", began=time.monotonic())
            claims.append(client.keys(session).begin(request))
    for claim in claims:
        with client.state.database.write() as session:
            client.keys(session).finish(claim, lambda: client.create(session))
    assert num_jobs(client.state.database) == 2


def test_twenty_simultaneous_requests_of_one_call_are_one_job(client: Client) -> None:
    def one(retry_count: int) -> str | None:
        try:
            return client.send(retry_count, age=10 * (20 - retry_count))
        except InProgress:
            return None

    with ThreadPoolExecutor(20) as pool:
        ids = set(pool.map(one, [*range(1, 20), 0])) - {None}
    assert num_jobs(client.state.database) == 1
    assert ids == {client.send(20)}


def test_a_key_names_one_job_whatever_its_status(
    http: TestClient, state: AppState, body: dict[str, Any]
) -> None:
    first = keyed(http, body).json()["id"]
    pass_time(state.database, 3600)
    end(state.database, first, JobStatus.CANCELLED)
    again = keyed(http, body)
    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, first, "cancelled")
    assert keyed(http, body, "other").json()["id"] != first
    pass_time(state.database, 24 * 3600)
    assert keyed(http, body).json()["id"] != first


def test_a_key_with_another_body_is_refused(http: TestClient, body: dict[str, Any]) -> None:
    assert keyed(http, body).status_code == 200
    refused = keyed(http, body | {"suffix": "other"})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (400, "idempotency_key_reused")
    assert (error["param"], "'k'" in error["message"]) == ("Idempotency-Key", True)


def test_a_key_is_its_projects_alone(http: TestClient, state: AppState, body: dict[str, Any]) -> None:
    first = keyed(http, body).json()["id"]
    stranger = f"Bearer {add_project(state.database).key}"
    theirs = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file = http.post("/v1/files", **theirs, headers={"authorization": stranger}).json()["id"]  # type: ignore[arg-type]
    other = keyed(http, {"model": "base-1", "training_file": file}, authorization=stranger)
    assert other.status_code == 200
    assert other.json()["id"] != first


def test_a_key_whose_request_is_in_progress_is_409_and_may_be_retried(
    http: TestClient, client: Client, body: dict[str, Any]
) -> None:
    with client.state.database.write() as session:
        session.add(
            tables.IdempotencyKey(
                project_id=client.project.tenant.project_id,
                key="key:k",
                organization_id=client.project.tenant.organization_id,
                request_sha256=_sha_of(http, client, body),
                call="c",
                owner="o",
                is_first_seen=True,
                began_at=now(session),
                claimed_at=now(session),
                expires_at=now(session) + 60,
            )
        )
    answer = keyed(http, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "request_in_progress")
    assert answer.headers["x-should-retry"] == "true"
    pass_time(client.state.database, IN_PROGRESS_SECONDS)
    assert keyed(http, body).status_code == 200


def _sha_of(http: TestClient, client: Client, body: dict[str, Any]) -> str:
    """Returns the body's hash, as recorded by an earlier request."""
    keyed(http, body, "earlier")
    with client.state.database.read() as session:
        return session.scalars(select(tables.IdempotencyKey.request_sha256)).one()


def test_a_refused_request_leaves_its_key_free(http: TestClient, body: dict[str, Any]) -> None:
    assert keyed(http, body | {"model": "absent"}).status_code == 400
    assert keyed(http, body).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_1_to_255_characters(http: TestClient, body: dict[str, Any], key: str) -> None:
    refused = keyed(http, body, key)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "idempotency-key")
    assert keyed(http, body, "x" * 255).status_code == 200


def test_records_expire(http: TestClient, state: AppState, body: dict[str, Any]) -> None:
    for key in "abc":
        keyed(http, body, key)
    pass_time(state.database, 25 * 3600)
    keyed(http, body, "d")
    with state.database.read() as session:
        assert session.scalars(select(tables.IdempotencyKey.key)).all() == ["key:d"]
