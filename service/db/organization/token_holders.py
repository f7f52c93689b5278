"""Holders of tokens from identity providers.

A holder has a row beside the API keys for every project in which they act, so that limits, usage, the audit
log and revocation apply to them as to keys. Their tokens and the operator's rules define what they may do;
the row only repeats it for display."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.contracts.errors import AuthenticationFailed
from service.db import tables
from service.db.database import now
from service.db.organization.api_keys import Principal
from service.db.organization.audit_log import record
from service.db.organization.identity import Grant, Identity
from service.db.organization.key_format import holder_id
from service.db.organization.rights import Rights
from service.db.tenancy import Tenant

_MATCHES_NO_KEY = "-"
"""Stored in place of a SHA-256."""


class TokenHolders:
    def __init__(self, session: Session) -> None:
        self._session = session

    def find(
        self, identity: Identity, organization_id: str | None, project_id: str | None
    ) -> Principal | None:
        """Finds the principal that a token acts as: in the project that the request names, or otherwise in
        the project of the identity's first grant. Returns None if no row shows these scopes: call `record`
        first.

        Raises AuthenticationFailed if the holder may not act there, or was revoked as keys are."""
        grant, project = self._place(identity, organization_id, project_id)
        row = self._session.get(tables.ApiKey, _id(identity, grant))
        # An admin through a grant for another project may have been excluded from this project.
        here = self._session.get(tables.ApiKey, holder_id(identity.issuer, identity.subject, project.id))
        if any(one is not None and one.revoked_at is not None for one in (row, here)):
            raise AuthenticationFailed("An administrator has excluded the holder of this token.")
        if row is None or not _shows(row, grant):
            return None
        return Principal(
            row.id,
            Tenant(project.organization_id, project.id),
            grant.scopes,
            is_admin_key=grant.is_admin,
            rights=Rights.of(project.rights),
        )

    def record(self, identity: Identity, organization_id: str | None, project_id: str | None) -> Principal:
        """Adds a row, or adds these scopes to it, and returns what `find` then returns. Raises the same
        errors."""
        grant, _ = self._place(identity, organization_id, project_id)
        project = self._session.get_one(tables.Project, grant.project_id)
        row = tables.ApiKey(
            id=_id(identity, grant),
            organization_id=project.organization_id,
            project_id=project.id,
            name=identity.subject,
            issuer=identity.issuer,
            secret_sha256=_MATCHES_NO_KEY,
            scopes=sorted(grant.scopes),
            is_admin_key=grant.is_admin,
            is_operators=False,
            created_at=int(now(self._session)),
        )
        is_new = self._add_if_absent(row)
        if not is_new:
            row = self._session.get_one(tables.ApiKey, row.id, with_for_update=True)
            # Tokens of one subject may have different scopes. Scopes are only added, never removed, so that
            # such tokens do not rewrite the row all the time.
            row.scopes = sorted(grant.scopes.union(row.scopes))
            row.is_admin_key |= grant.is_admin
        shown = {
            "name": row.name,
            "issuer": row.issuer,
            "scopes": row.scopes,
            "is_admin_key": row.is_admin_key,
        }
        tenant = Tenant(row.organization_id, row.project_id)
        if is_new:
            record(self._session, tenant, "api_key.created", row.id, data=shown)
        else:
            record(self._session, tenant, "api_key.updated", row.id, changes_requested=shown)
        found = self.find(identity, organization_id, project_id)
        assert found is not None
        return found

    def _add_if_absent(self, row: tables.ApiKey) -> bool:
        try:
            with self._session.begin_nested():
                self._session.add(row)
        except IntegrityError:
            return False
        return True

    def _place(
        self, identity: Identity, organization_id: str | None, project_id: str | None
    ) -> tuple[Grant, tables.Project]:
        """The grant and the project with which the holder of a token acts."""
        by_project = {grant.project_id: grant for grant in identity.grants}
        grant = by_project.get(project_id or identity.grants[0].project_id)
        project = self._active(grant.project_id if grant else project_id)
        if grant is None and project is not None:
            grant = next((one for one in identity.grants if self._is_admins(one, project)), None)
        if grant is None or project is None:
            raise AuthenticationFailed(
                "OpenAI-Project header names no active project in which this token may act."
                if project_id
                else "The project of this token is archived or does not exist.",
                code="mismatched_project" if project_id else "project_archived",
            )
        if organization_id not in (None, project.organization_id):
            raise AuthenticationFailed(
                "OpenAI-Organization header should match organization for this token.",
                code="mismatched_organization",
            )
        return grant, project

    def _is_admins(self, grant: Grant, project: tables.Project) -> bool:
        home = self._active(grant.project_id) if grant.is_admin else None
        return home is not None and home.organization_id == project.organization_id

    def _active(self, id: str | None) -> tables.Project | None:
        project = self._session.get(tables.Project, id) if id is not None else None
        return project if project is not None and project.archived_at is None else None


def _id(identity: Identity, grant: Grant) -> str:
    return holder_id(identity.issuer, identity.subject, grant.project_id)


def _shows(row: tables.ApiKey, grant: Grant) -> bool:
    return grant.scopes.issubset(row.scopes) and row.is_admin_key >= grant.is_admin
