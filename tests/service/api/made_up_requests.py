"""Requests that schemathesis makes up from the committed OpenAPI document, valid and invalid ones.

Making them up takes ten seconds in every process that collects tests: only `make test-thorough` names this
file."""

import json
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
)

from tests.conformance.surface.server import serving
from tests.documents import ROOT

pytestmark = pytest.mark.thorough

EXAMPLES = 8
"""For each operation."""
BEYOND_THE_DOCUMENT = [positive_data_acceptance, negative_data_rejection]
"""What a request names must exist, and fields depend on one another. An empty query parameter counts as
absent."""
OF_METHODS = [allow_header_conformance, unsupported_method]
"""`/v1/models/a/aliases` is also a path of the model `a/aliases`, which has methods of its own."""


@pytest.fixture(scope="module")
def given() -> Iterator[dict[str, str]]:
    with serving() as given:
        yield given


document = schemathesis.openapi.from_dict(json.loads((ROOT / "openapi" / "openapi.json").read_text()))


@document.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_made_up_requests_are_answered_as_the_document_says(
    case: schemathesis.Case, given: dict[str, str]
) -> None:
    case.call_and_validate(
        base_url=given["base_url"].removesuffix("/v1"),
        headers={"Authorization": f"Bearer {given['admin_key']}"},
        excluded_checks=BEYOND_THE_DOCUMENT + (OF_METHODS if case.path.startswith("/v1/models/") else []),
    )
