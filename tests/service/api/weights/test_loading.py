"""What is downloaded loads with PEFT and transformers, and computes what serving computes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from starlette.testclient import TestClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.bases.resolve import base_folder
from cluster.contracts.jobs import Finished
from cluster.contracts.manifest import Manifest, Probe
from service.api.state import AppState
from service.db import tables
from tests.api import add_tuned_model, jsonl
from tests.cluster.training.recording import record_job
from tests.tiny_base import make_tiny_base

pytestmark = pytest.mark.slow


def test_a_downloaded_adapter_computes_with_peft_what_is_served(
    http: TestClient, state: AppState, tmp_path: Path
) -> None:
    folder, base, probe = _downloaded(http, state, tmp_path, {"type": "lora", "r": 4})
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    assert _difference(model, probe) < 1e-5
    with model.disable_adapter():
        assert _difference(model, probe) > 1e-2


def test_a_downloaded_full_model_computes_with_transformers_what_is_served(
    http: TestClient, state: AppState, tmp_path: Path
) -> None:
    folder, _, probe = _downloaded(http, state, tmp_path, {"type": "full"})
    assert _difference(AutoModelForCausalLM.from_pretrained(folder), probe) < 1e-5
    assert AutoTokenizer.from_pretrained(folder).chat_template


def _downloaded(
    http: TestClient, state: AppState, tmp_path: Path, options: dict[str, Any]
) -> tuple[Path, Path, Probe]:
    """Trains, publishes and downloads a model. Returns its folder, its base's folder, and the probe with
    which publishing compares serving and training."""
    said = [{"role": "user", "content": "Say it."}, {"role": "assistant", "content": "The invoice, fox."}]
    rows = "\n".join([json.dumps({"messages": said})] * 12).encode()
    base = make_tiny_base(tmp_path / "base")
    end = record_job(base, state.store, rows, options, n_epochs=2).result
    assert isinstance(end, Finished)
    upload = {"files": {"file": ("a.jsonl", jsonl())}, "data": {"purpose": "fine-tune"}}
    file_id = http.post("/v1/files", **upload).json()["id"]
    job = http.post("/v1/fine_tuning/jobs", json={"model": "base-1", "training_file": file_id}).json()
    name, _ = add_tuned_model(state.database, job["id"])
    with state.database.write() as session:
        row = session.get_one(tables.Model, name)
        row.manifest_key, row.manifest_sha256, row.form = end.manifest_key, end.manifest_sha256, end.form
    folder = tmp_path / "downloaded"
    folder.mkdir()
    for file in http.get(f"/v1/models/{name}/weights").json()["files"]:
        content = http.get(f"/v1/models/{name}/weights/{file['filename']}").content
        (folder / file["filename"]).write_bytes(content)
    return folder, base_folder(base), Manifest.model_validate_json(state.store.get(end.manifest_key)).probe


@torch.inference_mode()
def _difference(model: Any, probe: Probe) -> float:
    """The largest difference between the model's log-probabilities and the probe's."""
    largest = 0.0
    for token_ids, logprobs in zip(probe.token_ids, probe.logprobs, strict=True):
        row = torch.tensor([token_ids])
        found = model.eval()(input_ids=row).logits[0, :-1].log_softmax(-1).gather(-1, row[0, 1:, None])[:, 0]
        largest = max(largest, float((found - torch.tensor(logprobs)).abs().max()))
    return largest
