"""Uploaded and produced files: their rows. The bytes are in the object store under `object_key`."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from cluster.contracts.datasets import DatasetFormat
from service.db.paging import Order, Page
from service.db.tenancy import Tenant

FileStatus = Literal["uploaded", "processed", "error"]


@dataclass(frozen=True, slots=True)
class File:
    id: str
    tenant: Tenant
    filename: str
    purpose: str
    bytes: int
    sha256: str
    object_key: str
    status: FileStatus
    status_details: str | None
    format: DatasetFormat | None
    """Once the lines were read; None for purposes other than fine-tune."""
    n_examples: int | None
    created_at: int
    expires_at: int | None


class Files:
    """The files of one tenant. An expired file is absent."""

    def __init__(self, session: Session, tenant: Tenant) -> None:
        self._session = session
        self._tenant = tenant

    @staticmethod
    def new_id() -> str:
        """`file-` and 24 characters: storage needs the id before the row exists."""
        raise NotImplementedError

    def create(
        self,
        *,
        id: str,
        filename: str,
        purpose: str,
        bytes: int,
        sha256: str,
        object_key: str,
        expires_after_seconds: int | None = None,
    ) -> File:
        """With status `uploaded`."""
        raise NotImplementedError

    def get(self, id: str) -> File:
        """Raises NotFound."""
        raise NotImplementedError

    def list(
        self, *, purpose: str | None = None, after: str | None = None, limit: int = 10_000, order: Order = "desc"
    ) -> Page[File]:
        """By creation. `after` is the id of the last file seen, which may be deleted meanwhile; InvalidRequest
        if it never existed."""
        raise NotImplementedError

    def set_checked(
        self,
        id: str,
        *,
        status: Literal["processed", "error"],
        status_details: str | None = None,
        format: DatasetFormat | None = None,
        n_examples: int | None = None,
    ) -> File:
        """The verdict on an uploaded file's lines. Raises NotFound."""
        raise NotImplementedError

    def delete(self, id: str) -> None:
        """A tombstone: absent from now on, swept from storage later. Raises NotFound, and Conflict while a job
        that has not ended uses it."""
        raise NotImplementedError
