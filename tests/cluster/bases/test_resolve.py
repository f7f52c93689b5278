import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.bases.resolve import (
    base_digest,
    base_folder,
    template_digest,
    tokenizer_digest,
    why_unavailable,
)
from cluster.contracts.bases import BaseSource, BaseSpec, BuiltinSource, FolderSource, HubSource
from cluster.contracts.errors import MODEL_NOT_AVAILABLE, Unavailable

REVISION = "0123456789abcdef0123456789abcdef01234567"


def spec(source: BaseSource) -> BaseSpec:
    return BaseSpec(alias="ours", source=source, context_length=64, learning_rates={"lora": 1e-3})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"first")
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"second")
    return tmp_path


def test_builtin_model_is_packaged() -> None:
    found = base_folder(spec(BuiltinSource(name="tiny")))
    assert (found / "config.json").is_file()
    assert (found.parent.name, found.name) == ("tiny", "weights")


def test_folder_model_is_its_folder(folder: Path) -> None:
    assert base_folder(spec(FolderSource(path=str(folder)))) == folder


@pytest.mark.parametrize("missing", ["config.json", "*.safetensors"])
def test_folder_without_weights_in_the_right_format_is_not_available(folder: Path, missing: str) -> None:
    for path in folder.glob(missing):
        path.rename(path.with_suffix(".bin"))
    not_available(folder, f"its folder has no {missing}")


def test_folder_that_does_not_exist_is_not_available(tmp_path: Path) -> None:
    not_available(tmp_path / "absent", "its folder does not exist")


def test_a_partly_copied_folder_is_not_available(folder: Path) -> None:
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict(zip("ab", shards, strict=True))}))
    assert base_folder(spec(FolderSource(path=str(folder)))) == folder
    (folder / shards[1]).unlink()
    not_available(folder, f"its folder has no {shards[1]}")
    index.write_text("not json")
    not_available(folder, f"{index.name} cannot be read")


def not_available(folder: Path, reason: str) -> None:
    """The error gives the reason, but clients never see a path of the server."""
    source = spec(FolderSource(path=str(folder)))
    with pytest.raises(Unavailable, match="The base model 'ours' is not available: ") as caught:
        base_folder(source)
    assert caught.value.code == MODEL_NOT_AVAILABLE
    assert reason in caught.value.message
    assert str(folder) not in caught.value.message
    assert why_unavailable(source) == caught.value.message


def test_a_model_that_is_present_or_yet_to_be_downloaded_counts_as_available(folder: Path) -> None:
    sources: list[BaseSource] = [
        BuiltinSource(name="tiny"),
        FolderSource(path=str(folder)),
        HubSource(repository="owner/ours", revision=REVISION),
    ]
    assert [why_unavailable(spec(source)) for source in sources] == [None] * 3


@pytest.mark.parametrize(
    ("name", "is_of_the_tokenizer"),
    [
        ("tokenizer.json", True),
        ("tokenizer_config.json", True),
        ("special_tokens_map.json", True),
        ("added_tokens.json", True),
        ("vocab.txt", True),
        ("merges.txt", True),
        ("tokenizer.model", True),
        ("chat_template.jinja", True),
        ("config.json", False),
        ("model-00001-of-00002.safetensors", False),
    ],
)
def test_tokenizer_digest_depends_on_the_tokenizers_files_alone(
    folder: Path, name: str, is_of_the_tokenizer: bool
) -> None:
    before = tokenizer_digest(folder)
    (folder / name).write_text("another tokenizer")
    assert (tokenizer_digest(folder) != before) == is_of_the_tokenizer


def test_digest_depends_on_names_and_contents_of_weights_alone(folder: Path) -> None:
    first, second = sorted(folder.glob("*.safetensors"))
    expected = hashlib.sha256()
    for path in (first, second):
        expected.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    digest = base_digest(folder)
    assert digest == expected.hexdigest()
    (folder / "config.json").write_text('{"changed": true}')
    assert base_digest(folder) == digest
    second.write_bytes(b"changed")
    changed = base_digest(folder)
    assert changed != digest
    second.rename(folder / "other.safetensors")
    assert base_digest(folder) not in {digest, changed}


def test_template_digest_is_of_the_text() -> None:
    assert template_digest("{{ é }}") == hashlib.sha256("{{ é }}".encode()).hexdigest()


HUB_FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "tokenizer.model": b"tokenizer",
    "chat_template.jinja": b"template",
    "merges.txt": b"merges",
    "pytorch_model.bin": b"pickle",
    "modeling_ours.py": b"raise SystemExit",
    "README.md": b"words",
    "onnx/model.safetensors": b"another format",
    "consolidated.safetensors": b"Mistral's format",
    "1_Pooling/config.json": b"{}",
}


@contextmanager
def hub() -> Iterator[tuple[str, list[str]]]:
    """The part of the hub's HTTP interface that a download needs. Yields its URL and the requested paths."""
    requested: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            name = self.path.partition(f"/resolve/{REVISION}/")[2]
            if self.path.startswith(f"/api/models/owner/ours/tree/{REVISION}"):
                tree = [
                    {
                        "type": "file",
                        "path": path,
                        "size": len(content),
                        "oid": hashlib.sha1(content).hexdigest(),
                        "lfs": {
                            "oid": hashlib.sha256(content).hexdigest(),
                            "size": len(content),
                            "pointerSize": 130,
                        },
                    }
                    for path, content in HUB_FILES.items()
                ]
                self._send(200, json.dumps(tree).encode(), "application/json")
            elif self.path.startswith("/owner/ours/") and name in HUB_FILES:
                self._send(200, HUB_FILES[name], "application/octet-stream")
            else:
                self._send(404, b"", "text/plain", "X-Error-Code", "RepoNotFound")

        do_HEAD = do_GET  # noqa: N815

        def _send(self, status: int, content: bytes, kind: str, *more: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", REVISION)
            if more:
                self.send_header(*more)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", requested
    finally:
        server.shutdown()
        server.server_close()


def resolve_in_a_process(
    url: str,
    home: Path,
    repository: str = "owner/ours",
    *,
    what: str = "base_folder",
    module: str = "resolve",
    options: str = "",
) -> str:
    """Returns what a function of `module` returns for a hub model, from a process of its own, because the
    hub's library reads its address at import."""
    code = f"""
import time
time.sleep = lambda seconds: None  # The library's, which waits 23 s in all before it takes a hub for lost.
from cluster.bases.resolve import arriving
from cluster.bases.{module} import {what}
from cluster.contracts.bases import BaseSpec, HubSource
from cluster.contracts.errors import TuneryError
source = HubSource(repository={repository!r}, revision={REVISION!r})
spec = BaseSpec(alias="ours", source=source, context_length=64, learning_rates={{}})
try:
    print({what}(spec{options}))
except TuneryError as error:
    print(error.code, error)
"""
    environment = os.environ | {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_hub_model_is_downloaded_once_at_its_commit_without_anything_that_runs(tmp_path: Path) -> None:
    with hub() as (url, requested):
        found = Path(resolve_in_a_process(url, tmp_path))
        assert found.name == REVISION
        assert sorted(path.name for path in found.iterdir()) == [
            "1_Pooling",
            "chat_template.jinja",
            "config.json",
            "merges.txt",
            "model.safetensors",
            "tokenizer.model",
        ]
        assert (found / "model.safetensors").read_bytes() == b"weights"
        assert not [path for path in requested if path.endswith((".bin", ".py", "consolidated.safetensors"))]
        assert resolve_in_a_process(url, tmp_path, "owner/absent").startswith(
            "model_not_available The base model 'ours' is not available: the hub has no owner/absent at "
            + REVISION
        )
    assert Path(resolve_in_a_process(url, tmp_path)) == found
    assert resolve_in_a_process(url, tmp_path / "empty").startswith(
        f"model_not_available The base model 'ours' is not available: owner/ours at {REVISION} cannot be"
    )


def test_a_download_shows_to_other_processes_whenever_it_moves(tmp_path: Path) -> None:
    """An unfinished file lies where they look."""
    with hub() as (url, _):
        report = ", report=lambda done, total: print(sorted(arriving(spec)))"
        found = resolve_in_a_process(url, tmp_path, options=report)
    assert ".incomplete', " in found


def test_a_part_of_a_hub_model_that_another_program_left_is_completed(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--owner--ours" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    for name in ("config.json", "tokenizer.model"):
        (snapshot / name).write_bytes(HUB_FILES[name])
    assert resolve_in_a_process("http://127.0.0.1:9", tmp_path, what="folder_here") == "None"
    with hub() as (url, requested):
        digest = resolve_in_a_process(url, tmp_path, what="current_base_digest")
        assert not [path for path in requested if path.endswith(".safetensors")]
        assert Path(resolve_in_a_process(url, tmp_path)) == snapshot
    assert base_digest(snapshot) == digest
    assert Path(resolve_in_a_process("http://127.0.0.1:9", tmp_path, what="folder_here")) == snapshot


def test_tokenizer_and_digest_of_a_hub_model_need_no_weights(tmp_path: Path) -> None:
    with hub() as (url, requested):
        found = Path(resolve_in_a_process(url, tmp_path, what="tokenizer_folder"))
        assert (found / "tokenizer.model").read_bytes() == b"tokenizer"
        assert not (found / "model.safetensors").exists()
        assert resolve_in_a_process(url, tmp_path, what="folder_here") == "None"
        digest = resolve_in_a_process(url, tmp_path, what="current_base_digest")
        assert not [path for path in requested if path.endswith(".safetensors")]

        assert Path(resolve_in_a_process(url, tmp_path)) == found
        assert base_digest(found) == digest
    assert Path(resolve_in_a_process(url, tmp_path, what="folder_here")) == found
    assert resolve_in_a_process(url, tmp_path, what="current_base_digest") == digest


def test_the_size_of_a_hub_model_is_the_same_before_and_after_its_weights_are_here(tmp_path: Path) -> None:
    def size(url: str, what: str = "stored_bytes") -> str:
        return resolve_in_a_process(url, tmp_path, what=what, module="configs")

    with hub() as (url, requested):
        resolve_in_a_process(url, tmp_path, what="tokenizer_folder")
        assert size(url, "stored_bytes_here") == "None"
        assert size(url) == str(len(HUB_FILES["model.safetensors"]))
        assert not [path for path in requested if path.endswith(".safetensors")]
        resolve_in_a_process(url, tmp_path)
    assert size("http://127.0.0.1:9") == size("", "stored_bytes_here") == "7"
