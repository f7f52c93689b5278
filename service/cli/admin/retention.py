"""`tunery projects retention` and related commands: how long projects keep data, and what they store."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from service.cli.admin.limits import check_changes
from service.cli.admin.projects import Project, app, find_project
from service.cli.commands import api_command
from service.cli.confirming import Yes, confirm
from service.cli.failures import USAGE, CommandFailed
from service.cli.output import Columns, Output, date
from service.cli.remote import Api

_ROOT = "/organization"
_DUE: Columns = {
    "KIND": "kind",
    "COUNT": "count",
    "BYTES": lambda due: "many" if due["bytes"] is None else due["bytes"],
    "OLDEST": lambda due: date(due["oldest_at"]),
}
_HOLDS: Columns = {
    "ID": "id",
    "TYPE": "resource_type",
    "OBJECT": "resource_id",
    "SINCE": lambda hold: date(hold["created_at"]),
    "BY": "api_key_id",
    "REASON": "reason",
}
_STORED: Columns = {"PROJECT": "project", "KIND": "kind", "OBJECTS": "objects", "BYTES": "bytes"}


@api_command(app, "retention")
def retention(
    api: Api,
    output: Output,
    project: Annotated[
        str | None,
        typer.Argument(
            metavar="PROJECT",
            help="A project's id or name. If omitted, the organization's default for its projects.",
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KIND=DAYS",
            help="A retention period in days, such as files=90, events=forever or usage=default; can be "
            "repeated.",
        ),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Reset to the default.")] = False,
    yes: Yes = False,
) -> None:
    """Show or change how long a project keeps its data. Retention periods that you do not name stay
    unchanged."""
    check_changes(changes, reset=reset)
    body = dict(_term(change) for change in changes or ())
    path = f"{_ROOT}/retention" if project is None else f"{_of(api, project)}/retention"
    terms = api.get(path)
    kinds = [name for name in terms if name not in ("object", "id")]
    if unknown := [kind for kind in body if kind not in kinds]:
        raise CommandFailed(f"There is no kind '{unknown[0]}': write one of {', '.join(kinds)}.", USAGE)
    if body or reset:
        wanted = ", ".join(f"{kind}={_shown_days(days)}" for kind, days in body.items()) or "the default"
        whose = project or "the organization"
        confirm(
            f"Change the retention of {whose} to {wanted}? What is due then is deleted for good.", yes=yes
        )
        terms = api.delete(path) if reset else api.post(path, body)
    output.item(terms, {kind: _shown_term(kind) for kind in kinds})


@api_command(app, "due")
def due(
    api: Api,
    output: Output,
    project: Project,
    within: Annotated[
        int, typer.Option("--within", help="Show what will be deleted within this many days.", min=0)
    ] = 0,
) -> None:
    """List what a project's retention will delete next. Changes nothing."""
    found = api.get(f"{_of(api, project)}/retention/due", within_days=within)
    output.items(found["data"], _DUE)


@api_command(app, "hold")
def hold(
    api: Api,
    output: Output,
    project: Project,
    reason: Annotated[
        str, typer.Option("--reason", help="Reason for the hold, visible to administrators only.")
    ],
    object: Annotated[
        str | None,
        typer.Argument(
            metavar="OBJECT",
            help="A file, job, model or checkpoint of the project; the whole project by default.",
        ),
    ] = None,
) -> None:
    """Place a legal hold and print its id. Neither users nor retention can delete what is on hold."""
    body = {"reason": reason} | ({} if object is None else {"resource_id": object})
    placed = api.post(f"{_of(api, project)}/legal_holds", body)
    output.done(placed, placed["id"])


@api_command(app, "holds")
def holds(api: Api, output: Output, project: Project) -> None:
    """List a project's legal holds, newest first."""
    output.items(api.list(f"{_of(api, project)}/legal_holds"), _HOLDS)


@api_command(app, "release")
def release(
    api: Api,
    output: Output,
    project: Project,
    hold: Annotated[str, typer.Argument(metavar="HOLD", help="The id of a legal hold.")],
    yes: Yes = False,
) -> None:
    """Release a legal hold. What was on hold can be deleted again."""
    confirm(f"Release {hold} of {project}? People and retention can then delete what it holds.", yes=yes)
    released = api.delete(f"{_of(api, project)}/legal_holds/{hold}")
    output.done(released, f"The legal hold {hold} is released.")


@api_command(app, "storage")
def storage(api: Api, output: Output) -> None:
    """Show each project's storage in bytes, by kind of object, as counted by the last sweep."""
    found = api.get(f"{_ROOT}/storage")
    if output.wants_json:
        output.json(found)
        return
    at = found["measured_at"]
    if at is None:
        output.remark("No sweep has counted yet: the scheduler's next one does, or `tunery sweep` now.")
        return
    rows = [{"project": project["id"], **kind} for project in found["data"] for kind in project["kinds"]]
    output.items([*rows, {"project": "all", "bytes": found["bytes"]}], _STORED)
    output.remark(f"Counted at {date(at)}.")


def _of(api: Api, project: str) -> str:
    return f"{_ROOT}/projects/{find_project(api, project)}"


def _term(change: str) -> tuple[str, float | str]:
    kind, separator, days = change.partition("=")
    if not separator:
        raise CommandFailed(f"'{change}' is no term: write KIND=DAYS.", USAGE)
    try:
        return kind, days if days in ("forever", "default") else float(days)
    except ValueError:
        raise CommandFailed(
            f"'{days}' is not a number of days: write one, `forever` or `default`.", USAGE
        ) from None


def _shown_term(kind: str) -> Callable[[Mapping[str, Any]], str]:
    def shown(terms: Mapping[str, Any]) -> str:
        return f"{_shown_days(terms[kind]['days'])} (set by the {terms[kind]['set_by']})"

    return shown


def _shown_days(days: float | str) -> str:
    return days if isinstance(days, str) else f"{days:g} day{'' if days == 1 else 's'}"
