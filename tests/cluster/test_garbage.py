import gc
from collections.abc import Iterator

import pytest

from cluster.garbage import without_collections


@pytest.fixture(autouse=True)
def collections_go_on() -> Iterator[None]:
    yield
    gc.enable()


def test_nothing_is_collected_inside_and_everything_again_after_an_error() -> None:
    seen = []

    def fail() -> None:
        with without_collections():
            seen.append(gc.isenabled())
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert (seen, gc.isenabled()) == ([False], True)


def test_what_was_made_inside_is_never_looked_through() -> None:
    before = gc.get_freeze_count()
    with without_collections():
        kept: list[list[int]] = [[] for _ in range(1000)]
    assert gc.get_freeze_count() - before >= len(kept)
