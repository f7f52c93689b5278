"""`/v1/organization/usage/…` as the unmodified openai SDK reads it."""

import time
from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest
from openai.types.admin.organization import UsageCompletionsResponse
from openai.types.admin.organization.usage_completions_response import (
    DataResultOrganizationUsageCompletionsResult as Completions,
)
from openai.types.admin.organization.usage_embeddings_response import (
    DataResultOrganizationUsageEmbeddingsResult as Embeddings,
)
from starlette.testclient import TestClient

from service.api.inference.usage_meter import UsageMeter
from service.api.state import AppState
from service.db import tables
from service.db.database import Database
from service.db.organization.api_keys import ApiKeys
from service.db.tenancy import Tenant
from service.db.usage.usage import DAY, HOUR, MINUTE, UsageCounts, UsageKey, write_totals
from tests.api import LiveApi, Project, add_admin_key, add_key, add_project, jsonl
from tests.databases import on_both_databases

NOON = int(time.time()) // DAY * DAY - DAY // 2
"""Yesterday."""


@pytest.fixture
def project(database: Database) -> Project:
    """A project with an admin key."""
    own = add_project(database)
    return replace(own, key=add_admin_key(database, own.tenant))


def key_id_of(database: Database, project: Project) -> str:
    with database.read() as session:
        return ApiKeys(session).authenticate(project.key).key_id


def used(database: Database, tenant: Tenant, key_id: str, model: str, at: int, operation: Any = None) -> None:
    """Ten requests with 20 and 30 tokens at this time."""
    operation = operation or "completions"
    counts = UsageCounts(10, 20, 30)
    keys = [UsageKey(tenant, key_id, model, operation, at - at % width, width) for width in (MINUTE, HOUR)]
    with database.write() as session:
        write_totals(session, f"writer-{at}", dict.fromkeys(keys, counts))


@pytest.fixture
def organization(live: LiveApi) -> dict[str, str]:
    """Usage of two projects of the organization, and of another organization. Returns the key ids."""
    database, own = live.state.database, live.project
    second = add_project(database, organization_id=own.tenant.organization_id)
    stranger = add_project(database)
    ids = {
        "own": key_id_of(database, own),
        "second": key_id_of(database, second),
        "second_project": second.tenant.project_id,
    }
    used(database, own.tenant, ids["own"], "base-1", NOON)
    used(database, own.tenant, ids["own"], "ft:base-1", NOON + 61)
    used(database, own.tenant, ids["own"], "base-1", NOON + HOUR)
    used(database, second.tenant, ids["second"], "base-1", NOON)
    used(database, own.tenant, ids["own"], "encoder-1", NOON, "embeddings")
    used(database, stranger.tenant, key_id_of(database, stranger), "base-1", NOON)
    return ids


def completions(live: LiveApi, **query: Any) -> UsageCompletionsResponse:
    admin = live.openai(admin_api_key=live.project.key)
    return admin.admin.organization.usage.completions(**query)


def test_the_sdk_reads_days_without_groups(live: LiveApi, organization: dict[str, str]) -> None:
    midnight = NOON - NOON % DAY
    page = completions(live, start_time=midnight, end_time=midnight + 2 * DAY)
    assert (page.object, page.has_more, page.next_page) == ("page", False, None)
    assert [(bucket.object, bucket.start_time, bucket.end_time) for bucket in page.data] == [
        ("bucket", midnight, midnight + DAY),
        ("bucket", midnight + DAY, midnight + 2 * DAY),
    ]
    (result,) = page.data[0].results
    assert isinstance(result, Completions)
    assert (result.num_model_requests, result.input_tokens, result.output_tokens) == (40, 80, 120)
    assert (result.project_id, result.api_key_id, result.model) == (None, None, None)
    assert page.data[1].results == []


@pytest.mark.parametrize(("width", "times"), [("1m", [0, 60, 3600]), ("1h", [0, 3600])])
def test_hours_and_minutes_are_apart(
    live: LiveApi, organization: dict[str, str], width: Any, times: list[int]
) -> None:
    page = completions(
        live, start_time=NOON, end_time=NOON + 7200, bucket_width=width, limit=121 if width == "1m" else 3
    )
    assert [bucket.start_time - NOON for bucket in page.data if bucket.results] == times


@on_both_databases
def test_usage_is_grouped_and_filtered(live: LiveApi, organization: dict[str, str]) -> None:
    query: dict[str, Any] = {"start_time": NOON, "end_time": NOON + DAY // 2}
    own = live.project.tenant.project_id

    def results(**more: Any) -> set[tuple[Any, ...]]:
        return {
            (one.project_id, one.api_key_id, one.model, one.num_model_requests)
            for bucket in completions(live, **query, **more).data
            for one in bucket.results
            if isinstance(one, Completions)
        }

    second = organization["second_project"]
    assert results(group_by=["project_id"]) == {(own, None, None, 30), (second, None, None, 10)}
    assert results(group_by=["model", "api_key_id"]) == {
        (None, organization["own"], "base-1", 20),
        (None, organization["own"], "ft:base-1", 10),
        (None, organization["second"], "base-1", 10),
    }
    assert results(project_ids=[second], group_by=["project_id", "user_id"]) == {(second, None, None, 10)}
    assert results(api_key_ids=[organization["own"]], models=["base-1"]) == {(None, None, None, 20)}
    assert results(models=["base-1", "ft:base-1"]) == {(None, None, None, 40)}
    assert results(project_ids=["proj-elsewhere"]) == set()
    assert results(batch=True) == set()
    (by_batch,) = completions(live, **query, group_by=["batch"]).data[0].results
    assert isinstance(by_batch, Completions)
    assert by_batch.batch is False


def test_lists_are_read_in_both_spellings(live: LiveApi, organization: dict[str, str]) -> None:
    for name in ("group_by", "group_by[]"):
        answer = httpx2.get(
            f"{live.url}/v1/organization/usage/completions",
            params=[("start_time", NOON), (name, "project_id"), (name, "model")],
            headers={"authorization": f"Bearer {live.project.key}"},
            trust_env=False,
        ).json()
        assert len(answer["data"][0]["results"]) == 3


@on_both_databases
def test_pages_follow_one_another_without_gaps(live: LiveApi, organization: dict[str, str]) -> None:
    query: dict[str, Any] = {"start_time": NOON + 5, "end_time": NOON + 5 * HOUR, "bucket_width": "1h"}
    whole = completions(live, **query)
    assert len(whole.data) == 5
    seen, page = [], None
    while True:
        answer = completions(live, **query, limit=2, **({"page": page} if page else {}))
        seen += answer.data
        page = answer.next_page
        assert answer.has_more == (page is not None)
        if page is None:
            break
    assert seen == whole.data


def test_embeddings_and_classifications_are_apart(live: LiveApi, organization: dict[str, str]) -> None:
    admin = live.openai(admin_api_key=live.project.key)
    (result,) = admin.admin.organization.usage.embeddings(start_time=NOON, limit=1).data[0].results
    assert isinstance(result, Embeddings)
    assert (result.num_model_requests, result.input_tokens) == (10, 20)
    answer = httpx2.get(
        f"{live.url}/v1/organization/usage/classifications?start_time={NOON}&limit=1",
        headers={"authorization": f"Bearer {live.project.key}"},
        trust_env=False,
    ).json()
    assert answer["data"][0]["results"] == []


def test_what_is_asked_of_models_appears_in_the_usage(http: TestClient) -> None:
    start = int(time.time()) - MINUTE
    http.post("/v1/completions", json={"model": "base-1", "prompt": "a b"})
    assert http.portal is not None
    meter: UsageMeter = http.app.state.inference.usage  # type: ignore[attr-defined]
    http.portal.call(meter.flush)
    for width in ("1m", "1h", "1d"):
        answer = http.get(f"/v1/organization/usage/completions?start_time={start}&bucket_width={width}")
        (found,) = [result for bucket in answer.json()["data"] for result in bucket["results"]]
        assert (found["num_model_requests"], found["input_tokens"], found["output_tokens"]) == (1, 2, 3)


@on_both_databases
def test_fine_tuning_usage_has_jobs_tokens_and_device_time(
    state: AppState, http: TestClient, project: Project
) -> None:
    upload: dict[str, Any] = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    create = {"model": "base-1", "training_file": file_id, "training": {"num_workers": 1}}
    job_id = http.post("/v1/fine_tuning/jobs", json=create).json()["id"]
    with state.database.write() as session:
        job = session.get_one(tables.Job, job_id)
        job.status, job.finished_at, job.trained_tokens = "succeeded", NOON + HOUR + 10, 1234
        job.training = job.training | {"num_workers": 2}
        session.add(
            tables.Attempt(
                job_id=job_id,
                number=1,
                submission_id="s",
                token_sha256="0",
                state="ended",
                created_at=NOON + HOUR - 100.0 - 500.0,
                started_at=NOON + HOUR - 100.0,
                heartbeat_at=0.0,
                ended_at=NOON + HOUR + 50.0,
            )
        )
    path = f"/v1/organization/usage/fine_tuning?start_time={NOON}&end_time={NOON + 3 * HOUR}&bucket_width=1h"
    data = http.get(f"{path}&group_by=model&group_by=api_key_id").json()["data"]
    key_id = key_id_of(state.database, project)
    common = {
        "object": "organization.usage.fine_tuning.result",
        "project_id": None,
        "user_id": None,
        "api_key_id": key_id,
        "model": "base-1",
    }
    assert [bucket["results"] for bucket in data] == [
        [common | {"num_jobs": 0, "trained_tokens": 0, "device_seconds": 200.0}],
        [common | {"num_jobs": 1, "trained_tokens": 1234, "device_seconds": 100.0}],
        [],
    ]
    assert http.get(f"{path}&models=other").json()["data"][1]["results"] == []


ROUTES = ("completions", "embeddings", "classifications", "fine_tuning")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({}, "start_time"),
        ({"start_time": "soon"}, "start_time"),
        ({"start_time": 10, "end_time": 10}, "start_time"),
        ({"start_time": -1}, "start_time"),
        ({"start_time": 10**17}, "start_time"),
        ({"start_time": 10, "end_time": 10**17}, "start_time"),
        ({"start_time": 10, "bucket_width": "1w"}, "bucket_width"),
        ({"start_time": 10, "limit": 32}, "limit"),
        ({"start_time": 10, "limit": 0}, "limit"),
        ({"start_time": 10, "bucket_width": "1m", "limit": 1441}, "limit"),
        ({"start_time": 10, "group_by": "colour"}, "group_by"),
        ({"start_time": 10, "page": "page_zz"}, "page"),
        ({"start_time": 10, "page": "page_15181"}, "page"),
        ({"start_time": 10, "page": "page_ffffffffffff"}, "page"),
    ],
)
def test_an_invalid_query_is_refused(http: TestClient, query: dict[str, Any], param: str) -> None:
    for route in ROUTES:
        answer = http.get(f"/v1/organization/usage/{route}", params=query)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_minutes_that_are_no_longer_kept_are_refused(http: TestClient) -> None:
    for width, code in (("1m", 400), ("1h", 200)):
        answer = http.get(f"/v1/organization/usage/completions?start_time=0&bucket_width={width}")
        assert answer.status_code == code


def test_only_admin_keys_see_the_usage_of_the_organization(
    live: LiveApi, organization: dict[str, str]
) -> None:
    key = add_key(live.state.database, live.project.tenant, frozenset({"admin"}))
    with pytest.raises(openai.PermissionDeniedError):
        live.openai(admin_api_key=key).admin.organization.usage.completions(start_time=NOON)
