"""Plain PEFT and plain transformers load the results of training and compute the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.contracts.bases import BaseSpec
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import Finished, JobSpec
from cluster.contracts.manifest import Manifest
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.checkpoint import download
from cluster.training.checkpoints.served_files import merge, write_sharded
from cluster.training.data.tokenizer import load_tokenizer
from cluster.training.model.adapters import attach
from cluster.training.world import World
from tests.cluster.training.recording import record
from tests.families import make_family
from tests.tiny_base import CHAT_TEMPLATE

pytestmark = pytest.mark.slow

MakeSpec = Callable[..., JobSpec]


@torch.no_grad()
def logits(model: Any) -> Tensor:
    token_ids = torch.randint(0, 300, (2, 40), generator=torch.Generator().manual_seed(0))
    found: Tensor = model.eval()(token_ids).logits
    return found


def plain(folder: str | Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def trained(spec: JobSpec, store: LocalStore, folder: Path) -> Manifest:
    """Trains a job, downloads its model to `folder`, and returns the manifest."""
    recording = record(spec, store)
    assert isinstance(recording.result, Finished)
    folder.mkdir()
    manifest, _ = download(store, recording.result.manifest_key, folder)
    return manifest


@pytest.mark.parametrize("use_rslora", [False, True])
def test_an_adapter_in_peft_computes_the_same_as_its_merged_model_in_transformers(
    make_spec: MakeSpec, store: LocalStore, base: BaseSpec, tmp_path: Path, use_rslora: bool
) -> None:
    adapter, merged = tmp_path / "adapter", tmp_path / "merged"
    assert trained(make_spec(use_rslora=use_rslora), store, adapter).form == "lora"
    merged.mkdir()
    adapted = PeftModel.from_pretrained(plain(base.source.path), adapter)
    expected = logits(adapted)
    merge(adapted, load_tokenizer(base), "float32", merged)
    torch.testing.assert_close(logits(plain(merged)), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(expected, logits(plain(base.source.path)), atol=1e-2)
    assert AutoTokenizer.from_pretrained(merged).chat_template == CHAT_TEMPLATE


def test_a_worker_with_a_model_of_its_own_merges_only_what_it_writes(
    make_config: Callable[..., TrainingConfig], base: BaseSpec, tmp_path: Path
) -> None:
    """The second of two workers, where one file has everything."""
    adapted = attach(plain(base.source.path), base, make_config(use_dora=True), total_steps=1)
    merged: list[None] = []
    for layer in adapted.modules():
        if hasattr(layer, "merge"):
            layer.merge = lambda: merged.append(None)
    assert write_sharded(adapted, "float32", tmp_path, World(1, 2)).total_bytes == 0
    assert not merged


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"type": "peft", "peft_config": {"peft_type": "LOHA", "r": 4}},
        {"type": "peft", "peft_config": {"peft_type": "IA3"}, "learning_rate": 5e-2},
    ],
    ids=["dora", "loha", "ia3"],
)
def test_a_merged_model_gives_the_same_scores_in_transformers_as_in_training(
    make_spec: MakeSpec, store: LocalStore, base: BaseSpec, tmp_path: Path, options: dict[str, Any]
) -> None:
    manifest = trained(make_spec(**options), store, tmp_path / "model")
    assert manifest.form == "full"
    model = plain(tmp_path / "model").eval()
    assert not torch.allclose(logits(model), logits(plain(base.source.path)), atol=1e-3)
    for row, expected in zip(manifest.probe.token_ids, manifest.probe.logprobs, strict=True):
        token_ids = torch.tensor([row])
        with torch.no_grad():
            scores = model(token_ids).logits[0, :-1].log_softmax(-1).gather(-1, token_ids[0, 1:, None])
        torch.testing.assert_close(scores[:, 0], torch.tensor(expected), atol=1e-4, rtol=1e-4)


def test_a_model_of_text_and_images_keeps_the_files_that_programs_need_to_start_it(
    make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    base = make_family("gemma3_images", tmp_path / "base")
    written = {"image_processor_type": "Gemma3ImageProcessor", "auto_map": {"AutoProcessor": "code.Mine"}}
    (tmp_path / "base" / "preprocessor_config.json").write_text(json.dumps(written))
    assert trained(make_spec({"base": base}, type="full"), store, tmp_path / "model").form == "full"
    found = json.loads((tmp_path / "model" / "preprocessor_config.json").read_bytes())
    assert found == {"image_processor_type": "Gemma3ImageProcessor"}
