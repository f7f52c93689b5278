"""The administration of an organization: projects, service accounts and keys."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from service.api.schemas.base import Answer, Body, Identified, ItemList, Unsupported
from service.db.organization.scopes import Scope


def _printable(name: str) -> str:
    if not name.isprintable():
        raise PydanticCustomError("unprintable", "it has control characters, which are not allowed")
    return name


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
    AfterValidator(_printable),
]
Lifetime = Annotated[int, Field(ge=1, le=315_360_000)]
"""Seconds; ten years at most."""
Scopes = Annotated[list[Scope], Field(max_length=16)]


class OrganizationBody(Body):
    name: Name
    """Name of the organization, which need not be unique."""


class PublicOrganization(Identified):
    object: Literal["organization"] = "organization"
    name: str
    created_at: int
    status: Literal["active", "archived"]


class CreatedOrganization(PublicOrganization):
    project_id: str
    """The organization's first project, which the key acts in by default."""
    admin_api_key: str
    """An admin key of the organization, which is shown only once."""


class DeletedOrganization(Answer):
    id: str
    object: Literal["organization.deleted"] = "organization.deleted"
    deleted: Literal[True] = True
    rows: dict[str, int]
    """How many rows were deleted, by table."""


class OrganizationList(ItemList[PublicOrganization]):
    pass


class ProjectBody(Body):
    name: Name
    """Name of the project, which need not be unique."""
    external_key_id: Unsupported = None
    geography: Unsupported = None
    residency: Unsupported = None


class ProjectUpdateBody(Body):
    name: Name | None = None
    external_key_id: Unsupported = None
    geography: Unsupported = None


class OrganizationProject(Identified):
    object: Literal["organization.project"] = "organization.project"
    name: str
    created_at: int
    archived_at: int | None
    status: Literal["active", "archived"]


class OrganizationProjectList(ItemList[OrganizationProject]):
    pass


class ProjectApiKeyBody(Body):
    name: Name
    scopes: Scopes = []
    """What the key may do in its project: `read`, `write` and `infer`, or `admin` for all of them. All by
    default."""
    expires_in_seconds: Lifetime | None = None
    """The key never expires by default."""


class ProjectApiKeyUpdateBody(Body):
    scopes: Scopes | None = None
    """Replaces the key's scopes; an empty list means `read`, `write` and `infer`."""
    expires_in_seconds: Lifetime | None = None
    """Seconds from now until the key expires."""


class ApiKeyExtension(Answer):
    """Tunery's additions to OpenAI's key objects."""

    scopes: list[Scope]
    """The key's scopes. For tokens, all scopes that the operator's rules have granted to their subject so
    far."""
    issuer: str | None
    """The identity provider of the tokens that this entry stands for, whose subject is `name`. Null for a
    key."""


class ServiceAccountOwner(Answer):
    id: str
    name: str
    created_at: int
    role: Literal["member"] = "member"


class ProjectApiKeyOwner(Answer):
    type: Literal["service_account"] | None
    """Null for a key of the project itself."""
    service_account: ServiceAccountOwner | None
    user: None = None


class ProjectApiKey(Identified):
    object: Literal["organization.project.api_key"] = "organization.project.api_key"
    name: str
    redacted_value: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    """Accurate to about a minute."""
    owner: ProjectApiKeyOwner
    owner_project_access: Literal["active", "inactive"]
    """`inactive` if the project is archived."""
    tunery: ApiKeyExtension


class CreatedProjectApiKey(ProjectApiKey):
    value: str
    """The key, which is shown only once."""


class ProjectApiKeyList(ItemList[ProjectApiKey]):
    pass


class ServiceAccountBody(Body):
    name: Name
    create_service_account_only: bool | None = None
    """If true, no key is created."""
    scopes: Scopes = []
    """Scopes of the first key. A Tunery extension."""
    expires_in_seconds: Lifetime | None = None
    """Seconds until the first key expires. It never expires by default."""


class ServiceAccountUpdateBody(Body):
    name: Name | None = None


class ServiceAccountKeyBody(Body):
    name: Name | None = None
    """The service account's name by default."""
    scopes: Scopes = []
    """What the key may do in its project: `read`, `write` and `infer`, or `admin` for all of them. All by
    default."""
    expires_in_seconds: Lifetime | None = None
    """The key never expires by default."""


class ServiceAccountKey(Answer):
    id: str
    object: Literal["organization.project.service_account.api_key"] = (
        "organization.project.service_account.api_key"
    )
    name: str
    value: str
    """The key, which is shown only once."""
    created_at: int
    expires_at: int | None


class ProjectServiceAccount(Identified):
    object: Literal["organization.project.service_account"] = "organization.project.service_account"
    name: str
    role: Literal["member"] = "member"
    created_at: int


class CreatedServiceAccount(ProjectServiceAccount):
    api_key: ServiceAccountKey | None
    """Null with `create_service_account_only`."""


class ProjectServiceAccountList(ItemList[ProjectServiceAccount]):
    pass


class AdminApiKeyBody(Body):
    name: Name
    expires_in_seconds: Lifetime | None = None
    """The key never expires by default."""


class AdminApiKeyOwner(Answer):
    """The organization, in the format of an OpenAI user, because Tunery has no users."""

    type: Literal["user"] = "user"
    object: Literal["organization.user"] = "organization.user"
    id: str
    name: str
    created_at: int
    role: Literal["owner"] = "owner"


class AdminApiKey(Identified):
    object: Literal["organization.admin_api_key"] = "organization.admin_api_key"
    name: str
    redacted_value: str
    created_at: int
    expires_at: int | None
    last_used_at: int | None
    """Accurate to about a minute."""
    owner: AdminApiKeyOwner


class CreatedAdminApiKey(AdminApiKey):
    value: str
    """The key, which is shown only once."""


class AdminApiKeyList(ItemList[AdminApiKey]):
    pass


class DeletedProject(Answer):
    id: str
    object: Literal["organization.project.deleted"] = "organization.project.deleted"
    deleted: Literal[True] = True
    rows: dict[str, int]
    """How many rows were deleted, by table."""


class DeletedProjectApiKey(Answer):
    id: str
    object: Literal["organization.project.api_key.deleted"] = "organization.project.api_key.deleted"
    deleted: Literal[True] = True


class DeletedServiceAccount(Answer):
    id: str
    object: Literal["organization.project.service_account.deleted"] = (
        "organization.project.service_account.deleted"
    )
    deleted: Literal[True] = True


class DeletedAdminApiKey(Answer):
    id: str
    object: Literal["organization.admin_api_key.deleted"] = "organization.admin_api_key.deleted"
    deleted: Literal[True] = True
