"""Refuses query parameters and form fields that a route does not have: a misspelt one would be ignored."""

from collections.abc import Iterable, Iterator
from typing import get_origin

from fastapi import Request, params
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.datastructures import UploadFile

from cluster.contracts.errors import InvalidRequest


async def refuse_unknown_parameters(request: Request) -> None:
    """A dependency of every public route. JSON bodies have the same rule in their schemas.

    Empty values count as absent, because openai-node sends null that way. Raises InvalidRequest
    (`unknown_parameter`)."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    if request.query_params:
        _refuse_unknown(request.query_params.multi_items(), set(_query_names(route)))
    if route.body_field is not None and isinstance(route.body_field.field_info, params.Form):
        # FastAPI has parsed it already, and the request keeps it.
        form = await request.form()
        _refuse_unknown(form.multi_items(), {field.alias for field in route.dependant.body_params})


def _refuse_unknown(given: Iterable[tuple[str, UploadFile | str]], known: set[str]) -> None:
    for name, value in given:
        # `metadata[key]` is known as `metadata[`: a route that has it accepts any key.
        if value != "" and name not in known and f"{name.partition('[')[0]}[" not in known:
            raise InvalidRequest(f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name)


def _query_names(route: APIRoute) -> Iterator[str]:
    """Names of the route's query parameters, including `name[]` for lists, as the openai SDKs write them, and
    `name[` for objects."""
    for extra in (route.openapi_extra or {}).get("parameters", ()):
        yield extra["name"]
        yield f"{extra['name']}["
    yield from _names_of(route.dependant)


def _names_of(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
        if get_origin(field.field_info.annotation) is list:
            yield f"{field.alias}[]"
    for inner in dependant.dependencies:
        yield from _names_of(inner)
