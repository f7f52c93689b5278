"""A process that shuts down finishes the requests it has started: the API as a process, with a slow
engine."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import anyio
import httpx2
import pytest
from openai import OpenAI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from cluster.contracts.generation import FinishEvent, GenerationEvent, PromptEvent, TextEvent
from service.api.state import AppState
from service.db.database import Database
from service.db.usage.usage import Usage
from service.ports import free_ports
from tests.api import Project, jsonl, listening

pytestmark = pytest.mark.slow

MODEL = "tunery-tiny-1"


@dataclass
class SlowEngine:
    """Answers like Ray Serve's proxy: the first half at once, the rest when the test allows it."""

    may_finish: threading.Event = field(default_factory=threading.Event)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/engine/generate", self._generate, methods=["POST"])])

    async def _generate(self, request: Request) -> Response:
        return StreamingResponse(self._lines(), media_type="application/x-ndjson")

    async def _lines(self) -> AsyncIterator[bytes]:
        yield _line(PromptEvent(prompt_tokens=2))
        yield _line(TextEvent(index=0, text="half, ", completion_tokens=1))
        await anyio.to_thread.run_sync(self.may_finish.wait, 30, abandon_on_cancel=True)
        yield _line(TextEvent(index=0, text="whole", completion_tokens=2))
        yield _line(FinishEvent(index=0, reason="stop", completion_tokens=2))


def _line(event: GenerationEvent) -> bytes:
    return event.model_dump_json().encode() + b"\n"


@dataclass(frozen=True)
class Api:
    url: str
    process: subprocess.Popen[str]
    engine: SlowEngine
    project: Project

    def openai(self) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=self.project.key, max_retries=0)


@contextmanager
def running(database_url: str, folder: Path, project: Project, **environment: str) -> Iterator[Api]:
    engine = SlowEngine()
    port, internal_port = free_ports(2)
    with listening(engine.app()) as serving_url:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.api", "--port", str(port), "--internal-port", str(internal_port)],
            env={
                **os.environ,
                "TUNERY_DATABASE_URL": database_url,
                "TUNERY_STORAGE_URL": f"file://{folder}/objects",
                "TUNERY_SERVING_URL": serving_url,
                **environment,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "listening at" in line:
                    break
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield Api(f"http://127.0.0.1:{port}", process, engine, project)
        finally:
            engine.may_finish.set()
            process.kill()
            process.wait()


def accepts(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", trust_env=False).is_success
    except httpx2.TransportError:
        return False


def completion_tokens(database: Database, project: Project) -> int:
    today = datetime.now(UTC).date()
    with database.read() as session:
        return sum(used.completion_tokens for _, used in Usage(session, project.tenant).between(today, today))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_stream_that_runs_at_sigterm_is_finished_whole(
    database: Database, database_url: str, tmp_path: Path, project: Project
) -> None:
    limits = {"TUNERY_DRAIN_SECONDS": "30", "TUNERY_DRAIN_NOTICE_SECONDS": "1"}
    with running(database_url, tmp_path, project, **limits) as api:
        stream = api.openai().completions.create(model=MODEL, prompt="x", stream=True)
        texts = [next(stream).choices[0].text]
        api.process.send_signal(signal.SIGTERM)
        with httpx2.Client(base_url=api.url, trust_env=False) as http:
            deadline = time.monotonic() + 300
            while (answer := http.get("/readyz")).json()["parts"].keys() != {"api"}:
                assert time.monotonic() < deadline
            assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
        while accepts(api.url):  # until the notice is over
            assert time.monotonic() < deadline
        assert api.process.poll() is None
        api.engine.may_finish.set()
        texts += [chunk.choices[0].text for chunk in stream]
        assert "".join(texts) == "half, whole"
        assert api.process.wait(300) == -signal.SIGTERM
        assert completion_tokens(database, project) == 2


def test_a_stream_that_outlasts_the_drain_is_cut_and_counted(
    database: Database, database_url: str, tmp_path: Path, project: Project
) -> None:
    with running(database_url, tmp_path, project, TUNERY_DRAIN_SECONDS="1") as api:
        stream = api.openai().completions.create(model=MODEL, prompt="x", stream=True)
        assert next(stream).choices[0].text == "half, "
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(300) == -signal.SIGTERM
        assert completion_tokens(database, project) == 1


def test_one_that_is_killed_keeps_what_it_wrote_and_the_next_one_adds_to_it(
    database: Database, database_url: str, tmp_path: Path, project: Project
) -> None:
    for expected in (2, 4):
        with running(database_url, tmp_path, project, TUNERY_USAGE_FLUSH_SECONDS="0.05") as api:
            api.engine.may_finish.set()
            api.openai().completions.create(model=MODEL, prompt="x")
            deadline = time.monotonic() + 300
            while completion_tokens(database, project) < expected:
                assert time.monotonic() < deadline
            api.process.kill()
        assert completion_tokens(database, project) == expected


def test_a_jobs_events_end_for_their_reader_to_come_back_to_another_process(
    state: AppState, http: TestClient
) -> None:
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    job = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file_id}).json()
    http.app.state.draining.has_begun = True  # type: ignore[attr-defined]
    events = http.get(f"/v1/fine_tuning/jobs/{job['id']}/events?stream=true").text
    assert "Created fine-tuning job" in events
