"""The data sets of a run: the training set, the held-out set and the general set."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cluster.bases.general import GENERAL_SET
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.jobs import JobSpec
from cluster.storage.files import unobserved
from cluster.storage.store import ObjectStore
from cluster.training.data.compiled import compiled_dataset
from cluster.training.data.compiler import compile_file
from cluster.training.data.dataset import Dataset, split_held_out
from cluster.training.data.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Datasets:
    training: Dataset
    held_out: Dataset | None
    """The validation file, or the part split off the training file."""
    general: Dataset | None
    """The set on which forgetting is measured: the rows of the packaged set that fit the base, or the owner's
    own file. None for encoders, and if no row fits."""
    notes: list[str]
    """Messages to the job's owner about what is not measured, and why."""

    def evaluated_within(self, tokens: int | None) -> "Datasets":
        """Returns the same data sets without the held-out and general examples of more than `tokens` tokens,
        padding included, and with a note on how many were left out. A set in which nothing is left becomes
        None. If `tokens` is None, nothing is left out."""
        if tokens is None:
            return self
        notes = list(self.notes)
        held_out = _within(self.held_out, tokens, "held-out", notes)
        general = _within(self.general, tokens, "general", notes)
        return replace(self, held_out=held_out, general=general, notes=notes)


def load_datasets(
    spec: JobSpec,
    store: ObjectStore,
    tokenizer: Any,
    folder: Path,
    *,
    on_progress: Callable[[], None] = unobserved,
) -> Datasets:
    """Loads the data sets of a run. Calls `on_progress` while bytes move and rows are compiled. Raises
    InvalidDataset, which names the line, and the errors of storage and base."""
    config, base = spec.config, spec.base
    notes: list[str] = []
    compiled = partial(
        compiled_dataset,
        store,
        base,
        max_length=config.max_length,
        folder=folder,
        on_progress=on_progress,
    )
    own = partial(compiled, method=config.method, policy=config.on_overlength)
    training = own(key=spec.training_key, sha256=spec.training_sha256)
    held_out = None
    if spec.validation_key is not None and spec.validation_sha256 is not None:
        held_out = own(
            key=spec.validation_key, sha256=spec.validation_sha256, class_names=training.class_names
        )
    elif config.validation_split:
        training, held_out = split_held_out(training, config.validation_split, config.seed)
    general = None
    if base.architecture == "decoder":
        general = _general(spec, partial(compiled, method="supervised", policy="drop"), tokenizer, notes)
    return Datasets(training, held_out, general, notes)


def _within(data: Dataset | None, tokens: int, name: str, notes: list[str]) -> Dataset | None:
    if data is None or (fits := data.padded_lengths() <= tokens).all():
        return data
    notes.append(
        f"{np.count_nonzero(~fits)} of {len(data)} {name} example(s) are left out of validation and "
        f"evaluation: they have more than {tokens} tokens, as no example that is trained on, and might not "
        "fit into memory."
    )
    return data.subset(np.flatnonzero(fits)) if fits.any() else None


def _general(
    spec: JobSpec, compiled: Callable[..., Dataset], tokenizer: Any, notes: list[str]
) -> Dataset | None:
    if spec.general_key is not None and spec.general_sha256 is not None:
        return compiled(key=spec.general_key, sha256=spec.general_sha256)
    dataset, problems = _packaged(spec, tokenizer)
    if dataset is None:
        measured = "is not measured: the general set does not fit it"
    else:
        measured = f"is measured without {len(problems)} row(s) of the general set, which do not fit it"
    if problems:
        notes.append(
            f"What the model forgets {measured} ({problems[0]}). Give training.general_file to measure it on "
            "rows of your own."
        )
    return dataset


def _packaged(spec: JobSpec, tokenizer: Any) -> tuple[Dataset | None, list[str]]:
    """Returns the rows of the packaged general set that the base can render, and the problems of the other
    rows."""
    recipe = Recipe(spec.base, "supervised", spec.config.max_length, "drop")
    try:
        found = compile_file(GENERAL_SET, tokenizer, recipe)
    except InvalidRequest as error:
        # This base cannot render chats at all; it is trained on prompts and completions.
        return None, [error.message]
    return found.dataset, [problem.message for problem in found.problems]
