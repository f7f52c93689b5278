"""`tunery import-openai`: moves jobs, files and names from OpenAI, or a compatible API, to Tunery."""

from service.cli.import_openai import moving_commands, reporting_commands
from service.cli.import_openai.source.command import app

__all__ = ["app", "moving_commands", "reporting_commands"]
