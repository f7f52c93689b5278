"""The dataset compiler's application, without Serve."""

import asyncio
import hashlib
import json
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from cluster.bases.layers import read_layers
from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BasesAnswer, BaseSpec, BasesRequest, FolderSource, HubSource
from cluster.contracts.data_report import DataReport, DataReportRequest, StoredFile
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.errors import MODEL_NOT_AVAILABLE, Unavailable
from cluster.contracts.exports import Export, ExportAnswer, ExportProgress, ExportRequest
from cluster.contracts.generation import LOAD_TIMEOUT_HEADER, PROJECT_HEADER, ErrorEvent, ModelRef
from cluster.contracts.imports import ImportedAdapter, ImportRequest
from cluster.contracts.previews import Preview, PreviewRequest
from cluster.contracts.weights import WeightsRef
from cluster.serving.deployment import dataset_work, datasets
from cluster.serving.deployment.vllm_starts import VllmStarts
from cluster.storage.keys import DatasetKey, parse_key
from cluster.storage.local import LocalStore
from cluster.training.data.report_process import LocalFiles, report_on

TOKEN = "a-token-for-the-cluster"
Post = Callable[..., Any]


@pytest.fixture
def starts() -> VllmStarts:
    """What the placer knows."""
    return VllmStarts()


@pytest.fixture
def app(store: LocalStore, starts: VllmStarts, monkeypatch: pytest.MonkeyPatch) -> datasets.DatasetsApp:
    monkeypatch.setenv("TUNERY_CLUSTER_TOKEN", TOKEN)
    monkeypatch.setattr(datasets, "CHECKS_PER_PROJECT", 1)

    async def vllm_starts() -> VllmStarts:
        return starts

    return datasets.DatasetsApp(store, vllm_starts=vllm_starts)


async def post(
    app: datasets.DatasetsApp, path: str, content: str, *, timeout: float = 30, project: str = "proj-1"
) -> Response:
    async def receive() -> Message:
        return {"type": "http.request", "body": content.encode(), "more_body": False}

    headers = {
        "authorization": f"Bearer {TOKEN}",
        LOAD_TIMEOUT_HEADER: str(timeout),
        PROJECT_HEADER: project,
    }
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    return await app(Request(scope, receive))


def check_request(base: BaseSpec, put_rows: Callable[..., tuple[str, str]], rows: Any) -> str:
    key, sha256 = put_rows("file-training", rows)
    return DatasetCheckRequest(base=base, key=key, sha256=sha256).model_dump_json()


def test_unavailable_bases_are_named_with_the_reason_until_they_are_mended(
    app: datasets.DatasetsApp, base: BaseSpec, tmp_path: Path
) -> None:
    broken, absent = (
        base.model_copy(update={"alias": name, "source": FolderSource(path=str(tmp_path / name))})
        for name in ("broken", "absent")
    )
    shutil.copytree(base_folder(base), tmp_path / "broken")
    weights = tmp_path / "broken" / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: value for name, value in tensors.items() if "layers.1.mlp" not in name}, weights)
    content = BasesRequest(bases=[base, broken, absent]).model_dump_json()

    def reasons() -> dict[str, str]:
        answer = asyncio.run(post(app, "/datasets/bases", content))
        return BasesAnswer.model_validate_json(answer.body).unavailable

    found = reasons()
    assert list(found) == ["broken", "absent"]
    assert "its files lack model.layers.1.mlp.down_proj.weight, " in found["broken"]
    assert "its folder does not exist" in found["absent"]
    save_file(tensors, weights)
    assert list(reasons()) == ["absent"]


def test_a_base_that_vllm_does_not_start_is_named_and_one_whose_fine_tune_fails_is_not(
    app: datasets.DatasetsApp, base: BaseSpec, starts: VllmStarts
) -> None:
    failing = base.model_copy(update={"alias": "failing"})
    full = WeightsRef(digest="1" * 64, manifest_key="k", form="full")
    starts.failures[ModelRef(base=failing).weights] = "vLLM does not start."
    starts.failures[ModelRef(base=base, adapter=full).weights] = "A tenant's model does not start."
    content = BasesRequest(bases=[base, failing]).model_dump_json()
    answer = BasesAnswer.model_validate_json(asyncio.run(post(app, "/datasets/bases", content)).body)
    assert answer.unavailable == {"failing": "vLLM does not start."}


def test_the_contexts_that_serving_has_less_memory_for_are_named(
    app: datasets.DatasetsApp, base: BaseSpec, starts: VllmStarts, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = base.model_copy(update={"alias": "long", "context_length": 10**9})
    started, whole = (long.model_copy(update={"alias": name}) for name in ("started", "whole"))
    starts.contexts[ModelRef(base=started).weights] = 4864
    starts.contexts[ModelRef(base=whole).weights] = whole.context_length
    content = BasesRequest(bases=[base, long, started, whole]).model_dump_json()

    def contexts() -> dict[str, int]:
        return BasesAnswer.model_validate_json(
            asyncio.run(post(app, "/datasets/bases", content)).body
        ).contexts

    assert contexts() == {"started": 4864}
    monkeypatch.setenv("TUNERY_ENGINE", "vllm")
    monkeypatch.setenv("TUNERY_SERVING_POOLS", '[{"kind": "cuda", "devices": 1, "device_bytes": "4GB"}]')
    found = contexts()
    assert list(found) == ["long", "started"]
    assert 2048 <= found["long"] < 10**9


def test_a_caller_learns_that_a_base_is_downloading_and_later_the_result(
    app: datasets.DatasetsApp,
    base: BaseSpec,
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Simulates a hub that times out slowly."""
    may_end, begun = threading.Event(), []

    def fetch(spec: BaseSpec) -> Path:
        begun.append(spec)
        assert may_end.wait(300)
        raise Unavailable("The hub cannot be reached.", code=MODEL_NOT_AVAILABLE)

    monkeypatch.setattr(datasets, "tokenizer_folder", fetch)
    hub = HubSource(repository="owner/slow", revision="0" * 40)
    content = check_request(base.model_copy(update={"source": hub}), put_rows, chat_rows)

    async def run() -> list[ErrorEvent]:
        answers = [await post(app, "/datasets/check", content, timeout=0.2) for _ in range(2)]
        may_end.set()
        answers.append(await post(app, "/datasets/check", content))
        assert [answer.status_code for answer in answers] == [503] * 3
        return [ErrorEvent.model_validate_json(answer.body) for answer in answers]

    first, second, last = asyncio.run(run())
    assert (first.code, second.code, last.code) == ("model_not_ready", "model_not_ready", MODEL_NOT_AVAILABLE)
    assert f"'{base.alias}' is being downloaded" in first.message
    assert len(begun) == 1


def test_a_check_that_outlasts_its_caller_continues_for_the_next_one(
    app: datasets.DatasetsApp,
    base: BaseSpec,
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end, begun, check = threading.Event(), [], dataset_work.check_dataset

    def slow(request: DatasetCheckRequest, store: LocalStore) -> DatasetCheck:
        begun.append(request)
        assert may_end.wait(300)
        return check(request, store)

    monkeypatch.setattr(dataset_work, "check_dataset", slow)
    content = check_request(base, put_rows, chat_rows)

    async def run() -> tuple[Response, Response]:
        early = await post(app, "/datasets/check", content, timeout=0.2)
        may_end.set()
        return early, await post(app, "/datasets/check", content)

    early, late = asyncio.run(run())
    assert json.loads(early.body)["code"] == "dataset_not_ready"
    assert DatasetCheck.model_validate_json(late.body).n_examples == len(chat_rows)
    assert len(begun) == 1


def test_estimates_and_previews_of_clients_never_hold_up_the_check_of_a_job(
    app: datasets.DatasetsApp,
    base: BaseSpec,
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end, check = threading.Event(), dataset_work.check_dataset
    content = check_request(base, put_rows, chat_rows)

    def slow_for_clients(request: DatasetCheckRequest, store: LocalStore) -> DatasetCheck:
        assert not request.seed or may_end.wait(300)
        return check(request, store)

    monkeypatch.setattr(dataset_work, "check_dataset", slow_for_clients)
    asked = DatasetCheckRequest.model_validate_json(content)
    estimates = [
        asked.model_copy(update={"seed": seed}).model_dump_json()
        for seed in range(1, 1 + 2 * datasets.CHECKS)
    ]
    preview = PreviewRequest(base=base, key=asked.key, lines=[2]).model_dump_json()

    async def run() -> tuple[list[Response], Response, Response]:
        early = await asyncio.gather(
            *(
                post(app, "/datasets/estimate", each, timeout=0.2, project=f"proj-{number}")
                for number, each in enumerate(estimates)
            )
        )
        checked = await post(app, "/datasets/check", content)
        may_end.set()
        return early, checked, await post(app, "/datasets/preview", preview)

    early, checked, previewed = asyncio.run(run())
    assert {json.loads(answer.body)["code"] for answer in early} == {"dataset_not_ready"}
    assert DatasetCheck.model_validate_json(checked.body).n_examples == len(chat_rows)
    assert [row.line for row in Preview.model_validate_json(previewed.body).rows] == [2]


def test_a_projects_flood_is_bounded_and_does_not_stop_the_preview_of_another(
    app: datasets.DatasetsApp,
    base: BaseSpec,
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end, begun, check = threading.Event(), [], dataset_work.check_dataset

    def slow(request: DatasetCheckRequest, store: LocalStore) -> DatasetCheck:
        begun.append(request.seed)
        assert may_end.wait(300)
        return check(request, store)

    monkeypatch.setattr(dataset_work, "check_dataset", slow)
    asked = DatasetCheckRequest.model_validate_json(check_request(base, put_rows, chat_rows))
    flood = [asked.model_copy(update={"seed": seed}).model_dump_json() for seed in range(20)]
    preview = PreviewRequest(base=base, key=asked.key, lines=[2]).model_dump_json()

    async def run() -> tuple[list[Response], Response, Response]:
        answers = [
            await post(app, "/datasets/estimate", each, timeout=0.2, project="proj-flood") for each in flood
        ]
        other = await post(app, "/datasets/preview", preview, project="proj-other")
        assert begun == [0]
        may_end.set()
        allowed = flood[: datasets.MAX_READS_PER_PROJECT]
        await asyncio.gather(
            *(post(app, "/datasets/estimate", each, project="proj-flood") for each in allowed)
        )
        return answers, other, await post(app, "/datasets/estimate", flood[-1], project="proj-flood")

    answers, other, afterwards = asyncio.run(run())
    assert [answer.status_code for answer in answers] == [503] * 4 + [429] * 16
    refused = ErrorEvent.model_validate_json(answers[-1].body)
    assert "4 files are being read for this project" in refused.message
    assert [row.line for row in Preview.model_validate_json(other.body).rows] == [2]
    assert afterwards.status_code == 200


class BlockedChecks:
    """Checks that start and end as a test says; a request's seed names its check."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, request: str) -> None:
        self.begun: list[int] = []
        self._may_end: dict[int, threading.Event] = defaultdict(threading.Event)
        self._request = DatasetCheckRequest.model_validate_json(request)
        monkeypatch.setattr(dataset_work, "check_dataset", self._check)
        monkeypatch.setattr(datasets, "QUEUED_SECONDS", 0.2)

    def request(self, seed: int) -> str:
        return self._request.model_copy(update={"seed": seed}).model_dump_json()

    def end(self, *seeds: int) -> None:
        for seed in seeds:
            self._may_end[seed].set()

    async def until_begun(self, *seeds: int) -> None:
        while not set(seeds) <= set(self.begun):
            await asyncio.sleep(0.01)

    def _check(self, request: DatasetCheckRequest, store: LocalStore) -> DatasetCheck:
        self.begun.append(request.seed)
        assert self._may_end[request.seed].wait(300)
        return DatasetCheck(n_examples=request.seed, n_tokens=1, n_supervised_tokens=1, longest=1)


@pytest.fixture
def checks(
    base: BaseSpec,
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> BlockedChecks:
    return BlockedChecks(monkeypatch, check_request(base, put_rows, chat_rows))


def codes(answers: Iterable[Response]) -> list[str]:
    return [json.loads(answer.body)["code"] for answer in answers]


def test_checks_of_one_project_never_hold_up_those_of_another(
    app: datasets.DatasetsApp, checks: BlockedChecks
) -> None:
    async def run() -> None:
        flood = [checks.request(seed) for seed in range(1, 9)]
        early = await asyncio.gather(
            *(post(app, "/datasets/check", each, timeout=0.2, project="proj-flood") for each in flood)
        )
        assert sorted(codes(early)) == ["check_queued"] * 7 + ["dataset_not_ready"]
        (first,) = checks.begun
        other = checks.request(9)
        (told,) = codes([await post(app, "/datasets/check", other, timeout=0.2, project="proj-other")])
        assert (told, checks.begun) == ("dataset_not_ready", [first, 9])
        checks.end(*range(1, 10))
        answers = [await post(app, "/datasets/check", each, project="proj-flood") for each in flood]
        found = [DatasetCheck.model_validate_json(answer.body).n_examples for answer in answers]
        assert found == list(range(1, 9))
        assert sorted(checks.begun) == list(range(1, 10))

    asyncio.run(run())


def test_a_project_waits_for_one_check_of_each_other_at_most(
    app: datasets.DatasetsApp, checks: BlockedChecks
) -> None:
    async def run() -> None:
        projects = [f"proj-{number}" for number in range(datasets.CHECKS)]
        for number, project in enumerate(projects):
            for seed in (1 + number, 11 + number):
                await post(app, "/datasets/check", checks.request(seed), timeout=0.2, project=project)
        running = list(range(1, 1 + datasets.CHECKS))
        waiting = await post(app, "/datasets/check", checks.request(9), timeout=0.2, project="proj-other")
        assert (codes([waiting]), sorted(checks.begun)) == (["check_queued"], running)
        checks.end(1)
        await checks.until_begun(9)
        assert sorted(checks.begun) == [*running, 9]
        checks.end(*range(20))

    asyncio.run(run())


def test_a_check_that_has_not_started_and_that_nobody_asks_about_is_given_up(
    app: datasets.DatasetsApp, checks: BlockedChecks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "CHECK_LEASE_SECONDS", 1.0)

    async def ask(seed: int) -> Response:
        return await post(app, "/datasets/check", checks.request(seed), timeout=0.2)

    async def run() -> None:
        running, abandoned, wanted = [await ask(seed) for seed in (1, 2, 3)]
        assert codes([running, abandoned, wanted]) == ["dataset_not_ready", "check_queued", "check_queued"]
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert codes([await ask(3)]) == ["check_queued"]
        checks.end(1, 2, 3)
        await checks.until_begun(3)
        assert checks.begun == [1, 3]
        # What runs is not given up, and what was given up begins anew.
        for seed in (1, 2):
            assert DatasetCheck.model_validate_json((await ask(seed)).body).n_examples == seed
        assert checks.begun == [1, 3, 2]

    asyncio.run(run())


def import_request(base: BaseSpec, store: LocalStore, *, id: str = "modelimport-1") -> str:
    """Imports an adapter of one layer."""
    layer = next(name for name in read_layers(base_folder(base)).shapes if name.endswith("q_proj"))
    rows, columns = read_layers(base_folder(base)).shapes[layer]
    name = f"base_model.model.{layer}"
    weights = save(
        {f"{name}.lora_A.weight": torch.ones(2, columns), f"{name}.lora_B.weight": torch.ones(rows, 2)}
    )
    config = json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": [layer]}).encode()
    files = []
    for key, content in (("files/file-config", config), ("files/file-weights", weights)):
        store.put(key, content)
        files.append(StoredFile(key=key, sha256=hashlib.sha256(content).hexdigest()))
    return ImportRequest(import_id=id, base=base, config=files[0], weights=files[1]).model_dump_json()


def test_an_adapter_is_imported(app: datasets.DatasetsApp, base: BaseSpec, store: LocalStore) -> None:
    answer = asyncio.run(post(app, "/datasets/import", import_request(base, store)))
    assert answer.status_code == 200, answer.body
    imported = ImportedAdapter.model_validate_json(answer.body)
    assert imported.training.r == 2
    assert store.get(imported.weights.manifest_key)


def test_imports_never_hold_up_the_check_of_a_job(
    app: datasets.DatasetsApp,
    base: BaseSpec,
    store: LocalStore,
    put_rows: Callable[..., tuple[str, str]],
    chat_rows: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_end, begun, imports = threading.Event(), [], dataset_work.import_adapter

    def slow(request: ImportRequest, store: LocalStore) -> ImportedAdapter:
        begun.append(request)
        assert may_end.wait(300)
        return imports(request, store)

    monkeypatch.setattr(dataset_work, "import_adapter", slow)
    requests = [
        import_request(base, store, id=f"modelimport-{number}") for number in range(2 * datasets.CHECKS)
    ]

    async def run() -> tuple[list[Response], Response, int]:
        early = await asyncio.gather(*(post(app, "/datasets/import", each, timeout=0.2) for each in requests))
        checked = await post(app, "/datasets/check", check_request(base, put_rows, chat_rows))
        num_begun = len(begun)
        may_end.set()
        for each in requests:
            assert (await post(app, "/datasets/import", each)).status_code == 200
        return early, checked, num_begun

    early, checked, num_begun = asyncio.run(run())
    assert {json.loads(answer.body)["code"] for answer in early} == {"dataset_not_ready"}
    assert DatasetCheck.model_validate_json(checked.body).n_examples == len(chat_rows)
    assert num_begun == datasets.IMPORTS


def report_request(store: LocalStore, lines: list[bytes], *, key: str = "files/file-training") -> str:
    body = b"\n".join(lines)
    store.put(key, body)
    file = StoredFile(key=key, sha256=hashlib.sha256(body).hexdigest())
    return DataReportRequest(file=file).model_dump_json()


LINES = [b'{"prompt": "Question %d", "completion": "Answer %d"}' % (number, number) for number in range(12)]


def test_a_report_is_made_once_and_kept_beside_what_was_compiled_from_the_file(
    app: datasets.DatasetsApp, store: LocalStore
) -> None:
    content = report_request(store, [*LINES, LINES[3], b"{"])
    first = asyncio.run(post(app, "/datasets/report", content))
    report = DataReport.model_validate_json(first.body)
    places = {found.code: [place.line for place in found.places] for found in report.findings}
    assert places == {"invalid_json": [14], "exact_duplicate": [13]}
    sha256 = DataReportRequest.model_validate_json(content).file.sha256
    (kept,) = [info.key for info in store.list(f"datasets/{sha256}/")]
    assert parse_key(kept) == DatasetKey(sha256, is_report=True)
    # Whoever asks now gets what was kept, and the file is not read again.
    store.delete("files/file-training")
    again = datasets.DatasetsApp(store)
    assert asyncio.run(post(again, "/datasets/report", content)).body == first.body
    store.put(kept, b"{}")
    broken = asyncio.run(post(datasets.DatasetsApp(store), "/datasets/report", content))
    assert json.loads(broken.body)["error"] == "NotFound"


def test_secrets_appear_neither_in_a_report_nor_in_logs(
    app: datasets.DatasetsApp, store: LocalStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    key = "sk-proj-" + "Ab3dE5" * 8
    secret = b'{"prompt": "Use %s", "completion": "jane.roe@gmail.com"}' % key.encode()
    broken = [secret[:-1], secret.replace(b'"prompt"', b'"%s"' % key.encode()), b"[" + secret]
    answer = asyncio.run(post(app, "/datasets/report", report_request(store, [*LINES, secret, *broken])))
    codes = {found.code: found.count for found in DataReport.model_validate_json(answer.body).findings}
    assert (codes["api_key"], codes["email_address"]) == (1, 1)
    for part in (key, "Ab3dE5", "jane"):
        assert part not in bytes(answer.body).decode() + caplog.text


def test_a_report_that_outlasts_its_caller_continues_for_the_next_one(
    app: datasets.DatasetsApp, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, begun, make = threading.Event(), [], dataset_work.make_report

    def slow(request: DataReportRequest, store: LocalStore) -> DataReport:
        begun.append(request)
        assert may_end.wait(300)
        return make(request, store)

    monkeypatch.setattr(dataset_work, "make_report", slow)
    content = report_request(store, LINES)

    async def run() -> list[Response]:
        answers = [await post(app, "/datasets/report", content, timeout=0.2) for _ in range(2)]
        may_end.set()
        return [*answers, await post(app, "/datasets/report", content)]

    *early, late = asyncio.run(run())
    assert [json.loads(answer.body)["code"] for answer in early] == ["dataset_not_ready"] * 2
    assert DataReport.model_validate_json(late.body).n_examples == len(LINES)
    assert len(begun) == 1


def test_a_large_file_is_read_in_a_process_of_its_own_with_the_same_report(
    base: BaseSpec, tmp_path: Path
) -> None:
    path, other = tmp_path / "file-1", tmp_path / "file-2"
    path.write_bytes(b"\n".join([*LINES, LINES[3], b"{"]))
    other.write_bytes(LINES[5])
    files = LocalFiles(training=path, validation=other, base=base)
    own = report_on(files, large_bytes=0)
    assert own == report_on(files)
    assert {"exact_duplicate", "invalid_json"} <= {found.code for found in own.findings}
    broken = files.model_copy(update={"base": base.model_copy(update={"source": FolderSource(path="/x")})})
    with pytest.raises(Unavailable, match="ended with 1"):
        report_on(broken, large_bytes=0)


@pytest.mark.parametrize(
    ("cpus", "free_gib", "expected"), [(1, 64, 1), (2, 64, 1), (8, 64, 4), (8, 5, 2), (64, 64, 4), (8, 0, 1)]
)
def test_reports_are_made_at_once_as_cpus_and_memory_allow(cpus: int, free_gib: int, expected: int) -> None:
    assert dataset_work.reports_at_once(cpus, free_gib << 30) == expected


def test_a_projects_flood_of_reports_is_bounded_and_refuses_no_other(
    app: datasets.DatasetsApp, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, make = threading.Event(), dataset_work.make_report

    def slow(request: DataReportRequest, store: LocalStore) -> DataReport:
        assert may_end.wait(300)
        return make(request, store)

    monkeypatch.setattr(dataset_work, "make_report", slow)
    most = datasets.MAX_REPORTS_PER_PROJECT
    flood = [
        report_request(store, [*LINES, LINES[number]], key=f"files/file-{number}")
        for number in range(most + 1)
    ]

    async def run() -> tuple[list[Response], Response]:
        asked = [
            asyncio.create_task(post(app, "/datasets/report", each, project="proj-flood")) for each in flood
        ]
        (refused,), _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        # The same file: what one project is refused, another one is not.
        same = flood[asked.index(refused)]
        other = asyncio.create_task(post(app, "/datasets/report", same, project="proj-other"))
        may_end.set()
        return await asyncio.gather(*asked), await other

    answers, other = asyncio.run(run())
    assert sorted(answer.status_code for answer in answers) == [200] * most + [429]
    assert other.status_code == 200


def export_request(base: BaseSpec) -> str:
    return ExportRequest(
        export_id="modelexport-1",
        project_id="proj-1",
        model="ft:tiny:acme::1",
        base=base,
        weights=WeightsRef(digest="1" * 64, manifest_key="jobs/x/manifest.json"),
        format="merged",
    ).model_dump_json()


def test_whoever_asks_about_an_export_learns_how_far_it_is_and_later_its_result(
    app: datasets.DatasetsApp, base: BaseSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end, begun = threading.Event(), []
    result = Export(manifest_sha256="2" * 64, bytes=100)

    def slow(request: ExportRequest, store: LocalStore, report: Callable[[ExportProgress], None]) -> Export:
        report(ExportProgress(done_bytes=10, total_bytes=100))
        begun.append(request)
        assert may_end.wait(300)
        return result

    monkeypatch.setattr(dataset_work, "export_weights", slow)
    content = export_request(base)

    async def run() -> list[ExportAnswer]:
        answers = [await post(app, "/datasets/export", content, timeout=0.2)]
        while not begun:
            await asyncio.sleep(0)
        answers.append(await post(app, "/datasets/export", content, timeout=0.2))
        may_end.set()
        answers.append(await post(app, "/datasets/export", content))
        return [ExportAnswer.model_validate_json(answer.body) for answer in answers]

    first, second, last = asyncio.run(run())
    assert (first.result, second.progress, second.result) == (
        None,
        ExportProgress(done_bytes=10, total_bytes=100),
        None,
    )
    assert (last.progress.done_bytes, last.result) == (100, result)
    assert len(begun) == 1


def test_an_export_that_nobody_asks_about_any_more_is_given_up(
    app: datasets.DatasetsApp, base: BaseSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "EXPORT_LEASE_SECONDS", -1.0)

    def endless(
        request: ExportRequest, store: LocalStore, report: Callable[[ExportProgress], None]
    ) -> Export:
        while True:
            report(ExportProgress(done_bytes=1, total_bytes=2))

    monkeypatch.setattr(dataset_work, "export_weights", endless)
    answer = asyncio.run(post(app, "/datasets/export", export_request(base)))
    assert answer.status_code == 503
    assert "Nobody waits" in ErrorEvent.model_validate_json(answer.body).message
