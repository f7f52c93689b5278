"""`tunery queue`: needs an admin key."""

from typing import Annotated

import typer

from service.cli.commands import api_command
from service.cli.output import Columns, Output, date
from service.cli.remote import Api

app = typer.Typer()

_COLUMNS: Columns = {
    "PLACE": lambda job: job["queue"]["position"],
    "JOB": "id",
    "PROJECT": "project_id",
    "PRIORITY": "priority",
    "DEVICES": lambda job: _devices(job["num_workers"], job["max_workers"]),
    "MODEL": "model",
    "STARTS": lambda job: job["queue"]["estimated_start"] and date(job["queue"]["estimated_start"]),
    "WAITS FOR": lambda job: job["queue"]["message"],
}


@api_command(app, "queue")
def queue(
    api: Api,
    output: Output,
    limit: Annotated[
        int,
        typer.Option(help="Maximum number of jobs to show, from the front of the queue.", min=1, max=1000),
    ] = 100,
) -> None:
    """Show the organization's queued jobs, with each job's position and what it is waiting for. Requires an
    admin key."""
    found = api.get("/organization/queue", limit=limit)
    output.items(found["data"], _COLUMNS)
    if found["has_more"]:
        output.remark("There are more; --limit shows them.")


def _devices(fewest: int, most: int) -> str:
    return str(fewest) if fewest == most else f"{fewest}-{most}"
