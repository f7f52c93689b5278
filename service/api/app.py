"""The API as an ASGI application. Making it does no work; running it opens what it is made of."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI

from cluster.bases.catalogue import load_catalogue
from cluster.storage.location import open_store
from service.api import errors
from service.api.auth import Authentication
from service.api.document import ERROR_RESPONSES, describe
from service.api.engine import Engine, ServeEngine
from service.api.middleware import BodyLimit, RequestContext
from service.api.parts import Parts
from service.api.readiness import Readiness
from service.api.routes import classifications, completions, files, health, internal, job_events, jobs, models
from service.db.database import Database
from service.settings import Settings

_MAX_JSON_BYTES = 32 * 2**20
_FORM_BYTES = 2**20
"""What a multipart form may add to its file."""


def create_app(settings: Settings, *, open_parts: Callable[[Settings], Parts] | None = None) -> FastAPI:
    """`open_parts` makes what the application runs on; by default what the settings name."""
    app = FastAPI(
        title="Tunery",
        lifespan=_lifespan(settings, open_parts or _open_parts),
        # Their pages load scripts from elsewhere; the document is at /openapi.json.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for public in (files, jobs, job_events, models, completions, classifications):
        app.include_router(public.router, prefix="/v1", responses=ERROR_RESPONSES)
    app.include_router(internal.router)
    app.include_router(health.router)
    errors.install(app)
    describe(app)
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimit, limits={"/v1/files": settings.max_file_bytes + _FORM_BYTES}, default=_MAX_JSON_BYTES
    )
    app.add_middleware(Authentication)
    app.add_middleware(RequestContext)
    return app


def _lifespan(
    settings: Settings, open_parts: Callable[[Settings], Parts]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts = open_parts(settings)
        app.state.parts = parts
        app.state.readiness = Readiness(parts)
        try:
            yield
        finally:
            await parts.engine.close()
            parts.database.close()

    return lifespan


def _open_parts(settings: Settings) -> Parts:
    engine: Engine = ServeEngine(settings.serving_url, settings.cluster_token.get_secret_value())
    return Parts(
        settings=settings,
        database=Database(settings.database_url),
        store=open_store(settings.storage_url, endpoint_url=settings.storage_endpoint),
        engine=engine,
        catalogue=load_catalogue(settings.catalogue),
    )
