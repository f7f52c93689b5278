"""From a line of the catalogue to a folder of weights on this machine, and the digests that pin what is in
it."""

import hashlib
from functools import lru_cache
from pathlib import Path

from cluster.contracts.bases import BaseSpec, BuiltinSource, FolderSource, HubSource
from cluster.contracts.errors import InvalidConfiguration, Unavailable

_HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
"""Weights, configuration, tokenizer and template: nothing that could be run, no pickle."""

_TOKENIZER_FILES = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "*.txt",
    "*.model",
    "chat_template.*",
)
"""All that a tokenizer in transformers' format may consist of."""


def base_folder(spec: BaseSpec) -> Path:
    """The folder, in transformers' format, of the base's weights, configuration and tokenizer.

    A hub model is downloaded at its pinned commit on first use and then read from the local cache, without a
    network. Raises InvalidConfiguration if there are no such weights, Unavailable if the hub does not answer.
    """
    match spec.source:
        case BuiltinSource(name=name):
            folder = Path(__file__).parent / name / "weights"
        case FolderSource(path=path):
            folder = Path(path)
        case HubSource():
            folder = _hub_snapshot(spec.source)
    for pattern in ("config.json", "*.safetensors"):
        if not any(folder.glob(pattern)):
            raise InvalidConfiguration(
                f"Model {spec.alias}: no {pattern} in {folder}; a base is a folder in transformers' "
                "format with safetensors weights.",
                param="TUNERY_CATALOGUE",
            )
    return folder


def base_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the folder's safetensors files, in the order of names.

    Each file adds its name, a zero byte and the 32 bytes of its own SHA-256. The answer is kept for as long
    as the files' sizes and times of change stay the same.
    """
    return _digest_of(sorted(folder.glob("*.safetensors")))


def tokenizer_digest(folder: Path) -> str:
    """SHA-256 over the folder's tokenizer files and chat template, in the same manner as `base_digest`."""
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


def _hub_snapshot(source: HubSource) -> Path:
    # Here, because only hub models need it and it takes longer to import than all the rest.
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
                # Folders hold other formats; one that begins with 1 is where encoders' pooling is told.
                ignore_patterns=["[!1]*/*"],
            )
        )
    except (GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise InvalidConfiguration(
            f"The hub has no {name}, or the token in HF_TOKEN may not read it.", param="TUNERY_CATALOGUE"
        ) from error
    except (httpx2.HTTPError, OSError, ValueError) as error:
        raise Unavailable(f"Cannot download {name} from the hub: {type(error).__name__}.") from error
