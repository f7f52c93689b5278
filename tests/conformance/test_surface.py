"""Every method of the SDKs, as its users call it."""

import os

import pytest

from tests.conformance.surface.sdks import CLIENTS
from tests.conformance.surface.table import PATH, document, seen

ON_PURPOSE = ("404 not_offered: ", "405 not_offered: ", "404 not_found: Response with id 'resp_1' not found")


@pytest.mark.slow
def test_every_method_of_the_sdks_works_or_is_refused_on_purpose_as_the_table_says() -> None:
    if not (CLIENTS / "installed").exists() and not os.environ.get("CI"):
        pytest.skip("`make .clients/installed` installs the other SDKs")
    surfaces = seen()
    assert [method for surface in surfaces.values() for method in surface.unknown] == []
    refused = {outcome for surface in surfaces.values() for outcome in surface.outcomes.values() if outcome}
    assert [outcome for outcome in refused if not outcome.startswith(ON_PURPOSE)] == []
    assert PATH.read_text() == document(surfaces), "`make conformance` writes the table again"
