"""One trace from the request that creates a job to its model: API, scheduler, driver, worker. Without Ray."""

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import format_span_id, format_trace_id
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from cluster.contracts.errors import TrainingFailed, TuneryError
from cluster.contracts.generation import (
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    TextEvent,
)
from cluster.contracts.jobs import Finished, JobSpec, RunnerEvent, RunnerState
from cluster.runner.__main__ import run_attempt
from cluster.runner.sync import ServiceLink
from cluster.serving.deployment.gate import Gate, parse_body
from cluster.serving.residency.load_timeout import time_limit
from cluster.serving.residency.pool import EnginePool
from cluster.serving.residency.shared_cache import shared_cache
from cluster.tracing import configure_tracing, span, stop_tracing, traceparent
from cluster.wire.codec import encode_stream
from service.api.app import create_app
from service.api.inference.engine import ServeEngine
from service.api.routes.internal import create_internal_app
from service.api.state import AppState
from service.db.organization.api_keys import ApiKeys
from tests.api import Project, listening, project, state
from tests.cluster.training.recording import record
from tests.databases import sqlite_copy
from tests.fakes import FakeEngine
from tests.service.db.rows import TENANT
from tests.service.scheduling.world import BASE, World

__all__ = ["project", "state"]

CLIENTS = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
"""A trace that the client has begun."""


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    configure_tracing("test", exporter)
    yield exporter
    stop_tracing()


class _Recorded:
    """A run that has trained in this process before it is asked."""

    def __init__(self, spec: JobSpec, world: World) -> None:
        with span("train", parent=spec.traceparent, job=spec.job_id, attempt=spec.attempt, rank=0):
            recording = record(spec, world.store)
        assert isinstance(recording.result, Finished)
        self._left: tuple[list[RunnerEvent], RunnerState] = (recording.events, recording.result)

    def take(self, wait_seconds: float) -> tuple[list[RunnerEvent], RunnerState]:
        return self._left

    def pause(self) -> None:
        raise AssertionError("nobody paused it")


def tree(spans: Sequence[ReadableSpan], parent: str | None, depth: int = 0) -> list[str]:
    """Names of the spans below `parent`, indented, in the order in which they began."""
    lines = []
    for one in sorted(spans, key=lambda one: one.start_time or 0):
        if parent == (None if one.parent is None else format_span_id(one.parent.span_id)):
            assert one.context is not None
            lines.append("  " * depth + one.name)
            lines += tree(spans, format_span_id(one.context.span_id), depth + 1)
    return lines


def test_a_job_is_one_trace_from_the_request_to_publishing(
    exporter: InMemorySpanExporter, sqlite_template: Path, tmp_path: Path
) -> None:
    world = World(sqlite_copy(sqlite_template), tmp_path / "objects")
    with world.database.write() as session:
        key, _ = ApiKeys(session).create(TENANT, name="test", scopes=frozenset({"admin"}))
    state = AppState(world.settings, world.database, world.store, FakeEngine(), {BASE.alias: BASE})
    app = create_app(world.settings, open_state=lambda _: state)
    with TestClient(app, headers={"authorization": f"Bearer {key}"}) as http:
        line = json.dumps({"messages": [_said("user", "hi"), _said("assistant", "ho")]})
        files = {"file": ("a.jsonl", f"{line}\n" * 12)}
        file = http.post("/v1/files", files=files, data={"purpose": "fine-tune"}).json()["id"]
        exporter.clear()
        body = {"model": "tiny", "training_file": file, "hyperparameters": {"n_epochs": 1}}
        job_id = http.post("/v1/fine_tuning/jobs", json=body, headers={"traceparent": CLIENTS}).json()["id"]
        scheduler = world.scheduler()
        scheduler.tick()
        scheduler.tick()
        spec = world.spec(f"{job_id}-a1")
        runner = TestClient(create_internal_app(app.state), base_url="http://service")
        run_attempt(spec, ServiceLink(spec, _Http(runner)), lambda spec: _Recorded(spec, world))
        scheduler.tick()
        shown = http.get(f"/v1/fine_tuning/jobs/{job_id}").json()
    world.close()
    assert shown["tunery"]["progress"]["step"] > 0
    spans = [one for one in exporter.get_finished_spans() if _trace(one) == CLIENTS.split("-")[1]]
    lines = tree(spans, CLIENTS.split("-")[2])
    print("\n".join(lines))
    assert lines == [
        "POST /v1/fine_tuning/jobs",
        "  validation",
        "  start",
        "    attempt",
        "      train",
        "        read data",
        "        fetch weights",
        "        steps",
        "        store",
        "        evaluate",
        "  publishing",
    ]
    assert len(spans) == len(lines)
    for one in spans[1:]:
        of_job = one.attributes or {}
        assert of_job.get("tunery.job", job_id) == job_id
    everything = json.dumps([json.loads(one.to_json()) for one in spans])
    assert key not in everything
    assert spec.attempt_token not in everything


class _Engine:
    """Answers with one token."""

    num_bytes = 1

    async def ensure(self, model: ModelRef) -> None: ...

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        yield PromptEvent(prompt_tokens=1)
        yield TextEvent(index=0, text="ho", completion_tokens=1)
        yield FinishEvent(index=0, reason="stop", completion_tokens=1)

    async def close(self) -> None: ...


class _Load:
    async def __call__(self, model: ModelRef) -> Any:
        return _Engine()

    async def expected_bytes(self, model: ModelRef) -> int:
        return 1


@contextmanager
def _serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What a replica does with a request, without Ray. Yields the root URL."""
    monkeypatch.setenv("TUNERY_CLUSTER_TOKEN", "token-1")
    pool = EnginePool(_Load(), shared_cache(capacity=1))

    async def generate(request: Request) -> Response:
        body = await parse_body(GenerationRequest, request)
        chunks = encode_stream(pool.generate(body, load_limit=time_limit(None, lambda: TuneryError(""))))
        first = await anext(chunks)

        async def lines() -> AsyncGenerator[str, None]:
            yield first.lines
            async for chunk in chunks:
                yield chunk.lines

        return StreamingResponse(lines())

    gate = Gate({("POST", "generate"): generate})
    with listening(Starlette(routes=[Route("/{path:path}", gate.answer, methods=["GET", "POST"])])) as url:
        yield url


def test_an_answer_is_one_trace_from_the_request_to_the_model_and_strangers_add_nothing(
    exporter: InMemorySpanExporter, state: AppState, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _serving(monkeypatch) as url:
        app = create_app(
            state.settings, open_state=lambda _: replace(state, engine=ServeEngine(url, "token-1"))
        )
        with TestClient(app, headers={"traceparent": CLIENTS}) as http:
            body = {"model": "base-1", "messages": [_said("user", "hi")], "stream": True}
            key = {"authorization": f"Bearer {project.key}"}
            answer = http.post("/v1/chat/completions", json=body, headers=key)
            refused = http.post("/v1/chat/completions", json=body, headers={"authorization": "Bearer x"})
    assert (answer.status_code, refused.status_code) == (200, 401), answer.text
    spans = exporter.get_finished_spans()
    assert {_trace(one) for one in spans} == {CLIENTS.split("-")[1]}
    assert tree(spans, CLIENTS.split("-")[2]) == [
        "POST /v1/chat/completions",
        "  POST /engine/generate",
        "    generate",
    ]
    (generated,) = (one for one in spans if one.name == "generate")
    assert [event.name for event in generated.events] == ["model in memory"]
    assert len(spans) == 3


def test_without_a_collector_nothing_is_traced_and_jobs_keep_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    configure_tracing("test")
    with span("outer", parent=CLIENTS, job="ftjob-1") as describe:
        describe("renamed", status=200)
        assert traceparent() is None


def test_a_failure_is_marked_and_its_text_stays_out(exporter: InMemorySpanExporter) -> None:
    with pytest.raises(TrainingFailed), span("train"):
        raise TrainingFailed("row 3 says: secret")
    (failed,) = exporter.get_finished_spans()
    assert (failed.status.is_ok, failed.status.description) == (False, "TrainingFailed")
    assert "secret" not in failed.to_json()


@pytest.mark.parametrize("parent", ["", "no trace", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\r\nx: y"])
def test_what_is_no_trace_begins_one(exporter: InMemorySpanExporter, parent: str) -> None:
    with span("request", parent=parent):
        pass
    (one,) = exporter.get_finished_spans()
    assert one.parent is None


def _trace(one: ReadableSpan) -> str:
    assert one.context is not None
    return format_trace_id(one.context.trace_id)


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


class _Http(httpx2.Client):
    """What the runner calls the service with, over the test's client."""

    def __init__(self, client: TestClient) -> None:
        super().__init__()
        self._test = client

    def post(self, url: Any, **given: Any) -> Any:
        return self._test.post(str(url), **given)
