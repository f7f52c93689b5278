"""Creates files: the bytes are stored, checked, and then recorded in one transaction."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal

from sqlalchemy.orm import Session

from cluster.contracts.datasets import DatasetFormat
from cluster.contracts.errors import InvalidRequest, NotFound, TuneryError
from cluster.contracts.jsonl import FormatReport, check_jsonl
from cluster.storage.keys import file_key
from cluster.storage.store import ObjectInfo
from service.api.schemas.files import UploadPurpose
from service.api.state import AppState
from service.db.files.files import File, Files
from service.db.files.incoming import IncomingFiles
from service.db.limits.names import Defaults
from service.db.limits.quotas import check_stored_bytes
from service.db.tenancy import Tenant

_MAX_PROBLEMS_SHOWN = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A client's description of a file."""

    filename: str
    purpose: UploadPurpose
    expires_after_seconds: int | None = None


@dataclass
class StoredFile:
    """Bytes in storage that have no row yet."""

    id: str
    object: ObjectInfo
    may_have_row: bool = False
    """Set before the commit: a commit that was interrupted may still have succeeded."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of checking a file's content."""

    status: Literal["processed", "error"]
    details: str | None = None
    format: DatasetFormat | None = None
    n_examples: int | None = None


def checked_name(filename: str | None, purpose: UploadPurpose, *, param: str) -> str:
    """Checks the file's name, which is for people: storage uses ids. Raises InvalidRequest."""
    if not filename or len(filename) > 255 or not filename.isprintable():
        raise InvalidRequest("The file needs a name of 1-255 printable characters.", param=param)
    if purpose == "fine-tune" and not filename.lower().endswith(".jsonl"):
        raise InvalidRequest(
            f"A file for fine-tuning must be JSON Lines with a name that ends in .jsonl, not {filename!r}.",
            code="invalid_file_format",
            param=param,
        )
    return filename


def keep(state: AppState, tenant: Tenant, content: BinaryIO, description: NewFile) -> File:
    """Stores, checks and records a whole file, which takes time in proportion to its size. Raises the errors
    of the store and of `record`."""
    store = state.store_of(tenant)
    with stored(state, tenant, lambda key: store.put(key, content)) as new:
        content.seek(0)
        verdict = checked(description.purpose, content)
        with state.database.write() as session:
            limits = state.settings.project_limits
            return record(session, tenant, new, description, verdict, limits=limits)


@contextmanager
def stored(state: AppState, tenant: Tenant, store: Callable[[str], ObjectInfo]) -> Iterator[StoredFile]:
    """Stores a new file's object by calling `store` with its key, and deletes the object again if the block
    does not `record` it."""
    file_id = Files.new_id()
    key, file = file_key(file_id), None
    with state.database.write() as session:
        IncomingFiles(session).begin(file_id)
    try:
        # Inside the try block, because the object may exist even if storage's answer was lost.
        file = StoredFile(file_id, store(key))
        yield file
    except BaseException:
        try:
            if file is None or not file.may_have_row or not _has_row(state, tenant, file_id):
                state.store.delete(key)
            with state.database.write() as session:
                IncomingFiles(session).abandon(file_id)
        except TuneryError:
            log.warning("cannot clean up object %s of a failed request; the sweeper will", key, exc_info=True)
        raise


def checked(purpose: UploadPurpose, content: BinaryIO) -> Verdict:
    """Checks the rules for any file of this purpose, reading one line at a time. Whether there are enough
    examples is checked when a job uses the file."""
    if purpose != "fine-tune":
        return Verdict("processed")
    report = check_jsonl(content)
    if report.problems:
        return Verdict("error", _describe(report), report.format, report.n_examples)
    return Verdict("processed", None, report.format, report.n_examples)


def record(
    session: Session, tenant: Tenant, file: StoredFile, new: NewFile, verdict: Verdict, *, limits: Defaults
) -> File:
    """Writes the file's row. Commit right after it: the object stays if the commit may have succeeded.

    Raises QuotaExceeded if the project's files become too large; `limits` apply to a project without limits
    of its own."""
    assert file.object.sha256 is not None, "every byte was seen"
    check_stored_bytes(session, tenant, file.object.bytes, limits)
    IncomingFiles(session).finish(file.id)
    files = Files(session, tenant)
    files.create(
        id=file.id,
        filename=new.filename,
        purpose=new.purpose,
        bytes=file.object.bytes,
        sha256=file.object.sha256,
        object_key=file.object.key,
        expires_after_seconds=new.expires_after_seconds,
    )
    found = files.set_checked(
        file.id,
        status=verdict.status,
        status_details=verdict.details,
        format=verdict.format,
        n_examples=verdict.n_examples,
    )
    file.may_have_row = True
    return found


def _has_row(state: AppState, tenant: Tenant, file_id: str) -> bool:
    try:
        with state.database.read() as session:
            Files(session, tenant).get(file_id)
    except NotFound:
        return False
    return True


def _describe(report: FormatReport) -> str:
    lines = [f"{problem.message} [{problem.code}]" for problem in report.problems[:_MAX_PROBLEMS_SHOWN]]
    if report.n_problems > len(lines):
        lines.append(f"… and {report.n_problems - len(lines)} more.")
    return "\n".join(lines)
