"""Runs `tunery` in the test's own process against a live API."""

from typer.testing import CliRunner, Result

from service.cli.main import app
from tests.api import LiveApi


def run_tunery(
    live: LiveApi,
    *arguments: object,
    key: str | None = None,
    stdin: bytes | None = None,
    **environment: str,
) -> Result:
    """With the project's key unless another is given. The result has stdout, stderr and exit_code."""
    own = {"TUNERY_BASE_URL": f"{live.url}/v1", "TUNERY_API_KEY": key or live.project.key}
    given = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, given, env=own | environment, input=stdin)
