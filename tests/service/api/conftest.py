import pytest

from tests.api import http, live, project, state

__all__ = ["http", "live", "project", "state"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
