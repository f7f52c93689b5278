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
    """A key of the store: of AWS's KMS by its ARN, of other stores by its name. Aliases are refused, because
    they may come to name another key."""


class ProjectEncryption(Answer):
    """A project's encryption key. What was written before it was set stays as it is."""

    object: Literal["project.encryption"] = "project.encryption"
    id: str
    """Id of the project."""
    key: str | None
    """null leaves encryption to the store, as its bucket is set up."""
