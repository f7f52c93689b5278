"""`tunery pools`: needs an admin key, and the operator's to change something."""

from typing import Annotated

import typer

from service.cli.commands import api_command
from service.cli.failures import USAGE, CommandFailed
from service.cli.lookups import quoted
from service.cli.output import Columns, Output
from service.cli.remote import Api

app = typer.Typer()

_COLUMNS: Columns = {
    "POOL": "name",
    "KIND": lambda pool: pool["accelerator_type"] or pool["kind"],
    "NODES": "nodes",
    "STANDING": lambda pool: pool["view"] and pool["view"]["standing_nodes"],
    "DEVICES": "devices",
    "HELD": "held_devices",
    "FREE": lambda pool: pool["view"] and pool["view"]["free_devices"],
    "LIMIT": lambda pool: "unlimited" if pool["max_devices"] is None else pool["max_devices"],
    "PRICE": "price",
}


@api_command(app, "pools")
def pools(
    api: Api,
    output: Output,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="POOL=DEVICES",
            help="How many of a pool's devices jobs may use, such as h100=4, h100=0 or h100=unlimited; can "
            "be repeated. Requires the operator's key.",
        ),
    ] = None,
) -> None:
    """Show the devices that jobs train on, how many of them are in use, and how many may be used. Requires an
    admin key.

    STANDING is the number of nodes that jobs can start on now, and FREE the number of devices available to
    them."""
    for name, max_devices in [_limit(change) for change in changes or ()]:
        api.post(f"/organization/pools/{quoted(name)}", {"max_devices": max_devices})
    found = api.get("/organization/pools")
    output.items(found["data"], _COLUMNS)
    for pool in found["data"]:
        for node in pool["view"]["nodes"] if pool["view"] else ():
            if node["state"] != "standing":
                output.remark(f"Node {node['id']} of {pool['name']} is {node['state']}. {node['reason']}")
    output.remark(f"{found['slots']} device(s) at once, {found['queued_jobs']} queued job(s).")


def _limit(change: str) -> tuple[str, int | None]:
    name, _, value = change.partition("=")
    if value != "unlimited" and not value.isdecimal():
        raise CommandFailed(f"'{change}' is no limit: write POOL=DEVICES, or POOL=unlimited.", USAGE)
    return name, None if value == "unlimited" else int(value)
