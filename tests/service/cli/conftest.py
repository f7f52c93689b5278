"""Fixtures for tests of commands that call the API."""

from tests.api import live, project, state

__all__ = ["live", "project", "state"]
