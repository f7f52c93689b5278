"""One attempt of a job, in one worker: from its specification to stored checkpoints. No Ray."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cluster.bases.resolve import base_folder
from cluster.contracts.jobs import (
    CheckpointSaved,
    Command,
    Finished,
    JobSpec,
    RunnerEvent,
    RunnerMessage,
    StepMetrics,
    Stopped,
)
from cluster.storage.store import ObjectStore
from cluster.training.checkpoint import CheckpointWriter, check_same_run, download, restore
from cluster.training.dataset import Dataset, fetch, load_dataset, load_tokenizer
from cluster.training.loop import Progress, make_optimizer, train
from cluster.training.model import autocast, causal_model, check_vocabulary, load_model, trainable_parameters
from cluster.training.world import joined_world

SHOWN_LINES = 20


def run_attempt(
    spec: JobSpec,
    store: ObjectStore,
    *,
    report: Callable[[RunnerEvent], None],
    command: Callable[[], Command],
    device: torch.device,
) -> Finished | Stopped | None:
    """Trains as `spec` says and stores checkpoints under the attempt's own keys.

    Every worker of the gang calls this; only the first one reports, writes and returns the final state.
    Events come without a number (`seq` 0). Raises the errors of `loop.train` and of storage, InvalidDataset,
    and CorruptArtefact if data or checkpoint are not what the specification names.
    """
    world = joined_world()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = load_tokenizer(spec.base)
        data, validation = _load_data(spec, store, tokenizer, folder)
        if world.is_first:
            for text in overlength_messages(data, validation):
                report(RunnerMessage(seq=0, created_at=int(time.time()), level="warn", message=text))
        weights, resumed, saved = base_folder(spec.base), folder / "resumed", None
        if spec.resume_from is not None:
            resumed.mkdir()
            manifest, saved = download(store, spec.resume_from, resumed)
            check_same_run(spec, manifest)
            weights = resumed if spec.config.type == "full" else weights
        model = load_model(weights, spec.base, spec.config, device)
        check_vocabulary(causal_model(model), int(data.token_ids.max()))
        parameters = trainable_parameters(model)
        optimizer = make_optimizer(parameters, spec.config)
        start = Progress() if saved is None else restore(model, optimizer, resumed)
    writer = CheckpointWriter(spec, store, model, optimizer, tokenizer, validation or data)

    def save(progress: Progress, metrics: StepMetrics) -> None:
        nonlocal saved
        saved = writer.save(progress, total_steps=metrics.total_steps)
        report(
            CheckpointSaved(
                seq=0,
                created_at=int(time.time()),
                step=progress.step,
                manifest_key=saved.manifest_key,
                manifest_sha256=saved.manifest_sha256,
                metrics=metrics,
            )
        )

    outcome = train(
        causal_model(model),
        parameters,
        optimizer,
        data,
        validation,
        spec.config,
        report=report,
        command=command,
        checkpoint=save,
        autocast=lambda: autocast(spec.base, device),
        start=start,
        world=world,
    )
    if not world.is_first:
        return None
    if not outcome.is_complete:
        return Stopped()
    assert saved is not None, (
        "an epoch's last step saves a checkpoint, and so did a run that is resumed there"
    )
    return Finished(
        trained_tokens=outcome.progress.trained_tokens,
        manifest_key=saved.manifest_key,
        manifest_sha256=saved.manifest_sha256,
    )


def overlength_messages(data: Dataset, validation: Dataset | None) -> list[str]:
    """What the over-length policy did, for the job's events; nothing if it had nothing to do."""
    messages = []
    for name, found in (("training", data), ("validation", validation)):
        if found is None or not found.overlength_lines:
            continue
        truncated = sorted(set(found.overlength_lines) - set(found.dropped_lines))
        for verb, lines in (("Dropped", found.dropped_lines), ("Truncated", truncated)):
            if lines:
                shown = ", ".join(map(str, lines[:SHOWN_LINES])) + (" …" if len(lines) > SHOWN_LINES else "")
                messages.append(
                    f"{verb} {len(lines)} example(s) of the {name} file that are longer than the model's "
                    f"context; line(s): {shown}"
                )
    return messages


def _load_data(
    spec: JobSpec, store: ObjectStore, tokenizer: Any, folder: Path
) -> tuple[Dataset, Dataset | None]:
    config = spec.config
    path = fetch(store, spec.training_key, spec.training_sha256, folder)
    data = load_dataset(path, tokenizer, config.max_length, config.on_overlength)
    if spec.validation_key is None or spec.validation_sha256 is None:
        return data, None
    path = fetch(store, spec.validation_key, spec.validation_sha256, folder)
    return data, load_dataset(path, tokenizer, config.max_length, config.on_overlength)
