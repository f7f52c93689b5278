"""The committed OpenAPI document is the application's, and clients can be generated from it."""

import re
from typing import Any

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.api.app import create_app
from service.api.openapi import COMMITTED, as_text
from service.settings import Settings


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return orjson.loads(as_text(create_app(Settings()).openapi()))  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_the_committed_document_is_the_applications(document: dict[str, Any]) -> None:
    assert COMMITTED.read_text() == as_text(document), (
        "run: python -m service.api.openapi > openapi/openapi.json"
    )


def test_it_is_valid_openapi_31(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_has_an_id_of_its_own_and_one_tag(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in ids)
    assert all(len(operation["tags"]) == 1 for operation in operations(document))


def test_no_operation_documents_fastapis_own_errors(document: dict[str, Any]) -> None:
    assert all("422" not in operation["responses"] for operation in operations(document))
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, item in document["paths"].items():
        for operation in item.values():
            assert not path.startswith("/v1") or "default" in operation["responses"]


def test_objects_have_names(document: dict[str, Any]) -> None:
    """An object described inside another one would have no name in a generated client."""
    anonymous = []

    def visit(place: str, schema: Any, is_named: bool) -> None:
        if isinstance(schema, list):
            for item in schema:
                visit(place, item, False)
        elif isinstance(schema, dict):
            if schema.get("type") == "object" and "properties" in schema and not is_named:
                anonymous.append(place)
            for key, value in schema.items():
                visit(f"{place}.{key}", value, False)

    for name, schema in document["components"]["schemas"].items():
        visit(name, schema, True)
    visit("paths", document["paths"], False)
    assert anonymous == []


def test_variants_have_a_discriminator(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    messages = schemas["ChatCompletionBody"]["properties"]["messages"]["items"]
    assert messages["discriminator"]["propertyName"] == "role"
    method = schemas["CreateJobBody"]["properties"]["method"]["anyOf"][0]
    assert method["discriminator"]["propertyName"] == "type"
