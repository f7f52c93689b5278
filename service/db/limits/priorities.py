"""Priorities that a project's jobs may have."""

from sqlalchemy.orm import Session

from cluster.contracts.errors import PermissionDenied
from cluster.contracts.jobs import PRIORITIES, Priority
from service.db.limits.limits import Limits
from service.db.tenancy import Tenant

DEFAULT_MOST: Priority = "normal"


def max_priority(session: Session, project_id: str) -> Priority:
    """The highest priority that the project's jobs may have."""
    place = Limits(session).of(project_id).get("max_priority")
    return DEFAULT_MOST if place is None else PRIORITIES[place]


def check_priority(
    session: Session, tenant: Tenant, priority: Priority, *, param: str = "tunery.priority"
) -> None:
    """Raises PermissionDenied if the project's jobs may not have this priority."""
    most = max_priority(session, tenant.project_id)
    if PRIORITIES.index(priority) > PRIORITIES.index(most):
        raise PermissionDenied(
            f"Jobs of project {tenant.project_id} may have no higher priority than '{most}'; an "
            "administrator can change max_priority in the project's limits.",
            code="priority_not_allowed",
            param=param,
        )
