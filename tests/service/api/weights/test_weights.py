"""Downloads of tuned weights."""

import base64
import hashlib
import io
import tarfile

import pytest
from starlette.testclient import TestClient

from service.api.state import AppState
from service.db import tables
from tests.api import Project, add_key, jsonl
from tests.service.api.weights.stored import FILES, add_stored_model

ADAPTER = FILES["adapter_model.safetensors"]


@pytest.fixture
def job_id(http: TestClient) -> str:
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    created = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file_id})
    return created.json()["id"]


@pytest.fixture
def names(state: AppState, job_id: str) -> tuple[str, str]:
    """Of a model and of a checkpoint."""
    return add_stored_model(state, job_id)


@pytest.fixture
def url(names: tuple[str, str]) -> str:
    return f"/v1/models/{names[0]}/weights/adapter_model.safetensors"


def test_a_models_weights_are_listed_without_what_only_a_resume_needs(
    http: TestClient, names: tuple[str, str]
) -> None:
    for name in names:
        listed = http.get(f"/v1/models/{name}/weights").json()
        assert (listed["model"], listed["base"], listed["form"]) == (name, "base-1", "adapter")
        files = {file["filename"]: file for file in listed["files"]}
        assert list(files) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
        assert listed["bytes"] == sum(file["bytes"] for file in files.values())
        for filename, file in files.items():
            content = http.get(f"/v1/models/{name}/weights/{filename}").content
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])


def test_a_files_headers_name_its_digest_and_its_size(http: TestClient, url: str) -> None:
    for answer in (http.get(url), http.head(url)):
        sha256 = hashlib.sha256(ADAPTER)
        assert answer.status_code == 200
        assert answer.headers["etag"] == f'"{sha256.hexdigest()}"'
        expected = base64.b64encode(sha256.digest()).decode()
        assert answer.headers["repr-digest"] == f"sha-256=:{expected}:"
        assert answer.headers["content-length"] == str(len(ADAPTER))
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["content-disposition"] == 'attachment; filename="adapter_model.safetensors"'
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-", 100, len(ADAPTER)),
        ("bytes=-5", len(ADAPTER) - 5, len(ADAPTER)),
        ("bytes=7-999999999", 7, len(ADAPTER)),
        ("bytes=-999999999", 0, len(ADAPTER)),
    ],
)
def test_a_range_answers_206_with_these_bytes(
    http: TestClient, url: str, wanted: str, start: int, end: int
) -> None:
    answer = http.get(url, headers={"range": wanted})
    assert (answer.status_code, answer.content) == (206, ADAPTER[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(ADAPTER)}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("wanted", ["bytes=5-3", "bytes=-", "bytes=0-1,4-5", "lines=1-2", "bytes=x", "bytes"])
def test_a_range_that_cannot_be_read_is_ignored(http: TestClient, url: str, wanted: str) -> None:
    answer = http.get(url, headers={"range": wanted})
    assert (answer.status_code, answer.content) == (200, ADAPTER)


@pytest.mark.parametrize("wanted", [f"bytes={len(ADAPTER)}-", "bytes=-0"])
def test_a_range_without_a_byte_answers_416(http: TestClient, url: str, wanted: str) -> None:
    answer = http.get(url, headers={"range": wanted})
    assert (answer.status_code, answer.json()["error"]["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(ADAPTER)}"


def test_a_resumed_download_gets_everything_if_the_file_is_another_one(http: TestClient, url: str) -> None:
    etag = http.get(url).headers["etag"]
    same = http.get(url, headers={"range": "bytes=9-", "if-range": etag})
    other = http.get(url, headers={"range": "bytes=9-", "if-range": '"another"'})
    assert (same.status_code, other.status_code, other.content) == (206, 200, ADAPTER)
    assert http.get(url, headers={"if-none-match": etag}).status_code == 304


def test_the_archive_has_the_same_bytes_each_time_and_can_be_resumed_anywhere(
    http: TestClient, names: tuple[str, str]
) -> None:
    url = f"/v1/models/{names[0]}/weights?archive=tar"
    whole = http.get(url)
    with tarfile.open(fileobj=io.BytesIO(whole.content)) as archive:
        found = {member.name.rpartition("/")[2]: archive.extractfile(member) for member in archive}
        content = {name: stream.read() for name, stream in found.items() if stream is not None}
    assert content["adapter_model.safetensors"] == ADAPTER
    assert list(content) == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    for start in range(0, len(whole.content), 997):
        rest = http.get(url, headers={"range": f"bytes={start}-", "if-range": whole.headers["etag"]})
        assert (rest.status_code, rest.content) == (206, whole.content[start:])


def test_neither_resume_state_nor_pickles_nor_other_names_can_be_downloaded(
    http: TestClient, names: tuple[str, str]
) -> None:
    for name in (
        "resume_optimizer.safetensors",
        "notes.pkl",
        "manifest.json",
        "..%2Fmanifest.json",
        "absent",
    ):
        answer = http.get(f"/v1/models/{names[0]}/weights/{name}")
        assert answer.status_code == 404, name


def test_the_model_card_says_where_the_weights_come_from(http: TestClient, names: tuple[str, str]) -> None:
    card = http.get(f"/v1/models/{names[0]}/weights/README.md").text
    for part in ("PeftModel", names[0], "d" * 64, "b" * 64, "library_name: peft"):
        assert part in card


def test_a_full_model_is_merged_already(http: TestClient, state: AppState, job_id: str) -> None:
    model, _ = add_stored_model(state, job_id, {"model.safetensors": b"weights"}, form="full")
    merged = http.get(f"/v1/models/{model}/weights?format=merged").json()
    assert merged == http.get(f"/v1/models/{model}/weights").json()
    refused = http.post(f"/v1/models/{model}/exports", json={"format": "merged"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "format_not_available")


def test_a_bases_weights_are_not_given_away(http: TestClient) -> None:
    assert http.get("/v1/models/base-1/weights").status_code == 403


def test_a_key_that_may_only_ask_models_cannot_download_them(
    state: AppState, http: TestClient, project: Project, url: str
) -> None:
    key = add_key(state.database, project.tenant, frozenset({"infer"}))
    assert http.get(url, headers={"authorization": f"Bearer {key}"}).status_code == 403


def test_weights_that_are_missing_or_changed_in_storage_are_our_fault(
    http: TestClient, state: AppState, names: tuple[str, str]
) -> None:
    with state.database.read() as session:
        key = session.get_one(tables.Model, names[0]).manifest_key
    state.store.put(key, b"{}")
    assert http.get(f"/v1/models/{names[0]}/weights").status_code == 500
    state.store.delete(key)
    answer = http.get(f"/v1/models/{names[0]}/weights")
    assert (answer.status_code, "jobs/" in answer.text) == (500, False)
