"""`tunery keys`: needs an admin key."""

import re
from typing import Annotated, Any

import typer

from service.cli.admin.projects import find_project
from service.cli.commands import api_command
from service.cli.confirming import Yes, confirm
from service.cli.failures import USAGE, CommandFailed
from service.cli.output import Columns, Output, date
from service.cli.remote import Api

app = typer.Typer(
    help="Manage a project's keys, and admin keys. Requires an admin key.", no_args_is_help=True
)

_ADMIN_KEYS = "/organization/admin_api_keys"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_COLUMNS: Columns = {
    "ID": "id",
    "NAME": "name",
    "SCOPES": lambda key: ",".join(key["tunery"]["scopes"]) if "tunery" in key else "organization",
    "OWNER": lambda key: (key["owner"].get("service_account") or {}).get("name"),
    "CREATED": lambda key: date(key["created_at"]),
    "EXPIRES": lambda key: date(key["expires_at"]),
    "LAST USED": lambda key: date(key["last_used_at"]),
}

Project = Annotated[
    str | None, typer.Option(help="The project's id, or its name if only one project has it.")
]
Admin = Annotated[bool, typer.Option("--admin", help="Manage the organization's admin keys instead.")]


@api_command(app, "create")
def create(
    api: Api,
    output: Output,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    project: Project = None,
    admin: Admin = False,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="Scope of the key: read, write, infer or admin; can be repeated. All but admin by default."
        ),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When the key expires, such as 12h, 30d or 8w. Never by default.")
    ] = None,
) -> None:
    """Create a key and print it. It is shown only once."""
    if admin and scope:
        raise CommandFailed("An admin key has all scopes: leave out --scope.", USAGE)
    body: dict[str, Any] = {"name": name}
    if expires is not None:
        body["expires_in_seconds"] = seconds(expires)
    if scope:
        body["scopes"] = scope
    key = api.post(_path(api, project, admin), body)
    output.done(key, key["value"])
    output.remark(f"Key {key['id']} is shown only now: Tunery keeps no copy of it.")


@api_command(app, "ls")
def ls(api: Api, output: Output, project: Project = None, admin: Admin = False) -> None:
    """List keys, newest first, without their secrets."""
    output.items(api.list(_path(api, project, admin)), _COLUMNS)


@api_command(app, "revoke")
def revoke(
    api: Api,
    output: Output,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key's id, as shown by `tunery keys ls`.")],
    project: Project = None,
    admin: Admin = False,
    yes: Yes = False,
) -> None:
    """Revoke a key. Its next request is refused."""
    confirm(f"Revoke {key}? Whoever uses it is refused from now on.", yes=yes)
    revoked = api.delete(f"{_path(api, project, admin)}/{key}")
    output.done(revoked, f"Key {key} is revoked.")


def seconds(duration: str) -> int:
    """Reads 12h, 30d or 8w. Raises CommandFailed."""
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", duration)
    if found is None:
        raise CommandFailed(
            f"'{duration}' is no duration: write a whole number and s, m, h, d or w, such as 30d.", USAGE
        )
    return int(found[1]) * _SECONDS[found[2]]


def _path(api: Api, project: str | None, admin: bool) -> str:
    if admin == (project is not None):
        raise CommandFailed("Give either --project or --admin.", USAGE)
    if project is None:
        return _ADMIN_KEYS
    return f"/organization/projects/{find_project(api, project)}/api_keys"
