"""Files and weights that `tunery_client` sends and fetches."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from tunery_client import (
    AsyncTunery,
    ConnectionFailed,
    CorruptDownload,
    TargetExists,
    Tunery,
    UploadInterrupted,
    UploadProgress,
)

from tests.api import LiveApi, jsonl
from tests.clients.blocking import COLOURS, Colour, Connect
from tests.service.api.weights.stored import FILES, add_stored_model

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.parametrize("colour", COLOURS),
]
PART = 64
UPLOAD = {
    "id": "upload_1",
    "object": "upload",
    "bytes": 1,
    "created_at": 1,
    "expires_at": 2,
    "filename": "a",
    "purpose": "fine-tune",
    "status": "pending",
    "file": None,
}


@pytest.fixture
def model(live: LiveApi) -> str:
    job = live.openai().fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    return add_stored_model(live.state, job.id)[0]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl())
    return path


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunery_client.uploading.PART_BYTES", PART)


def test_a_large_file_is_sent_in_parts(tunery: Tunery, rows: Path) -> None:
    heard: list[tuple[int, int]] = []
    size = rows.stat().st_size
    made = tunery.files.upload(rows, threshold_bytes=PART, on_progress=lambda *sent: heard.append(sent))
    assert (made.filename, made.status, made.bytes_) == (rows.name, "processed", size)
    assert tunery.files.content(made.id) == rows.read_bytes()
    assert [total for _, total in heard] == [size] * -(-size // PART)
    assert sorted(sent for sent, _ in heard)[-1] == size


def test_an_interrupted_upload_sends_only_what_is_missing(
    live: LiveApi, connect: Connect, rows: Path
) -> None:
    """The connection breaks for good at the third part."""
    sent: list[str] = []

    def watch(request: httpx.Request) -> None:
        if request.url.path.endswith("/parts"):
            sent.append(request.url.path)
            if len(sent) == 3:
                raise httpx.ReadError("cut off", request=request)

    async def watch_async(request: httpx.Request) -> None:
        watch(request)

    breaking = connect(live.url, live.project.key, max_retries=0)
    http = breaking._client._client or breaking._client._async_client
    http.event_hooks = {"request": [watch_async if breaking._client._async_client else watch]}
    with pytest.raises(UploadInterrupted, match="128 of") as interrupted:
        breaking.files.upload(rows, threshold_bytes=PART, parts_at_once=1)
    progress = interrupted.value.progress
    assert sorted(progress.part_ids) == [0, 1]
    kept = json.loads(json.dumps(asdict(progress)))
    assert UploadProgress(**kept) == progress
    resumed = connect(live.url, live.project.key)
    made = resumed.files.upload(rows, resume=UploadProgress(**kept))
    assert resumed.files.content(made.id) == rows.read_bytes()
    rows.write_bytes(b"other")
    with pytest.raises(ValueError, match="5 bytes now"):
        resumed.files.upload(rows, resume=progress)


def test_a_part_that_is_too_slow_interrupts_the_upload(
    connect: Connect, rows: Path, database_url: str
) -> None:
    answers = [httpx.Response(200, json=UPLOAD), httpx.Response(200, json={"id": "part_1"})]

    def answer(request: httpx.Request) -> httpx.Response:
        return answers.pop(0) if answers else httpx.Response(408, headers={"x-should-retry": "false"})

    tunery = connect("http://server", "key", transport=httpx.MockTransport(answer))
    with pytest.raises(UploadInterrupted, match="64 of") as interrupted:
        tunery.files.upload(rows, threshold_bytes=PART, parts_at_once=1)
    assert interrupted.value.progress.part_ids == {0: "part_1"}


class Interrupting:
    """Takes an upload in parts. Ctrl-C arrives while it takes the third one."""

    def __init__(self) -> None:
        self.num_parts = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/parts"):
            return httpx.Response(200, json=UPLOAD)
        self.num_parts += 1
        if self.num_parts == 3:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        time.sleep(0.05)  # Parts arrive more slowly than signals.
        return httpx.Response(200, json={"id": f"part_{self.num_parts}"})


@pytest.mark.usefixtures("colour", "database_url")
def test_what_was_sent_is_counted_while_parts_arrive() -> None:
    class Arriving(UploadProgress):
        def size_of(self, index: int) -> int:
            self.part_ids[index + 1] = "part_2"
            return super().size_of(index)

    assert Arriving("upload_1", 30, 10, {0: "part_1"}).sent_bytes == 10


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C interrupts, even if the tests run in the background of a shell, which lets it be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c", "database_url")
def test_ctrl_c_ends_an_upload_that_can_be_resumed(colour: Colour, rows: Path) -> None:
    server = Interrupting()
    transport = httpx.MockTransport(server)
    found: list[tuple[UploadProgress | None, int]] = []

    def upload() -> None:
        with Tunery("http://server", "key", transport=transport) as tunery:
            try:
                tunery.files.upload(rows, threshold_bytes=PART, parts_at_once=1)
            except KeyboardInterrupt as stop:
                found.append((UploadProgress.of(stop), server.num_parts))
                time.sleep(0.3)
                raise

    async def upload_async() -> None:
        async with AsyncTunery("http://server", "key", transport=transport) as tunery:
            try:
                await tunery.files.upload(rows, threshold_bytes=PART, parts_at_once=1)
            except asyncio.CancelledError as stop:
                found.append((UploadProgress.of(stop), server.num_parts))
                await asyncio.sleep(0.3)
                raise

    with pytest.raises(KeyboardInterrupt):
        upload() if colour == "sync" else asyncio.run(upload_async())
    [(progress, num_parts)] = found
    assert progress is not None
    assert {0, 1} <= set(progress.part_ids)
    assert len(progress.part_ids) <= num_parts < -(-rows.stat().st_size // PART)
    assert server.num_parts == num_parts, "parts are sent after the upload has ended"
    assert UploadProgress.of(KeyboardInterrupt()) is None


def test_a_data_set_is_checked_and_not_kept(live: LiveApi, tunery: Tunery, rows: Path) -> None:
    report = tunery.datasets.check(rows, validation_path=rows, model="base-1")
    assert (report.status, report.n_examples) == ("completed", live.engine.report.n_examples)
    [asked] = live.engine.reported
    assert (asked.base is not None, asked.validation is not None) == (True, True)
    assert list(tunery.files.list()) == []


def part_of(path: Path) -> Path:
    """Where a file is while it arrives."""
    return path.with_name(f"{path.name}.{sha256(FILES[path.name]).hexdigest()[:16]}.part")


def test_weights_are_downloaded_once_and_checked(tunery: Tunery, model: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    heard: list[tuple[int, int]] = []
    files = tunery.models.download(model, folder, on_progress=lambda *bytes: heard.append(bytes))
    assert {path.name for path in files} == {path.name for path in folder.iterdir()}
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (folder / name).read_bytes() == FILES[name]
    assert heard[-1][0] == heard[-1][1] == sum(path.stat().st_size for path in files)
    weights = folder / "adapter_model.safetensors"
    weights.rename(part_of(weights))
    with part_of(weights).open("r+b") as file:
        file.truncate(len(FILES[weights.name]) // 2)
    tunery.models.download(model, folder)
    assert weights.read_bytes() == FILES[weights.name]


def test_a_download_with_other_bytes_is_refused(tunery: Tunery, model: str, tmp_path: Path) -> None:
    name = "adapter_model.safetensors"
    part_of(tmp_path / name).write_bytes(b"\0" * len(FILES[name]))
    with pytest.raises(CorruptDownload, match=name):
        tunery.models.download(model, tmp_path)
    assert not (tmp_path / name).exists()
    tunery.models.download(model, tmp_path)
    assert (tmp_path / name).read_bytes() == FILES[name]


class Weights:
    """A server of models that have one file each, all with the same name and size. It sends half a file, and
    then breaks the connection, until it is told otherwise."""

    def __init__(self, **contents: bytes) -> None:
        self._contents = contents
        self.breaks = True
        self.sent: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        model = request.url.path.split("/")[3]
        content = self._contents[model]
        if request.url.path.endswith("/weights"):
            file = {"filename": "a", "bytes": len(content), "sha256": sha256(content).hexdigest()}
            weights = {"object": "model.weights", "model": model, "base": "b", "form": "adapter"}
            return httpx.Response(200, json={**weights, "bytes": len(content), "files": [file]})
        start = int(request.headers.get("range", "bytes=0-")[6:-1])
        if self.breaks and start:
            raise httpx.ReadError("cut off", request=request)
        self.sent.append(content[start : len(content) // 2 if self.breaks else None])
        return httpx.Response(206 if start else 200, stream=httpx.ByteStream(self.sent[-1]))


def test_a_download_does_not_continue_another_models(
    connect: Connect, tmp_path: Path, database_url: str
) -> None:
    server = Weights(first=b"aaaa", second=b"bbbb")
    tunery = connect("http://server", "key", transport=httpx.MockTransport(server), max_retries=0)
    with pytest.raises(ConnectionFailed):
        tunery.models.download("first", tmp_path)
    server.breaks = False
    [path] = tunery.models.download("second", tmp_path)
    assert path.read_bytes() == b"bbbb"
    path.unlink()
    assert tunery.models.download("first", tmp_path) == [path]
    assert path.read_bytes() == b"aaaa"
    assert server.sent == [b"aa", b"bbbb", b"aa"]


def test_a_file_with_other_content_is_replaced_only_on_request(
    connect: Connect, tmp_path: Path, database_url: str
) -> None:
    server = Weights(first=b"aaaa", second=b"bbbb")
    server.breaks = False
    tunery = connect("http://server", "key", transport=httpx.MockTransport(server))
    folder = tmp_path / "model"
    [path] = tunery.models.download("first", folder)
    with pytest.raises(TargetExists, match="overwrite=True"):
        tunery.models.download("second", folder)
    assert path.read_bytes() == b"aaaa"
    tunery.models.download("first", folder)
    assert server.sent == [b"aaaa"]
    tunery.models.download("second", folder, overwrite=True)
    assert path.read_bytes() == b"bbbb"
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("digest", ["", "../up", "0" * 63, "0" * 63 + "/"])
def test_what_is_no_digest_is_refused(
    connect: Connect, tmp_path: Path, digest: str, database_url: str
) -> None:
    file = {"filename": "a", "bytes": 1, "sha256": digest}
    weights = {"object": "model.weights", "model": "m", "base": "b", "form": "adapter", "bytes": 1}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=weights | {"files": [file]}))
    with pytest.raises(CorruptDownload, match="not one"):
        connect("http://server", "key", transport=transport).models.download("m", tmp_path)


@pytest.mark.parametrize("name", ["../up", "/etc/x", ".hidden", "a/b"])
def test_the_server_does_not_choose_paths(
    connect: Connect, tmp_path: Path, name: str, database_url: str
) -> None:
    file = {"filename": name, "bytes": 1, "sha256": "0" * 64}
    weights = {"object": "model.weights", "model": "m", "base": "b", "form": "adapter", "bytes": 1}
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=weights | {"files": [file]}))
    with pytest.raises(CorruptDownload, match="plain name"):
        connect("http://server", "key", transport=transport).models.download("m", tmp_path / "model")
    assert list((tmp_path / "model").iterdir()) == []


def test_a_connection_that_breaks_again_and_again_ends_the_download(
    connect: Connect, tmp_path: Path, database_url: str
) -> None:
    file = {"filename": "a", "bytes": 1, "sha256": "0" * 64}
    weights = {"object": "model.weights", "model": "m", "base": "b", "form": "adapter", "bytes": 1}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/a"):
            raise httpx.ReadError("cut off", request=request)
        return httpx.Response(200, json=weights | {"files": [file]})

    tunery = connect("http://server", "key", transport=httpx.MockTransport(answer), max_retries=0)
    with pytest.raises(ConnectionFailed, match="cut off"):
        tunery.models.download("m", tmp_path)


@pytest.mark.parametrize(
    ("content", "error", "most"), [(b"", ConnectionFailed, 6), (b"xy" * 2**20, CorruptDownload, 1)]
)
def test_a_server_that_sends_nothing_or_too_much_ends_the_download(
    connect: Connect, tmp_path: Path, database_url: str, content: bytes, error: type[Exception], most: int
) -> None:
    file = {"filename": "a", "bytes": 1, "sha256": "0" * 64}
    weights = {"object": "model.weights", "model": "m", "base": "b", "form": "adapter", "bytes": 1}
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/a"):
            asked.append(request)
            return httpx.Response(206, stream=httpx.ByteStream(content))
        return httpx.Response(200, json=weights | {"files": [file]})

    with pytest.raises(error):
        connect("http://server", "key", transport=httpx.MockTransport(answer)).models.download("m", tmp_path)
    assert 0 < len(asked) <= most
    assert not (tmp_path / "a").exists()


def test_an_alias_is_moved_and_rolled_back(tunery: Tunery, model: str) -> None:
    assert tunery.aliases.set("shop@prod", model, version=0).version == 1
    assert tunery.aliases.set("shop@prod", "base-1").model == "base-1"
    assert tunery.aliases.roll_back("shop@prod").model == model
    assert [change.model for change in tunery.aliases.history("shop@prod")] == [model, "base-1", model]
    assert [alias.id for alias in tunery.aliases.list()] == ["shop@prod"]
    tunery.aliases.delete("shop@prod")
    assert list(tunery.aliases.list()) == []
