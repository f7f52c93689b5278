from tests.api import http, live, parts, project

__all__ = ["http", "live", "parts", "project"]
