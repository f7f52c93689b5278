"""Fetches the contents of an account into an archive, each item only once, even if the command is
interrupted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from service.cli.failures import AUTH, CommandFailed, Refused, Unavailable
from service.cli.http.together import run_together
from service.cli.import_openai.archive.archive import (
    FORMAT,
    Archive,
    Kind,
    flush,
    is_id,
    result_files,
    write_json,
    write_lines,
    written,
)
from service.cli.import_openai.source.client import Source
from service.cli.progress import bar

_PURPOSES = ("fine-tune", "fine-tune-results")
_GONE = frozenset({404, 410})
"""Statuses of a file that is permanently unavailable, because it was deleted."""


@dataclass(frozen=True)
class Fetched:
    jobs: int
    files: int
    missing: int
    """Files whose content is gone."""
    problems: Sequence[str]
    """Items that could not be fetched, but may be when the command is run again."""


def fetch(source: Source, archive: Archive, *, workers: int, remark: Callable[[str], None]) -> Fetched:
    """Leaves the archive's items of other projects as they are. Raises CommandFailed if the lists cannot be
    read or the key is refused."""
    about = {"format": FORMAT, "source": source.account.base_url, "query": dict(source.account.query)}
    write_json(archive.folder / "archive.json", about)
    listed = set()
    for job in source.list("/fine_tuning/jobs"):
        if is_id(job.get("id")):
            archive.save_job(job)
            listed.add(job["id"])
        else:
            remark(f"A job is left out, because its id is invalid: {str(job.get('id'))[:80]}")
    remark(f"{len(listed):,} jobs.")
    # A project's key does not find the items of another project; they must not be taken for gone.
    jobs = [job for job in archive.jobs() if job["id"] in listed]
    purposes = _files(source, archive, jobs)
    try:
        write_json(archive.folder / "models.json", source.get("/models"))
    except (Refused, Unavailable) as error:
        remark(f"The list of models cannot be had: {error}")
    tasks = [*_parts(source, archive, jobs), *_contents(source, archive, purposes)]
    problems = _run(source, tasks, workers)
    flush()
    missing = sum(1 for id in purposes if archive.content(id) is None)
    return Fetched(len(listed), len(purposes), missing, problems)


def _files(source: Source, archive: Archive, jobs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Saves the descriptions of the listed files. Returns the purposes of all files, by id."""
    found: dict[str, str] = {}
    for job in jobs:
        named = (job.get("training_file"), job.get("validation_file"))
        found |= {str(id): "fine-tune" for id in named if is_id(id)}
        found |= dict.fromkeys(result_files(job), "fine-tune-results")
    for purpose in _PURPOSES:
        for file in source.list("/files", purpose=purpose):
            # Azure lists files of every purpose.
            if is_id(file.get("id")) and file.get("purpose") == purpose:
                write_json(archive.path("files", file["id"], ".json"), file)
                found[file["id"]] = purpose
    return found


_Task = tuple[str, Callable[[], None]]


def _parts(source: Source, archive: Archive, jobs: Sequence[Mapping[str, Any]]) -> Iterator[_Task]:
    kinds: tuple[Kind, ...] = ("events", "checkpoints")
    for job in jobs:
        for kind in kinds:
            if not archive.path(kind, job["id"], ".jsonl").exists():
                yield f"{kind} of {job['id']}", partial(_fetch_part, source, archive, kind, job["id"])


def _fetch_part(source: Source, archive: Archive, kind: Kind, job: str) -> None:
    try:
        items = list(source.list(f"/fine_tuning/jobs/{job}/{kind}"))
    except Refused as error:
        # Older APIs have no checkpoints.
        if error.status != 404:
            raise
        items = []
    # Newest first: an event that arrives meanwhile shifts the pages.
    unique = {str(item.get("id", number)): item for number, item in enumerate(items)}
    write_lines(archive.path(kind, job, ".jsonl"), reversed(unique.values()))


def _contents(source: Source, archive: Archive, purposes: Mapping[str, str]) -> Iterator[_Task]:
    for id, purpose in purposes.items():
        if not archive.is_settled(id):
            suffix = ".csv" if purpose == "fine-tune-results" else ".jsonl"
            yield f"file {id}", partial(_fetch_file, source, archive, id, suffix)


def _fetch_file(source: Source, archive: Archive, id: str, suffix: str) -> None:
    try:
        description = archive.path("files", id, ".json")
        if not description.exists():
            write_json(description, source.get(f"/files/{id}"))
        with written(archive.path("contents", id, suffix)) as part:
            source.download(f"/files/{id}/content", part)
    except Refused as error:
        if error.status not in _GONE:
            raise
        about = {"id": id, "status": error.status, "message": str(error)}
        write_json(archive.path("contents", id, ".missing.json"), about)


def _run(source: Source, tasks: Sequence[_Task], workers: int) -> list[str]:
    """Runs the tasks and returns their problems. Raises CommandFailed if the key is refused."""
    problems: list[str] = []
    with bar("Fetching", len(tasks)) as shown:

        def attempt(name: str, task: Callable[[], None]) -> None:
            try:
                task()
            except CommandFailed as error:
                if error.exit_code == AUTH:
                    raise
                problems.append(f"{name}: {error}")
            except OSError as error:
                raise CommandFailed(f"The archive cannot be written: {error}") from error
            shown.advance()

        attempts = [partial(attempt, name, task) for name, task in tasks]
        run_together(attempts, at_once=workers, stop=source.stop)
    return problems
