from collections.abc import Iterator

import pytest
from tunery_client import Tunery

from tests.api import LiveApi, http, live, project, state
from tests.clients.blocking import Colour, Connect, connecting

__all__ = ["http", "live", "project", "state"]


@pytest.fixture
def connect(colour: Colour) -> Iterator[Connect]:
    with connecting(colour) as connect:
        yield connect


@pytest.fixture
def tunery(live: LiveApi, connect: Connect) -> Tunery:
    return connect(live.url, live.project.key)
