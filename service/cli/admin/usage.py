"""`tunery usage`: what the project's keys have used."""

from typing import Annotated

import typer

from service.cli.commands import api_command
from service.cli.output import Columns, Output
from service.cli.remote import Api

app = typer.Typer()

_COLUMNS: Columns = {
    "DAY": "date",
    "KEY": "api_key_id",
    "MODEL": "model",
    "REQUESTS": "requests",
    "PROMPT TOKENS": "prompt_tokens",
    "COMPLETION TOKENS": "completion_tokens",
}


@api_command(app, "usage")
def usage(
    api: Api,
    output: Output,
    start: Annotated[
        str | None, typer.Option(help="The first day, YYYY-MM-DD; 30 days ago by default.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="The last day; today by default.")] = None,
) -> None:
    """Show the usage of the project's keys, by day and model."""
    output.items(api.get("/usage", start=start, end=end)["data"], _COLUMNS)
