"""The retention terms of projects and organizations."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.organization.audit_log import record
from service.db.organization.projects import Projects
from service.db.retention.rules import Days, RetentionKind, RetentionRules, Term
from service.db.tenancy import Tenant


def terms_of(session: Session, rules: RetentionRules, project_id: str) -> dict[RetentionKind, Term]:
    """Terms of the project, or of the server if the project has just been deleted."""
    found = session.execute(
        select(tables.Project.retention, tables.Organization.retention)
        .join(tables.Organization, tables.Organization.id == tables.Project.organization_id)
        .where(tables.Project.id == project_id)
    ).one_or_none()
    project, organization = found or (None, None)
    return rules.terms(project, organization)


def all_terms(session: Session, rules: RetentionRules) -> list[tuple[Tenant, dict[RetentionKind, Term]]]:
    """Terms of every project, including archived ones."""
    rows = session.execute(
        select(
            tables.Project.organization_id,
            tables.Project.id,
            tables.Project.retention,
            tables.Organization.retention,
        )
        .join(tables.Organization, tables.Organization.id == tables.Project.organization_id)
        .order_by(tables.Project.id)
    )
    return [
        (Tenant(organization_id, id), rules.terms(project, organization))
        for organization_id, id, project, organization in rows
    ]


def change_terms(
    session: Session,
    rules: RetentionRules,
    tenant: Tenant,
    days: Days,
    *,
    inherited: Collection[RetentionKind] = (),
) -> None:
    """Changes the project's terms. Kinds in `inherited` follow the organization's terms again; kinds in
    neither stay as they are. Raises NotFound, Conflict if the project is archived, and InvalidRequest
    (`retention_out_of_bounds`)."""
    rules.check(days)
    row = _active(session, tenant)
    row.retention = _changed(row.retention, days, inherited)
    requested = _requested(days, inherited)
    record(session, tenant, "project.retention.updated", row.id, changes_requested=requested)


def reset_terms(session: Session, tenant: Tenant) -> None:
    """Leaves all terms to the organization. Raises NotFound, and Conflict if the project is archived."""
    row = _active(session, tenant)
    row.retention = None
    record(session, tenant, "project.retention.deleted", row.id)


def organization_days(session: Session, organization_id: str) -> dict[RetentionKind, float | None]:
    """The terms that the organization has set, which projects without terms of their own follow."""
    stored: Any = session.get_one(tables.Organization, organization_id).retention or {}
    return dict(stored)


def change_organization_terms(
    session: Session,
    rules: RetentionRules,
    tenant: Tenant,
    days: Days,
    *,
    inherited: Collection[RetentionKind] = (),
) -> None:
    """Like `change_terms`, with the server's terms behind the organization's. `tenant` is the project that
    the caller acts in."""
    rules.check(days)
    row = _organization(session, tenant)
    row.retention = _changed(row.retention, days, inherited)
    requested = _requested(days, inherited)
    record(session, tenant, "organization.retention.updated", row.id, changes_requested=requested)


def reset_organization_terms(session: Session, tenant: Tenant) -> None:
    row = _organization(session, tenant)
    row.retention = None
    record(session, tenant, "organization.retention.deleted", row.id)


def _changed(
    stored: Mapping[str, Any] | None, days: Days, inherited: Collection[RetentionKind]
) -> dict[str, Any]:
    kept = {kind: value for kind, value in (stored or {}).items() if kind not in inherited}
    return kept | {str(kind): value for kind, value in days.items()}


def _requested(days: Days, inherited: Collection[RetentionKind]) -> Mapping[RetentionKind, object]:
    return {**days, **dict.fromkeys(inherited, "default")}


def _active(session: Session, tenant: Tenant) -> tables.Project:
    Projects(session, tenant.organization_id).active_tenant(tenant.project_id)
    return session.get_one(tables.Project, tenant.project_id)


def _organization(session: Session, tenant: Tenant) -> tables.Organization:
    wanted = select(tables.Organization).where(tables.Organization.id == tenant.organization_id)
    return session.scalars(wanted.with_for_update(key_share=True)).one()
