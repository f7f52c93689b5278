"""`tunery models` against a live API."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from cluster.contracts.datasets import DatasetCheck
from cluster.contracts.errors import InvalidRequest
from service.cli.failures import CommandFailed
from service.cli.models.downloads import download_folder
from service.cli.remote import Api, Target
from service.db.retention.rules import RetentionRules
from service.scheduling.exporting import Exporter
from service.scheduling.importing import Importer
from tests.api import LiveApi
from tests.fakes import FakeServing, InlineExecutor
from tests.service.api.weights.exporting import CONTENT as EXPORTED
from tests.service.api.weights.exporting import Cluster
from tests.service.api.weights.stored import FILES, add_stored_model
from tests.service.cli.running import run_tunery
from tests.service.db.rows import refuse, train

CONTENT = bytes(range(256)) * 40_000
NAME = "weights.safetensors"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PART = f"{NAME}.{DIGEST[:16]}.part"


@pytest.mark.slow
def test_a_model_is_listed_named_and_downloaded_from_the_command_line(live: LiveApi, tmp_path: Path) -> None:
    job = live.openai().fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    model, _ = add_stored_model(live.state, job.id)
    named = run_tunery(live, "models", "alias", model, "support@prod")
    assert (named.exit_code, named.stdout) == (0, f"support@prod names {model}.\n")
    rows = [line.split("\t") for line in run_tunery(live, "models", "ls").stdout.splitlines()]
    assert [row[:3] for row in rows] == [
        ["base-1", "base-1", ""], [model, "base-1", ""], ["support@prod", "base-1", model],
    ]  # fmt: skip
    folder = tmp_path / "mine"
    done = run_tunery(live, "models", "download", "support@prod", folder)
    assert (done.exit_code, done.stdout) == (0, f"Downloaded {model} to {folder}.\n")
    assert (folder / "adapter_model.safetensors").read_bytes() == FILES["adapter_model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors",
    ]  # fmt: skip
    card = (folder / "README.md").read_bytes()
    (folder / "README.md").write_text("Mine.")
    refused = run_tunery(live, "models", "download", model, folder)
    assert (refused.exit_code, (folder / "README.md").read_text()) == (1, "Mine.")
    assert run_tunery(live, "models", "download", model, folder, "--force").exit_code == 0
    assert (folder / "README.md").read_bytes() == card
    assert run_tunery(live, "models", "alias", "base-1", "support@prod").exit_code == 0
    assert run_tunery(live, "models", "rollback", "support@prod").stdout == f"support@prod names {model}.\n"
    changes = run_tunery(live, "models", "history", "support@prod").stdout.splitlines()
    assert [change.split("\t")[:3] for change in changes] == [
        ["3", "base-1", model], ["2", model, "base-1"], ["1", "", model],
    ]  # fmt: skip
    assert run_tunery(live, "models", "unalias", "support@prod", "--yes").stdout == "Deleted support@prod.\n"
    assert run_tunery(live, "models", "download", "support@prod").exit_code == 4


@pytest.mark.slow
@pytest.mark.parametrize("is_refused", [False, True])
def test_an_adapter_folder_is_imported_from_the_command_line(
    live: LiveApi, tmp_path: Path, is_refused: bool
) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / name).write_bytes(b"{}")
    serving = FakeServing(DatasetCheck(n_examples=1, n_tokens=1, n_supervised_tokens=1, longest=1))
    if is_refused:
        serving.refusal = InvalidRequest("It is DoRA.", code="unsupported_adapter")
    database, bases = live.state.database, live.state.catalogue
    importer = Importer(database, serving, bases, InlineExecutor(), timeout_seconds=60)
    is_over = threading.Event()

    def validate() -> None:
        while not is_over.wait(0.05):
            importer.begin()

    scheduler = threading.Thread(target=validate)
    scheduler.start()
    try:
        done = run_tunery(live, "models", "import", tmp_path, "--base", "base-1", "--suffix", "mine")
    finally:
        is_over.set()
        scheduler.join()
    if is_refused:
        assert (done.exit_code, done.stderr) == (1, "tunery: It is DoRA. (unsupported_adapter)\n")
    else:
        assert done.exit_code == 0
        assert "Imported ft:base-1:" in done.stdout
    assert live.openai().files.list(purpose="user_data").data == [], "the model has files of its own"


@pytest.mark.slow
@pytest.mark.parametrize("is_refused", [False, True])
def test_a_model_is_exported_and_downloaded_from_the_command_line(
    live: LiveApi, tmp_path: Path, is_refused: bool
) -> None:
    job = live.openai().fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    model, _ = add_stored_model(live.state, job.id)
    serving = FakeServing(DatasetCheck(n_examples=1, n_tokens=1, n_supervised_tokens=1, longest=1))
    Cluster(live.state, serving).is_done = True
    if is_refused:
        serving.refusal = InvalidRequest("Its base is a mamba.", code="format_not_available")
    exporter = Exporter(
        live.state.database, serving, live.state.catalogue, InlineExecutor(),
        limits={}, retention=RetentionRules(), timeout_seconds=60, pause_seconds=0,
    )  # fmt: skip
    is_over = threading.Event()

    def follow() -> None:
        while not is_over.wait(0.05):
            exporter.begin()

    scheduler = threading.Thread(target=follow)
    scheduler.start()
    folder = tmp_path / "mine"
    try:
        done = run_tunery(
            live, "models", "download", model, folder, "--format", "gguf", "--quantization", "q8_0"
        )
    finally:
        is_over.set()
        scheduler.join()
    if is_refused:
        assert (done.exit_code, done.stderr) == (1, "tunery: Its base is a mamba. (format_not_available)\n")
        return
    assert done.exit_code == 0
    assert f"Downloaded {model} to {folder}.\n" in done.stdout
    assert (folder / "model-q8_0.gguf").read_bytes() == EXPORTED
    assert (folder / "README.md").is_file()


@pytest.mark.slow
def test_a_folder_without_safetensors_is_not_uploaded(live: LiveApi, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"a pickle")
    done = run_tunery(live, "models", "import", tmp_path, "--base", "base-1")
    assert done.exit_code == 1
    assert "has no adapter_model.safetensors" in done.stderr
    assert live.openai().files.list().data == []


class Server:
    """Serves CONTENT with ranges, and breaks each answer off after `at_most` bytes."""

    def __init__(self, content: bytes = CONTENT, *, at_most: int | None = None) -> None:
        self.content = content
        self.at_most = at_most
        self.ranges: list[str | None] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        wanted = request.headers.get("range")
        self.ranges.append(wanted)
        is_same = request.headers.get("if-range") == f'"{hashlib.sha256(self.content).hexdigest()}"'
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and is_same else 0
        return httpx2.Response(206 if start else 200, stream=Broken(self.content[start:], self.at_most))


class Broken(httpx2.SyncByteStream):
    def __init__(self, content: bytes, at_most: int | None) -> None:
        self._content, self._at_most = content, at_most

    def __iter__(self):
        yield self._content[: self._at_most]
        if self._at_most is not None and len(self._content) > self._at_most:
            raise httpx2.ReadError("reset")

    def close(self) -> None: ...


class Stopping(Server):
    """Gives a few bytes, and then nothing any more."""

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.at_most = 0 if self.ranges else 777
        return super().__call__(request)


Fetch = Callable[..., None]


@pytest.fixture
def fetch(tmp_path: Path) -> Fetch:
    """Downloads one file from a server into `tmp_path`."""

    def run(server: Server, *, name: str = NAME, sha256: str = DIGEST, **options: object) -> None:
        file = {"filename": name, "bytes": len(CONTENT), "sha256": sha256}
        api = Api(Target("http://127.0.0.1/v1", "key"), transport=httpx2.MockTransport(server))
        download_folder(api, "/models/m/weights", [file], tmp_path, **options)

    return run


def test_a_broken_download_goes_on_where_it_stopped(fetch: Fetch, tmp_path: Path) -> None:
    server = Server(at_most=3_000_000)
    fetch(server)
    assert (tmp_path / "weights.safetensors").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=3000000-", "bytes=6000000-", "bytes=9000000-"]
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]


def test_a_later_run_resumes_and_a_complete_file_is_not_asked_for(fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / PART).write_bytes(CONTENT[:777])
    server = Server()
    fetch(server)
    fetch(server)
    assert server.ranges == ["bytes=777-"]
    assert (tmp_path / "weights.safetensors").read_bytes() == CONTENT


def test_a_file_that_changed_on_the_server_is_begun_again(fetch: Fetch, tmp_path: Path) -> None:
    other = bytes(len(CONTENT))
    (tmp_path / PART).write_bytes(CONTENT[:777])
    with pytest.raises(CommandFailed, match="SHA-256"):
        fetch(Server(other))
    assert list(tmp_path.iterdir()) == []


def test_a_download_does_not_go_on_from_another_models_part(fetch: Fetch, tmp_path: Path) -> None:
    other = CONTENT[::-1]
    with pytest.raises(CommandFailed, match="resume"):
        fetch(Stopping(other), sha256=hashlib.sha256(other).hexdigest())
    server = Server()
    fetch(server)
    assert (server.ranges, (tmp_path / NAME).read_bytes() == CONTENT) == ([None], True)


def test_a_file_with_other_content_is_replaced_only_by_force(fetch: Fetch, tmp_path: Path) -> None:
    for own in (b"mine", bytes(len(CONTENT))):
        (tmp_path / NAME).write_bytes(own)
        server = Server()
        with pytest.raises(CommandFailed, match=f"has {NAME} with other content"):
            fetch(server)
        assert ((tmp_path / NAME).read_bytes() == own, server.ranges) == (True, [])
        fetch(server, replaces=True)
        assert [path.read_bytes() == CONTENT for path in tmp_path.iterdir()] == [True]


def test_a_connection_that_gives_nothing_is_given_up(fetch: Fetch) -> None:
    server = Server(at_most=0)
    with pytest.raises(CommandFailed, match="resume"):
        fetch(server)
    assert len(server.ranges) == 5


@pytest.mark.parametrize(
    ("content", "message", "most"), [(b"", "no more bytes", 5), (CONTENT * 3, "more than the", 1)]
)
def test_a_server_that_sends_nothing_or_too_much_ends_the_download(
    fetch: Fetch, tmp_path: Path, content: bytes, message: str, most: int
) -> None:
    server = Server(content)
    with pytest.raises(CommandFailed, match=message):
        fetch(server)
    assert len(server.ranges) == most
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= len(CONTENT)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "..", ".hidden", "a/b", "a\\b", ""])
def test_a_server_cannot_choose_paths(fetch: Fetch, tmp_path: Path, name: str) -> None:
    with pytest.raises(CommandFailed, match="plain name"):
        fetch(Server(), name=name)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said(fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / PART).symlink_to("/dev/full")
    with pytest.raises(CommandFailed, match=f"{tmp_path} cannot be written: No space left on device"):
        fetch(Server())


@pytest.mark.parametrize("digest", ["", "../x", DIGEST.upper(), f"{DIGEST}\n"])
def test_what_is_no_digest_becomes_no_name(fetch: Fetch, tmp_path: Path, digest: str) -> None:
    with pytest.raises(CommandFailed, match="the SHA-256"):
        fetch(Server(), sha256=digest)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_trained_job_is_published_again_from_the_command_line(live: LiveApi) -> None:
    job = live.openai().fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    assert "nothing to publish" in run_tunery(live, "models", "republish", job.id).stderr
    train(live.state.database, job.id)
    for options in ((), ("--skip-gate",), ("--allow-regression",)):
        refuse(live.state.database, job.id)
        done = run_tunery(live, "models", "republish", job.id, *options)
        assert (done.exit_code, done.stdout) == (
            0,
            f"Publishing {job.id}; its events say what comes of it.\n",
        )
    last = live.openai().fine_tuning.jobs.list_events(job.id).data[0].message
    assert last == "Publishing is tried again, as requested, without training.max_regression"
