"""Runs the API on a real database, a folder store and a fake engine, in the test's process or on a real
socket."""

import json
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from openai import OpenAI
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.evaluation import Comparison, EvaluationReport
from cluster.contracts.jobs import JobStatus
from cluster.storage.local import LocalStore
from cluster.wire.guarded import ConnectionLimits, GuardedHttp
from service.api.app import create_app
from service.api.state import AppState
from service.db import tables
from service.db.database import Database
from service.db.organization.api_keys import ApiKeys
from service.db.organization.scopes import Scope
from service.db.tenancy import Tenant
from service.settings import Settings
from tests.fakes import FakeEngine

BASE = BaseSpec(
    alias="base-1",
    source=BuiltinSource(name="tiny"),
    context_length=512,
    learning_rates={"lora": 1e-3},
)
ENCODER = BASE.model_copy(update={"alias": "encoder-1", "architecture": "encoder"})


@dataclass(frozen=True)
class Project:
    """A project with an API key that has every scope."""

    tenant: Tenant
    key: str


def add_project(
    database: Database,
    *,
    scopes: frozenset[Scope] = frozenset({"admin"}),
    organization_id: str | None = None,
) -> Project:
    """Creates the project in a new organization unless one is given."""
    name = secrets.token_hex(4)
    tenant = Tenant(organization_id or f"org-{name}", f"proj-{name}")
    with database.write() as session:
        if organization_id is None:
            session.add(tables.Organization(id=tenant.organization_id, name=name, created_at=1))
            session.flush()
        session.add(
            tables.Project(
                id=tenant.project_id, organization_id=tenant.organization_id, name=name, created_at=1
            )
        )
        session.flush()
    return Project(tenant, add_key(database, tenant, scopes))


def add_key(database: Database, tenant: Tenant, scopes: frozenset[Scope]) -> str:
    with database.write() as session:
        return ApiKeys(session).create(tenant, name="test", scopes=scopes)[0]


def add_admin_key(database: Database, tenant: Tenant) -> str:
    """An admin key of the tenant's organization, which acts in the tenant's project by default."""
    with database.write() as session:
        return ApiKeys(session).create_admin(tenant, name="test admin")[0]


REPORT = EvaluationReport(
    held_out=Comparison(n_examples=9, base_loss=2.0, tuned_loss=0.5, base_accuracy=0.25, tuned_accuracy=0.75),
    general=Comparison(n_examples=8, base_loss=1.0, tuned_loss=1.25, base_accuracy=0.5, tuned_accuracy=0.5),
    general_kl=0.125,
    regression=0.25,
)


def add_tuned_model(database: Database, job_id: str) -> tuple[str, str]:
    """Ends a job as its last attempt would, with REPORT as its evaluation. Returns the names of the model and
    of its checkpoint."""
    with database.write() as session:
        job = session.get_one(tables.Job, job_id)
        checkpoint = tables.Checkpoint(
            id=f"ftckpt_{job_id}",
            job_id=job_id,
            step=7,
            model_name=f"{job.output_model}:ckpt-step-7",
            manifest_key=f"jobs/{job_id}/attempts/1/checkpoints/step-00000007/manifest.json",
            manifest_sha256="7" * 64,
            form="lora",
            metrics={"step": 7, "train_loss": 0.5},
            created_at=5,
        )
        model = tables.Model(
            id=job.output_model,
            organization_id=job.organization_id,
            project_id=job.project_id,
            job_id=job_id,
            base=job.model,
            form="lora",
            manifest_key=f"jobs/{job_id}/attempts/1/checkpoints/step-00000009/manifest.json",
            manifest_sha256="9" * 64,
            parity={"max_abs": 1e-5, "mean_abs": 1e-6},
            report=REPORT.model_dump(mode="json"),
            created_at=6,
        )
        job.report = model.report
        job.status = JobStatus.SUCCEEDED.value
        session.add_all([checkpoint, model])
        return model.id, checkpoint.model_name


def import_files(http: TestClient, headers: Mapping[str, str] | None = None) -> list[str]:
    """Uploads the files of an adapter. Returns their ids."""
    files = []
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        upload = {"files": {"file": (name, b"{}")}, "data": {"purpose": "user_data"}}
        files.append(http.post("/v1/files", headers=headers, **upload).json()["id"])
    return files


def import_adapter(
    http: TestClient, headers: Mapping[str, str] | None = None, **changes: object
) -> dict[str, Any]:
    """Uploads the files of an adapter and imports them. Returns the import."""
    files = import_files(http, headers)
    answer = http.post(
        "/v1/models/import", headers=headers, json={"base": "base-1", "files": files, **changes}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def add_encoder(state: AppState) -> str:
    """Adds an encoder to the catalogue. Returns its alias."""
    assert isinstance(state.catalogue, dict)
    state.catalogue[ENCODER.alias] = ENCODER
    return ENCODER.alias


def jsonl(num_lines: int = 12) -> bytes:
    return _lines({"messages": [_USER, _said("hello")]}, num_lines)


def preferences(num_lines: int = 12) -> bytes:
    line = {
        "input": {"messages": [_USER]},
        "preferred_output": [_said("hello")],
        "non_preferred_output": [_said("go away")],
    }
    return _lines(line, num_lines)


def labels(num_lines: int = 12) -> bytes:
    return _lines({"text": "hello", "label": "polite"}, num_lines)


_USER = {"role": "user", "content": "hi"}


def _said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _lines(line: dict[str, object], num_lines: int) -> bytes:
    return (json.dumps(line) + "\n").encode() * num_lines


@dataclass(frozen=True)
class LiveApi:
    """The API on a local socket."""

    url: str
    state: AppState
    project: Project

    @property
    def engine(self) -> FakeEngine:
        assert isinstance(self.state.engine, FakeEngine)
        return self.state.engine

    def openai(self, **options: object) -> OpenAI:
        own = {"api_key": self.project.key, "max_retries": 0}
        return OpenAI(base_url=f"{self.url}/v1", **(own | options))

    def upload(self, content: bytes | None = None) -> str:
        file = ("train.jsonl", jsonl() if content is None else content)
        return self.openai().files.create(file=file, purpose="fine-tune").id


@contextmanager
def listening(app: ASGIApp, *, connections: int = ConnectionLimits.connections) -> Iterator[str]:
    """Runs the application under uvicorn in a thread. Yields its root URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    http = GuardedHttp.limited_to(ConnectionLimits(connections=connections))
    config = uvicorn.Config(app, http=http, log_config=None, timeout_graceful_shutdown=2)
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert started.wait(300), "uvicorn did not start"
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(300)
        assert not thread.is_alive()


@pytest.fixture
def state(database: Database, tmp_path: Path) -> AppState:
    settings = Settings(database_url="sqlite://", storage_url=f"file://{tmp_path}/objects")
    store = LocalStore(tmp_path / "objects")
    return AppState(settings, database, store, FakeEngine(), {BASE.alias: BASE})


@pytest.fixture
def project(database: Database) -> Project:
    return add_project(database)


@pytest.fixture
def live(state: AppState, project: Project) -> Iterator[LiveApi]:
    with listening(create_app(state.settings, open_state=lambda _: state)) as url:
        yield LiveApi(url, state, project)


@pytest.fixture
def http(state: AppState, project: Project) -> Iterator[TestClient]:
    """A client in the test's own process, with the project's key."""
    app = create_app(state.settings, open_state=lambda _: state)
    with TestClient(app, headers={"authorization": f"Bearer {project.key}"}) as client:
        yield client


def with_settings(state: AppState, **changes: object) -> AppState:
    return replace(state, settings=state.settings.model_copy(update=changes))
