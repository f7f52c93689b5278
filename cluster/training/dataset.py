"""The dataset compiler: from a stored JSONL file to token ids and loss masks. Deterministic, no torch."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest, Problem
from cluster.contracts.errors import CorruptArtefact, InvalidDataset
from cluster.contracts.hyperparameters import OnOverlength
from cluster.contracts.jsonl import MAX_PROBLEMS, read_rows
from cluster.contracts.rows import PreferenceRow
from cluster.storage.store import ObjectStore
from cluster.training.template import render_row


@dataclass(frozen=True, slots=True)
class Example:
    """One compiled row, after the over-length policy."""

    line: int
    token_ids: list[int]
    """Empty if the policy dropped the row, or truncated it to where nothing was left to learn."""
    mask: list[bool]
    full_length: int
    """Tokens before the policy."""
    is_overlength: bool = False

    @property
    def n_supervised(self) -> int:
        return sum(self.mask)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Compiled examples, end to end in flat arrays: a few bytes a token, shared without copies."""

    token_ids: npt.NDArray[np.int32]
    mask: npt.NDArray[np.bool_]
    offsets: npt.NDArray[np.int64]
    """Example i is [offsets[i], offsets[i + 1]); one longer than the examples."""
    lines: npt.NDArray[np.int32]
    """Each example's line in the file, from 1."""
    overlength_lines: list[int]
    """Lines that the policy dropped or truncated."""
    dropped_lines: list[int]
    """Of those, the ones that are not trained on at all."""

    def __len__(self) -> int:
        return len(self.lines)

    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.offsets)


def check_dataset(request: DatasetCheckRequest, store: ObjectStore) -> DatasetCheck:
    """What training on a stored file would be, line by line, without training.

    A file that breaks rules is an answer, not an error. Raises CorruptArtefact if the stored bytes are not
    the expected ones, NotFound, Unavailable and InvalidConfiguration as storage and base do.
    """
    tokenizer = load_tokenizer(request.base)
    n_examples = n_tokens = n_supervised = longest = 0
    problems: list[Problem] = []
    overlength: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        path = fetch(store, request.key, request.sha256, Path(folder))
        with path.open("rb") as stream:
            for found in compile_rows(stream, tokenizer, request.base.context_length, request.on_overlength):
                if isinstance(found, Problem):
                    if len(problems) < MAX_PROBLEMS:
                        problems.append(found)
                    continue
                longest = max(longest, found.full_length)
                n_examples += bool(found.token_ids)
                n_tokens += len(found.token_ids)
                n_supervised += found.n_supervised
                if found.is_overlength:
                    overlength.append(found.line)
    if not n_examples and not problems:
        problems.append(_nothing_left())
    return DatasetCheck(
        n_examples=n_examples,
        n_tokens=n_tokens,
        n_supervised_tokens=n_supervised,
        longest=longest,
        problems=problems,
        overlength_lines=overlength[:MAX_PROBLEMS],
        n_overlength=len(overlength),
    )


def load_dataset(path: Path, tokenizer: Any, max_length: int, policy: OnOverlength) -> Dataset:
    """The whole file, compiled. Raises InvalidDataset, which names the line, at the first problem."""
    token_ids: list[npt.NDArray[np.int32]] = []
    masks: list[npt.NDArray[np.bool_]] = []
    lines: list[int] = []
    overlength: list[int] = []
    dropped: list[int] = []
    with path.open("rb") as stream:
        for found in compile_rows(stream, tokenizer, max_length, policy):
            if isinstance(found, Problem):
                raise InvalidDataset(found.message, code=found.code, param=found.param)
            if found.is_overlength:
                overlength.append(found.line)
            if not found.token_ids:
                dropped.append(found.line)
                continue
            token_ids.append(np.array(found.token_ids, dtype=np.int32))
            masks.append(np.array(found.mask, dtype=np.bool_))
            lines.append(found.line)
    if not lines:
        raise InvalidDataset(_nothing_left().message, code=_nothing_left().code)
    return Dataset(
        token_ids=np.concatenate(token_ids),
        mask=np.concatenate(masks),
        offsets=np.cumsum([0, *map(len, token_ids)], dtype=np.int64),
        lines=np.array(lines, dtype=np.int32),
        overlength_lines=overlength,
        dropped_lines=dropped,
    )


def compile_rows(
    stream: BinaryIO, tokenizer: Any, max_length: int, policy: OnOverlength
) -> Iterator[Example | Problem]:
    """Row by row, in the order of lines. After a line that is no row at all, nothing more comes."""
    line = 0
    try:
        for line, row in read_rows(stream):
            if isinstance(row, PreferenceRow):
                raise InvalidDataset(
                    "The file holds preference rows; supervised training takes chat or completion rows.",
                    code="wrong_format",
                )
            try:
                token_ids, mask = render_row(tokenizer, row)
            except InvalidDataset as error:
                yield _problem(line, error.code, error.message, error.param)
                continue
            yield _within(max_length, policy, line, token_ids, mask)
    except InvalidDataset as error:
        # `read_rows` names the line in its message; every line before the broken one came as a row.
        at = line if error.code == "wrong_format" else line + 1
        yield Problem(line=at, code=error.code or "", message=error.message, param=error.param)


def fetch(store: ObjectStore, key: str, sha256: str, folder: Path) -> Path:
    """A copy of a stored file in `folder`. Raises CorruptArtefact if its bytes are not the expected ones."""
    path = folder / key.rpartition("/")[2]
    if store.download(key, path).sha256 != sha256:
        raise CorruptArtefact(f"The stored object {key!r} is not the file it was: its SHA-256 differs.")
    return path


def load_tokenizer(base: BaseSpec) -> Any:
    """The base's tokenizer, kept for the next call; code of the model's repository is never run."""
    return _tokenizer(base_folder(base))


@lru_cache(maxsize=8)
def _tokenizer(folder: Path) -> Any:
    # Here, because it takes seconds to import and most of the cluster's processes never need it.
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def _within(
    max_length: int, policy: OnOverlength, line: int, token_ids: list[int], mask: list[bool]
) -> Example | Problem:
    length = len(token_ids)
    if length <= max_length:
        if any(mask):
            return Example(line, token_ids, mask, length)
        return _problem(line, "nothing_to_learn", "no token of the row is learned")
    if policy == "error":
        return _problem(
            line,
            "too_long",
            f"{length} tokens, and the model takes {max_length}; shorten it, or choose `on_overlength` "
            "`drop` or `truncate`",
        )
    if policy == "truncate" and any(mask[:max_length]):
        return Example(line, token_ids[:max_length], mask[:max_length], length, is_overlength=True)
    return Example(line, [], [], length, is_overlength=True)


def _problem(line: int, code: str | None, message: str, param: str | None = None) -> Problem:
    return Problem(
        line=line, code=code or InvalidDataset.default_code, message=f"Line {line}: {message}", param=param
    )


def _nothing_left() -> Problem:
    return Problem(line=0, code="nothing_to_learn", message="No example is left to train on.")
