"""`/v1/rights`: the rights of the project in which a key acts."""

from fastapi import APIRouter

from cluster.contracts.jobs import PRIORITIES
from service.api.http.auth import Reader
from service.api.schemas.rights import OwnRights
from service.api.state import UsesAppState
from service.db.limits.priorities import max_priority
from service.db.organization.projects import Projects

router = APIRouter(prefix="/rights", tags=["Projects"])


@router.get("", operation_id="rights_retrieve", summary="Retrieve your project's rights")
def retrieve(caller: Reader, state: UsesAppState) -> OwnRights:
    """Returns what the project may use, which an administrator sets with the project's rights and limits. A
    Tunery extension."""
    project_id = caller.tenant.project_id
    with state.database.read() as session:
        rights = Projects(session, caller.tenant.organization_id).rights(project_id)
        highest = PRIORITIES.index(max_priority(session, project_id))
    return OwnRights(
        project_id=project_id,
        organization_id=caller.tenant.organization_id,
        is_admin_key=caller.is_admin_key,
        is_operators_key=caller.is_operators,
        **rights.to_json(),
        priorities=list(PRIORITIES[: highest + 1]),
    )
