from tests.api import http, project, state

__all__ = ["http", "project", "state"]
