"""Real exports through the API: what is downloaded computes what the adapter does on its base."""

from pathlib import Path

import gguf
import pytest
import torch
from sqlalchemy import update
from starlette.testclient import TestClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.contracts.bases import BaseSpec
from cluster.contracts.datasets import DatasetCheck
from cluster.contracts.exports import ExportAnswer, ExportProgress, ExportRequest
from cluster.exporting.export import export_weights
from service.api.state import AppState
from service.db import tables
from service.db.retention.rules import RetentionRules
from service.scheduling.exporting import Exporter
from tests.api import add_tuned_model, jsonl
from tests.cluster.exporting.models import adapted, logits, plain, stored_model
from tests.fakes import FakeServing, InlineExecutor
from tests.tiny_base import CHAT_TEMPLATE, make_tiny_base

TOKENS = list(range(6, 40))


@pytest.fixture
def base(tmp_path: Path) -> BaseSpec:
    return make_tiny_base(tmp_path / "base", hidden=64)


@pytest.fixture
def adapter(http: TestClient, state: AppState, base: BaseSpec, tmp_path: Path) -> tuple[str, torch.nn.Module]:
    """A tuned model's name, and PEFT's model of it."""
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    create = {"model": "base-1", "training_file": file_id}
    name, _ = add_tuned_model(state.database, http.post("/v1/fine_tuning/jobs", json=create).json()["id"])
    model = adapted(plain(base))
    weights = stored_model(state.store, base, model, tmp_path / "adapter")
    with state.database.write() as session:
        session.execute(
            update(tables.Model)
            .where(tables.Model.id == name)
            .values(manifest_key=weights.manifest_key, manifest_sha256=weights.digest, form="lora")
        )
    return name, model


@pytest.fixture
def exporter(state: AppState, base: BaseSpec) -> Exporter:
    """With a cluster that makes exports at once, of the base that it has."""

    def export(request: ExportRequest) -> ExportAnswer:
        real = request.model_copy(update={"base": base})
        seen: list[ExportProgress] = []
        result = export_weights(real, state.store, seen.append)
        return ExportAnswer(progress=seen[-1], result=result)

    serving = FakeServing(DatasetCheck(n_examples=1, n_tokens=1, n_supervised_tokens=1, longest=1))
    serving.export = export
    return Exporter(
        state.database, serving, state.catalogue, InlineExecutor(),
        limits={}, retention=RetentionRules(), timeout_seconds=60,
    )  # fmt: skip


def download(http: TestClient, name: str, folder: Path, format: str) -> list[str]:
    folder.mkdir()
    listed = http.get(f"/v1/models/{name}/weights?format={format}").json()["files"]
    for file in listed:
        answer = http.get(f"/v1/models/{name}/weights/{file['filename']}?format={format}")
        (folder / file["filename"]).write_bytes(answer.content)
    return [file["filename"] for file in listed]


def test_a_merged_model_is_a_folder_for_transformers(
    http: TestClient, adapter: tuple[str, torch.nn.Module], exporter: Exporter, tmp_path: Path
) -> None:
    name, model = adapter
    assert http.post(f"/v1/models/{name}/exports", json={"format": "merged"}).status_code == 200
    exporter.begin()
    files = download(http, name, tmp_path / "merged", "merged")
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(found, TOKENS), logits(model, TOKENS))
    assert AutoTokenizer.from_pretrained(tmp_path / "merged").chat_template == CHAT_TEMPLATE
    assert "AutoModelForCausalLM" in (tmp_path / "merged" / "README.md").read_text()


def test_a_gguf_file_is_named_by_its_model(
    http: TestClient, adapter: tuple[str, torch.nn.Module], exporter: Exporter, tmp_path: Path
) -> None:
    name, model = adapter
    assert http.post(f"/v1/models/{name}/exports", json={"format": "gguf"}).status_code == 200
    exporter.begin()
    assert download(http, name, tmp_path / "gguf", "gguf") == ["README.md", "model-f16.gguf"]
    fields = gguf.GGUFReader(tmp_path / "gguf" / "model-f16.gguf").fields
    assert fields["general.name"].contents() == name
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "gguf", gguf_file="model-f16.gguf")
    difference = (logits(found, TOKENS) - logits(model, TOKENS)).abs().mean()
    assert difference < 0.002 * logits(model, TOKENS).std()
