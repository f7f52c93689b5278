"""Authentication and scopes. Every path that is not listed here needs an API key or a token."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from cluster.contracts.errors import AuthenticationFailed, PermissionDenied, TuneryError
from service.api.http.errors import response_of
from service.api.state import AppState
from service.db.organization.api_keys import ApiKeys, Principal
from service.db.organization.audit_log import Actor, acting
from service.db.organization.identity import Identity
from service.db.organization.key_format import logged_id
from service.db.organization.scopes import Scope as KeyScope
from service.db.organization.token_holders import TokenHolders

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

        client = scope.get("client")
        actor = Actor(principal.key_id, scope["state"]["request_id"], client[0] if client else None)
        token = acting.set(actor)
        try:
            with bound_contextvars(project=principal.tenant.project_id, key=logged_id(principal.key_id)):
                await self._app(scope, receive, send_with_tenant)
        finally:
            acting.reset(token)


def bearer_token(headers: Headers) -> str:
    """Returns the token of the Authorization header. Raises AuthenticationFailed if there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationFailed(
            "You didn't provide an API key. Send it in an Authorization header: 'Bearer YOUR_KEY'."
        )
    return token.strip()


class Requirement(ABC):
    """A dependency that returns the caller, and raises PermissionDenied unless it meets the requirement."""

    async def __call__(self, request: Request) -> Principal:
        principal: Principal = request.state.principal
        self.check(principal)
        return principal

    @abstractmethod
    def check(self, principal: Principal) -> None:
        """Raises PermissionDenied."""


@dataclass(frozen=True)
class Requires(Requirement):
    """Requires that the key has one of `scopes`."""

    scopes: tuple[KeyScope, ...]

    def check(self, principal: Principal) -> None:
        if not any(principal.may(scope) for scope in self.scopes):
            wanted = " or ".join(f"'{scope}'" for scope in self.scopes)
            raise PermissionDenied(f"This API key may not do that: it lacks the scope {wanted}.")


INFER = Requires(("infer",))
_READER = Requires(("read",))
Reader = Annotated[Principal, Depends(_READER)]
Writer = Annotated[Principal, Depends(Requires(("write",)))]
Inferrer = Annotated[Principal, Depends(INFER)]
ModelReader = Annotated[Principal, Depends(Requires(("read", "infer")))]
"""Keys that may use models may also list them."""


class RequiresAdminKey(Requirement):
    """Requires an admin key."""

    def check(self, principal: Principal) -> None:
        if not principal.is_admin_key:
            raise PermissionDenied(
                "This route needs an admin key of the organization.", code="admin_key_required"
            )


class RequiresOperatorsKey(Requirement):
    """Requires the operator's key."""

    def check(self, principal: Principal) -> None:
        if not principal.is_operators:
            raise PermissionDenied("This route needs the operator's key.", code="operators_key_required")


operators_key = RequiresOperatorsKey()
Operator = Annotated[Principal, Depends(operators_key)]
admin_key = RequiresAdminKey()
OrganizationAdmin = Annotated[Principal, Depends(admin_key)]
"""Admin keys, in whichever project they act."""


async def _reader_check(request: Request) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        _READER.check(await _authenticate(request.app.state.app_state, request.headers))

    return check


ReaderCheck = Annotated[Callable[[], Awaitable[None]], Depends(_reader_check)]
"""Raises AuthenticationFailed or PermissionDenied if a Reader's request would be refused now."""


async def _authenticate(state: AppState, headers: Headers) -> Principal:
    bearer = bearer_token(headers)
    # An empty header counts as absent: clients send one for an empty variable.
    organization_id = headers.get("openai-organization") or None
    project_id = headers.get("openai-project") or None
    if state.tokens.may_be_one(bearer):
        identity = await state.tokens.identity(bearer)
        return await _holder(state, identity, organization_id, project_id)

    def read() -> Principal:
        with state.database.read() as session:
            return ApiKeys(session).authenticate(
                bearer, organization_id=organization_id, project_id=project_id
            )

    principal: Principal = await state.shared_reads.get(("key", bearer, organization_id, project_id), read)
    return principal


async def _holder(
    state: AppState, identity: Identity, organization_id: str | None, project_id: str | None
) -> Principal:
    """The principal behind a valid token."""

    def read() -> Principal | None:
        with state.database.read() as session:
            return TokenHolders(session).find(identity, organization_id, project_id)

    def write() -> Principal:
        with state.database.write() as session:
            return TokenHolders(session).record(identity, organization_id, project_id)

    named = (identity, organization_id, project_id)
    found: Principal | None = await state.shared_reads.get(("holder", *named), read)
    if found is None:  # the first time, or the first with more scopes
        found = await state.shared_reads.get(("new holder", *named), write)
    assert found is not None
    return found
