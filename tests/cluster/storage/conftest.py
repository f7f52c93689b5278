from collections.abc import Iterator
from uuid import uuid4

import pytest

from cluster.storage.location import store_from_environment
from cluster.storage.store import ObjectStore

STORES = ("folder", *(pytest.param(name, marks=pytest.mark.slow) for name in ("moto", "rclone")))


@pytest.fixture(scope="module", params=STORES)
def opened_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ObjectStore]:
    """A store of each kind, which this process's environment names for child processes. Opening one on S3
    takes a third of a second."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "folder":
            patch.setenv("TUNERY_STORAGE_URL", f"file://{tmp_path_factory.mktemp('store')}/objects")
        else:
            endpoint = request.getfixturevalue("moto_endpoint" if request.param == "moto" else "s3_endpoint")
            patch.setenv("TUNERY_STORAGE_URL", f"s3://{endpoint.bucket}/{uuid4().hex}")
            for name, value in endpoint.environment.items():
                patch.setenv(name, value)
        yield store_from_environment()


@pytest.fixture
def store(opened_store: ObjectStore) -> Iterator[ObjectStore]:
    """An empty store of each kind."""
    yield opened_store
    opened_store.delete_many([info.key for info in opened_store.list()])
