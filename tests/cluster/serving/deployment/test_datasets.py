"""The dataset compiler's application, without Serve."""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from cluster.contracts.bases import BasesAnswer, BaseSpec, BasesRequest, FolderSource, HubSource
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.errors import MODEL_NOT_AVAILABLE, Unavailable
from cluster.contracts.generation import LOAD_TIMEOUT_HEADER, ErrorEvent
from cluster.serving.deployment import datasets
from cluster.storage.local import LocalStore

TOKEN = "a-token-for-the-cluster"
Post = Callable[..., Any]


@pytest.fixture
def app(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> datasets.DatasetsApp:
    monkeypatch.setenv("TUNERY_CLUSTER_TOKEN", TOKEN)
    # The tests' own process keeps its priority.
    monkeypatch.setattr(datasets, "yield_to_others", lambda: None)
    return datasets.DatasetsApp(store)


async def post(app: datasets.DatasetsApp, path: str, content: str, *, timeout: float = 30) -> Response:
    async def receive() -> Message:
        return {"type": "http.request", "body": content.encode(), "more_body": False}

    headers = {"authorization": f"Bearer {TOKEN}", LOAD_TIMEOUT_HEADER: str(timeout)}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    return await app(Request(scope, receive))


def check_request(base: BaseSpec, put_rows: Callable[..., tuple[str, str]], rows: Any) -> str:
    key, sha256 = put_rows("file-training", rows)
    return DatasetCheckRequest(base=base, key=key, sha256=sha256).model_dump_json()


def test_unavailable_bases_are_named(app: datasets.DatasetsApp, base: BaseSpec, tmp_path: Path) -> None:
    absent = base.model_copy(
        update={"alias": "absent", "source": FolderSource(path=str(tmp_path / "nowhere"))}
    )
    content = BasesRequest(bases=[base, absent]).model_dump_json()
    answer = BasesAnswer.model_validate_json(asyncio.run(post(app, "/datasets/bases", content)).body)
    assert list(answer.unavailable) == ["absent"]
    assert "its folder does not exist" in answer.unavailable["absent"]


def test_a_caller_learns_that_a_base_is_downloading_and_later_the_result(
    app: datasets.DatasetsApp,
    base: BaseSpec,
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Simulates a hub that times out slowly."""
    may_end, begun = threading.Event(), []

    def fetch(spec: BaseSpec) -> Path:
        begun.append(spec)
        assert may_end.wait(30)
        raise Unavailable("The hub cannot be reached.", code=MODEL_NOT_AVAILABLE)

    monkeypatch.setattr(datasets, "base_folder", fetch)
    hub = HubSource(repository="owner/slow", revision="0" * 40)
    content = check_request(base.model_copy(update={"source": hub}), put_rows, chat_rows)

    async def run() -> list[ErrorEvent]:
        answers = [await post(app, "/datasets/check", content, timeout=0.05) for _ in range(2)]
        may_end.set()
        answers.append(await post(app, "/datasets/check", content))
        assert [answer.status_code for answer in answers] == [503] * 3
        return [ErrorEvent.model_validate_json(answer.body) for answer in answers]

    first, second, last = asyncio.run(run())
    assert (first.code, second.code, last.code) == ("model_not_ready", "model_not_ready", MODEL_NOT_AVAILABLE)
    assert f"'{base.alias}' is being downloaded" in first.message
    assert len(begun) == 1


def test_a_check_that_outlasts_its_caller_continues_for_the_next_one(
    app: datasets.DatasetsApp,
    base: BaseSpec,
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end, begun, check = threading.Event(), [], datasets.check_dataset

    def slow(request: DatasetCheckRequest, store: LocalStore) -> DatasetCheck:
        begun.append(request)
        assert may_end.wait(30)
        return check(request, store)

    monkeypatch.setattr(datasets, "check_dataset", slow)
    content = check_request(base, put_rows, chat_rows)

    async def run() -> tuple[Response, Response]:
        early = await post(app, "/datasets/check", content, timeout=0.05)
        may_end.set()
        return early, await post(app, "/datasets/check", content)

    early, late = asyncio.run(run())
    assert json.loads(early.body)["code"] == "dataset_not_ready"
    assert DatasetCheck.model_validate_json(late.body).n_examples == len(chat_rows)
    assert len(begun) == 1
