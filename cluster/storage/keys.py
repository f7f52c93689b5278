"""Where things are kept: the names of objects, and what a name may look like."""

import re
from dataclasses import dataclass

from cluster.contracts.errors import InvalidRequest

_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,200}")
_LONGEST_KEY = 900
"""S3 takes 1024 bytes, of which the bucket prefix needs some."""


def checked_key(key: str) -> str:
    """Returns `key` if it is `segment/segment/…`, each of letters, digits, `.`, `_`, `-`; else
    InvalidRequest.

    The same rule for every store, so that a key which works in a folder works in S3 and none can leave the
    store.
    """
    if len(key) > _LONGEST_KEY:
        raise InvalidRequest(
            f"Object key of {len(key)} characters; at most {_LONGEST_KEY} are allowed.", param="key"
        )
    for segment in key.split("/"):
        if segment in {".", ".."} or not _SEGMENT.fullmatch(segment):
            raise InvalidRequest(
                f"Object key {key!r} is not allowed: every part between '/' must be 1-200 of "
                "A-Z a-z 0-9 . _ - and neither '.' nor '..'.",
                param="key",
            )
    return key


def checked_prefix(prefix: str) -> str:
    """Returns `prefix` if a key may begin with it; it may be empty or end in `/`."""
    if prefix:
        checked_key(prefix.removesuffix("/"))
    return prefix


def file_key(file_id: str) -> str:
    """The content of an uploaded or written file."""
    return checked_key(f"files/{_segment(file_id)}")


def dataset_prefix(file_sha256: str) -> str:
    """All that was compiled of files with these bytes: to be deleted with the last of them, and no loss but
    of time."""
    return checked_key(f"datasets/{_segment(file_sha256)}") + "/"


def dataset_key(file_sha256: str, digest: str) -> str:
    """A compiled training file, named by its bytes and by all else that decides what they compile to."""
    return checked_key(f"{dataset_prefix(file_sha256)}{_segment(digest)}.safetensors")


def attempt_prefix(job_id: str, number: int) -> str:
    """All that one attempt writes. The attempt's number is the fence: no two attempts share a key."""
    return checked_key(f"jobs/{_segment(job_id)}/attempts/{number}") + "/"


def spec_key(job_id: str, number: int) -> str:
    """The JobSpec that the scheduler writes and the runner reads."""
    return attempt_prefix(job_id, number) + "spec.json"


def manifest_key(job_id: str, number: int, step: int) -> str:
    """A checkpoint's manifest. Zero-padded, so that the order of keys is the order of steps."""
    return f"{attempt_prefix(job_id, number)}checkpoints/step-{step:08d}/manifest.json"


def sibling_key(manifest_key: str, name: str) -> str:
    """The key of a file that a manifest names, always in the manifest's own folder."""
    return checked_key(f"{manifest_key.rpartition('/')[0]}/{_segment(name)}")


@dataclass(frozen=True, slots=True)
class FileKey:
    file_id: str


@dataclass(frozen=True, slots=True)
class DatasetKey:
    file_sha256: str


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """Something that attempt `number` of a job wrote."""

    job_id: str
    number: int
    step: int | None
    """Of the checkpoint that it belongs to."""
    folder: str
    """The key up to `name`: the same for a checkpoint's files and its manifest."""
    name: str


ObjectKey = FileKey | DatasetKey | AttemptKey

FOLDERS = ("files/", "datasets/", "jobs/")
"""Beginnings of all keys that stand for a place."""
_KEYS = re.compile(
    r"files/(?P<file_id>[^/]+)|datasets/(?P<file_sha256>[^/]+)/[^/]+|"
    r"(?P<folder>jobs/(?P<job_id>[^/]+)/attempts/(?P<number>\d+)/(checkpoints/step-(?P<step>\d+)/)?)"
    r"(?P<name>[^/]+)"
)


def parse_key(key: str) -> ObjectKey | None:
    """What the key names; None if none of the functions above made it."""
    found = _KEYS.fullmatch(key)
    if found is None:
        return None
    if found["file_id"]:
        return FileKey(found["file_id"])
    if found["file_sha256"]:
        return DatasetKey(found["file_sha256"])
    step = None if found["step"] is None else int(found["step"])
    return AttemptKey(found["job_id"], int(found["number"]), step, found["folder"], found["name"])


def _segment(name: str) -> str:
    """A part of a key must not bring folders of its own."""
    if "/" in name:
        raise InvalidRequest(f"Name {name!r} in an object key has a '/'.", param="key")
    return name
