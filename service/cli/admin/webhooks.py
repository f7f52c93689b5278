"""`tunery webhooks`: where a project's events are sent."""

from typing import Annotated, Literal

import typer

from service.cli.commands import api_command
from service.cli.confirming import Yes, confirm
from service.cli.failures import CommandFailed
from service.cli.output import Columns, Item, Output, date
from service.cli.remote import Api

app = typer.Typer(help="Manage the webhook endpoints that receive a project's events.", no_args_is_help=True)

_PATH = "/webhook_endpoints"
_PREFIX = "fine_tuning.job."
_Id = Annotated[str, typer.Argument(metavar="ENDPOINT", help="The endpoint's id, we_….")]
_Event = Literal["succeeded", "failed", "cancelled"]
_ALL = ("succeeded", "failed", "cancelled")
_COLUMNS: Columns = {
    "ENDPOINT": "id",
    "NAME": "name",
    "URL": "url",
    "EVENTS": lambda endpoint: " ".join(type.removeprefix(_PREFIX) for type in endpoint["event_types"]),
    "STATUS": lambda endpoint: endpoint["tunery"]["disabled_reason"] or endpoint["tunery"]["status"],
    "FAILURES": lambda endpoint: endpoint["tunery"]["failures"],
    "CREATED": lambda endpoint: date(endpoint["created_at"]),
}


def _answer(delivery: Item) -> object:
    return delivery["error"] or delivery["status_code"]


_DELIVERIES: Columns = {
    "DELIVERY": "id",
    "EVENT": "event_id",
    "TYPE": "event_type",
    "STATUS": "status",
    "TRIES": "tries",
    "LAST ANSWER": _answer,
    "LAST TRY": lambda delivery: date(delivery["tried_at"]),
    "NEXT TRY": lambda delivery: date(delivery["next_try_at"]),
}


@api_command(app, "create")
def create(
    api: Api,
    output: Output,
    url: Annotated[str, typer.Argument(metavar="URL", help="URL that events are posted to, usually https.")],
    event: Annotated[
        list[str] | None,
        typer.Option(help="Event to send: succeeded, failed or cancelled; can be repeated. All by default."),
    ] = None,
    name: Annotated[str, typer.Option(help="A human-readable name.")] = "webhook",
) -> None:
    """Create an endpoint and print its signing secret. The secret is shown only once."""
    event_types = [_PREFIX + end for end in event or _ALL]
    created = api.post(_PATH, {"url": url, "name": name, "event_types": event_types})
    output.item(created, {"ENDPOINT": "id", "SECRET": "signing_secret"})
    output.remark("The secret is not shown again. Receivers verify signatures with it.")


@api_command(app, "ls")
def ls(api: Api, output: Output) -> None:
    """List the endpoints."""
    output.items(api.list(_PATH), _COLUMNS)


@api_command(app, "rm")
def rm(api: Api, output: Output, endpoint: _Id, yes: Yes = False) -> None:
    """Delete an endpoint and its deliveries."""
    confirm(f"Delete {endpoint}, its secret and its deliveries?", yes=yes)
    output.done(api.delete(f"{_PATH}/{endpoint}"), f"Deleted {endpoint}.")


@api_command(app, "test")
def send_sample(
    api: Api,
    output: Output,
    endpoint: _Id,
    event: Annotated[_Event, typer.Option(help="Status of the job in the sample event.")] = "succeeded",
) -> None:
    """Send a sample event and show the receiver's response. Exits with 1 unless it is accepted (2xx)."""
    result = api.post(f"{_PATH}/{endpoint}/test", {"event_type": _PREFIX + event})
    status = result["status_code"]
    output.done(result, f"The receiver answered {status}.")
    if not 200 <= status < 300:
        raise CommandFailed(f"A real event would be sent again: the receiver must answer 2xx, not {status}.")


@api_command(app, "deliveries")
def deliveries(api: Api, output: Output, endpoint: _Id) -> None:
    """List the deliveries to an endpoint, newest first."""
    output.items(api.list(f"{_PATH}/{endpoint}/deliveries"), _DELIVERIES)


@api_command(app, "rotate")
def rotate(
    api: Api,
    output: Output,
    endpoint: _Id,
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Keep signing with the old secret as well for one day.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Replace an endpoint's signing secret and print the new one. The secret is shown only once."""
    if not keep_old:
        confirm(f"Stop signing with the present secret of {endpoint} at once?", yes=yes)
    rotated = api.post(f"{_PATH}/{endpoint}/rotate_secret", {"keep_old_secret_active_for_24_hours": keep_old})
    output.item(rotated, {"ENDPOINT": "id", "SECRET": "signing_secret"})


@api_command(app, "enable")
def enable(api: Api, output: Output, endpoint: _Id) -> None:
    """Enable a disabled endpoint."""
    output.done(api.post(f"{_PATH}/{endpoint}/enable"), f"Enabled {endpoint}.")


@api_command(app, "disable")
def disable(api: Api, output: Output, endpoint: _Id) -> None:
    """Disable an endpoint. Pending deliveries fail."""
    output.done(api.post(f"{_PATH}/{endpoint}/disable"), f"Disabled {endpoint}.")
