"""Resolves a catalogue entry to a folder of weights on this machine, and computes the digests that pin its
contents."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from cluster.bases import hub
from cluster.bases.file_digests import file_digests
from cluster.contracts.bases import BaseSpec, BuiltinSource, FolderSource, HubSource
from cluster.contracts.errors import MODEL_NOT_AVAILABLE, Unavailable

Answer = TypeVar("Answer")

_MENDED_SECONDS = 30.0
"""When a request for an unavailable model may be worth retrying."""

_TOKENIZER_FILES = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "*.txt",
    "*.model",
    "chat_template.*",
)
"""All files that a tokenizer in transformers' format may consist of."""


def base_folder(spec: BaseSpec, *, report: Callable[[int, int], None] | None = None) -> Path:
    """Returns the folder with the base's weights, configuration and tokenizer, in transformers' format.

    A hub model is downloaded at its pinned commit on first use, and then read from the local cache without a
    network. `report(done, total)` is called with bytes during the download. Raises Unavailable
    (`model_not_available`) if the weights are missing or cannot be downloaded now. The operator may be able
    to fix that, and only the operator may see paths."""
    return _complete(spec, _folder(spec, weights=True, report=report))


def tokenizer_folder(spec: BaseSpec) -> Path:
    """Like `base_folder`, for callers that need no weights: of a hub model, only configuration, tokenizer and
    template are downloaded."""
    folder = _folder(spec, weights=False)
    return folder if isinstance(spec.source, HubSource) else _complete(spec, folder)


def arriving(spec: BaseSpec) -> object:
    """Returns the state of a hub model's files on this machine. It changes whenever the download of any of
    them has progressed, including that of another process, for which `base_folder` waits."""
    return hub.arriving(spec.source) if isinstance(spec.source, HubSource) else None


def folder_here(spec: BaseSpec) -> Path | None:
    """The base's folder if this machine has all its files, so that nothing is left to download; otherwise
    None."""
    source = spec.source
    folder = hub.folder_here(source) if isinstance(source, HubSource) else local_folder(source)
    # What another program has left in the hub's cache counts as complete there.
    return folder if folder is not None and _problem(folder) is None else None


def why_unavailable(spec: BaseSpec) -> str | None:
    """Returns why the base cannot be used on this machine, as far as that can be known without a network.
    None if it can be used, or has yet to be downloaded."""
    if isinstance(spec.source, HubSource):
        return None
    problem = _problem(local_folder(spec.source))
    return problem and not_available(spec, problem).message


def not_available(spec: BaseSpec, problem: str) -> Unavailable:
    """Makes the error for a base that this machine cannot use, for a reason that the operator can fix."""
    return Unavailable(
        f"The base model '{spec.alias}' is not available: {problem}. The operator of this server must mend "
        "that, or take the model out of the catalogue.",
        code=MODEL_NOT_AVAILABLE,
        retry_after_seconds=_MENDED_SECONDS,
    )


def ask_hub(spec: BaseSpec, source: HubSource, ask: Callable[[HubSource], Answer]) -> Answer:
    """Calls a function of `hub`. Raises Unavailable (`model_not_available`) if the hub does not answer."""
    try:
        return ask(source)
    except Exception as error:
        problem = hub.why_failed(error, f"{source.repository} at {source.revision}")
        if problem is None:
            raise
        raise not_available(spec, problem) from error


def base_digest(folder: Path) -> str:
    """Returns the SHA-256 over the names and contents of the folder's safetensors files, in the order of
    their names.

    Each file adds its name, a zero byte and the 32 bytes of its own SHA-256. The result is cached for as long
    as the files' sizes and modification times stay the same."""
    return _digest_of(sorted(file for file in folder.iterdir() if hub.are_weights(file.name)))


def current_base_digest(spec: BaseSpec) -> str:
    """Returns the `base_digest` of the base as it is now. A hub model is not downloaded for that if the hub
    knows the digests of its files."""
    if isinstance(spec.source, HubSource) and folder_here(spec) is None:
        digests = ask_hub(spec, spec.source, hub.weight_digests)
        if digests is not None:
            names = sorted(digests)
            return _combined(names, [digests[name] for name in names])
    return base_digest(base_folder(spec))


def tokenizer_digest(folder: Path) -> str:
    """Returns the SHA-256 over the folder's tokenizer files and chat template, computed like
    `base_digest`."""
    return _digest_of(sorted({file for pattern in _TOKENIZER_FILES for file in folder.glob(pattern)}))


def template_digest(template: str) -> str:
    """Returns the SHA-256 of a chat template's text."""
    return hashlib.sha256(template.encode()).hexdigest()


def _digest_of(files: list[Path]) -> str:
    return _digest_of_files(tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files))


@lru_cache(maxsize=64)
def _digest_of_files(states: tuple[tuple[str, int, int], ...]) -> str:
    files = [Path(name) for name, _, _ in states]
    return _combined([file.name for file in files], file_digests(files))


def _combined(names: Sequence[str], digests: Sequence[str]) -> str:
    total = hashlib.sha256()
    for name, digest in zip(names, digests, strict=True):
        total.update(name.encode() + b"\0" + bytes.fromhex(digest))
    return total.hexdigest()


def local_folder(source: BuiltinSource | FolderSource) -> Path:
    if isinstance(source, BuiltinSource):
        return Path(__file__).parent / source.name / "weights"
    return Path(source.path)


def _problem(folder: Path) -> str | None:
    """Returns why the folder does not hold a usable model, or None."""
    if not folder.is_dir():
        return "its folder does not exist"
    for pattern in ("config.json", "*.safetensors"):
        if not any(folder.glob(pattern)):
            return f"its folder has no {pattern}"
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return None
    try:
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"its folder's {index.name} cannot be read"
    missing = sorted(shard for shard in shards if not (folder / str(shard)).is_file())
    return f"its folder has no {missing[0]}" if missing else None


def _folder(spec: BaseSpec, *, weights: bool, report: Callable[[int, int], None] | None = None) -> Path:
    if not isinstance(spec.source, HubSource):
        return local_folder(spec.source)
    return ask_hub(spec, spec.source, lambda source: hub.download(source, weights=weights, report=report))


def _complete(spec: BaseSpec, folder: Path) -> Path:
    if problem := _problem(folder):
        raise not_available(spec, problem)
    return folder
