"""`/v1/maintenance`: the operator's key begins and ends maintenance of the whole installation."""

from fastapi import APIRouter

from service.api.http.auth import Operator
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.maintenance import MaintenanceBody, PublicMaintenance
from service.api.state import UsesAppState
from service.db.maintenance import Maintenance, begin_maintenance, current_maintenance, end_maintenance

router = APIRouter(prefix="/maintenance", tags=["Organizations"], route_class=StrictJsonRoute)


@router.get("", operation_id="maintenance_retrieve", summary="Retrieve the maintenance status")
def retrieve(caller: Operator, state: UsesAppState) -> PublicMaintenance:
    """A Tunery extension."""
    with state.database.read() as session:
        return _public(current_maintenance(session))


@router.post("", operation_id="maintenance_begin", summary="Begin maintenance")
def begin(caller: Operator, state: UsesAppState, body: MaintenanceBody) -> PublicMaintenance:
    """Begins maintenance of the whole installation: no jobs are created or started until it ends. Files can
    still be uploaded, and models can be used. A further request changes whether running jobs pause. A Tunery
    extension."""
    with state.database.write() as session:
        return _public(begin_maintenance(session, caller.tenant, pauses_jobs=body.pauses_jobs))


@router.delete("", operation_id="maintenance_end", summary="End maintenance")
def end(caller: Operator, state: UsesAppState) -> PublicMaintenance:
    """Ends maintenance: jobs start and continue again. A Tunery extension."""
    with state.database.write() as session:
        end_maintenance(session, caller.tenant)
    return _public(None)


def _public(found: Maintenance | None) -> PublicMaintenance:
    if found is None:
        return PublicMaintenance(is_on=False, since=None, pauses_jobs=False)
    return PublicMaintenance(is_on=True, since=found.since, pauses_jobs=found.pauses_jobs)
