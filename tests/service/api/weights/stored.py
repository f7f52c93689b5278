"""Tuned models whose weights are really in storage."""

import hashlib
from collections.abc import Mapping

from cluster.contracts.bases import WeightsForm
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.manifest import Manifest, ManifestFile, Probe
from cluster.storage.keys import sibling_key
from service.api.state import AppState
from service.db import tables
from tests.api import add_tuned_model

FILES = {
    "adapter_config.json": b'{"peft_type": "LORA"}',
    "adapter_model.safetensors": bytes(range(256)) * 40 + b"odd",
    "resume_optimizer.safetensors": b"moments",
    "notes.pkl": b"a pickle",
}


def add_stored_model(
    state: AppState, job_id: str, files: Mapping[str, bytes] = FILES, *, form: WeightsForm = "lora"
) -> tuple[str, str]:
    """Like `add_tuned_model`, with the files of both in storage."""
    names = add_tuned_model(state.database, job_id)
    with state.database.write() as session:
        model = session.get_one(tables.Model, names[0])
        checkpoint = session.get_one(tables.Checkpoint, f"ftckpt_{job_id}")
        for row in (model, checkpoint):
            row.form = form
            row.manifest_sha256 = _store(state, row.manifest_key, model.base, form, files)
    return names


def _store(state: AppState, key: str, base: str, form: WeightsForm, files: Mapping[str, bytes]) -> str:
    for name, content in files.items():
        state.store.put(sibling_key(key, name), content)
    manifest = Manifest(
        job_id="ftjob-1",
        attempt=1,
        step=7,
        total_steps=9,
        epoch=1.0,
        form=form,
        base_alias=base,
        base_digest="b" * 64,
        data_sha256="d" * 64,
        template_sha256="e" * 64,
        config=TrainingConfig(
            type="lora", r=8, alpha=16, dropout=0, target_modules="all-linear", on_overlength="error",
            num_workers=1, n_epochs=1, batch_size=4, learning_rate=1e-3, max_length=64, seed=5,
        ),
        files=[
            ManifestFile(name=name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
            for name, content in files.items()
        ],
        probe=Probe(token_ids=[], logprobs=[]),
    )  # fmt: skip
    content = manifest.model_dump_json().encode()
    state.store.put(key, content)
    return hashlib.sha256(content).hexdigest()
