"""Catalogue entries whose base models the cluster does not have."""

import asyncio
import logging
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from cluster.contracts.bases import BasesAnswer, BaseSpec, FolderSource
from cluster.contracts.errors import Unavailable
from service.api.availability import Availability
from service.api.state import AppState
from tests.api import BASE, add_tuned_model, jsonl
from tests.fakes import FakeEngine

REASON = "The base model 'base-1' is not available: its folder does not exist."
FOLDER = BASE.model_copy(update={"source": FolderSource(path="/models/secret-place")})


def refresh(
    state: AppState,
    answer: Callable[[list[BaseSpec]], dict[str, str]],
    contexts: dict[str, int] | None = None,
) -> None:
    async def ask(bases: list[BaseSpec]) -> BasesAnswer:
        return BasesAnswer(unavailable=answer(bases), contexts=contexts or {})

    asyncio.run(state.availability.refresh(ask, state.catalogue))


def test_an_unavailable_base_is_listed_with_the_reason_and_so_is_what_was_tuned_from_it(
    state: AppState, http: TestClient
) -> None:
    file = http.post("/v1/files", files={"file": ("a.jsonl", jsonl())}, data={"purpose": "fine-tune"})
    job = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file.json()["id"]})
    add_tuned_model(state.database, job.json()["id"])
    assert [one["tunery"]["unavailable"] for one in http.get("/v1/models").json()["data"]] == [None, None]
    refresh(state, lambda bases: {"base-1": REASON})
    assert [one["tunery"]["unavailable"] for one in http.get("/v1/models").json()["data"]] == [REASON] * 2
    assert http.get("/v1/models/base-1").json()["tunery"]["unavailable"] == REASON
    public = http.get("/readyz", headers={"authorization": ""})
    assert public.json()["unavailable_bases"] == 1
    assert "base-1" not in public.text, "only keys see names and reasons"
    refresh(state, lambda bases: {})
    assert http.get("/v1/models/base-1").json()["tunery"]["unavailable"] is None
    assert http.get("/readyz").json()["unavailable_bases"] == 0


def test_a_context_that_serving_has_no_memory_for_is_shown_with_what_it_serves_and_checked(
    state: AppState, http: TestClient
) -> None:
    def shown() -> tuple[int, int | None]:
        extension = http.get("/v1/models/base-1").json()["tunery"]
        return extension["context_length"], extension["full_context_length"]

    full = BASE.context_length
    assert shown() == (full, None)
    refresh(state, lambda bases: {}, {"base-1": full - 1})
    assert shown() == (full - 1, full)
    refused = http.post("/v1/completions", json={"model": "base-1", "prompt": [7] * full})
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    message = refused.json()["error"]["message"]
    assert message.startswith(f"This model's maximum context length is {full - 1} tokens, ")
    assert f"The model itself reads {full}, but the GPUs" in message
    refresh(state, lambda bases: {})
    assert shown() == (full, None)


def test_no_job_is_created_for_an_unavailable_base(state: AppState, http: TestClient) -> None:
    file = http.post("/v1/files", files={"file": ("a.jsonl", jsonl())}, data={"purpose": "fine-tune"})
    refresh(state, lambda bases: {"base-1": REASON})
    refused = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file.json()["id"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_not_available")
    assert refused.json()["error"]["message"] == REASON
    assert http.get("/v1/fine_tuning/jobs").json()["data"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/completions", {"prompt": "hi"}),
        ("/v1/responses", {"input": "hi"}),
    ],
)
def test_a_request_to_an_unavailable_base_is_503_with_the_reason(
    state: AppState, http: TestClient, path: str, body: dict[str, object]
) -> None:
    assert isinstance(state.engine, FakeEngine)
    state.engine.refusal = Unavailable(REASON, code="model_not_available")
    answer = http.post(path, json={"model": "base-1", **body})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_available")
    assert answer.json()["error"]["message"] == REASON


@pytest.mark.anyio
async def test_the_missing_folder_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    found: dict[str, str] = {"base-1": REASON}
    availability = Availability()

    async def ask(bases: list[BaseSpec]) -> BasesAnswer:
        return BasesAnswer(unavailable=found)

    with caplog.at_level(logging.INFO):
        for _ in range(2):
            await availability.refresh(ask, {"base-1": FOLDER})
        found = {}
        await availability.refresh(ask, {"base-1": FOLDER})
    logged = [record.getMessage() for record in caplog.records if "base-1" in record.getMessage()]
    assert logged == [
        f"{REASON} Its folder is /models/secret-place.",
        "The base model 'base-1' is available again.",
    ]


@pytest.mark.anyio
async def test_availability_is_checked_at_startup_and_until_the_cluster_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.api.availability._SOON_SECONDS", 0.01)
    availability, answers = Availability(), [Unavailable("The cluster is starting."), OSError("a bug"), None]
    monkeypatch.setattr("service.api.availability._SECONDS", 0.01)

    answered = asyncio.Event()

    async def ask(bases: list[BaseSpec]) -> BasesAnswer:
        answer = answers.pop(0) if answers else None
        if answer is not None:
            raise answer
        answered.set()
        return BasesAnswer(unavailable={"base-1": REASON})

    async with availability.watching(ask, {"base-1": FOLDER}):
        await asyncio.wait_for(answered.wait(), 30)
        while availability.reason("base-1") is None:
            await asyncio.sleep(0)
    assert availability.reason("base-1") == REASON
