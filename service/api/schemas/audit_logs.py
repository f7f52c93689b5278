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
    """None for a key of the project itself, and for an admin key."""


class AuditKeyActor(Answer):
    type: Literal["api_key"]
    api_key: AuditedApiKey


class AuditedUser(Answer):
    id: str
    """Id of the row among the project's keys that stands for the user's tokens."""


class AuditedSession(Answer):
    user: AuditedUser
    ip_address: str | None
    issuer: str
    """The identity provider. A Tunery extension, as `subject` is."""
    subject: str
    """Subject of the token."""


class AuditSessionActor(Answer):
    """The holder of an identity provider's token."""

    type: Literal["session"]
    session: AuditedSession


AuditActor = Annotated[AuditKeyActor | AuditSessionActor, Field(discriminator="type")]


class AuditLogEntry(Identified):
    """A change, and who made it. A field with the name of the `type` has the `id` of the changed object, and
    what was asked for: `data` of what was created, `changes_requested` of what was changed."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["project.created"])
    effective_at: int
    """Unix seconds."""
    project: AuditedProject
    actor: AuditActor | None
    """None for what Tunery did by itself."""
    request_id: str | None
    ip_address: str | None
    """The peer of the connection; behind a proxy that the operator trusts, the client's address as the proxy
    tells it."""
    sequence: int
    """1 for the organization's first entry. A Tunery extension, as the two hashes are."""
    previous_sha256: str
    """`sha256` of the entry before; 64 zeros in the first one."""
    sha256: str
    """SHA-256 of the canonical JSON (sorted keys, no spaces, ASCII) of all other fields."""


class AuditLogList(ItemList[AuditLogEntry]):
    pass
