"""`/v1/files`: file contents are streamed to and from storage; the database holds their rows."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, BinaryIO, Literal, cast
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, UploadFile
from pydantic import Field
from starlette.responses import StreamingResponse

from cluster.contracts.datasets import DatasetFormat
from cluster.contracts.errors import InvalidRequest, NotFound, TuneryError
from cluster.contracts.jsonl import FormatReport, check_jsonl
from cluster.storage.keys import file_key
from cluster.storage.store import ObjectInfo
from service.api.http.auth import Reader, Writer
from service.api.http.errors import PayloadTooLarge
from service.api.schemas.base import Absent, Deleted, OrDefault, WholeNumber
from service.api.schemas.files import FileList, FileObject, FilePurpose, UploadPurpose
from service.api.state import AppState, UsesAppState
from service.db.files import File, Files
from service.db.tenancy import Tenant
from service.db.uploads import Uploads

_Anchor = Literal["created_at"]
_Lifetime = Annotated[int, Field(ge=3600, le=2_592_000)]

_MAX_PROBLEMS_SHOWN = 20
_CHUNK_BYTES = 2**18

log = logging.getLogger(__name__)
router = APIRouter(prefix="/files", tags=["Files"])


@router.post("", operation_id="files_create", summary="Upload a file")
def create(
    caller: Writer,
    state: UsesAppState,
    file: UploadFile,
    purpose: Annotated[UploadPurpose, Form()],
    expires_after_anchor: Annotated[
        Literal["created_at"] | Absent, Form(alias="expires_after[anchor]"), OrDefault
    ] = None,
    expires_after_seconds: Annotated[
        int | Absent, Form(alias="expires_after[seconds]", ge=3600, le=2_592_000), WholeNumber
    ] = None,
) -> FileObject:
    """A file for fine-tuning is checked line by line. Its status is then `processed`, or `error` with the
    invalid lines and their problems in `status_details`."""
    if (expires_after_anchor is None) != (expires_after_seconds is None):
        raise InvalidRequest("'expires_after' needs both 'anchor' and 'seconds'.", param="expires_after")
    filename = _checked_name(file.filename, purpose)
    limit = state.settings.max_file_bytes
    if (file.size or 0) > limit:
        raise PayloadTooLarge(f"The file has {file.size} bytes; at most {limit} are allowed.", param="file")
    with _stored(state, caller.tenant, file.file) as upload:
        assert upload.object.sha256 is not None, "put has seen every byte"
        verdict = _checked_lines(file.file) if purpose == "fine-tune" else _Verdict("processed")
        with state.database.write() as session:
            Uploads(session).finish(upload.id)
            files = Files(session, caller.tenant)
            files.create(
                id=upload.id,
                filename=filename,
                purpose=purpose,
                bytes=upload.object.bytes,
                sha256=upload.object.sha256,
                object_key=upload.object.key,
                expires_after_seconds=expires_after_seconds,
            )
            checked = files.set_checked(
                upload.id,
                status=verdict.status,
                status_details=verdict.details,
                format=verdict.format,
                n_examples=verdict.n_examples,
            )
            upload.may_have_row = True
        return _public(checked)


@router.get("", operation_id="files_list", summary="List files")
def list_files(
    caller: Reader,
    state: UsesAppState,
    purpose: Annotated[FilePurpose | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=10_000), WholeNumber] = 10_000,
    order: Annotated[Literal["asc", "desc"], OrDefault] = "desc",
    after: Annotated[str | Absent, OrDefault] = None,
) -> FileList:
    with state.database.read() as session:
        page = Files(session, caller.tenant).list(purpose=purpose, after=after, limit=limit, order=order)
    data = [_public(file) for file in page.data]
    return FileList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


@router.get("/{file_id}", operation_id="files_retrieve", summary="Retrieve a file")
def retrieve(caller: Reader, state: UsesAppState, file_id: str) -> FileObject:
    return _public(_find(state, caller.tenant, file_id))


@router.get(
    "/{file_id}/content",
    operation_id="files_content",
    summary="Download a file",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
    },
)
def content(caller: Reader, state: UsesAppState, file_id: str) -> StreamingResponse:
    file = _find(state, caller.tenant, file_id)
    headers = {
        "content-length": str(file.bytes),
        # Browsers must save the file, whatever it contains, and never render it.
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
        "x-content-type-options": "nosniff",
    }
    stream = state.store.open(file.object_key)
    return StreamingResponse(_chunks(stream), headers=headers, media_type="application/octet-stream")


@router.delete("/{file_id}", operation_id="files_delete", summary="Delete a file")
def delete(caller: Writer, state: UsesAppState, file_id: str) -> Deleted:
    """Refused while a job that has not ended uses the file."""
    with state.database.write(frees_space=True) as session:
        files = Files(session, caller.tenant)
        object_key = files.get(file_id).object_key
        files.delete(file_id)
    try:
        state.store.delete(object_key)
    except TuneryError:
        # The row is a tombstone already. Garbage collection will delete the object.
        log.warning(
            "cannot delete object %s of a deleted file; it stays in storage", object_key, exc_info=True
        )
    return Deleted(id=file_id, object="file")


@dataclass
class _Upload:
    id: str
    object: ObjectInfo
    may_have_row: bool = False
    """Set before the commit: a commit that was interrupted may still have succeeded."""


@contextmanager
def _stored(state: AppState, tenant: Tenant, source: BinaryIO) -> Iterator[_Upload]:
    """Stores a new file's object, and deletes it again if the block does not create a row for it."""
    file_id = Files.new_id()
    key, upload = file_key(file_id), None
    with state.database.write() as session:
        Uploads(session).begin(file_id)
    try:
        # Inside the try block, because the object may exist even if storage's answer was lost.
        upload = _Upload(file_id, state.store.put(key, source))
        yield upload
    except BaseException:
        try:
            if upload is None or not upload.may_have_row or not _has_row(state, tenant, file_id):
                state.store.delete(key)
            with state.database.write() as session:
                Uploads(session).abandon(file_id)
        except TuneryError:
            log.warning("cannot clean up object %s of a failed upload; the sweeper will", key, exc_info=True)
        raise


def _has_row(state: AppState, tenant: Tenant, file_id: str) -> bool:
    try:
        _find(state, tenant, file_id)
    except NotFound:
        return False
    return True


@dataclass(frozen=True)
class _Verdict:
    status: Literal["processed", "error"]
    details: str | None = None
    format: DatasetFormat | None = None
    n_examples: int | None = None


def _checked_lines(stream: BinaryIO) -> _Verdict:
    """Checks the rules for any fine-tuning file. Whether there are enough examples is checked when a job uses
    it."""
    stream.seek(0)
    report = check_jsonl(stream)
    if report.problems:
        return _Verdict("error", _describe(report), report.format, report.n_examples)
    return _Verdict("processed", None, report.format, report.n_examples)


def _describe(report: FormatReport) -> str:
    lines = [f"{problem.message} [{problem.code}]" for problem in report.problems[:_MAX_PROBLEMS_SHOWN]]
    if report.n_problems > len(lines):
        lines.append(f"… and {report.n_problems - len(lines)} more.")
    return "\n".join(lines)


def _checked_name(filename: str | None, purpose: UploadPurpose) -> str:
    """Checks the file's name, which is for people: storage uses ids. Raises InvalidRequest."""
    if not filename or len(filename) > 255 or not filename.isprintable():
        raise InvalidRequest("The file needs a name of 1-255 printable characters.", param="file")
    if purpose == "fine-tune" and not filename.lower().endswith(".jsonl"):
        raise InvalidRequest(
            f"A file for fine-tuning must be JSON Lines with a name that ends in .jsonl, not {filename!r}.",
            code="invalid_file_format",
            param="file",
        )
    return filename


def _find(state: AppState, tenant: Tenant, file_id: str) -> File:
    with state.database.read() as session:
        return Files(session, tenant).get(file_id)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _public(file: File) -> FileObject:
    return FileObject(
        id=file.id,
        bytes=file.bytes,
        created_at=file.created_at,
        expires_at=file.expires_at,
        filename=file.filename,
        purpose=cast(FilePurpose, file.purpose),
        status=file.status,
        status_details=file.status_details,
    )
