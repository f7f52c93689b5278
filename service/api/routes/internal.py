"""The runner's sync call, authenticated with the token of its attempt.

It is an application of its own, on a port that is not published."""

from anyio import to_thread
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers, State
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from cluster.contracts.errors import AuthenticationFailed, InvalidRequest
from cluster.contracts.jobs import MAX_SYNC_BYTES, SyncRequest
from service.api.http import errors
from service.api.http.auth import bearer_token
from service.api.http.middleware import BodyLimit, RequestContext, RouteTemplate
from service.api.http.strict_json import loads
from service.api.state import AppState
from service.db.scheduler.attempts import Attempts
from service.metrics.api import ApiMetrics

_MAX_NUMBER = 2**31


def create_internal_app(state: State) -> Starlette:
    """`state` is the state of the public application, whose lifespan opens and closes it."""
    route = Route(
        "/internal/attempts/{job_id}/{number:int}/sync",
        _sync,
        methods=["POST"],
        # In this order: the sender is authenticated before any of the body is read.
        middleware=[
            Middleware(AttemptAuthentication),
            Middleware(BodyLimit, limits={}, default=MAX_SYNC_BYTES),
        ],
    )
    noted = Middleware(RouteTemplate, templates={route.endpoint: route.path})
    app = Starlette(routes=[route], middleware=[Middleware(RequestContext), noted])
    app.state = state
    errors.install(app)
    return app


class AttemptAuthentication:
    """Requires the token of the attempt that the path names. Only reads the database."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state: AppState = scope["app"].state.app_state
        job_id, number = scope["path_params"]["job_id"], scope["path_params"]["number"]
        token = bearer_token(Headers(scope=scope))
        if number >= _MAX_NUMBER:
            raise AuthenticationFailed("This token is not the attempt's.", code="invalid_attempt_token")

        def read() -> None:
            with state.database.read() as session:
                Attempts(session).authenticate(job_id, number, token)

        await state.shared_reads.get(("attempt", job_id, number, token), read)
        scope.setdefault("state", {})["token"] = token
        with bound_contextvars(job=job_id, attempt=number):
            await self._app(scope, receive, send)


async def _sync(request: Request) -> Response:
    """Records what the runner reports. 409 tells a fenced runner to exit."""
    body = await request.body()
    state: AppState = request.app.state.app_state
    return await to_thread.run_sync(_synced, request, body, limiter=state.sync_threads)


def _synced(request: Request, body: bytes) -> Response:
    state: AppState = request.app.state.app_state
    try:
        sync = SyncRequest.model_validate(loads(body))
    except ValidationError as error:
        raise InvalidRequest(
            f"The body is not a valid sync request: {error.error_count()} errors."
        ) from error
    with state.database.write() as session:
        kept = state.settings.checkpoints_kept
        attempts = Attempts(session, state.settings.retries, checkpoints_kept=kept)
        answer = attempts.sync(**request.path_params, token=request.state.token, request=sync)
    metrics: ApiMetrics = request.app.state.metrics
    metrics.reported(sync.events)
    return Response(answer.model_dump_json(), media_type="application/json")
