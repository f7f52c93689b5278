"""`tunery pools`: needs an admin key."""

import typer

from service.cli.commands import api_command
from service.cli.output import Columns, Output
from service.cli.remote import Api

app = typer.Typer()

_COLUMNS: Columns = {
    "POOL": "name",
    "KIND": lambda pool: pool["accelerator_type"] or pool["kind"],
    "NODES": "nodes",
    "DEVICES": "devices",
    "HELD": "held_devices",
    "PRICE": "price",
}


@api_command(app, "pools")
def pools(api: Api, output: Output) -> None:
    """Show the devices that jobs train on, and how many of them are held. Needs an admin key."""
    found = api.get("/organization/pools")
    output.items(found["data"], _COLUMNS)
    output.remark(f"{found['slots']} device(s) at once, {found['queued_jobs']} queued job(s).")
