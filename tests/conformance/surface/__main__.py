"""Writes `openapi/CONFORMANCE.md`: `make conformance`."""

from tests.conformance.surface.table import PATH, document, seen

PATH.write_text(document(seen()))
