"""`/v1/organization/costs` as the unmodified openai SDK reads it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai import OpenAI

from service.api.app import create_app
from service.api.state import AppState
from service.db import tables
from service.db.database import Database
from service.db.usage.usage import DAY
from tests.api import Project, add_admin_key, add_project, jsonl, listening, with_settings
from tests.databases import on_both_databases
from tests.service.api.test_organization_usage import NOON, key_id_of, used

MIDNIGHT = NOON - NOON % DAY
PRICES = {
    "price_per_million_input_tokens": {"base-1": 100.0, "encoder-1": 10.0},
    "price_per_million_output_tokens": {"*": 1000.0},
    "price_per_million_tokens": {"*": 50.0},
    "price_per_device_hour": 36.0,
    "price_currency": "EUR",
}


@pytest.fixture
def project(database: Database) -> Project:
    own = add_project(database)
    return replace(own, key=add_admin_key(database, own.tenant))


@pytest.fixture
def admin(state: AppState, project: Project) -> Iterator[OpenAI]:
    """Usage of two projects, with prices: 20 input and 30 output tokens each time."""
    database, key_id = state.database, key_id_of(state.database, project)
    second = add_project(database, organization_id=project.tenant.organization_id)
    used(database, project.tenant, key_id, "base-1", NOON)
    used(database, project.tenant, key_id, "ft:base-1:tunery::abcdefgh", NOON + 61)
    used(database, second.tenant, key_id_of(database, second), "encoder-1", NOON, "embeddings")
    used(database, project.tenant, key_id, "base-1", NOON - DAY)
    with listening(_app(with_settings(state, **PRICES))) as url:
        yield OpenAI(base_url=f"{url}/v1", api_key=project.key, admin_api_key=project.key, max_retries=0)


def _app(state: AppState) -> Any:
    return create_app(state.settings, open_state=lambda _: state)


def rows(admin: OpenAI, **query: Any) -> list[dict[str, Any]]:
    page = admin.admin.organization.usage.costs(start_time=MIDNIGHT, end_time=MIDNIGHT + DAY, **query)
    (bucket,) = page.data
    found = [result.to_dict() for result in bucket.results]
    assert {row["object"] for row in found} <= {"organization.costs.result"}
    return found


def test_costs_are_usage_times_prices_in_the_operators_currency(admin: OpenAI) -> None:
    (row,) = rows(admin)
    assert row["amount"]["currency"] == "eur"
    # Of 40 tokens read at 100 and 20 at 10, and 90 written at 1000.
    assert row["amount"]["value"] == pytest.approx((40 * 100 + 20 * 10 + 90 * 1000) / 1e6)
    assert row["quantity"] is row["line_item"] is row["project_id"] is None


@on_both_databases
def test_costs_are_grouped_by_line_item_and_project(admin: OpenAI, project: Project) -> None:
    found = {row["line_item"]: row for row in rows(admin, group_by=["line_item", "project_id"])}
    tuned = "ft:base-1:tunery::abcdefgh"
    assert set(found) == {
        f"{model}, {what}"
        for model in ("base-1", tuned, "encoder-1")
        for what in ("input_tokens", "output_tokens")
    }
    row = found[f"{tuned}, output_tokens"]
    assert (row["quantity"], row["quantity_unit"], row["project_id"]) == (
        30,
        "tokens",
        project.tenant.project_id,
    )
    assert row["amount"]["value"] == pytest.approx(30 * 1000 / 1e6)
    (only,) = rows(admin, line_items=["base-1, input_tokens"])
    assert only["amount"]["value"] == pytest.approx(20 * 100 / 1e6)
    (mine,) = rows(
        admin, project_ids=[project.tenant.project_id], line_items=["encoder-1, input_tokens"]
    ) or [{}]
    assert mine == {}


def test_training_costs_tokens_and_device_hours(admin: OpenAI, state: AppState, project: Project) -> None:
    file_id = admin.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune").id
    job_id = admin.fine_tuning.jobs.create(model="base-1", training_file=file_id).id
    with state.database.write() as session:
        job = session.get_one(tables.Job, job_id)
        job.status, job.finished_at, job.trained_tokens = "succeeded", NOON + 110, 2_000_000
        session.add(
            tables.Attempt(
                job_id=job_id,
                number=1,
                submission_id="s",
                token_sha256="0",
                state="ended",
                created_at=float(NOON) - 500.0,
                started_at=float(NOON),
                heartbeat_at=0.0,
                ended_at=NOON + 100.0,
            )
        )
    found = {row["line_item"]: row for row in rows(admin, group_by=["line_item"])}
    assert found["base-1, training_tokens"]["amount"]["value"] == pytest.approx(100)
    hours = found["base-1, training_hours"]
    assert (hours["amount"]["value"], hours["quantity_unit"]) == (pytest.approx(1.0), "duration_hours")


def test_pages_have_days(admin: OpenAI) -> None:
    first = admin.admin.organization.usage.costs(start_time=MIDNIGHT - DAY, end_time=MIDNIGHT + DAY, limit=1)
    assert (len(first.data), first.has_more, first.data[0].start_time) == (1, True, MIDNIGHT - DAY)
    second = admin.admin.organization.usage.costs(
        start_time=MIDNIGHT - DAY, end_time=MIDNIGHT + DAY, limit=1, page=first.next_page
    )
    assert (second.has_more, second.data[0].start_time) == (False, MIDNIGHT)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"group_by": ["model"]}, "group_by"),
        ({"bucket_width": "1h"}, "bucket_width"),
        ({"limit": 181}, "limit"),
        ({"extra_query": {"user_ids": "a"}}, "user_ids"),
    ],
)
def test_an_invalid_query_is_refused(admin: OpenAI, query: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        rows(admin, **query)
    assert error.value.param == param


def test_without_prices_no_amount_is_made_up(state: AppState, project: Project) -> None:
    with listening(_app(state)) as url:
        admin = OpenAI(base_url=f"{url}/v1", api_key="none", admin_api_key=project.key, max_retries=0)
        with pytest.raises(openai.BadRequestError, match="TUNERY_PRICE_PER_DEVICE_HOUR") as error:
            rows(admin)
    assert error.value.code == "prices_not_set"
