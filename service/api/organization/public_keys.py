"""Keys and service accounts as the API shows them."""

from collections.abc import Sequence
from typing import cast

from service.api.schemas.organization import (
    AdminApiKey,
    AdminApiKeyOwner,
    ApiKeyExtension,
    ProjectApiKey,
    ProjectApiKeyOwner,
    ServiceAccountOwner,
)
from service.db.organization.key_format import redacted
from service.db.organization.key_sets import ApiKey
from service.db.organization.organizations import Organization
from service.db.organization.projects import Project
from service.db.organization.scopes import Scope

_ALL: frozenset[Scope] = frozenset({"read", "write", "infer"})
_ORDER = ("read", "write", "infer", "admin")


def new_scopes(requested: Sequence[Scope]) -> frozenset[Scope]:
    """The scopes of a new key. As with OpenAI, a request without scopes gets all of them."""
    return frozenset(requested) or _ALL


def public_project_key(key: ApiKey, project: Project) -> ProjectApiKey:
    account = key.service_account
    owner = account and ServiceAccountOwner(id=account.id, name=account.name, created_at=account.created_at)
    return ProjectApiKey(
        id=key.id,
        name=key.name,
        redacted_value=redacted(key.id),
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        owner=ProjectApiKeyOwner(type="service_account" if owner else None, service_account=owner),
        owner_project_access="active" if project.archived_at is None else "inactive",
        tunery=ApiKeyExtension(
            scopes=cast(list[Scope], sorted(key.scopes, key=_ORDER.index)), issuer=key.issuer
        ),
    )


def public_admin_key(key: ApiKey, organization: Organization) -> AdminApiKey:
    return AdminApiKey(
        id=key.id,
        name=key.name,
        redacted_value=redacted(key.id),
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        owner=AdminApiKeyOwner(
            id=organization.id, name=organization.name, created_at=organization.created_at
        ),
    )
