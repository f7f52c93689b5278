"""Authentication and scopes. Every path needs an API key unless it is listed here."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.contracts.errors import AuthenticationFailed, PermissionDenied, TuneryError
from service.api.http.errors import response_of
from service.api.state import AppState
from service.db.organization import api_keys
from service.db.organization.api_keys import ApiKeys, Principal

PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json"})
"""Paths that need no API key."""


class Authentication:
    """Denies by default, before routing and before the body is read, so that no route can be forgotten."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in PUBLIC_PATHS:
            await self._app(scope, receive, send)
            return
        assert scope["type"] == "http", "this API has no websockets"
        parts = scope["app"].state
        try:
            principal = await _authenticate(parts.app_state, Headers(scope=scope))
        except TuneryError as error:
            await response_of(error)(scope, receive, send)
            return
        parts.key_use.note(principal.key_id)
        scope.setdefault("state", {})["principal"] = principal

        async def send_with_tenant(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["openai-organization"] = principal.tenant.organization_id
                headers["openai-project"] = principal.tenant.project_id
            await send(message)

        await self._app(scope, receive, send_with_tenant)


def bearer_token(headers: Headers) -> str:
    """Returns the token of the Authorization header. Raises AuthenticationFailed if there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationFailed(
            "You didn't provide an API key. Send it in an Authorization header: 'Bearer YOUR_KEY'."
        )
    return token.strip()


@dataclass(frozen=True)
class Requires:
    """A dependency that returns the caller and raises PermissionDenied unless its key has one of `scopes`."""

    scopes: tuple[api_keys.Scope, ...]

    async def __call__(self, request: Request) -> Principal:
        principal: Principal = request.state.principal
        self.check(principal)
        return principal

    def check(self, principal: Principal) -> None:
        """Raises PermissionDenied."""
        if not any(principal.may(scope) for scope in self.scopes):
            wanted = " or ".join(f"'{scope}'" for scope in self.scopes)
            raise PermissionDenied(f"This API key may not do that: it lacks the scope {wanted}.")


Reader = Annotated[Principal, Depends(Requires(("read",)))]
Writer = Annotated[Principal, Depends(Requires(("write",)))]
Inferrer = Annotated[Principal, Depends(Requires(("infer",)))]
ModelReader = Annotated[Principal, Depends(Requires(("read", "infer")))]
"""Keys that may use models may also list them."""


class RequiresAdminKey:
    """A dependency that returns the caller and raises PermissionDenied unless its key is an admin key."""

    async def __call__(self, request: Request) -> Principal:
        principal: Principal = request.state.principal
        self.check(principal)
        return principal

    def check(self, principal: Principal) -> None:
        """Raises PermissionDenied."""
        if not principal.is_admin_key:
            raise PermissionDenied(
                "This route needs an admin key of the organization.", code="admin_key_required"
            )


admin_key = RequiresAdminKey()
OrganizationAdmin = Annotated[Principal, Depends(admin_key)]
"""Admin keys, whatever project they act in."""


async def _authenticate(state: AppState, headers: Headers) -> Principal:
    token = bearer_token(headers)
    # An empty header counts as absent: clients send one for a variable that is set to nothing.
    organization_id = headers.get("openai-organization") or None
    project_id = headers.get("openai-project") or None

    def read() -> Principal:
        with state.database.read() as session:
            return ApiKeys(session).authenticate(
                token, organization_id=organization_id, project_id=project_id
            )

    principal: Principal = await state.shared_reads.get(("key", token, organization_id, project_id), read)
    return principal
