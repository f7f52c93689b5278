"""`/v1/organization/audit_logs`: who changed what in the organization."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from cluster.contracts.errors import InvalidRequest
from service.api.http.auth import OrganizationAdmin
from service.api.http.lists import query_list
from service.api.schemas.audit_logs import AuditLogEntry, AuditLogList
from service.api.schemas.base import Absent, OrDefault, WholeNumber
from service.api.state import UsesAppState
from service.db.organization.audit_log import AuditFilter, AuditLog

router = APIRouter(prefix="/organization/audit_logs", tags=["Audit log"])

_Names = Annotated[list[str], Query(default_factory=list, max_length=100)]
_EFFECTIVE_AT: dict[str, Any] = {
    "name": "effective_at",
    "in": "query",
    "description": "Unix seconds: `effective_at[gt]`, `[gte]`, `[lt]` or `[lte]`.",
    "style": "deepObject",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": {"type": "integer"}},
}


@router.get(
    "",
    operation_id="audit_logs_list",
    summary="List the audit log",
    openapi_extra={"parameters": [_EFFECTIVE_AT]},
)
def list_entries(
    request: Request,
    caller: OrganizationAdmin,
    state: UsesAppState,
    event_types: _Names,
    project_ids: _Names,
    actor_ids: _Names,
    resource_ids: _Names,
    after: Annotated[str | Absent, OrDefault] = None,
    before: Annotated[str | Absent, OrDefault] = None,
    limit: Annotated[int, Query(ge=1, le=100), WholeNumber] = 20,
) -> AuditLogList:
    """Lists the entries, newest first. They record every change of the organization made through the API:
    keys, projects, limits, files, jobs, models and so on. Completions and other uses of models are not
    recorded."""
    wanted = AuditFilter(
        event_types=query_list(request, "event_types"),
        project_ids=query_list(request, "project_ids"),
        actor_ids=query_list(request, "actor_ids"),
        resource_ids=query_list(request, "resource_ids"),
        effective_at=_effective_at(request),
    )
    with state.database.read() as session:
        log = AuditLog(session, caller.tenant.organization_id)
        page = log.page(wanted, after=after, before=before, limit=limit)
    return AuditLogList.of([AuditLogEntry(**entry) for entry in page.data], has_more=page.has_more)


def _effective_at(request: Request) -> dict[str, int]:
    bounds = {}
    for name, value in request.query_params.items():
        if not name.startswith("effective_at") or not value:
            continue
        bound = name.removeprefix("effective_at[").removesuffix("]")
        if bound not in ("gt", "gte", "lt", "lte"):
            raise InvalidRequest(
                f"Unknown parameter: '{name}'. Bounds are effective_at[gt], [gte], [lt] and [lte].",
                code="unknown_parameter",
                param=name,
            )
        if not value.isdecimal() or len(value) > 18:
            raise InvalidRequest(f"{name} must be Unix seconds, not '{value}'.", param=name)
        bounds[bound] = int(value)
    return bounds
