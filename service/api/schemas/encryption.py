"""The key with which storage encrypts what is written for a project."""

from typing import Annotated, Literal

from pydantic import Field

from service.api.schemas.base import Answer, Body

EncryptionKey = Annotated[
    str,
    Field(
        max_length=512,
        pattern=r"^(arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/)?[A-Za-z0-9._-]+$",
        examples=["arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    ),
]


class ProjectEncryptionBody(Body):
    key: EncryptionKey
    """A key known to the storage: an ARN for AWS KMS, a name for other stores. Aliases are refused, because
    they may later refer to a different key."""


class ProjectEncryption(Answer):
    """A project's encryption key. Objects written before it was set are not re-encrypted."""

    object: Literal["project.encryption"] = "project.encryption"
    id: str
    """Id of the project."""
    key: str | None
    """If null, the storage's own encryption settings apply."""
