"""Readiness by Serve's status of the engines, also while dataset checks are running."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.serve.schema import (
    ApplicationStatus,
    ApplicationStatusOverview,
    DeploymentStatus,
    DeploymentStatusOverview,
    DeploymentStatusTrigger,
    ReplicaState,
)
from starlette.requests import Request

from cluster.contracts.datasets import DatasetCheckRequest
from cluster.contracts.errors import Unavailable
from cluster.contracts.generation import PROJECT_HEADER
from cluster.serving.deployment import datasets
from cluster.serving.deployment.datasets import CHECKS, DatasetsApp, app
from cluster.serving.deployment.readiness import check
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo, unobserved
from tests.api import BASE


def application(status: str, **running: int) -> ApplicationStatusOverview:
    return ApplicationStatusOverview(
        status=ApplicationStatus(status),
        message="",
        last_deployed_time_s=0,
        deployments={
            name: DeploymentStatusOverview(
                status=DeploymentStatus.HEALTHY,
                status_trigger=DeploymentStatusTrigger.UNSPECIFIED,
                replica_states={ReplicaState.RUNNING: count},
                message="",
            )
            for name, count in running.items()
        },
    )


@pytest.mark.parametrize(
    "found",
    [
        application("RUNNING", engine=1),
        application("RUNNING", engine=0),
        application("DEPLOYING", engine=1),
        application("UNHEALTHY", engine=1, placer=1),
    ],
)
def test_engines_that_run_or_are_scaled_to_zero_are_ready(found: ApplicationStatusOverview) -> None:
    check(found)


@pytest.mark.parametrize(
    "found",
    [
        None,
        application("DEPLOYING"),
        application("DEPLOYING", engine=0),
        application("UNHEALTHY", engine=0, placer=1),
        application("DEPLOYING", engine=1, placer=0),
    ],
)
def test_engines_without_a_required_deployment_are_not_ready(
    found: ApplicationStatusOverview | None,
) -> None:
    with pytest.raises(Unavailable):
        check(found)


class HeldUp(LocalStore):
    """Every download waits until the gate opens; `begun` counts them."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)

    def download(self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved) -> ObjectInfo:
        self.begun.release()
        assert self.gate.wait(300)
        return super().download(key, path, on_progress=on_progress)


def test_dataset_checks_do_not_block_readiness_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app._bound_deployment.max_ongoing_requests > 2 * CHECKS
    monkeypatch.setenv("TUNERY_CLUSTER_TOKEN", "token")
    monkeypatch.setattr(datasets, "QUEUED_SECONDS", 300.0)
    store = HeldUp(tmp_path)

    async def run() -> list[int]:
        app = DatasetsApp(store)
        asking = [asyncio.create_task(app(_check_request(number))) for number in range(2 * CHECKS)]
        for _ in range(CHECKS):
            assert await asyncio.to_thread(store.begun.acquire, timeout=300)
        assert not await asyncio.to_thread(store.begun.acquire, timeout=0.2)
        store.gate.set()
        return [(await one).status_code for one in asking]

    # There is no such file; it only matters that each request was answered.
    assert asyncio.run(run()) == [404] * (2 * CHECKS)


def _check_request(number: int) -> Request:
    """Each check is of a different file, because concurrent checks of the same file run once, and for a
    different project, because one project does not get all places."""
    wanted = DatasetCheckRequest(base=BASE, key=f"files/none-{number}", sha256="0" * 64)
    body = wanted.model_dump_json().encode()

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/datasets/check",
        "headers": [
            (b"authorization", b"Bearer token"),
            (b"host", b"cluster"),
            (PROJECT_HEADER.encode(), b"proj-%d" % number),
        ],
        "query_string": b"",
    }
    return Request(scope, receive)
