"""What the cluster writes for a project is encrypted with the project's key, and shared with no other key."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import DataReportRequest, StoredFile
from cluster.contracts.datasets import DatasetCheckRequest
from cluster.contracts.exports import ExportRequest
from cluster.contracts.imports import CONFIG_FILE, WEIGHTS_FILE, ImportRequest
from cluster.contracts.jobs import Finished
from cluster.exporting.export import export_weights
from cluster.storage.keys import (
    AttemptKey,
    DatasetKey,
    ExportKey,
    FileKey,
    ImportKey,
    file_key,
    parse_key,
    sibling_key,
)
from cluster.storage.s3 import S3Store
from cluster.storage.store import ObjectStore
from cluster.training.data.compiled import check_dataset
from cluster.training.data.reported import kept_report, make_report
from cluster.training.importing.adapter import import_adapter
from tests.cluster.training.recording import record_job
from tests.keyed_store import KEY, OTHER_KEY, KeyedStore
from tests.s3_servers import S3Endpoint, client_of

pytestmark = pytest.mark.slow

ROWS = "".join(
    json.dumps({"messages": [{"role": "user", "content": f"n{n}"}, {"role": "assistant", "content": "yes"}]})
    + "\n"
    for n in range(12)
).encode()


def stored(store: ObjectStore, name: str, content: bytes) -> StoredFile:
    info = store.put(file_key(name), content)
    assert info.sha256 is not None
    return StoredFile(key=info.key, sha256=info.sha256)


def test_every_kind_of_object_has_the_projects_key(
    base: BaseSpec, moto_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_endpoint.environment.items():
        monkeypatch.setenv(name, value)
    prefix = uuid4().hex
    store = S3Store(moto_endpoint.bucket, prefix=prefix, endpoint_url=moto_endpoint.url)
    make_report(DataReportRequest(file=stored(store, "file-0", ROWS), encryption_key=KEY), store)
    options = {"type": "lora", "r": 2}
    recording = record_job(base, store, ROWS, options, encryption_key=KEY, n_epochs=1)
    assert isinstance(recording.result, Finished)
    assert recording.states
    weights = recording.result.weights
    export = ExportRequest(
        export_id="modelexport-1",
        project_id="proj_1",
        model="mine",
        base=base,
        weights=weights,
        format="merged",
        encryption_key=KEY,
    )
    export_weights(export, store, lambda progress: None)
    config, tensors = (
        stored(store, f"file-{name}", store.get(sibling_key(weights.manifest_key, name)))
        for name in (CONFIG_FILE, WEIGHTS_FILE)
    )
    request = ImportRequest(
        import_id="modelimport-1", base=base, config=config, weights=tensors, encryption_key=KEY
    )
    import_adapter(request, store)
    found: dict[type, set[str | None]] = {}
    for info in store.list():
        head = client_of(moto_endpoint).head_object(Bucket=moto_endpoint.bucket, Key=f"{prefix}/{info.key}")
        found.setdefault(type(parse_key(info.key)), set()).add(head.get("SSEKMSKeyId"))
    # Files are the API's to write.
    with_key = {kind: {KEY} for kind in (DatasetKey, AttemptKey, ExportKey, ImportKey)}
    assert found == {FileKey: {None}} | with_key


def test_what_is_compiled_is_shared_by_projects_with_the_same_key_alone(
    base: BaseSpec, tmp_path: Path
) -> None:
    store = KeyedStore(tmp_path / "store")
    file = stored(store, "file-1", ROWS)
    keys = (None, KEY, KEY, OTHER_KEY, None)
    for encryption_key in keys:
        check_dataset(
            DatasetCheckRequest(base=base, key=file.key, sha256=file.sha256, encryption_key=encryption_key),
            store,
        )
    compiled = [key for name, key in store.keys.items() if name.startswith("datasets/")]
    assert compiled == [None, KEY, OTHER_KEY]


def test_a_report_is_shared_by_projects_with_the_same_key_alone(tmp_path: Path) -> None:
    store = KeyedStore(tmp_path / "store")
    file = stored(store, "file-1", ROWS)
    make_report(DataReportRequest(file=file, encryption_key=KEY), store)
    assert kept_report(DataReportRequest(file=file, encryption_key=KEY), store) is not None
    for other in (None, OTHER_KEY):
        assert kept_report(DataReportRequest(file=file, encryption_key=other), store) is None
