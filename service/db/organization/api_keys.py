"""API keys identify the caller and what the caller may do.

A project key acts in its own project, within its scopes. An admin key acts in any project of its
organization, and may manage the organization. The operator's key is an admin key that is set from outside."""

import hmac
from dataclasses import dataclass, field

from sqlalchemy import exists, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.contracts.errors import AuthenticationFailed, InvalidConfiguration
from service.db import tables
from service.db.database import now
from service.db.organization.audit_log import record
from service.db.organization.key_format import generate_key, key_id, sha256
from service.db.organization.rights import Rights
from service.db.organization.scopes import Scope
from service.db.tenancy import Tenant

DEFAULT_TENANT = Tenant("org-default", "proj-default")
_SHORTEST_GIVEN_KEY = 16


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller and what it may do. The scope `admin` includes every other one."""

    key_id: str
    tenant: Tenant
    """The project in which it acts."""
    scopes: frozenset[Scope]
    is_admin_key: bool = False
    """Whether it may manage its organization."""
    is_operators: bool = False
    """Whether it may create organizations."""
    rights: Rights = field(default_factory=Rights)
    """Rights of the project that the principal acts in."""

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes


class ApiKeys:
    def __init__(self, session: Session) -> None:
        self._session = session

    def create(
        self,
        tenant: Tenant,
        *,
        name: str,
        scopes: frozenset[Scope],
        expires_after_seconds: int | None = None,
        service_account_id: str | None = None,
    ) -> tuple[str, str]:
        """Returns the key in plain text, which is not stored and cannot be shown again, and the key's id."""
        plaintext = generate_key()
        row = self._row(plaintext, tenant, name, scopes, expires_after_seconds)
        row.service_account_id = service_account_id
        return plaintext, self._add(row, tenant)

    def create_admin(
        self, tenant: Tenant, *, name: str, expires_after_seconds: int | None = None
    ) -> tuple[str, str]:
        """Creates an admin key of the tenant's organization. It acts in the tenant's project unless a request
        names another one. Returns the same as `create`."""
        plaintext = generate_key()
        row = self._row(plaintext, tenant, name, frozenset({"admin"}), expires_after_seconds)
        row.is_admin_key = True
        return plaintext, self._add(row, tenant)

    def authenticate(
        self, plaintext: str, *, organization_id: str | None = None, project_id: str | None = None
    ) -> Principal:
        """Raises AuthenticationFailed if the key is malformed, unknown, expired or revoked, if its project is
        archived, or if it may not act in the organization or project that the request names."""
        found = self._session.execute(
            select(tables.ApiKey, tables.Project)
            .join(tables.Project, tables.Project.id == tables.ApiKey.project_id)
            .where(tables.ApiKey.id == key_id(plaintext))
        ).first()
        row, project = found if found is not None else (None, None)
        # Compared even if there is no row, so that response times do not reveal which ids exist.
        is_known = hmac.compare_digest(sha256(plaintext), row.secret_sha256 if row else "0" * 64)
        is_withdrawn = row is not None and (row.revoked_at is not None or row.replaced_at is not None)
        if row is None or not is_known or is_withdrawn:
            raise AuthenticationFailed("Incorrect API key provided.")
        if row.expires_at is not None and row.expires_at <= now(self._session):
            raise AuthenticationFailed("This API key has expired.", code="expired_api_key")
        assert project is not None
        if project.archived_at is not None:
            raise AuthenticationFailed("The project of this API key is archived.", code="project_archived")
        if organization_id not in (None, row.organization_id):
            raise AuthenticationFailed(
                "OpenAI-Organization header should match organization for API key.",
                code="mismatched_organization",
            )
        if project_id not in (None, row.project_id):
            project = self._other_project(row, project_id)
        tenant = Tenant(project.organization_id, project.id)
        return Principal(
            row.id,
            tenant,
            frozenset(row.scopes),
            is_admin_key=row.is_admin_key,
            is_operators=row.is_operators,
            rights=Rights.of(project.rights),
        )

    def ensure_admin(self, plaintext: str | None, *, organization: str = "tunery") -> str:
        """Makes this the operator's key: an admin key of the default organization, which is created with its
        default project if absent.

        An installation has one operator's key. An earlier one is refused from now on, and accepted again once
        it is set again. Other keys are not affected, and a revoked key stays revoked.

        `plaintext` is any string of at least 16 characters; None generates a key. Returns the key in plain
        text. Idempotent. Raises InvalidConfiguration for a key that is too short or mistyped."""
        if plaintext is not None and len(plaintext) < _SHORTEST_GIVEN_KEY:
            raise InvalidConfiguration(
                f"The admin key has {len(plaintext)} characters; it must have at least {_SHORTEST_GIVEN_KEY}."
            )
        self._ensure_default_tenant(organization)
        key = generate_key() if plaintext is None else plaintext
        try:
            row = self._row(key, DEFAULT_TENANT, "admin", frozenset({"admin"}), None)
        except AuthenticationFailed as error:
            raise InvalidConfiguration(
                "The admin key looks like one that Tunery made, but its checksum is wrong: mistyped?"
            ) from error
        row.is_admin_key = row.is_operators = True
        id = row.id
        if self._add_if_absent(row):
            data = {"name": row.name, "is_operators": True}
            record(self._session, DEFAULT_TENANT, "api_key.created", id, data=data)
        self._replace_operators_key(id)
        return key

    def has_operators_key(self) -> bool:
        key = tables.ApiKey
        in_use = exists().where(key.is_operators, key.replaced_at.is_(None), key.revoked_at.is_(None))
        return bool(self._session.scalar(select(in_use)))

    def _other_project(self, row: tables.ApiKey, project_id: str | None) -> tables.Project:
        if not row.is_admin_key:
            raise AuthenticationFailed(
                "OpenAI-Project header should match project for API key.", code="mismatched_project"
            )
        project = self._session.get(tables.Project, project_id)
        is_active = project is not None and project.archived_at is None
        if project is None or not is_active or project.organization_id != row.organization_id:
            raise AuthenticationFailed(
                f"OpenAI-Project header names no active project of this API key's organization: {project_id}",
                code="mismatched_project",
            )
        return project

    def _replace_operators_key(self, id: str) -> None:
        """Makes the key with this id the only active operator's key."""
        operators = update(tables.ApiKey).where(tables.ApiKey.is_operators)
        others = operators.where(tables.ApiKey.id != id, tables.ApiKey.replaced_at.is_(None))
        self._session.execute(others.values(replaced_at=int(now(self._session))))
        self._session.execute(operators.where(tables.ApiKey.id == id).values(replaced_at=None))

    def _ensure_default_tenant(self, organization: str) -> None:
        at = int(now(self._session))
        organization_id, project_id = DEFAULT_TENANT.organization_id, DEFAULT_TENANT.project_id
        self._add_if_absent(tables.Organization(id=organization_id, name=organization, created_at=at))
        project = tables.Project(
            id=project_id, organization_id=organization_id, name="default", created_at=at
        )
        self._add_if_absent(project)

    def _add(self, row: tables.ApiKey, tenant: Tenant) -> str:
        self._session.add(row)
        self._session.flush()
        data = {"name": row.name, "scopes": row.scopes, "expires_at": row.expires_at}
        record(
            self._session,
            tenant,
            "api_key.created",
            row.id,
            data=data | {"is_admin_key": row.is_admin_key, "service_account_id": row.service_account_id},
        )
        return row.id

    def _add_if_absent(self, row: tables.Organization | tables.Project | tables.ApiKey) -> bool:
        """Several processes may start at once: the first row stays. Returns whether the first row is this
        one."""
        try:
            with self._session.begin_nested():
                self._session.add(row)
        except IntegrityError:
            return False
        return True

    def _row(
        self,
        plaintext: str,
        tenant: Tenant,
        name: str,
        scopes: frozenset[Scope],
        expires_after_seconds: int | None,
    ) -> tables.ApiKey:
        created_at = int(now(self._session))
        return tables.ApiKey(
            id=key_id(plaintext),
            organization_id=tenant.organization_id,
            project_id=tenant.project_id,
            name=name,
            secret_sha256=sha256(plaintext),
            scopes=sorted(scopes),
            is_admin_key=False,
            is_operators=False,
            created_at=created_at,
            expires_at=None if expires_after_seconds is None else created_at + expires_after_seconds,
        )
