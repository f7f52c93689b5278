"""The API as an ASGI application. Creating it does no work; its lifespan opens and closes what it runs on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cache

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from cluster.bases.catalogue import LiveCatalogue
from cluster.storage.location import open_store
from service.api.flushing import flushing
from service.api.http import errors
from service.api.http.auth import Authentication
from service.api.http.bodies_in_flight import BodiesInFlight
from service.api.http.body_time import BodyTime
from service.api.http.dashboard import Dashboard
from service.api.http.document import ERROR_RESPONSES, describe
from service.api.http.draining import Draining
from service.api.http.key_use import KeyUse
from service.api.http.middleware import (
    BodyLimit,
    HeadAsGet,
    RequestContext,
    RouteTemplate,
    WithoutTrailingSlash,
)
from service.api.http.permission import Permission
from service.api.http.request_rates import RequestRates
from service.api.http.requests_in_flight import RequestsInFlight
from service.api.http.strict_json import refuse_lax_routes
from service.api.http.tracing import Tracing
from service.api.http.unknown_parameters import refuse_unknown_parameters
from service.api.inference.admission import AdmissionQueue
from service.api.inference.context import InferenceContext
from service.api.inference.engine import Engine, ServeEngine
from service.api.inference.fair_queue import QueueLimits
from service.api.inference.rate_limits import RateLimiter
from service.api.inference.usage_meter import UsageMeter
from service.api.jobs.event_feed import EventFeed
from service.api.presence import renewing_presence
from service.api.readiness import Readiness
from service.api.routes import (
    admin_api_keys,
    aliases,
    audit_logs,
    checkpoint_permissions,
    classifications,
    completions,
    data_reports,
    embeddings,
    encryption,
    exports,
    files,
    graders,
    health,
    imports,
    job_estimates,
    job_events,
    job_previews,
    jobs,
    legal_holds,
    limits,
    maintenance,
    models,
    organization_costs,
    organization_limits,
    organization_queue,
    organization_usage,
    organizations,
    own_rights,
    project_api_keys,
    project_rights,
    projects,
    rate_limits,
    responses,
    retention,
    service_accounts,
    storage,
    upload_parts,
    uploads,
    usage,
    webhooks,
    weights,
)
from service.api.state import AppState
from service.api.uploads.pace import Pace
from service.api.uploads.turns import COMPLETIONS_AT_ONCE, FILES_AT_ONCE, Turns, UploadTurns
from service.db.database import Database
from service.metrics.api import UNROUTED, ApiMetrics
from service.metrics.installation import InstallationCollector
from service.metrics.listening import serving_metrics
from service.metrics.making import new_registry, watch_connections
from service.oidc.tokens import Tokens
from service.settings import Settings
from service.webhooks.sending import HttpWebhooks

_MAX_JSON_BYTES = 32 * 2**20
_FORM_BYTES = 2**20
"""Maximum size of a multipart form in addition to its file."""
_EXPOSED_HEADERS = (
    "x-request-id",
    "openai-organization",
    "openai-project",
    "openai-processing-ms",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    *(
        f"x-ratelimit-{what}-{of}"
        for what in ("limit", "remaining", "reset")
        for of in ("requests", "tokens")
    ),
)
"""Response headers that scripts on a web page may read."""
_CUT_STREAMS_SECONDS = 1.0
"""How long to wait at shutdown for interrupted streams to be counted."""


def create_app(settings: Settings, *, open_state: Callable[[Settings], AppState] | None = None) -> FastAPI:
    """Creates the application. `open_state` opens its state; by default, from the settings."""
    app = FastAPI(
        title="Tunery",
        lifespan=_lifespan(settings, open_state or _open_state),
        # FastAPI's documentation pages load scripts from a CDN. The document itself is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # A form has one file, whose size has its own limit; a second file is refused because of its name.
        # Everything else is held in memory: by default, up to a thousand parts of each kind and a megabyte
        # each.
        form_limits={"max_files": 2, "max_fields": 16, "max_part_size": 8192},
        routes=_routes(),
    )
    app.state.draining = Draining()
    refuse_lax_routes(app.routes)
    errors.install(app)
    describe(app)
    # The middleware that is added last is the outermost.
    body_limits = {
        "/v1/files": _most_bytes_of_file_form(settings),
        "/v1/uploads/{upload_id}/parts": upload_parts.MAX_PART_BYTES + _FORM_BYTES,
    }
    routes = list(iter_route_contexts(app.routes))
    app.add_middleware(RouteTemplate, templates={route.endpoint: route.path or UNROUTED for route in routes})
    app.add_middleware(
        BodiesInFlight, max_bytes=settings.max_body_bytes_in_flight, streamed=body_limits.keys()
    )
    app.add_middleware(BodyLimit, limits=body_limits, default=_MAX_JSON_BYTES)
    app.add_middleware(BodyTime, paced=body_limits.keys())
    app.add_middleware(RequestsInFlight, connections=settings.max_connections)
    per_minute = settings.key_requests_per_minute or None
    rates = RequestRates(per_minute, "requests that are not for models")
    refusals = RequestRates(per_minute, "refused requests to models")
    app.add_middleware(Permission, routes=routes, rates=rates, refusals=refusals)
    app.add_middleware(Tracing)
    app.add_middleware(Authentication)
    if settings.dashboard:
        app.add_middleware(Dashboard)
    app.add_middleware(HeadAsGet)
    app.add_middleware(WithoutTrailingSlash)
    app.add_middleware(RequestContext)
    if settings.cors_origins:
        # API keys travel in a header that pages set themselves, not in cookies, so no credentials are
        # allowed.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=_EXPOSED_HEADERS,
        )
    return app


@cache
def _routes() -> list[BaseRoute]:
    """All routes, in the order in which they are tried. Every application of a process shares them, because
    FastAPI takes a tenth of a second to make their validators."""
    router = APIRouter()
    # `aliases`, `imports`, `exports` and `weights` before `models`, whose paths end in any model's name.
    for public in (
        files,
        data_reports,
        uploads,
        upload_parts,
        jobs,
        job_events,
        job_previews,
        job_estimates,
        aliases,
        imports,
        exports,
        weights,
        checkpoint_permissions,
        models,
        completions,
        responses,
        classifications,
        embeddings,
        usage,
        graders,
        webhooks,
        rate_limits,
        limits,
        organization_usage,
        organization_costs,
        organization_queue,
        organizations,
        organization_limits,
        encryption,
        own_rights,
        maintenance,
        projects,
        project_api_keys,
        project_rights,
        retention,
        legal_holds,
        storage,
        service_accounts,
        admin_api_keys,
        audit_logs,
    ):
        router.include_router(
            public.router,
            prefix="/v1",
            responses=ERROR_RESPONSES,
            dependencies=[Depends(refuse_unknown_parameters)],
        )
    router.include_router(health.router)
    return router.routes


def _lifespan(
    settings: Settings, open_state: Callable[[Settings], AppState]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = open_state(settings)
        meter = UsageMeter(state.database)
        limiter = RateLimiter(state.database, state.settings.project_limits)
        metrics = _metrics(state)
        admission = _admission(state.settings)
        metrics.watch_choices(running=lambda: admission.num_running, waiting=lambda: admission.num_waiting)
        inference = InferenceContext(
            state.engine, admission, meter, limiter, metrics, state.availability.context
        )
        flush_seconds, noted = state.settings.usage_flush_seconds, metrics.background_failed
        app.state.app_state = state
        app.state.metrics = metrics
        app.state.inference = inference
        app.state.readiness = Readiness(state, app.state.draining)
        app.state.upload_turns = _upload_turns(state.settings)
        app.state.upload_pace = Pace(state.settings.min_upload_bytes_per_second)
        app.state.key_use = KeyUse(state.database)
        # Half of what one project may have in progress: its other requests are answered, too.
        max_streams = settings.max_connections // 4
        app.state.feed = EventFeed(state.database, app.state.draining, max_streams_per_project=max_streams)
        try:
            async with (
                _listening_for_scrapes(metrics, state.settings),
                limiter.returning(),
                flushing(meter.flush, flush_seconds, "usage", note_failure=noted),
                flushing(app.state.key_use.flush, flush_seconds, "when keys were used", note_failure=noted),
                renewing_presence(state),
                app.state.feed.polling(),
                state.availability.watching(state.engine.bases, state.catalogue),
            ):
                yield
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CUT_STREAMS_SECONDS):
                        await inference.admission.wait_until_empty()
        finally:
            await state.engine.close()
            state.database.close()

    return lifespan


def _metrics(state: AppState) -> ApiMetrics:
    registry = new_registry()
    watch_connections(state.database, registry)
    settings = state.settings
    registry.register(
        InstallationCollector(
            state.database,
            slots=settings.training_devices,
            pools=settings.training_pools,
            sweep_interval_seconds=settings.sweep_interval_seconds,
        )
    )
    return ApiMetrics(registry)


@asynccontextmanager
async def _listening_for_scrapes(metrics: ApiMetrics, settings: Settings) -> AsyncIterator[None]:
    with serving_metrics(metrics.registry, settings.metrics_host, settings.metrics_port):
        yield


def _admission(settings: Settings) -> AdmissionQueue:
    limits = QueueLimits(
        max_running=settings.max_running_choices,
        max_waiting_per_tenant=settings.max_waiting_choices,
        max_waiting=settings.max_waiting_choices_total,
    )
    return AdmissionQueue(limits, wait_seconds=settings.queue_timeout_seconds)


def _most_bytes_of_file_form(settings: Settings) -> int:
    """The largest body of `POST /v1/files`."""
    return settings.max_file_bytes + _FORM_BYTES


def _upload_turns(settings: Settings) -> UploadTurns:
    wait_seconds = settings.queue_timeout_seconds
    return UploadTurns(
        parts=Turns(settings.max_parts_at_once, wait_seconds=wait_seconds),
        completions=Turns(COMPLETIONS_AT_ONCE, wait_seconds=wait_seconds),
        bodies=Turns(FILES_AT_ONCE * _most_bytes_of_file_form(settings), wait_seconds=wait_seconds),
        files=Turns(FILES_AT_ONCE, wait_seconds=wait_seconds),
    )


def _open_state(settings: Settings) -> AppState:
    begin_seconds = settings.load_timeout_seconds + settings.queue_timeout_seconds
    engine: Engine = ServeEngine(
        settings.serving_url,
        settings.cluster_token.get_secret_value(),
        load_seconds=settings.load_timeout_seconds,
        begin_seconds=begin_seconds,
        idle_seconds=max(600.0, begin_seconds),
    )
    return AppState(
        settings=settings,
        database=Database(settings.database_url),
        store=open_store(
            settings.storage_url,
            endpoint_url=settings.storage_endpoint,
            checksums=settings.storage_checksums,
        ),
        engine=engine,
        catalogue=LiveCatalogue(settings.catalogue),
        webhooks=HttpWebhooks(settings.webhook_policy),
        tokens=Tokens(settings.oidc_issuers),
    )
