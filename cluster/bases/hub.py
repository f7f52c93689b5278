"""The parts of the Hugging Face Hub that Tunery uses. Functions raise the errors of the hub's library, of the
network and of the disk; `why_failed` turns these into words.

The hub's library keeps its downloads in HF_HOME, once per machine or shared volume: a lock in that folder
keeps processes from downloading the same file twice. It reads the operator's token from HF_TOKEN.
"""

import errno
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.contracts.bases import HubSource

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

_TEXT_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]
_WEIGHTS = "*.safetensors"
# Subfolders hold other formats, except the one that starts with 1, which holds the pooling configuration of
# encoders.
_OTHER_FORMAT = "consolidated*.safetensors"
"""Mistral's own format. Its repositories also have the same weights in transformers' format."""
_IGNORED = ["[!1]*/*", _OTHER_FORMAT]
_FULL = (errno.ENOSPC, errno.EDQUOT)


def download(source: HubSource, *, weights: bool, report: Callable[[int, int], None] | None = None) -> Path:
    """Returns the folder of the repository at its commit, after downloading what is missing: configuration,
    tokenizer and template, and the weights if requested. Nothing executable, and no pickles.

    `report(done, total)` is called with bytes while files arrive. Without a network, a folder that is
    complete is still returned."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            source.repository,
            revision=source.revision,
            allow_patterns=[_WEIGHTS, *_TEXT_FILES] if weights else _TEXT_FILES,
            ignore_patterns=_IGNORED,
            tqdm_class=None if report is None else _progress(report),
        )
    )


def folder_here(source: HubSource) -> Path | None:
    """Returns what `download` returns if it has nothing to fetch, weights included; otherwise None. Contacts
    no one, so it cannot tell that a file is missing from a folder that another program has begun."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            snapshot_download(
                source.repository,
                revision=source.revision,
                allow_patterns=[_WEIGHTS, *_TEXT_FILES],
                ignore_patterns=_IGNORED,
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        return None


def arriving(source: HubSource) -> object:
    """Returns the state of the repository's files on this machine. It changes whenever the download of any of
    them has progressed, including that of another process, for which this one waits at the library's lock."""
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.file_download import repo_folder_name

    blobs = Path(HF_HUB_CACHE, repo_folder_name(repo_id=source.repository, repo_type="model"), "blobs")
    found = set()
    with suppress(OSError):
        for path in blobs.iterdir():
            # A file gets another name once it is complete.
            with suppress(OSError):
                state = path.stat()
                found.add((path.name, state.st_size, state.st_mtime_ns))
    return found


def are_weights(name: str) -> bool:
    """Whether a file with this name, directly in the folder of a base, has weights in transformers'
    format."""
    return fnmatchcase(name, _WEIGHTS) and not fnmatchcase(name, _OTHER_FORMAT)


def weight_digests(source: HubSource) -> dict[str, str] | None:
    """Returns the hub's own SHA-256 of each file of weights, by name. None if it has none for one of them."""
    files = _weight_files(source)
    digests = {file.path: file.lfs.sha256 for file in files if file.lfs is not None}
    return digests if digests and len(digests) == len(files) else None


def weight_sizes(source: HubSource) -> dict[str, int]:
    """Returns the bytes of each file of weights, by name."""
    return {file.path: file.size for file in _weight_files(source)}


@lru_cache(maxsize=64)
def stored_tensors(source: HubSource) -> Mapping[str, tuple[str, tuple[int, ...]]]:
    """Returns safetensors' name of the type, and the shape, of every tensor, by name, from the headers of the
    files of weights. Fetched once per process, because a commit does not change."""
    from huggingface_hub import get_safetensors_metadata

    metadata = get_safetensors_metadata(source.repository, revision=source.revision)
    return {
        name: (tensor.dtype, tuple(tensor.shape))
        for file in metadata.files_metadata.values()
        for name, tensor in file.tensors.items()
    }


def resolve_commit(repository: str, revision: str | None = None) -> str:
    """Returns the commit to which a branch, a tag or the default branch points now: 40 hex digits."""
    from huggingface_hub import HfApi

    commit = HfApi().model_info(repository, revision=revision).sha
    assert commit is not None, "the hub names a commit"
    return commit


def why_failed(error: Exception, name: str) -> str | None:
    """Returns a description of what went wrong with `name` at the hub. None if the error is not the hub's,
    the network's or the disk's."""
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        NotASafetensorsRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
        SafetensorsParsingError,
    )

    if isinstance(error, GatedRepoError | RepositoryNotFoundError | RevisionNotFoundError):
        return f"the hub has no {name}, or the token in HF_TOKEN may not read it"
    if isinstance(error, NotASafetensorsRepoError):
        return f"{name} has no weights as safetensors: neither model.safetensors nor its index"
    if isinstance(error, SafetensorsParsingError):
        return f"{name} has files of weights that cannot be read as safetensors"
    # The hub's own client for large files passes on the system's message as text.
    if getattr(error, "errno", None) in _FULL or os.strerror(errno.ENOSPC) in str(error):
        return f"{name} cannot be downloaded: the disk of HF_HOME is full"
    is_the_librarys = type(error).__module__.partition(".")[0] in ("huggingface_hub", "hf_xet")
    if is_the_librarys or isinstance(error, httpx2.HTTPError | OSError | ValueError | RuntimeError):
        return f"{name} cannot be downloaded from the hub ({type(error).__name__})"
    return None


def _weight_files(source: HubSource) -> "list[RepoFile]":
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    return [
        file
        for file in HfApi().list_repo_tree(source.repository, revision=source.revision)
        if isinstance(file, RepoFile) and "/" not in file.path and are_weights(file.path)
    ]


def _progress(report: Callable[[int, int], None]) -> type[Any]:
    """Makes a progress bar that shows nothing and reports instead. The hub's library has one bar for the
    bytes that it fetches, one for those that it has put into files, and one that counts files."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    most = 0

    class Progress(tqdm):  # type: ignore[misc]  # It has no types.
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            super().__init__(
                *arguments, **keywords | {"disable": False, "file": _Nowhere(), "mininterval": 0}
            )

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal most
            shown: bool | None = super().update(n)
            if self.unit == "B" and self.n > most:
                most = int(self.n)
                report(most, max(most, int(self.total or 0)))
            return shown

    return Progress


class _Nowhere:
    def write(self, _text: str) -> int:
        return 0

    def flush(self) -> None:
        pass
