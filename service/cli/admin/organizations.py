"""`tunery organizations`: needs the operator's key."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from service.cli.admin.keys import seconds
from service.cli.admin.limits import Changes, change_limits
from service.cli.admin.projects import ENCRYPTION
from service.cli.commands import api_command
from service.cli.confirming import Yes, confirm
from service.cli.failures import USAGE, CommandFailed
from service.cli.output import Columns, Output, date
from service.cli.remote import Api

app = typer.Typer(
    help="Manage the organizations of this installation. Requires the operator's key.", no_args_is_help=True
)

_ROOT = "/organizations"
_COLUMNS: Columns = {
    "ID": "id",
    "NAME": "name",
    "CREATED": lambda organization: date(organization["created_at"]),
    "STATUS": "status",
}


@api_command(app, "create")
def create(
    api: Api,
    output: Output,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of up to 64 characters.")],
) -> None:
    """Create an organization and print an admin key for it. The key is shown only once."""
    made = api.post(_ROOT, {"name": name})
    output.done(made, made["admin_api_key"])
    output.remark(f"It is the key of {made['id']}, whose first project is {made['project_id']}.")


@api_command(app, "ls")
def ls(api: Api, output: Output) -> None:
    """List the organizations, newest first."""
    output.items(api.list(_ROOT), _COLUMNS)


Organization = Annotated[str, typer.Argument(metavar="ORGANIZATION", help="An organization's id.")]


@api_command(app, "recover")
def recover(
    api: Api,
    output: Output,
    organization: Organization,
    name: Annotated[str, typer.Option(help="What the key is for.")] = "recovery",
    expires: Annotated[
        str | None, typer.Option(help="When the key expires, such as 12h, 30d or 8w. Never by default.")
    ] = None,
) -> None:
    """Create and print an admin key for an organization that has lost its own. The key is shown only once."""
    body: dict[str, Any] = {"name": name}
    if expires is not None:
        body["expires_in_seconds"] = seconds(expires)
    key = api.post(f"{_path(organization)}/admin_api_keys", body)
    output.done(key, key["value"])
    output.remark(f"Key {key['id']} is shown only now: Tunery keeps no copy of it.")


@api_command(app, "archive")
def archive(api: Api, output: Output, organization: Organization, yes: Yes = False) -> None:
    """Permanently archive an organization: revoke its keys, archive its projects and cancel their jobs."""
    confirm(f"Archive {organization}? Its keys are refused from now on, and its jobs cancelled.", yes=yes)
    archived = api.post(f"{_path(organization)}/archive")
    output.done(archived, f"Organization {archived['id']} is archived.")


@api_command(app, "delete")
def delete(api: Api, output: Output, organization: Organization, yes: Yes = False) -> None:
    """Permanently delete an archived organization with all its projects, files, jobs and models. Its audit
    log is kept."""
    confirm(f"Delete {organization} and everything in it, for good?", yes=yes)
    deleted = api.delete(_path(organization))
    output.done(deleted, f"Organization {organization} is deleted: {sum(deleted['rows'].values())} rows.")


@api_command(app, "limits")
def limits(
    api: Api,
    output: Output,
    organization: Organization,
    changes: Changes = None,
    reset: Annotated[bool, typer.Option("--reset", help="Remove all limits.")] = False,
) -> None:
    """Show or change the limits on the combined usage of an organization's projects. Limits that you do not
    name stay unchanged."""
    change_limits(api, output, f"{_path(organization)}/limits", changes, reset=reset)


@api_command(app, "encryption")
def encryption(
    api: Api,
    output: Output,
    organization: Organization,
    project: Annotated[
        str, typer.Argument(metavar="PROJECT", help="The id of one of the organization's projects.")
    ],
    key: Annotated[
        str | None,
        typer.Option(
            "--key", help="A key known to the storage: an ARN for AWS KMS, a name for other stores."
        ),
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Use the storage's own encryption settings.")
    ] = False,
) -> None:
    """Show or change the key with which storage encrypts what is written for a project from now on.

    Existing objects are not re-encrypted."""
    if key is not None and remove:
        raise CommandFailed("--remove takes the key away: give no --key with it.", USAGE)
    path = f"{_path(organization)}/projects/{quote(project, safe='')}/encryption"
    found = api.delete(path) if remove else api.get(path) if key is None else api.post(path, {"key": key})
    output.item(found, ENCRYPTION)


def _path(organization: str) -> str:
    return f"{_ROOT}/{quote(organization, safe='')}"
