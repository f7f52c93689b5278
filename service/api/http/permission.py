"""Refuses a request that its key does not permit, before the body is read."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from re import Pattern

from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.contracts.errors import PermissionDenied
from service.api.http.auth import Requires, RequiresAdminKey
from service.api.http.errors import response_of
from service.db.organization.api_keys import Principal


class Permission:
    """Checks the key against what the route's dependencies require. Those run after the body has been
    received, which would let any key fill the disk and hold the turns of others."""

    def __init__(self, app: ASGIApp, *, routes: Iterable[RouteContext]) -> None:
        self._app = app
        self._required: defaultdict[str, list[tuple[Pattern[str], list[Requires | RequiresAdminKey]]]]
        self._required = defaultdict(list)
        for route in routes:
            required = list(_requirements(getattr(route, "dependant", None) or Dependant()))
            for method in route.methods or ():
                self._required[method].append((compile_path(route.path or "")[0], required))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get("state", {}).get("principal")
        if principal is not None:
            try:
                for requirement in self._of_route(scope):
                    requirement.check(principal)
            except PermissionDenied as error:
                await response_of(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _of_route(self, scope: Scope) -> list[Requires | RequiresAdminKey]:
        """Of the first route that matches, as in routing."""
        routes = self._required.get(scope["method"], [])
        return next((required for path, required in routes if path.match(scope["path"])), [])


def _requirements(dependant: Dependant) -> Iterator[Requires | RequiresAdminKey]:
    if isinstance(dependant.call, Requires | RequiresAdminKey):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _requirements(inner)
