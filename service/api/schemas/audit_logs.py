"""Entries of the audit log."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from service.api.schemas.base import Answer, Identified, ItemList


class AuditedProject(Answer):
    id: str
    name: str
    """Name at the time of the change."""


class AuditedServiceAccount(Answer):
    id: str


class AuditedApiKey(Answer):
    id: str
    type: Literal["user", "service_account"]
    service_account: AuditedServiceAccount | None
    """Null for a key of the project itself, and for an admin key."""


class AuditKeyActor(Answer):
    type: Literal["api_key"]
    api_key: AuditedApiKey


class AuditedUser(Answer):
    id: str
    """Id of the entry in the project's keys that stands for the user's tokens."""


class AuditedSession(Answer):
    user: AuditedUser
    ip_address: str | None
    issuer: str
    """The identity provider. A Tunery extension, like `subject`."""
    subject: str
    """Subject of the token."""


class AuditSessionActor(Answer):
    """The holder of an identity provider's token."""

    type: Literal["session"]
    session: AuditedSession


AuditActor = Annotated[AuditKeyActor | AuditSessionActor, Field(discriminator="type")]


class AuditLogEntry(Identified):
    """A change, and who made it. The field named after the `type` has the `id` of the changed object and the
    request: `data` for created objects, `changes_requested` for changed ones."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["project.created"])
    effective_at: int
    """Unix seconds."""
    project: AuditedProject
    actor: AuditActor | None
    """Null for changes made by Tunery itself."""
    request_id: str | None
    ip_address: str | None
    """Address of the connection's peer or, behind a proxy that the operator trusts, the client's address as
    reported by the proxy."""
    sequence: int
    """Number of the entry, 1 for the organization's first. A Tunery extension, like the two hashes."""
    previous_sha256: str
    """`sha256` of the previous entry; 64 zeros in the first one."""
    sha256: str
    """SHA-256 of the canonical JSON (sorted keys, no spaces, ASCII) of all other fields."""


class AuditLogList(ItemList[AuditLogEntry]):
    pass
