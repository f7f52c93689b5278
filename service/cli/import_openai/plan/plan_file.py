"""`plan.json` of an archive: one entry per job, for the archive's owner to read and to change before
`apply`."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from service.cli.failures import NOT_FOUND, USAGE, CommandFailed
from service.cli.import_openai.archive.archive import FORMAT, Archive, is_id, read_object, write_json
from service.cli.import_openai.plan.proposing import Proposal

_NAME = "plan.json"


def write_plan(archive: Archive, proposals: Iterable[Proposal]) -> None:
    write_json(archive.folder / _NAME, _content(proposals))


def check_same_plan(archive: Archive, proposals: Iterable[Proposal]) -> None:
    """Raises CommandFailed if the file exists and differs from these proposals: its owner may have changed
    it."""
    path = archive.folder / _NAME
    try:
        saved = json.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (ValueError, RecursionError):
        saved = None
    # A tuple is read back as a list.
    if saved != json.loads(json.dumps(_content(proposals))):
        raise CommandFailed(
            f"{path} says something else than what is proposed now: it was changed, or made with other "
            "options or jobs. `tunery import-openai apply` takes it as it is; --force replaces it."
        )


def read_plan(archive: Archive, jobs: Sequence[str] = ()) -> list[Proposal]:
    """The entries of these jobs, or all. Raises CommandFailed if the file or a job does not exist, or if an
    entry is invalid."""
    path = archive.folder / _NAME
    if not path.exists():
        raise CommandFailed(f"There is no {path}. `tunery import-openai plan` makes it.", USAGE)
    listed = read_object(path).get("jobs")
    entries = [_entry(item, path.name) for item in listed] if isinstance(listed, list) else []
    absent = set(jobs) - {entry.job for entry in entries}
    if absent:
        raise CommandFailed(f"{path} has no job {min(absent)}.", NOT_FOUND)
    return [entry for entry in entries if not jobs or entry.job in jobs]


def _content(proposals: Iterable[Proposal]) -> dict[str, Any]:
    return {"format": FORMAT, "jobs": [asdict(proposal) for proposal in proposals]}


def _entry(item: Any, name: str) -> Proposal:
    try:
        job, replaces, request = item["job"], item.get("replaces"), item.get("request")
        sound = is_id(job) and isinstance(replaces, str | None) and isinstance(request, dict | None)
        if sound and request is not None:
            sound = isinstance(request["model"], str) and is_id(request["training_file"])
    except (TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise CommandFailed(f"{name} has an invalid entry: {str(item)[:200]}", USAGE)
    return Proposal(job, replaces, request, item.get("notes") or ())
