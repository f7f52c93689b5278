"""`tunery projects`: needs an admin key."""

from typing import Annotated

import typer

from service.cli.commands import api_command
from service.cli.output import Columns, Output, date
from service.cli.remote import NOT_FOUND, Api, CommandFailed

app = typer.Typer(help="The organization's projects. Needs an admin key.", no_args_is_help=True)

_ROOT = "/organization/projects"
_COLUMNS: Columns = {
    "ID": "id",
    "NAME": "name",
    "STATUS": "status",
    "CREATED": lambda project: date(project["created_at"]),
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
    archived: Annotated[bool, typer.Option("--archived", help="Show archived projects too.")] = False,
) -> None:
    """List the projects, newest first."""
    output.items(api.list(_ROOT, include_archived="true" if archived else "false"), _COLUMNS)


@api_command(app, "archive")
def archive(api: Api, output: Output, project: Project) -> None:
    """Refuse a project's keys and cancel its jobs, for good."""
    archived = api.post(f"{_ROOT}/{find_project(api, project)}/archive")
    output.done(archived, f"Project {archived['id']} is archived.")


def find_project(api: Api, given: str) -> str:
    """Returns a project's id, given its id or its name. Raises CommandFailed if no project or several have
    the name."""
    if given.startswith(("proj_", "proj-")):
        return given
    ids = [project["id"] for project in api.list(_ROOT) if project["name"] == given]
    if len(ids) == 1:
        return str(ids[0])
    if ids:
        raise CommandFailed(f"Several projects are called '{given}': {', '.join(ids)}. Give an id.")
    raise CommandFailed(f"No project is called '{given}'.", NOT_FOUND)
