"""Resolves a catalogue entry to a folder of weights on this machine, and computes the digests that pin its
contents."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from cluster.contracts.bases import BaseSpec, BuiltinSource, FolderSource, HubSource
from cluster.contracts.errors import MODEL_NOT_AVAILABLE, Unavailable

_HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
"""Weights, configuration, tokenizer and template: nothing executable, and no pickles."""

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


def base_folder(spec: BaseSpec) -> Path:
    """Returns the folder with the base's weights, configuration and tokenizer, in transformers' format.

    A hub model is downloaded at its pinned commit on first use, and then read from the local cache without a
    network. Raises Unavailable (`model_not_available`) if the weights are missing or cannot be downloaded
    now. The operator may be able to fix that, and only the operator may see paths."""
    source = spec.source
    folder = _hub_snapshot(spec, source) if isinstance(source, HubSource) else local_folder(source)
    if problem := _problem(folder):
        raise _not_available(spec, problem)
    return folder


def why_unavailable(spec: BaseSpec) -> str | None:
    """Returns why the base cannot be used on this machine, as far as can be told without a network. None if
    it can be used, or has yet to be downloaded."""
    if isinstance(spec.source, HubSource):
        return None
    problem = _problem(local_folder(spec.source))
    return problem and _not_available(spec, problem).message


def base_digest(folder: Path) -> str:
    """Returns the SHA-256 over the names and contents of the folder's safetensors files, in the order of
    their names.

    Each file adds its name, a zero byte and the 32 bytes of its own SHA-256. The result is cached for as long
    as the files' sizes and modification times stay the same."""
    return _digest_of(sorted(folder.glob("*.safetensors")))


def tokenizer_digest(folder: Path) -> str:
    """Returns the SHA-256 over the folder's tokenizer files and chat template, computed like
    `base_digest`."""
    return _digest_of(sorted({file for pattern in _TOKENIZER_FILES for file in folder.glob(pattern)}))


def template_digest(template: str) -> str:
    """SHA-256 of a chat template's text."""
    return hashlib.sha256(template.encode()).hexdigest()


def _digest_of(files: list[Path]) -> str:
    return _digest_of_files(tuple((str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files))


@lru_cache(maxsize=64)
def _digest_of_files(states: tuple[tuple[str, int, int], ...]) -> str:
    total = hashlib.sha256()
    for name, _, _ in states:
        with Path(name).open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        total.update(Path(name).name.encode() + b"\0" + content.digest())
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


def _not_available(spec: BaseSpec, problem: str) -> Unavailable:
    return Unavailable(
        f"The base model '{spec.alias}' is not available: {problem}. The operator of this server must mend "
        "that, or take the model out of the catalogue.",
        code=MODEL_NOT_AVAILABLE,
        retry_after_seconds=_MENDED_SECONDS,
    )


def _hub_snapshot(spec: BaseSpec, source: HubSource) -> Path:
    # Imported here because only hub models need it, and it takes longer than all other imports.
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    name = f"{source.repository} at {source.revision}"
    try:
        return Path(
            snapshot_download(
                source.repository,
                revision=source.revision,
                allow_patterns=_HUB_FILES,
                # Subfolders hold other formats, except the one that starts with 1, which holds the pooling of
                # encoders.
                ignore_patterns=["[!1]*/*"],
            )
        )
    except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        problem = f"the hub has no {name}, or the token in HF_TOKEN may not read it"
        raise _not_available(spec, problem) from error
    except (httpx2.HTTPError, OSError, ValueError) as error:
        problem = f"{name} cannot be downloaded from the hub ({type(error).__name__})"
        raise _not_available(spec, problem) from error
