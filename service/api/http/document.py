"""The API's OpenAPI document: FastAPI's, adjusted for client generators."""

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from service.api.http.auth import PUBLIC_PATHS
from service.api.schemas.base import ErrorAnswer
from service.api.schemas.chat import ChatCompletionChunk
from service.api.schemas.response_events import RESPONSE_EVENTS

ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {"model": ErrorAnswer, "description": "What went wrong, in OpenAI's form"}
}

_DESCRIPTION = "OpenAI's fine-tuning, files and inference endpoints over your own Ray cluster."

_FORMS = (
    ("Body_files_create", "FileUpload", "file"),
    ("Body_upload_parts_create", "PartUpload", "data"),
)
"""Schemas of multipart forms: FastAPI's name, ours, and the field that is a file."""


def describe(app: FastAPI) -> None:
    """Makes `app.openapi()` and `/openapi.json` return this module's document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=version("tunery"), description=_DESCRIPTION, routes=app.routes
    )
    document["components"]["securitySchemes"] = {
        "ApiKey": {"type": "http", "scheme": "bearer", "description": "A key of a project, or an admin key."}
    }
    document["security"] = [{"ApiKey": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in PUBLIC_PATHS:
                operation["security"] = []
    for old, new, content in _FORMS:
        _rename(document, old, new)
        # Client generators recognize a file by `format: binary`. They read FastAPI's `contentMediaType` as
        # text.
        document["components"]["schemas"][new]["properties"][content]["format"] = "binary"
    _add_models(document, ChatCompletionChunk, *RESPONSE_EVENTS)
    _enums_for_consts(document, document["components"]["schemas"].values())
    return document


def _add_models(document: dict[str, Any], *models: type[BaseModel]) -> None:
    """Adds models that appear only in server-sent events, which FastAPI does not see."""
    schemas = document["components"]["schemas"]
    for model in models:
        schema = model.model_json_schema(mode="serialization", ref_template="#/components/schemas/{model}")
        for name, definition in (schema.pop("$defs", {}) | {model.__name__: schema}).items():
            schemas.setdefault(name, definition)


def _rename(document: dict[str, Any], old: str, new: str) -> None:
    """Renames a schema: FastAPI names a form's model after its operation."""
    schemas = document["components"]["schemas"]
    schemas[new] = schemas.pop(old) | {"title": new}
    _point_to(document, f"#/components/schemas/{old}", f"#/components/schemas/{new}")


def _enums_for_consts(value: Any, schemas: Iterable[Any] = ()) -> None:
    """Replaces each `const` in a union by an `enum` with one value, as in OpenAI's document. Client
    generators take a `const` for the only choice."""
    for schema in schemas:
        if "const" in schema:
            schema["enum"] = [schema.pop("const")]
    if isinstance(value, dict):
        for item in value.values():
            _enums_for_consts(item, value.get("anyOf", ()))
    elif isinstance(value, list):
        for item in value:
            _enums_for_consts(item)


def _point_to(value: Any, old: str, new: str) -> None:
    if isinstance(value, dict):
        if value.get("$ref") == old:
            value["$ref"] = new
        for item in value.values():
            _point_to(item, old, new)
    elif isinstance(value, list):
        for item in value:
            _point_to(item, old, new)
