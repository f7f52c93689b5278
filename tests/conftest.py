"""Services that tests of several areas share, started once per session."""

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from xdist.remote import Producer
from xdist.scheduler import Scheduling

from service.db.database import Database
from tests.databases import empty_database, migrated_database, migrated_sqlite, opened, postgres_server
from tests.lanes import LaneScheduling
from tests.s3_servers import S3Endpoint, endpoint_from_environment, moto_server, rclone_server

# For models this small, one thread is the fastest, and a second one would spin where another worker could
# run. Set before anything imports torch, and for the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tracebacks without rich's rendering of all local variables, which takes a minute if they are large.
structlog.configure(
    processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
)

STARTING_FIRST = ("e2e", "ray", "benchmark")
"""Marks of files that take about a minute, the longest first."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs long files first: short ones then fill the gaps, and all workers end at about the same time."""

    def place(item: pytest.Item) -> int:
        marks = [place for place, mark in enumerate(STARTING_FIRST) if item.get_closest_marker(mark)]
        return min(marks, default=len(STARTING_FIRST))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    return LaneScheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection() -> None:
    """Disables garbage collection during imports, where it would take a fifth of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Freezes everything imported so far: half a million objects of libraries. The garbage collections that
    engines request when they close would otherwise traverse them each time, for a quarter of a second."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_cluster_by_accident(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents Ray from starting a whole cluster in any process that calls it, including the tests' own."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("A test uses Ray in its own process. Pass it a double instead.")

    if ray := sys.modules.get("ray"):
        monkeypatch.setattr(ray, "init", refuse)


@pytest.fixture(autouse=True)
def niceness_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents deployments from lowering the priority of the process, which it cannot raise again: all later
    tests, and the processes that they start, would get a tenth of the CPU time of the other workers'
    tests."""
    monkeypatch.setattr(os, "setpriority", lambda which, who, priority: None)


@pytest.fixture
def anyio_backend() -> str:
    """The backend on which async tests run."""
    return "asyncio"


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[S3Endpoint]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Endpoint]:
    """A real S3 server: the one at TEST_S3_ENDPOINT if that is set, otherwise rclone's."""
    if endpoint := endpoint_from_environment():
        yield endpoint
    else:
        with rclone_server(tmp_path_factory.mktemp("s3")) as endpoint:
            yield endpoint


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server: the one at TEST_POSTGRES_URL if that is set, otherwise one that is started
    here."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def migrated_postgres_url(postgres_url: str) -> Iterator[str]:
    with migrated_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template() -> Iterator[Path]:
    with migrated_sqlite() as path:
        yield path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=[pytest.mark.slow, pytest.mark.thorough])])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated, empty database. A test that uses it runs on SQLite, and in the thorough tier also on
    PostgreSQL. Tests marked `on_both_databases`, and all of tests/service/db, always run on both."""
    yield from empty_database(request)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = opened(database_url)
    yield database
    database.close()
