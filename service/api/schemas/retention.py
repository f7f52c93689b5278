"""How long things are kept, what is held, and what is stored."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from service.api.schemas.base import Answer, Body, Identified, ItemList
from service.db.retention.rules import RetentionKind

RetentionDays = TypeAliasType(
    "RetentionDays", Annotated[float, Field(gt=0, le=36_500)] | Literal["forever", "default"]
)
"""Days, `forever`, or `default`: as without a term of one's own."""


class RetentionBody(Body):
    """How long each kind of data is kept, in days. Fields that are left out stay unchanged."""

    files: RetentionDays | None = None
    """Uploaded files, counted from the upload."""
    results: RetentionDays | None = None
    """Files that jobs have created, such as results, counted from their creation."""
    events: RetentionDays | None = None
    """Events of jobs, counted from the job's end."""
    usage: RetentionDays | None = None
    """Usage of models, by day (UTC)."""
    checkpoints: RetentionDays | None = None
    """Checkpoints of jobs, counted from the job's end. Published models are kept."""
    resume_states: RetentionDays | None = None
    """Optimizer state of checkpoints, counted from the job's end."""
    data_reports: RetentionDays | None = None
    """Data reports, counted from their creation."""
    exports: RetentionDays | None = None
    """Exports of models, counted from their creation or the last request for them."""


class RetentionTerm(Answer):
    days: float | Literal["forever"]
    set_by: Literal["project", "organization", "server"]


class RetentionTerms(Answer):
    files: RetentionTerm
    results: RetentionTerm
    events: RetentionTerm
    usage: RetentionTerm
    checkpoints: RetentionTerm
    resume_states: RetentionTerm
    data_reports: RetentionTerm
    exports: RetentionTerm


class ProjectRetention(RetentionTerms):
    """Retention that applies to the project."""

    object: Literal["project.retention"] = "project.retention"
    id: str
    """Id of the project."""


class OrganizationRetention(RetentionTerms):
    """Retention of projects without settings of their own."""

    object: Literal["organization.retention"] = "organization.retention"
    id: str
    """Id of the organization."""


class DueForDeletion(Answer):
    object: Literal["project.retention.due"] = "project.retention.due"
    kind: RetentionKind
    count: int
    """Files, checkpoints, resume states or exports; rows of events; hours of usage."""
    bytes: int | None
    """Bytes in storage. Null if there are too many objects to count now."""
    oldest_at: int | None


class DueForDeletionList(Answer):
    object: Literal["list"] = "list"
    data: list[DueForDeletion]
    """What is due for deletion, for kinds that are not kept forever. Data reports are left out, because they
    can be created again."""


class LegalHoldBody(Body):
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    """Reason for the hold, visible to administrators only."""
    resource_id: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Id of a file, job, model or checkpoint of the project. If it is left out, the hold applies to the whole
    project."""


class LegalHold(Identified):
    object: Literal["project.legal_hold"] = "project.legal_hold"
    project_id: str
    resource_type: Literal["project", "file", "job", "model"]
    resource_id: str
    reason: str
    api_key_id: str
    """Id of the key of the administrator who placed the hold."""
    created_at: int


LegalHoldList = ItemList[LegalHold]


class ReleasedLegalHold(Answer):
    id: str
    object: Literal["project.legal_hold"] = "project.legal_hold"
    deleted: Literal[True] = True


class StoredKind(Answer):
    kind: str
    """Kind of object, such as `files`, `checkpoints` or `resume_state`."""
    objects: int
    bytes: int


class ProjectStorage(Identified):
    """A project's storage, as counted object by object by the last sweep."""

    object: Literal["project.storage"] = "project.storage"
    objects: int
    bytes: int
    kinds: list[StoredKind]


class ProjectStorageList(Answer):
    object: Literal["list"] = "list"
    data: list[ProjectStorage]
    """Projects that store anything, sorted by id."""
    bytes: int
    """Total bytes of all projects."""
    measured_at: int | None
    """When the last sweep counted the objects. null before the first sweep."""
