from pathlib import Path
from uuid import uuid4

import pytest

from cluster.storage.location import store_from_environment
from cluster.storage.store import ObjectStore

STORES = ("folder", *(pytest.param(name, marks=pytest.mark.slow) for name in ("moto", "rclone")))


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """An empty store of each kind, which this process's environment names for child processes."""
    if request.param == "folder":
        monkeypatch.setenv("TUNERY_STORAGE_URL", f"file://{tmp_path}/objects")
    else:
        endpoint = request.getfixturevalue("moto_endpoint" if request.param == "moto" else "s3_endpoint")
        monkeypatch.setenv("TUNERY_STORAGE_URL", f"s3://{endpoint.bucket}/{uuid4().hex}")
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
    return store_from_environment()
