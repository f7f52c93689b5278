"""A server with one of everything that the SDKs' methods need."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from cluster.contracts.jobs import JobStatus
from cluster.storage.local import LocalStore
from service.api.app import create_app
from service.api.state import AppState
from service.db import tables
from service.db.database import Database
from service.db.scheduler.leases import Leases
from service.db.scheduler.store import LEASE
from service.settings import Settings
from service.webhooks.sending import HttpWebhooks
from tests.api import BASE, LiveApi, add_admin_key, add_encoder, add_project, add_tuned_model, listening
from tests.databases import migrate
from tests.fakes import FakeEngine

TEXT = '{"answer": "yes"}'


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Yields what `python_sdk.py` reads from stdin."""
    with tempfile.TemporaryDirectory() as folder, listening(_receive) as receiver:
        state = _state(Path(folder))
        try:
            with listening(create_app(state.settings, open_state=lambda _: state)) as url:
                yield {"receiver": f"{receiver}/events", **_objects(state, url)}
        finally:
            state.database.close()


async def _receive(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
    """Accepts every webhook."""
    if scope["type"] == "lifespan":
        return
    await Request(scope, receive).body()
    await Response(status_code=204)(scope, receive, send)


def _state(folder: Path) -> AppState:
    url = f"sqlite:///{folder}/tunery.db"
    migrate(url)
    settings = Settings(
        database_url=url,
        storage_url=f"file://{folder}/objects",
        webhook_allowed_destinations=("127.0.0.1",),
    )
    engine = FakeEngine(pieces=['{"answer": ', '"yes"}'], calls=[("lookup", ['{"order"', ": 7}"])])
    return AppState(
        settings,
        Database(url),
        LocalStore(folder / "objects"),
        engine,
        {BASE.alias: BASE},
        webhooks=HttpWebhooks(settings.webhook_policy),
    )


def _objects(state: AppState, url: str) -> dict[str, str]:
    project = add_project(state.database)
    other = add_project(state.database, organization_id=project.tenant.organization_id)
    live = LiveApi(url, state, project)
    training_file = live.upload()
    create = live.openai().fine_tuning.jobs.create
    job, other_job, queued_job = (create(model=BASE.alias, training_file=training_file).id for _ in range(3))
    model, checkpoint = add_tuned_model(state.database, job)
    other_model, _ = add_tuned_model(state.database, other_job)
    with state.database.write() as session:
        session.get_one(tables.Job, queued_job).status = JobStatus.QUEUED.value
        # As long as a scheduler leads, the server is ready.
        Leases(session).acquire(LEASE, "scheduler", seconds=3600)
    return {
        "base_url": f"{url}/v1",
        "api_key": project.key,
        "admin_key": add_admin_key(state.database, project.tenant),
        "base": BASE.alias,
        "encoder": add_encoder(state),
        "training_file": training_file,
        "job": job,
        "model": model,
        "checkpoint": checkpoint,
        "other_model": other_model,
        "queued_job": queued_job,
        "project": other.tenant.project_id,
        "text": TEXT,
    }
