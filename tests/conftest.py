"""Services that several areas' tests share, started once a session."""

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

# Of models this small one thread is the fastest, and two would spin where another worker could run. Before
# anything imports torch, and for the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A traceback without rich's picture of all local variables, which takes a minute where they are large.
structlog.configure(
    processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
)

STARTING_FIRST = ("e2e", "ray", "benchmark")
"""Marks of files that take a minute or so, the longest first."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: short ones then fill up what is left, and all workers end together."""

    def place(item: pytest.Item) -> int:
        marks = [place for place, mark in enumerate(STARTING_FIRST) if item.get_closest_marker(mark)]
        return min(marks, default=len(STARTING_FIRST))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    return LaneScheduling(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection() -> None:
    """Collections of garbage would take a fifth of the time in which everything is imported."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is imported by now stays: half a million objects of libraries, which the collections of garbage
    that engines ask for when they close would look through each time, for a quarter of a second."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_cluster_by_accident(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray starts a whole cluster in any process that calls it, tests' own ones included."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("A test uses Ray in its own process. Pass it a double instead.")

    if ray := sys.modules.get("ray"):
        monkeypatch.setattr(ray, "init", refuse)


@pytest.fixture(autouse=True)
def niceness_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deployments yield to other processes, which a process cannot take back: all later tests, and what they
    start, would get a tenth of the CPU time that the other workers' tests get."""
    monkeypatch.setattr(os, "setpriority", lambda which, who, priority: None)


@pytest.fixture
def anyio_backend() -> str:
    """What async tests run on."""
    return "asyncio"


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[S3Endpoint]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Endpoint]:
    """A real S3 server: TEST_S3_ENDPOINT if that is set, else rclone's."""
    if endpoint := endpoint_from_environment():
        yield endpoint
    else:
        with rclone_server(tmp_path_factory.mktemp("s3")) as endpoint:
            yield endpoint


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server: TEST_POSTGRES_URL if that is set, else one of our own."""
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
    """A migrated, empty database: a test that uses this runs on SQLite, and with the thorough ones on
    PostgreSQL. Both matter to those marked `on_both_databases`, and to all of tests/service/db."""
    yield from empty_database(request)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = opened(database_url)
    yield database
    database.close()
