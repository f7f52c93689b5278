from collections.abc import Iterator

import pytest

from tests.e2e.server import Tunery, running


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tunery]:
    """SQLite and a folder: what a newcomer gets."""
    with running(tmp_path_factory.mktemp("embedded")) as tunery:
        yield tunery
