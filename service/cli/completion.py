"""Completes ids and names for the shell, by asking the server.

A user who presses Tab is waiting, and has no use for an error: if there is no answer within a second, nothing
is offered."""

import os
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import typer

from service.cli.remote import Api, find_target

Offers = list[tuple[str, str]]
"""Values, each with the description that the shell shows beside it."""

_SECONDS = 1.0
_JOBS = 100


def jobs(ctx: typer.Context, incomplete: str) -> Offers:
    """Ids of the newest jobs."""
    return _offered(ctx, incomplete, _jobs)


def models(ctx: typer.Context, incomplete: str) -> Offers:
    """Names of base models, tuned models and aliases."""
    return _offered(ctx, incomplete, lambda api: _models(api, is_wanted=lambda model: True))


def aliases(ctx: typer.Context, incomplete: str) -> Offers:
    return _offered(
        ctx, incomplete, lambda api: _models(api, is_wanted=lambda model: bool(model["tunery"]["alias_of"]))
    )


def models_and_jobs(ctx: typer.Context, incomplete: str) -> Offers:
    """Offers jobs only if the word begins like a job's id."""
    return jobs(ctx, incomplete) if incomplete.startswith("ftjob") else models(ctx, incomplete)


def _jobs(api: Api) -> Offers:
    found = api.get("/fine_tuning/jobs", limit=_JOBS)["data"]
    return [
        (job["id"], f"{job['tunery']['state']}, {job['fine_tuned_model'] or job['model']}") for job in found
    ]


def _models(api: Api, *, is_wanted: Callable[[dict[str, Any]], bool]) -> Offers:
    found = filter(is_wanted, api.get("/models")["data"])
    return [(model["id"], _described(model)) for model in found]


def _described(model: dict[str, Any]) -> str:
    extension = model["tunery"]
    if extension["alias_of"]:
        return f"alias of {extension['alias_of']}"
    return "base model" if extension["base"] == model["id"] else f"tuned from {extension['base']}"


def _offered(ctx: typer.Context, incomplete: str, read: Callable[[Api], Iterable[tuple[str, str]]]) -> Offers:
    try:
        data = Path(ctx.params.get("data") or ".tunery")
        target = find_target(ctx.params.get("base_url"), data, os.environ, project=ctx.params.get("project"))
        with closing(Api(target, timeout=httpx2.Timeout(_SECONDS))) as api:
            return [offer for offer in read(api) if offer[0].startswith(incomplete)]
    except Exception:
        # Anything printed here would end up in the middle of the user's command line.
        return []
