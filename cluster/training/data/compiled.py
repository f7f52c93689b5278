"""Compiles each training file once. The result is kept in the object store under a key that is a digest of
everything that affects it."""

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cluster.bases.configs import read_config
from cluster.bases.fit import check_trainable
from cluster.bases.layers import base_layers
from cluster.bases.resolve import current_base_digest, template_digest, tokenizer_digest, tokenizer_folder
from cluster.bases.text.chat_template import chat_template, template_text
from cluster.contracts.adapter_layers import check_layers
from cluster.contracts.bases import BaseSpec
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest, DatasetFormat, RowLength
from cluster.contracts.errors import CorruptArtefact, InvalidDataset, InvalidRequest, NotFound, TuneryError
from cluster.contracts.hyperparameters import Method, OnOverlength
from cluster.contracts.jsonl import MAX_PROBLEMS
from cluster.planning.shapes import shape_of
from cluster.storage.files import unobserved
from cluster.storage.keys import dataset_key
from cluster.storage.store import ObjectStore
from cluster.training.data.answers import added_end
from cluster.training.data.compiler import Compiled, compile_file
from cluster.training.data.dataset import Dataset, split_held_out
from cluster.training.data.recipe import Recipe
from cluster.training.data.stored import FORMAT_VERSION, Unreadable, read_compiled, write_compiled
from cluster.training.data.tokenizer import load_tokenizer

_LONGEST_ROWS = 5

logger = logging.getLogger(__name__)


def compiled_dataset(
    store: ObjectStore,
    base: BaseSpec,
    *,
    key: str,
    sha256: str,
    method: Method,
    max_length: int,
    policy: OnOverlength,
    class_names: tuple[str, ...] = (),
    folder: Path,
    on_progress: Callable[[], None] = unobserved,
) -> Dataset:
    """Returns the compiled form of the stored file at `key`, from the store if it was compiled before.
    `folder` holds downloads. `on_progress` is called while bytes move and rows are compiled.

    Raises InvalidDataset, which names the line, for a problem in the file; CorruptArtefact if its bytes are
    not the expected ones; and the NotFound, Unavailable and InvalidConfiguration that storage and base raise.
    """
    recipe = Recipe(base, method, max_length, policy, class_names)
    compiled = _compiled(store, recipe, key, sha256, folder, on_progress)
    for problem in compiled.problems:
        raise InvalidDataset(problem.message, code=problem.code, param=problem.param)
    assert compiled.dataset is not None, "a file without problems has examples"
    return compiled.dataset


def check_dataset(request: DatasetCheckRequest, store: ObjectStore) -> DatasetCheck:
    """Describes what training on a stored file would use, without training. The compiled file is kept.

    Problems in the file are part of the result, not errors. Raises CorruptArtefact if the stored bytes are
    not the expected ones; the NotFound, Unavailable and InvalidConfiguration that storage and base raise; and
    InvalidRequest if `training` names layers that the base does not have, or if the base has other weights
    than expected (`base_changed`).
    """
    base = request.base
    store = store.encrypted_with(request.encryption_key)
    if request.base_sha256 is not None and request.base_sha256 != current_base_digest(base):
        raise InvalidRequest(
            f"The weights of the base model '{base.alias}' are no longer those that the job to repeat was "
            "trained from. Give training.allow_changed_base to train from the present ones.",
            code="base_changed",
            param="training.source_job",
        )
    shape = None
    if request.training is not None:
        of_base = tokenizer_folder(base)
        check_trainable(base, of_base)
        shape = shape_of(read_config(of_base))
        check_layers(request.training, base_layers(base), base.alias, shape)
    classes = tuple(request.class_names)
    recipe = Recipe(
        base, request.method, request.max_length or base.context_length, request.on_overlength, classes
    )
    with tempfile.TemporaryDirectory() as folder:
        found = _compiled(store, recipe, request.key, request.sha256, Path(folder))
    data = found.dataset
    notes = _notes(found.format, load_tokenizer(base))
    if data is None:
        return DatasetCheck(
            format=found.format,
            n_examples=0,
            n_tokens=0,
            n_supervised_tokens=0,
            longest=found.longest,
            problems=found.problems,
        )
    trained, held_out = data, None
    if request.validation_split:
        trained, held_out = split_held_out(data, request.validation_split, request.seed)
    return DatasetCheck(
        format=found.format,
        n_examples=len(data),
        n_tokens=len(data.token_ids),
        n_supervised_tokens=int(data.mask.sum()),
        longest=found.longest,
        n_held_out=0 if held_out is None else len(held_out),
        n_held_out_tokens=0 if held_out is None else len(held_out.token_ids),
        n_held_out_supervised_tokens=0 if held_out is None else int(held_out.mask.sum()),
        longest_rows=_longest_rows(trained),
        class_names=list(data.class_names),
        problems=found.problems,
        dropped_lines=_distinct(data.dropped_lines),
        n_dropped=len(data.dropped_lines),
        truncated_lines=_distinct(data.truncated_lines),
        n_truncated=len(data.truncated_lines),
        notes=notes,
        shape=shape,
    )


def _distinct(lines: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(lines))[:MAX_PROBLEMS]


def fetch(
    store: ObjectStore, key: str, sha256: str, folder: Path, on_progress: Callable[[], None] = unobserved
) -> Path:
    """Copies a stored file to `folder`. Raises CorruptArtefact if its bytes are not the expected ones."""
    path = folder / key.rpartition("/")[2]
    if store.download(key, path, on_progress=on_progress).sha256 != sha256:
        raise CorruptArtefact(f"The stored object {key!r} is not the file it was: its SHA-256 differs.")
    return path


def _compiled(
    store: ObjectStore,
    recipe: Recipe,
    key: str,
    sha256: str,
    folder: Path,
    on_progress: Callable[[], None] = unobserved,
) -> Compiled:
    tokenizer = load_tokenizer(recipe.base)
    kept_key = dataset_key(sha256, _digest(recipe, tokenizer, store.encryption_key))
    kept = folder / "compiled.safetensors"
    is_unreadable = False
    try:
        store.download(kept_key, kept, on_progress=on_progress)
        return read_compiled(kept)
    except NotFound:
        pass
    except Unreadable as error:
        is_unreadable = True
        logger.warning("%s cannot be read and is compiled again: %s", kept_key, error)
    path = fetch(store, key, sha256, folder, on_progress)
    compiled = compile_file(path, tokenizer, recipe, on_progress)
    if not compiled.problems:
        write_compiled(kept, compiled)
        try:
            # Other processes may have compiled it meanwhile, and may be reading it.
            if is_unreadable or not _exists(store, kept_key):
                store.upload(kept_key, kept, on_progress=on_progress)
        except TuneryError as error:
            logger.warning("%s could not be kept, so it will be compiled again: %s", kept_key, error)
    return compiled


def _exists(store: ObjectStore, key: str) -> bool:
    try:
        store.stat(key)
    except NotFound:
        return False
    return True


def _longest_rows(data: Dataset) -> list[RowLength]:
    lengths = data.lengths()
    longest: dict[int, int] = {}
    for each in np.argsort(-lengths, kind="stable"):
        longest.setdefault(int(data.lines[each]), int(lengths[each]))
        if len(longest) == _LONGEST_ROWS:
            break
    return [RowLength(line=line, tokens=tokens) for line, tokens in longest.items()]


def _notes(format: DatasetFormat | None, tokenizer: Any) -> list[str]:
    if format not in ("chat", "preference") or (end := added_end(chat_template(tokenizer))) is None:
        return []
    return [
        "This model's chat template ends answers with no token that the model could learn to stop at, so its "
        f"end-of-text token {end} is added after the last answer of every conversation, and learned."
    ]


def _digest(recipe: Recipe, tokenizer: Any, encryption_key: str | None) -> str:
    parts: list[object] = [
        FORMAT_VERSION,
        # Other releases may tokenize the same text differently.
        version("tokenizers"),
        version("transformers"),
        tokenizer_digest(tokenizer_folder(recipe.base)),
        template_digest(template_text(tokenizer)),
        recipe.base.architecture,
        recipe.method,
        recipe.max_length,
        recipe.policy,
        recipe.class_names,
    ]
    if encryption_key is not None:
        # Projects with the same file share its compiled form only if they share a key, too.
        parts.append(encryption_key)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
