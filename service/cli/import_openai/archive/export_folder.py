"""Reads an export folder: anything that was saved from an account by hand or with a script, or another
archive.

Every .json and .jsonl file below it is searched for OpenAI's objects, alone, in arrays or in list pages. The
contents of files are found by their ids in the names, such as `file-AbC123.jsonl`."""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from service.cli.import_openai.archive.archive import (
    FORMAT,
    Archive,
    Kind,
    is_id,
    result_files,
    write_json,
    write_lines,
    written,
)
from service.cli.import_openai.archive.fetching import Fetched

_MAX_OBJECT_BYTES = 512 * 1024**2
_SUFFIXES = (".json", ".jsonl", ".csv")
_FILE_ID = re.compile(r"file-[A-Za-z0-9_-]{4,}")
_JOB_ID = re.compile(r"ftjob-[A-Za-z0-9_-]{4,}")
_Objects = dict[str, dict[str, Any]]


def read_export(folder: Path, archive: Archive) -> Fetched:
    """Copies what is found into the archive. Unreadable files are listed in the result's problems."""
    write_json(archive.folder / "archive.json", {"format": FORMAT, "source": str(folder.absolute())})
    jobs: _Objects = {}
    files: _Objects = {}
    parts: dict[tuple[Kind, str], _Objects] = defaultdict(dict)
    contents: dict[str, Path] = {}
    problems = []
    for path in _paths(folder):
        if (named := _FILE_ID.fullmatch(path.stem)) and path.suffix in (".jsonl", ".csv"):
            if is_id(named[0]):
                contents[named[0]] = path
            else:
                problems.append(f"{path}: its name is longer than any id of a file")
            continue
        try:
            for found in _objects(path):
                job = found.get("fine_tuning_job_id") or _job_of(path)
                match found.get("object"):
                    case "fine_tuning.job" | "fine-tune" if is_id(found.get("id")):
                        jobs[found["id"]] = found
                    case "file" if is_id(found.get("id")):
                        files[found["id"]] = found
                    case "fine_tuning.job.event" if is_id(job):
                        parts["events", str(job)][str(found.get("id"))] = found
                    case "fine_tuning.job.checkpoint" if is_id(job):
                        parts["checkpoints", str(job)][str(found.get("id"))] = found
        except (ValueError, RecursionError, OSError) as error:
            problems.append(f"{path}: {error}")
    for job in jobs.values():
        archive.save_job(job)
    for id, file in files.items():
        write_json(archive.path("files", id, ".json"), file)
    # A job without events here may have some in the archive, or at the account.
    for (kind, id), listed in parts.items():
        if id in jobs:
            items = sorted(listed.values(), key=lambda item: str(item.get("created_at")))
            write_lines(archive.path(kind, id, ".jsonl"), items)
    for id, path in contents.items():
        suffix = ".csv" if path.suffix == ".csv" else ".jsonl"
        with written(archive.path("contents", id, suffix)) as part:
            shutil.copyfile(path, part)
    wanted = _wanted(jobs) | contents.keys()
    missing = sum(1 for id in wanted if archive.content(id) is None)
    return Fetched(len(jobs), len(wanted), missing, problems)


def _wanted(jobs: _Objects) -> set[str]:
    named = {
        str(id)
        for job in jobs.values()
        for id in (job.get("training_file"), job.get("validation_file"))
        if is_id(id)
    }
    return named.union(*(result_files(job) for job in jobs.values()))


def _paths(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix in _SUFFIXES and path.is_file() and not path.is_symlink():
            yield path


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".csv":
        return
    if path.stat().st_size > _MAX_OBJECT_BYTES:
        raise ValueError(f"larger than {_MAX_OBJECT_BYTES:,} bytes")
    if path.suffix == ".jsonl":
        with path.open("rb") as file:
            for line in file:
                yield from _unpacked(json.loads(line) if line.strip() else None)
    else:
        yield from _unpacked(json.loads(path.read_bytes()))


def _unpacked(found: Any) -> Iterator[dict[str, Any]]:
    if isinstance(found, dict) and found.get("object") == "list":
        found = found.get("data")
    for item in found if isinstance(found, list) else [found]:
        if isinstance(item, dict):
            yield item


def _job_of(path: Path) -> str | None:
    """The job's id, from the name of the file or folder: the events themselves do not contain it."""
    for name in (path.stem, *(parent.name for parent in path.parents)):
        if named := _JOB_ID.search(name):
            return named[0]
    return None
