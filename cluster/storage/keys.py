"""The keys of stored objects, and the rules that a key must follow."""

import re
from dataclasses import dataclass

from cluster.contracts.errors import InvalidRequest

_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,200}")
_REPORT = ".report.json"
_LONGEST_KEY = 900
"""S3 allows 1024 bytes, of which the prefix inside the bucket needs some."""


def checked_key(key: str) -> str:
    """Returns `key` if it is `segment/segment/…`, each made of letters, digits, `.`, `_` and `-`. Raises
    InvalidRequest otherwise.

    The rule is the same for every store, so that a key that works in a folder works in S3, and no key can
    leave the store.
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
    """Returns the key of an uploaded or written file's content."""
    return checked_key(f"files/{_segment(file_id)}")


def part_key(upload_id: str, part_id: str) -> str:
    """Returns the key of a part of an upload whose file does not exist yet."""
    return checked_key(f"uploads/{_segment(upload_id)}/{_segment(part_id)}")


def dataset_prefix(file_sha256: str) -> str:
    """Returns the prefix of everything that was compiled from files with these bytes, and of their data
    reports. It is deleted with the last of these files; losing it only costs time."""
    return checked_key(f"datasets/{_segment(file_sha256)}") + "/"


def dataset_key(file_sha256: str, digest: str) -> str:
    """Returns the key of a compiled training file, named by its bytes and by everything else that affects the
    result."""
    return checked_key(f"{dataset_prefix(file_sha256)}{_segment(digest)}.safetensors")


def report_key(file_sha256: str, digest: str) -> str:
    """Returns the key of a data report, named by the file's bytes and by everything else that affects the
    result."""
    return checked_key(f"{dataset_prefix(file_sha256)}{_segment(digest)}{_REPORT}")


def attempt_prefix(job_id: str, number: int) -> str:
    """Returns the prefix of everything that one attempt writes. The attempt's number is the fence: no two
    attempts share a key."""
    return checked_key(f"jobs/{_segment(job_id)}/attempts/{number}") + "/"


def spec_key(job_id: str, number: int) -> str:
    """Returns the key of the JobSpec that the scheduler writes and the runner reads."""
    return attempt_prefix(job_id, number) + "spec.json"


def manifest_key(job_id: str, number: int, step: int) -> str:
    """Returns the key of a checkpoint's manifest. The step is zero-padded, so that keys sort by step."""
    return f"{attempt_prefix(job_id, number)}checkpoints/step-{step:08d}/manifest.json"


def import_manifest_key(import_id: str) -> str:
    """Returns the key of an imported adapter's manifest. No attempt writes it: every try stores the same
    bytes."""
    return checked_key(f"imports/{_segment(import_id)}/manifest.json")


def export_manifest_key(export_id: str) -> str:
    """Returns the key of the manifest of exported weights. Every try stores the same bytes."""
    return checked_key(f"exports/{_segment(export_id)}/manifest.json")


def folder_of(key: str) -> str:
    """Returns the key up to and including the last `/`."""
    return key.rpartition("/")[0] + "/"


def sibling_key(manifest_key: str, name: str) -> str:
    """Returns the key of a file that a manifest names, always in the manifest's own folder."""
    return checked_key(folder_of(manifest_key) + _segment(name))


@dataclass(frozen=True, slots=True)
class FileKey:
    file_id: str


@dataclass(frozen=True, slots=True)
class PartKey:
    upload_id: str


@dataclass(frozen=True, slots=True)
class DatasetKey:
    file_sha256: str
    is_report: bool = False
    """Whether it is a data report instead of a compiled file."""


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """Something that attempt `number` of a job wrote."""

    job_id: str
    number: int
    step: int | None
    """The step of the checkpoint that the object belongs to; None if it belongs to none."""
    folder: str
    """The key up to `name`. A checkpoint's files share it with their manifest."""
    name: str


@dataclass(frozen=True, slots=True)
class ImportKey:
    """A file of an imported adapter."""

    import_id: str


@dataclass(frozen=True, slots=True)
class ExportKey:
    """A file of exported weights."""

    export_id: str


ObjectKey = FileKey | PartKey | DatasetKey | ImportKey | ExportKey | AttemptKey

FOLDERS = ("files/", "uploads/", "datasets/", "imports/", "exports/", "jobs/")
"""The prefixes of all keys that `parse_key` knows."""
_KEYS = re.compile(
    r"files/(?P<file_id>[^/]+)|uploads/(?P<upload_id>[^/]+)/[^/]+|datasets/(?P<file_sha256>[^/]+)/[^/]+|"
    r"imports/(?P<import_id>[^/]+)/[^/]+|exports/(?P<export_id>[^/]+)/[^/]+|"
    r"(?P<folder>jobs/(?P<job_id>[^/]+)/attempts/(?P<number>\d+)/(checkpoints/step-(?P<step>\d+)/)?)"
    r"(?P<name>[^/]+)"
)


def parse_key(key: str) -> ObjectKey | None:
    """Returns what the key names; None if none of the functions above made the key."""
    found = _KEYS.fullmatch(key)
    if found is None:
        return None
    if found["file_id"]:
        return FileKey(found["file_id"])
    if found["upload_id"]:
        return PartKey(found["upload_id"])
    if found["file_sha256"]:
        return DatasetKey(found["file_sha256"], key.endswith(_REPORT))
    if found["import_id"]:
        return ImportKey(found["import_id"])
    if found["export_id"]:
        return ExportKey(found["export_id"])
    step = None if found["step"] is None else int(found["step"])
    return AttemptKey(found["job_id"], int(found["number"]), step, found["folder"], found["name"])


def _segment(name: str) -> str:
    """Refuses a name that would add folders to a key."""
    if "/" in name:
        raise InvalidRequest(f"Name {name!r} in an object key has a '/'.", param="key")
    return name
