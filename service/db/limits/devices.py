"""Limits on the devices that a project's jobs may hold."""

from sqlalchemy.orm import Session

from cluster.contracts.errors import PermissionDenied
from service.db.limits.limits import Limits
from service.db.limits.names import UNLIMITED
from service.db.tenancy import Tenant


def check_devices(session: Session, tenant: Tenant, fewest: int) -> None:
    """Raises PermissionDenied if the project may never hold `fewest` devices at once, because such a job
    would wait forever."""
    most = Limits(session).of(tenant.project_id).get("max_devices", UNLIMITED)
    if fewest > most:
        raise PermissionDenied(
            f"The job needs {fewest} device(s) at once, but jobs of project {tenant.project_id} may hold "
            f"{most}. Use fewer workers; an administrator can change max_devices in the project's limits.",
            code="max_devices_exceeded",
            param="training.num_workers",
        )
