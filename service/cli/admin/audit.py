"""`tunery audit`: who changed what. Needs an admin key."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from service.audit_chain import chain_fault
from service.audit_types import AUDIT_TYPES
from service.cli.commands import api_command
from service.cli.failures import USAGE, CommandFailed
from service.cli.lookups import suggestion
from service.cli.output import Columns, Output, date
from service.cli.remote import Api

app = typer.Typer(
    help="Show and verify the organization's audit log. Requires an admin key.", no_args_is_help=True
)

_ROOT = "/organization/audit_logs"
_COLUMNS: Columns = {
    "TIME": lambda entry: date(entry["effective_at"]),
    "WHAT": "type",
    "OBJECT": lambda entry: entry[entry["type"]]["id"],
    "PROJECT": lambda entry: entry["project"]["id"],
    "WHO": lambda entry: _actor(entry["actor"]),
    "ADDRESS": "ip_address",
}

Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        help="Show only entries of this type, such as project.created; can be repeated.",
        metavar="TYPE",
        autocompletion=lambda incomplete: [type for type in AUDIT_TYPES if type.startswith(incomplete)],
    ),
]
Projects = Annotated[
    list[str] | None, typer.Option("--project", help="Show only this project, by id; can be repeated.")
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--by", help="Show only the actions of this API key or service account, by id; can be repeated."
    ),
]
Objects = Annotated[
    list[str] | None,
    typer.Option("--object", help="Show only changes to this object, by id; can be repeated."),
]


@api_command(app, "ls")
def ls(
    api: Api,
    output: Output,
    type: Types = None,
    project: Projects = None,
    by: Keys = None,
    object: Objects = None,
    limit: Annotated[int, typer.Option(help="How many entries to show.", min=1, max=100)] = 20,
) -> None:
    """List the newest entries."""
    page = api.get(_ROOT, limit=limit, **_filter(type, project, by, object))
    output.items(page["data"], _COLUMNS)


@api_command(app, "export")
def export(
    api: Api,
    output: Output,
    type: Types = None,
    project: Projects = None,
    by: Keys = None,
    object: Objects = None,
) -> None:
    """Print all entries as JSON Lines, newest first."""
    for entry in api.list(_ROOT, **_filter(type, project, by, object)):
        print(json.dumps(entry))


@api_command(app, "verify")
def verify(
    api: Api,
    output: Output,
    includes: Annotated[
        str | None,
        typer.Option(
            "--includes",
            help="A hash printed by an earlier `verify`, which must still be in the log.",
            metavar="SHA256",
        ),
    ] = None,
) -> None:
    """Check that no entry has been changed, removed or added after the fact. The hashes are recomputed
    locally from the entries that the server lists. Keep the printed hash somewhere else: with it, a later
    check also detects whether the newest entries were removed."""
    newest: dict[str, Any] | None = None
    is_included = includes is None

    def read() -> Iterator[dict[str, Any]]:
        nonlocal newest, is_included
        for entry in api.list(_ROOT):
            newest = newest or entry
            is_included = is_included or entry["sha256"] == includes
            yield entry

    fault = chain_fault(read())
    if fault is None and not is_included:
        raise CommandFailed(
            f"No entry has the hash {includes}; those that are there are unchanged. If `verify` once printed "
            "it for this organization, entries were removed, or an older backup was restored."
        )
    if fault is not None:
        raise CommandFailed(f"The audit log was tampered with: {fault}.")
    if newest is None:
        output.done({"entries": 0, "sha256": None}, "The audit log is empty.")
        return
    answer = {"entries": newest["sequence"], "sha256": newest["sha256"]}
    output.done(answer, f"{newest['sequence']} entries, none changed. The newest: {newest['sha256']}")


def _actor(actor: dict[str, Any] | None) -> str:
    """The id of a key, or the subject of a token."""
    if actor is None:
        return ""
    subject: str = actor["session"]["subject"] if actor["type"] == "session" else actor["api_key"]["id"]
    return subject


def _filter(
    types: list[str] | None, projects: list[str] | None, keys: list[str] | None, objects: list[str] | None
) -> dict[str, Any]:
    """Raises CommandFailed for a type that does not exist."""
    for type in types or ():
        if type not in AUDIT_TYPES:
            raise CommandFailed(f"No entry has the type '{type}'.{suggestion(type, AUDIT_TYPES)}", USAGE)
    return {
        "event_types": types or [],
        "project_ids": projects or [],
        "actor_ids": keys or [],
        "resource_ids": objects or [],
    }
