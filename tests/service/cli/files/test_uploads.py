"""Large files are sent in parts, each once, also over two runs."""

import hashlib
import json
import os
import re
from pathlib import Path

import httpx2
import pytest

from service.cli.failures import CommandFailed
from service.cli.files.uploads import WHOLE_BYTES, upload
from service.cli.remote import Api, Target
from tests.service.cli.half_deaf import half_deaf
from tests.service.cli.terminal import on_terminal

CONTENT = bytes(range(256)) * 100
PART = 1000


class Server:
    """Keeps what it is sent. Refuses parts that begin with one of `refused`."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}
        self.uploads: list[str] = []
        self.file = b""
        self.refused: set[bytes] = set()
        self.num_received = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/v1/uploads":
            self.uploads.append(f"upload-{len(self.uploads)}")
            assert json.loads(request.read())["bytes"] == len(CONTENT)
            return httpx2.Response(200, json={"id": self.uploads[-1]})
        if path.endswith("/parts"):
            content = re.split(rb"\r\n\r\n", request.read(), maxsplit=1)[1].rsplit(b"\r\n--", 1)[0]
            self.num_received += 1
            if content[:2] in self.refused:
                return httpx2.Response(400, json={"error": {"message": "The disk is full.", "code": None}})
            part_id = f"part-{len(self.parts)}"
            self.parts[part_id] = content
            return httpx2.Response(200, json={"id": part_id})
        if path.endswith("/complete"):
            named = json.loads(request.read())
            self.file = b"".join(self.parts[part] for part in named["part_ids"])
            if hashlib.md5(self.file).hexdigest() != named["md5"]:
                error = {"message": "The file has another MD5.", "code": "md5_mismatch"}
                return httpx2.Response(400, json={"error": error})
            return httpx2.Response(200, json={"file": {"id": "file-1", "status": "processed"}})
        assert request.method == "GET"
        return httpx2.Response(200, json={"status": "pending" if path[-8:] in self.uploads else "cancelled"})


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "large.jsonl"
    file.write_bytes(CONTENT)
    return file


def send(server: Server, path: Path) -> dict[str, object]:
    api = Api(Target("http://127.0.0.1/v1", "key"), transport=httpx2.MockTransport(server))
    return upload(api, path, "fine-tune", part_bytes=PART)


def notes(path: Path) -> list[Path]:
    return list((path.parent / "cache").rglob("*.json"))


def test_parts_are_joined_in_their_order(path: Path) -> None:
    server = Server()
    assert send(server, path)["id"] == "file-1"
    assert server.file == CONTENT
    assert server.num_received == 26
    assert notes(path) == []


def test_a_later_run_sends_what_is_missing(path: Path) -> None:
    server = Server()
    server.refused = {CONTENT[7000:7002]}
    with pytest.raises(CommandFailed, match="disk is full"):
        send(server, path)
    received = len(server.parts)
    assert notes(path)
    server.refused = set()
    before = server.num_received
    assert send(server, path)["id"] == "file-1"
    assert server.file == CONTENT
    assert (len(server.uploads), server.num_received - before) == (1, 26 - received)


def test_a_file_is_sent_where_nothing_can_be_noted(path: Path) -> None:
    (path.parent / "cache").write_text("not a folder")
    server = Server()
    assert send(server, path)["id"] == "file-1"
    assert server.file == CONTENT


def test_a_file_that_has_changed_or_an_upload_that_is_gone_begins_again(path: Path) -> None:
    server = Server()
    server.refused = {CONTENT[7000:7002]}
    for change in (lambda: path.write_bytes(CONTENT[::-1]), server.uploads.clear):
        with pytest.raises(CommandFailed):
            send(server, path)
        server.refused = set()
        change()
        send(server, path)
        assert server.file == path.read_bytes()
        path.write_bytes(CONTENT)
        server.refused = {CONTENT[7000:7002]}


def test_parts_that_are_not_the_files_are_sent_again_by_the_next_run(path: Path) -> None:
    server = Server()
    server.refused = {CONTENT[7000:7002]}
    with pytest.raises(CommandFailed, match="disk is full"):
        send(server, path)
    server.refused = set()
    before = path.stat()
    path.write_bytes(CONTENT[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(CommandFailed, match="md5_mismatch"):
        send(server, path)
    assert send(server, path)["id"] == "file-1"
    assert (server.file, len(server.uploads)) == (CONTENT[::-1], 2)


def test_a_file_that_the_server_finds_wrong_is_named(path: Path) -> None:
    path.write_bytes(b"{}\n")
    file = {"id": "file-1", "status": "error", "status_details": "Line 1: no."}
    api = Api(
        Target("http://127.0.0.1/v1", "key"),
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=file)),
    )
    with pytest.raises(CommandFailed, match="Line 1: no"):
        upload(api, path, "fine-tune")


@pytest.mark.slow
def test_ctrl_c_ends_an_upload_whose_parts_the_server_does_not_take(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with (tmp_path / "adapter_model.safetensors").open("wb") as weights:
        weights.truncate(WHOLE_BYTES + 1)

    def answer(method: str, path: str) -> tuple[int, object] | None:
        return None if path.endswith("/parts") else (200, {"id": "file-1", "status": "processed"})

    command = ("models", "import", tmp_path, "--base", "base-1")
    with half_deaf(answer) as server, on_terminal(server, tmp_path, *command) as terminal:
        server.wait_for(4)
        terminal.interrupt()
        assert terminal.wait() == 130, terminal.text
    assert server.answered == [
        ("POST", "/v1/files"),
        ("POST", "/v1/uploads"),
        ("DELETE", "/v1/files/file-1"),
    ], "what was uploaded is deleted"
