"""`tunery projects`: needs an admin key."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from service.cli.admin.limits import Changes, change_limits
from service.cli.commands import api_command
from service.cli.confirming import Yes, confirm
from service.cli.failures import NOT_FOUND, USAGE, CommandFailed
from service.cli.lookups import suggestion
from service.cli.output import Columns, Output, date
from service.cli.remote import PROJECT_IDS, Api

app = typer.Typer(help="Manage the organization's projects. Requires an admin key.", no_args_is_help=True)

_ROOT = "/organization/projects"
_COLUMNS: Columns = {
    "ID": "id",
    "NAME": "name",
    "STATUS": "status",
    "CREATED": lambda project: date(project["created_at"]),
}
ENCRYPTION: Columns = {
    "PROJECT": "id",
    "KEY": lambda encryption: encryption["key"] or "none: as storage is set up",
}

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of up to 64 characters.")]
Project = Annotated[
    str,
    typer.Argument(metavar="PROJECT", help="A project's id, or its name if only one project has it."),
]


@api_command(app, "create")
def create(api: Api, output: Output, name: Name) -> None:
    """Create a project and print its id."""
    project = api.post(_ROOT, {"name": name})
    output.done(project, project["id"])


@api_command(app, "ls")
def ls(
    api: Api,
    output: Output,
    archived: Annotated[bool, typer.Option("--archived", help="Include archived projects.")] = False,
) -> None:
    """List the projects, newest first."""
    output.items(api.list(_ROOT, include_archived="true" if archived else "false"), _COLUMNS)


@api_command(app, "archive")
def archive(api: Api, output: Output, project: Project, yes: Yes = False) -> None:
    """Permanently archive a project: refuse its keys and cancel its jobs."""
    confirm(f"Archive {project}? Its keys are refused and its jobs cancelled, for good.", yes=yes)
    archived = api.post(f"{_ROOT}/{find_project(api, project)}/archive")
    output.done(archived, f"Project {archived['id']} is archived.")


@api_command(app, "delete")
def delete(
    api: Api,
    output: Output,
    project: Annotated[str, typer.Argument(metavar="PROJECT_ID", help="The id of an archived project.")],
    yes: Yes = False,
) -> None:
    """Permanently delete an archived project with all its files, jobs and models."""
    if not project.startswith(PROJECT_IDS):
        raise CommandFailed(
            f"'{project}' is not a project's id. `tunery projects ls --archived` lists them.", USAGE
        )
    confirm(f"Delete {project} and everything in it, for good?", yes=yes)
    deleted = api.delete(f"{_ROOT}/{project}")
    output.done(deleted, f"Project {project} is deleted: {sum(deleted['rows'].values())} rows.")


@api_command(app, "limits")
def limits(
    api: Api,
    output: Output,
    project: Project,
    changes: Changes = None,
    reset: Annotated[bool, typer.Option("--reset", help="Reset to the server's limits.")] = False,
) -> None:
    """Show or change a project's limits. Limits that you do not name stay unchanged."""
    change_limits(api, output, f"{_ROOT}/{find_project(api, project)}/limits", changes, reset=reset)


@api_command(app, "rights")
def rights(
    api: Api,
    output: Output,
    project: Project,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="A base model that the project may use; can be repeated."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", help="A method that the project may train with; can be repeated."),
    ] = None,
    training_type: Annotated[
        list[str] | None,
        typer.Option(
            "--training-type",
            help="A training type that the project may use, such as lora, qlora or full; can be repeated.",
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove all restrictions.")] = False,
) -> None:
    """Show or change which base models and methods a project may use.

    Each option replaces what was allowed before; options that you leave out stay unchanged."""
    path = f"{_ROOT}/{find_project(api, project)}/rights"
    given = {"models": model, "methods": method, "training_types": training_type}
    changes = {name: value for name, value in given.items() if value}
    if changes and everything:
        raise CommandFailed("--all allows everything: give nothing else with it.", USAGE)
    found = api.delete(path) if everything else api.post(path, changes) if changes else api.get(path)
    output.item(found, {name.upper().replace("_", " "): _allowed(name) for name in given})


@api_command(app, "encryption")
def encryption(api: Api, output: Output, project: Project) -> None:
    """Show the key with which storage encrypts what is written for a project.

    The operator sets it with `tunery organizations encryption`."""
    output.item(api.get(f"{_ROOT}/{find_project(api, project)}/encryption"), ENCRYPTION)


def _allowed(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda rights: "all" if rights[name] is None else ", ".join(rights[name]) or "none"


def find_project(api: Api, given: str) -> str:
    """Returns a project's id, given its id or its name. Raises CommandFailed if no project or several have
    the name."""
    if given.startswith(PROJECT_IDS):
        return given
    projects = list(api.list(_ROOT))
    ids = [project["id"] for project in projects if project["name"] == given]
    if len(ids) == 1:
        return str(ids[0])
    if ids:
        raise CommandFailed(f"Several projects are called '{given}': {', '.join(ids)}. Give an id.")
    archived = [one["id"] for one in api.list(_ROOT, include_archived="true") if one["name"] == given]
    if archived:
        raise CommandFailed(f"'{given}' is archived. Give its id: {' or '.join(archived)}.", NOT_FOUND)
    names = [project["name"] for project in projects]
    raise CommandFailed(f"No project is called '{given}'.{suggestion(given, names)}", NOT_FOUND)
