"""Refuses a request before its body is read if its key does not permit it or has sent too many requests."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from re import Pattern

from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.contracts.errors import PermissionDenied, RateLimited
from service.api.http.auth import INFER, Requirement
from service.api.http.errors import response_of
from service.api.http.request_rates import RequestRates
from service.db.organization.api_keys import Principal


class Permission:
    """Checks the key against the requirements of the route's dependencies. Dependencies run after the body
    has been received, which would let any key fill the disk and occupy the turns of others."""

    def __init__(
        self, app: ASGIApp, *, routes: Iterable[RouteContext], rates: RequestRates, refusals: RequestRates
    ) -> None:
        """`rates` limits requests that are not for models. `refusals` limits refused requests for models:
        they cost no tokens, and so count against no limit of models."""
        self._app = app
        self._rates = rates
        self._refusals = refusals
        self._required: defaultdict[str, list[tuple[Pattern[str], list[Requirement]]]]
        self._required = defaultdict(list)
        for route in routes:
            required = list(_requirements(getattr(route, "dependant", None) or Dependant()))
            for method in route.methods or ():
                self._required[method].append((compile_path(route.path or "")[0], required))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get("state", {}).get("principal")
        if principal is not None:
            required = self._of_route(scope)
            try:
                for requirement in required:
                    requirement.check(principal)
                if INFER in required:
                    self._refusals.check(principal.key_id)
                    send = self._counting_refusals(principal.key_id, send)
                else:
                    self._rates.admit(principal.key_id)
            except (PermissionDenied, RateLimited) as error:
                await response_of(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _counting_refusals(self, key_id: str, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and 400 <= message["status"] < 500:
                self._refusals.count(key_id)
            await send(message)

        return counted

    def _of_route(self, scope: Scope) -> list[Requirement]:
        """Requirements of the first route that matches, as in routing."""
        routes = self._required.get(scope["method"], [])
        return next((required for path, required in routes if path.match(scope["path"])), [])


def _requirements(dependant: Dependant) -> Iterator[Requirement]:
    if isinstance(dependant.call, Requirement):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _requirements(inner)
