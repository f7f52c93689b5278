"""Checks whether a project may start a job, before its files are uploaded."""

from typing import Any

from service.cli.failures import AUTH, CommandFailed
from service.cli.remote import Api


def check_rights(api: Api, body: dict[str, Any]) -> None:
    """Raises CommandFailed if the body of a create request names a priority, a method or a training type that
    the project may not use. Values that the body leaves out are checked by the server."""
    named = {
        "priorities": ("priority", body.get("tunery", {}).get("priority")),
        "methods": ("method", body.get("method", {}).get("type")),
        "training_types": ("training type", body.get("training", {}).get("type")),
    }
    if not any(value for _, value in named.values()):
        return
    rights = api.get("/rights")
    for kind, (what, value) in named.items():
        allowed = rights[kind]
        if value is not None and allowed is not None and value not in allowed:
            may = " or ".join(allowed) or "none"
            raise CommandFailed(
                f"This project's jobs may not have the {what} '{value}', only {may}. An administrator can "
                "change that.",
                AUTH,
            )
