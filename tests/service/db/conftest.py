from collections.abc import Iterator

import pytest

from tests.databases import BOTH_DATABASES, empty_database


@pytest.fixture(params=BOTH_DATABASES)
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated, empty database, of both kinds each time."""
    yield from empty_database(request)
