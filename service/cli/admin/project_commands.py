"""`tunery projects`: manages an organization's projects and their retention."""

from service.cli.admin import retention
from service.cli.admin.projects import app

__all__ = ["app", "retention"]
