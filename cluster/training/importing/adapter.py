"""Imports a PEFT adapter folder: checks a tenant's two files, and stores new files made from what was
read."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from cluster.bases.layers import read_layers
from cluster.bases.resolve import base_digest, base_folder, template_digest
from cluster.bases.text.chat_template import template_text
from cluster.contracts.adapter_layers import check_layers
from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import StoredFile
from cluster.contracts.errors import CorruptArtefact, InvalidRequest
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.imports import CONFIG_FILE, WEIGHTS_FILE, ImportedAdapter, ImportRequest, check_size
from cluster.contracts.manifest import Manifest, Probe
from cluster.scratch import scratch_folder
from cluster.storage.keys import import_manifest_key
from cluster.storage.store import ObjectStore
from cluster.training.checkpoints.checkpoint import upload
from cluster.training.data.tokenizer import load_tokenizer
from cluster.training.importing.config import AdapterConfig, read_config
from cluster.training.importing.weights import layers_of, read_weights

_ROW_TOKENS = 16
_MAX_PLAIN_RANK = 256
"""Maximum rank in TrainingOptions. A larger rank can only come from PEFT's own configuration."""


def import_adapter(request: ImportRequest, store: ObjectStore) -> ImportedAdapter:
    """Stores the adapter as serving and training read it. A repeated call stores the same bytes again.

    Raises InvalidRequest (`invalid_adapter`, `unsupported_adapter`) if the files are not a plain LoRA adapter
    of the base, CorruptArtefact if they are not the uploaded ones, and what storage and the base raise."""
    base = request.base
    store = store.encrypted_with(request.encryption_key)
    if base.architecture == "encoder":
        raise InvalidRequest(
            f"Model {base.alias} is an encoder. An adapter of one needs a classification head, which an "
            "adapter folder lacks.",
            code="unsupported_adapter",
            param="base",
        )
    folder = base_folder(base)
    layers = read_layers(folder)
    with scratch_folder() as scratch:
        given, made = scratch / "given", scratch / "made"
        for one in (given, made):
            one.mkdir()
        # Both checks come before anything is downloaded.
        for name, file in ((CONFIG_FILE, request.config), (WEIGHTS_FILE, request.weights)):
            check_size(name, store.stat(file.key).bytes, request.max_weights_bytes)
        config = read_config(_fetch(request.config, store, given / CONFIG_FILE))
        tensors = read_weights(_fetch(request.weights, store, given / WEIGHTS_FILE), config, layers)
        names = layers_of(tensors)
        options = _options(config, names)
        try:
            check_layers(options, layers, base.alias)
        except InvalidRequest as error:
            raise InvalidRequest(error.message, code="invalid_adapter", param="files") from error
        save_file(tensors, made / WEIGHTS_FILE, metadata={"format": "pt"})
        (made / CONFIG_FILE).write_text(json.dumps(_written(config, names, base), indent=2, sort_keys=True))
        tokenizer = load_tokenizer(base)
        manifest = Manifest(
            job_id=request.import_id,
            attempt=0,
            step=0,
            total_steps=0,
            epoch=0.0,
            form="lora",
            base_alias=base.alias,
            base_digest=base_digest(folder),
            data_sha256=None,
            template_sha256=template_digest(template_text(tokenizer)),
            config=None,
            files=[],
            probe=Probe(token_ids=[], logprobs=[]),
        )
        weights = upload(store, made, import_manifest_key(request.import_id), manifest)
    rows = [list(range(1, 1 + min(_ROW_TOKENS, base.context_length - 1, len(tokenizer) - 1)))]
    return ImportedAdapter(weights=weights, training=options, rows=rows)


def _fetch(file: StoredFile, store: ObjectStore, path: Path) -> Path:
    if store.download(file.key, path).sha256 != file.sha256:
        raise CorruptArtefact(f"The stored bytes of {path.name} are not the uploaded ones.")
    return path


def _options(config: AdapterConfig, names: list[str]) -> TrainingOptions:
    ranks, alphas = _patterns(config, names)
    if not ranks and not alphas and config.r <= _MAX_PLAIN_RANK and len(names) <= 1000:
        return TrainingOptions(
            type="lora",
            r=config.r,
            alpha=config.lora_alpha,
            target_modules=names,
            use_rslora=config.use_rslora,
        )
    return TrainingOptions(
        type="peft",
        peft_config={
            "peft_type": "LORA",
            "r": config.r,
            "lora_alpha": config.lora_alpha,
            "use_rslora": config.use_rslora,
            "target_modules": names,
            "rank_pattern": ranks,
            "alpha_pattern": alphas,
        },
    )


def _written(config: AdapterConfig, names: list[str], base: BaseSpec) -> dict[str, Any]:
    """Returns the new adapter_config.json."""
    ranks, alphas = _patterns(config, names)
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base.alias,
        "inference_mode": True,
        "bias": "none",
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": 0.0,
        "use_rslora": config.use_rslora,
        "target_modules": names,
        "rank_pattern": ranks,
        "alpha_pattern": alphas,
    }


def _patterns(config: AdapterConfig, names: list[str]) -> tuple[dict[str, int], dict[str, float]]:
    """Returns the ranks and scales that differ from the configuration's own, by the layer's full name."""
    ranks = {name: config.rank_of(name) for name in names}
    alphas = {name: config.alpha_of(name) for name in names}
    return (
        {name: rank for name, rank in ranks.items() if rank != config.r},
        {name: alpha for name, alpha in alphas.items() if alpha != config.lora_alpha},
    )
