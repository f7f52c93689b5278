from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.scheduling.world import World


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    world = World(database_url, tmp_path / "objects")
    yield world
    world.close()
