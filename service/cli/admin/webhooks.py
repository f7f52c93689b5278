"""`tunery webhooks`: where a project's events are sent."""

from typing import Annotated, Literal

import typer

from service.cli.commands import api_command
from service.cli.confirming import Yes, confirm
from service.cli.failures import CommandFailed
from service.cli.output import Columns, Item, Output, date
from service.cli.remote import Api

app = typer.Typer(help="Send a project's events to URLs.", no_args_is_help=True)

_PATH = "/webhook_endpoints"
_PREFIX = "fine_tuning.job."
_Id = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Its id, we_….")]
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
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are posted: https, as a rule.")],
    event: Annotated[
        list[str] | None,
        typer.Option(help="succeeded, failed or cancelled; give it again for more. All by default."),
    ] = None,
    name: Annotated[str, typer.Option(help="A name for people.")] = "webhook",
) -> None:
    """Create an endpoint and show its signing secret, once."""
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
    event: Annotated[_Event, typer.Option(help="How the sample's job ended.")] = "succeeded",
) -> None:
    """Send a sample event and show what the receiver answers. Exits with 1 if it is not taken (2xx)."""
    result = api.post(f"{_PATH}/{endpoint}/test", {"event_type": _PREFIX + event})
    status = result["status_code"]
    output.done(result, f"The receiver answered {status}.")
    if not 200 <= status < 300:
        raise CommandFailed(f"A real event would be sent again: the receiver must answer 2xx, not {status}.")


@api_command(app, "deliveries")
def deliveries(api: Api, output: Output, endpoint: _Id) -> None:
    """List what was sent to an endpoint, the newest first."""
    output.items(api.list(f"{_PATH}/{endpoint}/deliveries"), _DELIVERIES)


@api_command(app, "rotate")
def rotate(
    api: Api,
    output: Output,
    endpoint: _Id,
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Sign with the old secret too for a day.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Replace an endpoint's signing secret and show the new one, once."""
    if not keep_old:
        confirm(f"Stop signing with the present secret of {endpoint} at once?", yes=yes)
    rotated = api.post(f"{_PATH}/{endpoint}/rotate_secret", {"keep_old_secret_active_for_24_hours": keep_old})
    output.item(rotated, {"ENDPOINT": "id", "SECRET": "signing_secret"})


@api_command(app, "enable")
def enable(api: Api, output: Output, endpoint: _Id) -> None:
    """Send events to a disabled endpoint again."""
    output.done(api.post(f"{_PATH}/{endpoint}/enable"), f"Enabled {endpoint}.")


@api_command(app, "disable")
def disable(api: Api, output: Output, endpoint: _Id) -> None:
    """Send nothing more to an endpoint. Pending deliveries fail."""
    output.done(api.post(f"{_PATH}/{endpoint}/disable"), f"Disabled {endpoint}.")
