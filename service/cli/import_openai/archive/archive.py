"""An archive folder with the contents of an account, in plain files that can be read without Tunery:

    archive.json             where it is from
    models.json              the list of models
    jobs/ftjob-….json        a job, as the API gave it
    events/ftjob-….jsonl     its events, oldest first
    checkpoints/ftjob-….jsonl
    files/file-….json        a file's description
    contents/file-….jsonl    its content; .csv for results, .missing.json if it cannot be had
    harvests/….jsonl         answers of a model
    plan.json, comparisons/, reports/

A file appears only once it is complete, so an interrupted run continues with the missing files. Ids become
file names only if `is_id` allows it; names given by people never do."""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from service.cli.failures import USAGE, CommandFailed

Kind = Literal["jobs", "events", "checkpoints", "files", "contents", "harvests", "comparisons", "reports"]
FORMAT = 1
ENDED = frozenset({"succeeded", "failed", "cancelled", "canceled"})
"""Final statuses of jobs. Azure uses the second spelling of "cancelled"."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_CONTENT_SUFFIXES = (".jsonl", ".csv")


def is_id(value: object) -> bool:
    """Whether the value is a string that is safe as a file name."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


class Archive:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path) -> "Archive":
        """Opens the archive, after creating it if necessary."""
        archive = cls(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # Training data is private to the user.
        folder.chmod(0o700)
        for kind in get_args(Kind):
            (folder / kind).mkdir(exist_ok=True)
        return archive

    @classmethod
    def open(cls, folder: Path) -> "Archive":
        """Raises CommandFailed if there is no archive."""
        if not (folder / "jobs").is_dir():
            raise CommandFailed(
                f"{folder} is not an archive. `tunery import-openai fetch` makes one; --archive names "
                "another.",
                USAGE,
            )
        return cls.create(folder)

    def path(self, kind: Kind, id: str, suffix: str) -> Path:
        assert is_id(id), "ids are checked where they come from"
        return self.folder / kind / f"{id}{suffix}"

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs, oldest first."""
        saved = [read_object(path) for path in sorted((self.folder / "jobs").glob("*.json"))]
        found = [job for job in saved if is_id(job.get("id"))]
        return sorted(found, key=lambda job: (_number(job.get("created_at")), str(job.get("id"))))

    def save_job(self, job: Mapping[str, Any]) -> None:
        """Saves a job, and deletes its saved events and checkpoints if they may have changed since."""
        path = self.path("jobs", job["id"], ".json")
        status = job.get("status")
        has_ended = isinstance(status, str) and status in ENDED
        if not has_ended or not path.exists() or read_object(path) != job:
            for kind in ("events", "checkpoints"):
                self.path(kind, job["id"], ".jsonl").unlink(missing_ok=True)
            write_json(path, job)

    def lines(self, kind: Kind, id: str) -> list[dict[str, Any]]:
        path = self.path(kind, id, ".jsonl")
        return list(read_lines(path)) if path.exists() else []

    def content(self, id: object) -> Path | None:
        """A file's content, if the archive has it."""
        if not is_id(id):
            return None
        paths = (self.path("contents", str(id), suffix) for suffix in _CONTENT_SUFFIXES)
        return next((path for path in paths if path.exists()), None)

    def is_settled(self, id: str) -> bool:
        """Whether the file's content is in the archive, or is known to be gone."""
        return self.content(id) is not None or self.path("contents", id, ".missing.json").exists()


def result_files(job: Mapping[str, Any]) -> list[str]:
    """Ids of a job's result files, which older APIs give as objects."""
    listed = job.get("result_files")
    items = listed if isinstance(listed, list) else []
    found = (item.get("id") if isinstance(item, dict) else item for item in items)
    return [str(id) for id in found if is_id(id)]


def read_object(path: Path) -> dict[str, Any]:
    """Raises CommandFailed if the file is not a JSON object."""
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CommandFailed(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise CommandFailed(f"{path} is not a JSON object.")
    return found


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file. Raises CommandFailed with the number of a line that is not one."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise CommandFailed(f"{path}:{number} is not JSON: {error}") from error
            if not isinstance(found, dict):
                raise CommandFailed(f"{path}:{number} is not a JSON object.")
            yield found


def write_json(path: Path, value: object) -> None:
    with written(path) as part:
        text = json.dumps(value, indent=2, ensure_ascii=False)
        part.write_bytes(f"{text}\n".encode("utf-8", "surrogatepass"))


def write_text(path: Path, text: str) -> None:
    with written(path) as part:
        part.write_bytes(text.encode("utf-8", "replace"))


def write_lines(path: Path, items: Iterable[Mapping[str, Any]]) -> None:
    with written(path) as part, part.open("wb") as file:
        for item in items:
            file.write(encoded_line(item))


def encoded_line(item: Mapping[str, Any]) -> bytes:
    """A line of JSONL. Lone surrogates, which JSON can contain, are kept."""
    return f"{json.dumps(item, ensure_ascii=False)}\n".encode("utf-8", "surrogatepass")


def flush() -> None:
    """Waits until written data would survive a power failure."""
    os.sync()


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Yields a path to write to, which becomes `path` once everything is written. Only `flush` waits for the
    disk: to do so file by file took four times as long as everything else of 2,000 jobs."""
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _number(value: object) -> float:
    # JSON allows whole numbers that are larger than a float can hold.
    return float(value) if isinstance(value, int | float) and abs(value) < 2**63 else 0.0
