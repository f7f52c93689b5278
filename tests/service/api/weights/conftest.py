from tests.api import http, live, project, state

__all__ = ["http", "live", "project", "state"]
