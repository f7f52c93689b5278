"""`tunery projects`: an organization's projects, and what becomes of what they have."""

from service.cli.admin import retention
from service.cli.admin.projects import app

__all__ = ["app", "retention"]
