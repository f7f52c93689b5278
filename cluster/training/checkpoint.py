"""Checkpoints in storage: weights in the formats that others read, and beside them what a resume needs.

    adapter_config.json, adapter_model.safetensors    LoRA: PEFT's own
    config.json, model*.safetensors, tokenizer files  full: transformers' own
    resume_optimizer.safetensors                      AdamW's moments by parameter
    resume_weights.safetensors                        fp32 values, where the weights above are rounded
    resume_progress.json                              steps done, tokens trained
    manifest.json                                     written last; without it there is no checkpoint

Safetensors and JSON only: nothing in a checkpoint can run.
"""

import hashlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cluster.bases.chat_template import template_text
from cluster.bases.resolve import base_digest, base_folder, template_digest
from cluster.contracts.errors import CorruptArtefact, NotFound
from cluster.contracts.jobs import JobSpec
from cluster.contracts.manifest import Manifest, ManifestFile
from cluster.storage.keys import manifest_key, sibling_key
from cluster.storage.store import ObjectStore
from cluster.training.dataset import Dataset
from cluster.training.loop import Progress
from cluster.training.model import DTYPES, causal_model, trainable_parameters
from cluster.training.probe import score_probe

OPTIMIZER_FILE = "resume_optimizer.safetensors"
WEIGHTS_FILE = "resume_weights.safetensors"
PROGRESS_FILE = "resume_progress.json"


class Saved(NamedTuple):
    manifest_key: str
    manifest_sha256: str


class CheckpointWriter:
    """Writes the checkpoints of one attempt, each under its step's own keys."""

    def __init__(
        self,
        spec: JobSpec,
        store: ObjectStore,
        model: Any,
        optimizer: torch.optim.Optimizer,
        tokenizer: Any,
        probe_data: Dataset,
    ) -> None:
        self._spec, self._store, self._probe_data = spec, store, probe_data
        self._model, self._optimizer, self._tokenizer = model, optimizer, tokenizer
        self._base_digest = base_digest(base_folder(spec.base))

    def save(self, progress: Progress, *, total_steps: int) -> Saved:
        """Raises Unavailable if storage does not take it; what is there already stays as it was."""
        spec, dtype = self._spec, self._spec.base.dtype
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            save_weights(self._model, self._tokenizer, dtype, folder)
            save_resume_state(self._model, self._optimizer, progress, dtype, folder)
            manifest = Manifest(
                job_id=spec.job_id,
                attempt=spec.attempt,
                step=progress.step,
                total_steps=total_steps,
                epoch=progress.step * spec.config.n_epochs / total_steps,
                type=spec.config.type,
                base_alias=spec.base.alias,
                base_digest=self._base_digest,
                data_sha256=spec.training_sha256,
                template_sha256=template_digest(template_text(self._tokenizer)),
                config=spec.config,
                files=[],
                probe=score_probe(causal_model(self._model), self._probe_data),
            )
            key = manifest_key(spec.job_id, spec.attempt, progress.step)
            return upload(self._store, folder, key, manifest)


def save_weights(model: Any, tokenizer: Any, dtype: str, folder: Path) -> None:
    """Writes what serving needs: a LoRA adapter as PEFT does, or a full model, in the base's `dtype`."""
    if causal_model(model) is not model:
        from peft import get_peft_model_state_dict

        state = get_peft_model_state_dict(model, save_embedding_layers=False)
        save_file(_contiguous(state), folder / "adapter_model.safetensors", metadata={"format": "pt"})
        config = model.peft_config["default"]
        config.inference_mode = True
        config.save_pretrained(folder)
        config.inference_mode = False
        return
    state = {name: value.to(DTYPES[dtype]) for name, value in model.state_dict().items()}
    model.save_pretrained(folder, state_dict=state)
    config_path = folder / "config.json"
    config_path.write_text(json.dumps({**json.loads(config_path.read_text()), "dtype": dtype}, indent=2))
    tokenizer.save_pretrained(folder)


def save_resume_state(
    model: Any, optimizer: torch.optim.Optimizer, progress: Progress, dtype: str, folder: Path
) -> None:
    parameters = trainable_parameters(model)
    moments = {
        f"{name}:{moment}": optimizer.state[parameter][moment]
        for name, parameter in parameters.items()
        for moment in ("exp_avg", "exp_avg_sq")
    }
    save_file(_contiguous(moments), folder / OPTIMIZER_FILE)
    if causal_model(model) is model and dtype != "float32":
        save_file(_contiguous({n: p.detach() for n, p in parameters.items()}), folder / WEIGHTS_FILE)
    (folder / PROGRESS_FILE).write_text(json.dumps(asdict(progress)))


def upload(store: ObjectStore, folder: Path, manifest_key: str, manifest: Manifest) -> Saved:
    """Uploads every file of `folder`, and the manifest, completed with their sizes and digests, when all are
    stored. Raises CorruptArtefact if storage holds other bytes than the folder."""
    files = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        key = sibling_key(manifest_key, path.name)
        store.upload(key, path)
        if (stored := store.stat(key).bytes) != path.stat().st_size:
            raise CorruptArtefact(f"Storage holds {stored} bytes of {key!r} of {path.stat().st_size}.")
        files.append(ManifestFile(name=path.name, bytes=path.stat().st_size, sha256=sha256))
    body = manifest.model_copy(update={"files": files}).model_dump_json(indent=1).encode()
    store.put(manifest_key, body)
    return Saved(manifest_key, hashlib.sha256(body).hexdigest())


def download(store: ObjectStore, manifest_key: str, folder: Path) -> tuple[Manifest, Saved]:
    """All files of a checkpoint, in `folder`. Raises CorruptArtefact if one is missing or differs from the
    manifest, NotFound if there is no manifest."""
    body = store.get(manifest_key)
    try:
        manifest = Manifest.model_validate_json(body)
    except ValidationError as error:
        raise CorruptArtefact(f"The manifest {manifest_key!r} cannot be read.") from error
    for file in manifest.files:
        try:
            found = store.download(sibling_key(manifest_key, file.name), folder / file.name)
        except NotFound as error:
            raise CorruptArtefact(f"{file.name} of checkpoint {manifest_key!r} is missing.") from error
        if (found.bytes, found.sha256) != (file.bytes, file.sha256):
            raise CorruptArtefact(f"{file.name} of checkpoint {manifest_key!r} differs from its manifest.")
    return manifest, Saved(manifest_key, hashlib.sha256(body).hexdigest())


def check_same_run(spec: JobSpec, manifest: Manifest) -> None:
    """Raises CorruptArtefact if a checkpoint is not of this base, data and way of training."""
    expected = (base_digest(base_folder(spec.base)), spec.training_sha256, spec.config.type)
    if (manifest.base_digest, manifest.data_sha256, manifest.type) != expected:
        raise CorruptArtefact(
            f"The checkpoint of job {manifest.job_id} at step {manifest.step} was trained from another "
            "base or on other data."
        )


def restore(model: Any, optimizer: torch.optim.Optimizer, folder: Path) -> Progress:
    """Puts weights and optimizer back as they were saved, to the last bit. A full model must have been loaded
    from `folder` itself."""
    parameters = trainable_parameters(model)
    if causal_model(model) is not model:
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))
    elif (folder / WEIGHTS_FILE).exists():
        with torch.no_grad():
            for name, value in load_file(folder / WEIGHTS_FILE).items():
                parameters[name].copy_(value)
    progress = Progress(**json.loads((folder / PROGRESS_FILE).read_text()))
    moments = load_file(folder / OPTIMIZER_FILE)
    for name, parameter in parameters.items():
        optimizer.state[parameter] = {
            "step": torch.tensor(float(progress.step), device=parameter.device),
            "exp_avg": moments[f"{name}:exp_avg"].to(parameter.device),
            "exp_avg_sq": moments[f"{name}:exp_avg_sq"].to(parameter.device),
        }
    return progress


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}
