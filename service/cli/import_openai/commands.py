"""`tunery import-openai`: takes jobs, files and names from OpenAI, or an API of its shape, to Tunery."""

from service.cli.import_openai import moving_commands, reporting_commands
from service.cli.import_openai.source.command import app

__all__ = ["app", "moving_commands", "reporting_commands"]
