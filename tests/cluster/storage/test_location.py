import subprocess
import sys
from pathlib import Path

import pytest

from cluster.contracts.errors import InvalidConfiguration
from cluster.storage.local import LocalStore
from cluster.storage.location import open_store, store_from_environment


def test_file_url_is_the_folder_it_names(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/with%20space")
    assert isinstance(store, LocalStore)
    store.put("a", b"1")
    assert (tmp_path / "with space" / "a").read_bytes() == b"1"


@pytest.mark.parametrize(
    "url", ["", "objects", "/objects", "file:objects", "file://host/objects", "s3://", "gs://b"]
)
def test_other_urls_are_refused_with_the_allowed_forms(url: str) -> None:
    with pytest.raises(InvalidConfiguration, match="use file:///absolute/folder or s3://bucket/prefix"):
        open_store(url)


def test_environment_without_a_storage_url_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNERY_STORAGE_URL", raising=False)
    with pytest.raises(InvalidConfiguration, match="TUNERY_STORAGE_URL is not set"):
        store_from_environment()


def test_folder_store_needs_no_boto3() -> None:
    code = "import sys; from cluster.storage.location import open_store; open_store('file:///x'); "
    subprocess.run([sys.executable, "-c", code + "assert 'boto3' not in sys.modules"], check=True)
