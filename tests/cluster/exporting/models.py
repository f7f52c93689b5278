"""Tuned models in storage, made without training."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from cluster.bases.pretrained import read_tokenizer
from cluster.bases.resolve import base_digest, base_folder, template_digest
from cluster.bases.text.chat_template import template_text
from cluster.contracts.bases import BaseSpec, WeightsForm
from cluster.contracts.exports import Export, ExportManifest, ExportProgress, ExportRequest, Quantization
from cluster.contracts.manifest import Manifest, Probe
from cluster.contracts.weights import WeightsRef
from cluster.exporting.export import export_weights
from cluster.storage.keys import export_manifest_key, import_manifest_key, sibling_key
from cluster.storage.store import ObjectStore
from cluster.training.checkpoints.checkpoint import upload


def adapted(model: Any, **options: Any) -> Any:
    """PEFT's wrapper of the model with a random adapter."""
    torch.manual_seed(1)
    chosen = {"r": 4, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | options
    # GPT-2's layers store their weights transposed.
    chosen["fan_in_fan_out"] = any(isinstance(module, Conv1D) for module in model.modules())
    found = get_peft_model(model, LoraConfig(**chosen))
    for name, parameter in found.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return found


def plain(base: BaseSpec, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(base_folder(base), **options)


def stored_model(
    store: ObjectStore, base: BaseSpec, model: Any, folder: Path, *, form: WeightsForm = "lora"
) -> WeightsRef:
    """Stores what `model.save_pretrained` writes: an adapter, or a model with the base's tokenizer."""
    folder.mkdir()
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    folder_of_base = base_folder(base)
    tokenizer = read_tokenizer(folder_of_base)
    if form == "full":
        tokenizer.save_pretrained(folder)
    manifest = Manifest(
        job_id="ftjob-1",
        attempt=1,
        step=1,
        total_steps=1,
        epoch=1.0,
        form=form,
        base_alias=base.alias,
        base_digest=base_digest(folder_of_base),
        data_sha256=None,
        template_sha256=template_digest(template_text(tokenizer)),
        config=None,
        files=[],
        probe=Probe(token_ids=[], logprobs=[]),
    )
    return upload(store, folder, import_manifest_key("source"), manifest)


def export_request(
    base: BaseSpec, weights: WeightsRef, *, quantization: Quantization | None = None
) -> ExportRequest:
    return ExportRequest(
        export_id="export-1",
        project_id="proj-1",
        model="ft:tiny:acme::1",
        base=base,
        weights=weights,
        format="gguf" if quantization else "merged",
        quantization=quantization,
    )


def export(
    store: ObjectStore,
    base: BaseSpec,
    weights: WeightsRef,
    folder: Path,
    *,
    quantization: Quantization | None = None,
    seen: list[ExportProgress] | None = None,
) -> Export:
    """Exports as `merged`, or as GGUF if there is a `quantization`, and downloads the files to `folder`."""
    request = export_request(base, weights, quantization=quantization)
    report = (lambda progress: None) if seen is None else seen.append
    found = export_weights(request, store, report)
    folder.mkdir()
    key = export_manifest_key("export-1")
    manifest = ExportManifest.model_validate_json(store.get(key))
    for file in manifest.files:
        info = store.download(sibling_key(key, file.name), folder / file.name)
        assert (info.bytes, info.sha256) == (file.bytes, file.sha256)
    assert found.bytes == sum(file.bytes for file in manifest.files)
    return found


def logits(model: Any, token_ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(input_ids=torch.tensor([token_ids])).logits[0].float()
    return found
