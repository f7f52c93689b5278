"""Looks up what a user names, and suggests similar names."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote

from service.cli.failures import NOT_FOUND, CommandFailed
from service.cli.remote import Api

JOB = "ftjob-"
_LOOKED_AT = 100


def find_job(api: Api, given: str) -> dict[str, Any]:
    """Returns the job with this id, also if the API is only just starting again. Raises CommandFailed, which
    names similar ids."""
    try:
        job: dict[str, Any] = api.get_patiently(f"/fine_tuning/jobs/{quoted(given)}")
    except CommandFailed as error:
        raise _with_suggestions(error, given, _job_ids(api, error)) from None
    return job


def find_model(api: Api, given: str) -> dict[str, Any]:
    """Returns the model with this name or alias. Raises CommandFailed, which names similar ones."""
    return model_answer(api, given)


def model_answer(api: Api, given: str, subpath: str = "") -> dict[str, Any]:
    """The same for a resource below the model, such as `/weights`."""
    try:
        found: dict[str, Any] = api.get(f"/models/{quoted(given)}{subpath}")
    except CommandFailed as error:
        raise _with_suggestions(error, given, _model_ids(api, error)) from None
    return found


def suggestion(given: str, names: Iterable[str]) -> str:
    """A sentence to add to a message; empty if no name is similar."""
    close = get_close_matches(given, list(names), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(close)}?" if close else ""


def quoted(name: str) -> str:
    return quote(name, safe=":@")


def _job_ids(api: Api, error: CommandFailed) -> list[str]:
    if error.exit_code != NOT_FOUND:
        return []
    return [job["id"] for job in api.get("/fine_tuning/jobs", limit=_LOOKED_AT)["data"]]


def _model_ids(api: Api, error: CommandFailed) -> list[str]:
    return [model["id"] for model in api.get("/models")["data"]] if error.exit_code == NOT_FOUND else []


def _with_suggestions(error: CommandFailed, given: str, names: Iterable[str]) -> CommandFailed:
    hint = suggestion(given, names)
    return CommandFailed(f"{error}{hint}", error.exit_code) if hint else error
