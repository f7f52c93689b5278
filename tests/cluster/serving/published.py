"""Adapters and full models in storage, as a training run writes them with PEFT and transformers."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.bases.resolve import base_digest, base_folder, template_digest
from cluster.bases.text.chat_template import template_text
from cluster.contracts.bases import BaseSpec
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.manifest import Manifest, ManifestFile, Probe
from cluster.contracts.weights import WeightsRef
from cluster.storage.keys import manifest_key, sibling_key
from cluster.storage.store import ObjectStore

CONFIG = TrainingConfig(
    type="lora", r=8, alpha=16, dropout=0, target_modules="all-linear", on_overlength="error", num_workers=1,
    n_epochs=1, batch_size=1, learning_rate=1e-3, max_length=256, seed=0,
)  # fmt: skip


def publish_lora(
    store: ObjectStore,
    spec: BaseSpec,
    folder: Path,
    *,
    seed: int,
    scale: float = 0.3,
    change: Callable[[Any], None] = lambda model: None,
    **options: Any,
) -> WeightsRef:
    """A random adapter of `LoraConfig(**options)`, saved by PEFT into `folder` and from there to storage. Its
    weights are large enough to change the output of a tiny model."""
    model = AutoModelForCausalLM.from_pretrained(base_folder(spec), dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        peft_model = get_peft_model(model, LoraConfig(**options))
        for name, parameter in peft_model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=scale)
    change(peft_model)
    peft_model.save_pretrained(folder)
    return publish_folder(store, spec, folder, job_id=f"ftjob-{folder.name}")


def publish_full(store: ObjectStore, spec: BaseSpec, folder: Path, *, seed: int) -> WeightsRef:
    model = AutoModelForCausalLM.from_pretrained(base_folder(spec), dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for parameter in model.parameters():
            parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(folder)
    return publish_folder(store, spec, folder, job_id=f"ftjob-{folder.name}", form="full")


def publish_folder(
    store: ObjectStore, spec: BaseSpec, folder: Path, *, job_id: str, **changes: Any
) -> WeightsRef:
    """Publishes the files of `folder` with a valid manifest, in which `changes` replaces fields."""
    key = manifest_key(job_id, 1, 10)
    files = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in {".json", ".safetensors"}:
            info = store.upload(sibling_key(key, path.name), path)
            assert info.sha256 is not None
            files.append(ManifestFile(name=path.name, bytes=info.bytes, sha256=info.sha256))
    tokenizer = AutoTokenizer.from_pretrained(base_folder(spec))
    fields: dict[str, Any] = {
        "job_id": job_id,
        "attempt": 1,
        "step": 10,
        "total_steps": 10,
        "epoch": 1.0,
        "form": "lora",
        "base_alias": spec.alias,
        "base_digest": base_digest(base_folder(spec)),
        "data_sha256": "0" * 64,
        "template_sha256": template_digest(template_text(tokenizer)),
        "config": CONFIG,
        "files": files,
        "probe": Probe(token_ids=[], logprobs=[]),
    }
    manifest = Manifest(**fields | changes)
    content = manifest.model_dump_json().encode()
    store.put(key, content)
    return WeightsRef(
        digest=hashlib.sha256(content).hexdigest(), manifest_key=key, form=changes.get("form", "lora")
    )


def publish_bytes(store: ObjectStore, job: str, files: dict[str, bytes], **changes: Any) -> WeightsRef:
    """A manifest that names `files`, with `changes` in its fields; nothing has to be weights. It is of base
    "b" and template "t"."""
    key = f"jobs/{job}/attempts/1/checkpoints/step-00000001/manifest.json"
    listed = []
    for name, content in files.items():
        if "/" not in name and name != "..":
            store.put(key.replace("manifest.json", name), content)
        digest = hashlib.sha256(content).hexdigest()
        # Unchecked, because a manifest in storage may contain anything.
        listed.append(ManifestFile.model_construct(name=name, bytes=len(content), sha256=digest))
    fields: dict[str, Any] = {
        "job_id": job, "attempt": 1, "step": 1, "total_steps": 1, "epoch": 1.0, "form": "lora",
        "base_alias": "tiny", "base_digest": "b", "data_sha256": "", "template_sha256": "t",
        "config": CONFIG, "files": listed, "probe": Probe(token_ids=[], logprobs=[]),
    }  # fmt: skip
    content = Manifest(**fields | changes).model_dump_json().encode()
    store.put(key, content)
    return WeightsRef(digest=hashlib.sha256(content).hexdigest(), manifest_key=key)
