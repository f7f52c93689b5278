"""Shows and parses limits of projects and of organizations."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from service.cli.failures import USAGE, CommandFailed
from service.cli.lookups import suggestion
from service.cli.output import Output
from service.cli.remote import Api

Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A limit, such as max_jobs_per_1_day=20 or max_jobs_per_1_day=unlimited; can be repeated.",
    ),
]
_UNLIMITED = 2**53 - 1
_USED = {
    "max_projects": "projects",
    "max_concurrent_jobs": "concurrent_jobs",
    "max_jobs_per_1_day": "jobs_in_1_day",
    "max_device_hours_per_1_month": "device_hours_in_1_month",
    "max_stored_bytes": "stored_bytes",
}
"""For each limit, the field that says how much of it has been used."""


def change_limits(api: Api, output: Output, path: str, changes: list[str] | None, *, reset: bool) -> None:
    """Changes the limits at the path, if there are changes, and shows them."""
    check_changes(changes, reset=reset)
    body = dict(_limit(change) for change in changes or ())
    found = api.delete(path) if reset else api.get(path)
    names = [name for name in found if name not in ("object", "id", "used")]
    for name in body:
        if name not in names:
            listed = ", ".join(names)
            raise CommandFailed(
                f"There is no limit '{name}'.{suggestion(name, names)} Limits: {listed}.", USAGE
            )
    if body:
        found = api.post(path, body)
    output.item(found, {name: _shown(name, found["used"]) for name in names})


def check_changes(changes: list[str] | None, *, reset: bool) -> None:
    if changes and reset:
        raise CommandFailed("Give either --set or --reset.", USAGE)


def _limit(change: str) -> tuple[str, int | str]:
    name, separator, value = change.partition("=")
    if not separator:
        raise CommandFailed(f"'{change}' is no limit: write NAME=VALUE.", USAGE)
    if value == "unlimited":
        return name, _UNLIMITED
    return name, int(value) if value.isdecimal() else value


def _shown(name: str, used: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], str]:
    def shown(limits: Mapping[str, Any]) -> str:
        limit = "unlimited" if limits[name] == _UNLIMITED else limits[name]
        spent = used.get(_USED.get(name, ""))
        return f"{limit}" if spent is None else f"{limit} (used: {round(spent, 2)})"

    return shown
