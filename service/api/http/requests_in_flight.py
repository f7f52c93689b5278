"""Bounds how many requests of one project, and of one organization, one process answers at once: each holds a
connection."""

from collections import Counter

from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.contracts.errors import Overloaded
from service.api.http.errors import response_of
from service.db.organization.api_keys import Principal
from service.db.tenancy import Tenant

_RETRY_SECONDS = 2.0


class RequestsInFlight:
    """Refuses a request before its body is read if its project already has half of the connections, or its
    organization, which may have many projects, three quarters.

    Streams count to their end, and so do those of events, which have a lower limit of their own beside this.
    Only the paths that need no key do not count: health checks must be answered, and no body is read there.
    The connection of a refused request is idle, and is closed when others need it."""

    def __init__(self, app: ASGIApp, *, connections: int) -> None:
        """`connections` is how many the process accepts."""
        self._app = app
        self._per_project = max(1, connections // 2)
        self._per_organization = max(1, connections * 3 // 4)
        self._of_projects: Counter[str] = Counter()
        """By id, of those that have any."""
        self._of_organizations: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get("state", {}).get("principal")
        if principal is None:
            await self._app(scope, receive, send)
            return
        tenant = principal.tenant
        if refusal := self._refusal(tenant):
            await response_of(refusal)(scope, receive, send)
            return
        self._of_projects[tenant.project_id] += 1
        self._of_organizations[tenant.organization_id] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            _take_one(self._of_projects, tenant.project_id)
            _take_one(self._of_organizations, tenant.organization_id)

    def _refusal(self, tenant: Tenant) -> Overloaded | None:
        """The error if one request more is one too many."""
        if self._of_projects[tenant.project_id] >= self._per_project:
            whose, limit = "project", self._per_project
        elif self._of_organizations[tenant.organization_id] >= self._per_organization:
            whose, limit = "organization", self._per_organization
        else:
            return None
        return Overloaded(
            f"This server is answering {limit} requests of your {whose}, the most that one {whose} may have "
            "in progress at once. Wait for answers, or send fewer at a time.",
            retry_after_seconds=_RETRY_SECONDS,
            code="too_many_requests_in_flight",
        )


def _take_one(counts: Counter[str], key: str) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
