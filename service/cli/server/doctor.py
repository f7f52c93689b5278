"""`tunery doctor`: diagnoses problems between this machine and a model's answer, one clear verdict at a
time."""

import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Literal, NamedTuple

import typer

from service.cli.commands import api_command
from service.cli.failures import AUTH, FAILED, CommandFailed
from service.cli.jobs.watching import check_ended_well, watch
from service.cli.output import Columns, Output
from service.cli.remote import Api

app = typer.Typer()

_SKEW_SECONDS = 30.0
"""With a larger difference, signatures of webhooks fail, and times are hard to compare."""
_COLUMNS: Columns = {"VERDICT": "verdict", "CHECK": "check", "FOUND": "found"}
_EXAMPLES = 12


class Finding(NamedTuple):
    check: str
    verdict: Literal["ok", "warning", "failed"]
    found: str


@api_command(app, "doctor")
def doctor(
    api: Api,
    output: Output,
    job: Annotated[
        bool,
        typer.Option("--job", help="Also train a tiny model, query it, and delete it again."),
    ] = False,
    model: Annotated[
        str | None, typer.Option(help="Base model of that job; the first one by default.")
    ] = None,
) -> None:
    """Check the connection, the API key, and the server's components and clock.

    Exits with 1 if a check fails, or with 3 if the API key is the problem."""
    findings = list(_findings(api))
    if job and not any(finding.verdict == "failed" for finding in findings):
        findings.append(_job(api, model))
    output.items([finding._asdict() for finding in findings], _COLUMNS)
    failed = [finding for finding in findings if finding.verdict == "failed"]
    if failed:
        raise CommandFailed(
            f"Failed: {', '.join(finding.check for finding in failed)}.",
            AUTH if failed[0].check == "key" else FAILED,
        )


def _findings(api: Api) -> Iterator[Finding]:
    began = time.time()
    try:
        with api.http.open("GET", f"{api.root}/healthz", timeout=10) as response:
            date = response.headers.get("date")
    except CommandFailed as error:
        yield Finding("reachable", "failed", str(error))
        return
    yield Finding("reachable", "ok", f"{api.base_url}, {1000 * (time.time() - began):.0f} ms")
    yield _clock(date, began)
    yield _version(api)
    yield from _parts(api)
    key = _key(api)
    yield key
    if key.verdict != "failed":
        yield _scopes(api)
        yield from _models(api)


def _clock(date: str | None, began: float) -> Finding:
    if date is None:
        return Finding("clock", "warning", "The server does not say what time it is.")
    skew = parsedate_to_datetime(date).timestamp() - began
    found = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    if abs(skew) <= _SKEW_SECONDS:
        return Finding("clock", "ok", found)
    now = datetime.now(UTC).isoformat(" ", "seconds")
    return Finding("clock", "warning", f"The server's is {found}, which says {now}. Use NTP on both.")


def _version(api: Api) -> Finding:
    try:
        theirs = str(api.get(f"{api.root}/openapi.json")["info"]["version"])
        ours = version("tunery")
    except (CommandFailed, PackageNotFoundError, KeyError, TypeError) as error:
        return Finding("version", "warning", f"unknown: {error}")
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        return Finding("version", "ok", theirs)
    return Finding("version", "warning", f"The server has {theirs}, this command {ours}.")


def _parts(api: Api) -> Iterator[Finding]:
    """The server's components: database, storage, serving, scheduler."""
    # If a component fails, the response is a 503 in the same format.
    response = api.http.ask("GET", f"{api.root}/readyz", timeout=30)
    try:
        parts = response.json()["parts"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        yield Finding("server", "failed", f"/readyz gave HTTP {response.status_code}.")
        return
    for part, state in parts:
        yield Finding(part, "ok" if state == "ok" else "failed", state)


def _key(api: Api) -> Finding:
    try:
        api.get("/models")
    except CommandFailed as error:
        return Finding("key", "failed", str(error))
    return Finding("key", "ok", "accepted")


def _scopes(api: Api) -> Finding:
    """Sends requests that are refused in any case, but first for a missing scope: none of them has an
    effect."""
    probes: dict[str, tuple[str, str, dict[str, Any]]] = {
        "read": ("GET", "/fine_tuning/jobs", {"params": {"limit": 1}}),
        "write": ("POST", "/fine_tuning/jobs", {"json": {}}),
        "infer": ("POST", "/chat/completions", {"json": {}}),
        "organization": ("GET", "/organization/admin_api_keys", {"params": {"limit": 1}}),
    }
    answers = {scope: api.http.ask(method, path, **body) for scope, (method, path, body) in probes.items()}
    allowed = [scope for scope, answer in answers.items() if answer.status_code != 403]
    lacking = [scope for scope in ("read", "write", "infer") if scope not in allowed]
    if lacking:
        return Finding("scopes", "warning", f"{', '.join(allowed)}; this key may not {' or '.join(lacking)}.")
    return Finding("scopes", "ok", ", ".join(allowed))


def _models(api: Api) -> Iterator[Finding]:
    models = api.get("/models")["data"]
    bases = [model for model in models if model["tunery"]["base"] == model["id"]]
    missing = [model["id"] for model in models if model["tunery"]["unavailable"]]
    if not bases:
        yield Finding("models", "failed", "There is no base model: see `tunery bases`.")
    elif missing:
        yield Finding("models", "warning", f"Of {len(models)}, unavailable: {', '.join(missing[:5])}.")
    else:
        yield Finding("models", "ok", f"{len(bases)} base(s), {len(models) - len(bases)} tuned or named")
    devices = _pools(api) or _devices_of_last_job(api)
    yield Finding("devices", "ok", devices or "unknown until a job has run; `tunery doctor --job` runs one")


def _pools(api: Api) -> str | None:
    """The devices that jobs may have. None unless the key is an admin key, because only that may see them."""
    try:
        pools = api.get("/organization/pools")["data"]
    except CommandFailed:
        return None
    return "; ".join(map(_pool, pools)) or None


def _pool(pool: dict[str, Any]) -> str:
    kind = pool["accelerator_type"] or {"cuda": "GPU", "cpu": "CPU"}[pool["kind"]]
    return f"{pool['name']}: {pool['devices']} x {kind}, {pool['held_devices']} in use"


def _devices_of_last_job(api: Api) -> str | None:
    """The devices, as far as the latest jobs show them."""
    try:
        jobs = api.get("/fine_tuning/jobs", limit=20)["data"]
    except CommandFailed:
        return None
    used = [job["tunery"]["cost"]["device"] for job in jobs if job["tunery"]["cost"]]
    return f"the last job ran on {used[0]}" if used else None


def _job(api: Api, model: str | None) -> Finding:
    """Trains on twelve lines, queries the model, and deletes everything it created."""
    began = time.monotonic()
    base = model or _first_base(api)
    row = b'{"messages": [{"role": "user", "content": "ping"}, {"role": "assistant", "content": "pong"}]}\n'
    form: Any = {"files": {"file": ("doctor.jsonl", row * _EXAMPLES)}, "data": {"purpose": "fine-tune"}}
    tuned, file_id = None, None
    try:
        file_id = api.http.json("POST", "/files", **form)["id"]
        body = {
            "model": base,
            "training_file": file_id,
            "suffix": "doctor",
            "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}},
        }
        created = api.post("/fine_tuning/jobs", body, idempotency_key=f"doctor-{uuid.uuid4()}")
        ended = watch(api, created["id"])
        check_ended_well(ended)
        tuned = ended["fine_tuned_model"]
        question = {"model": tuned, "messages": [{"role": "user", "content": "ping"}], "max_tokens": 8}
        api.http.json("POST", "/chat/completions", json=question, timeout=600)
    except CommandFailed as error:
        return Finding("job", "failed", str(error))
    finally:
        for path in (tuned and f"/models/{tuned}", file_id and f"/files/{file_id}"):
            if path:
                _delete(api, path)
    return Finding("job", "ok", f"{base} was tuned and asked in {time.monotonic() - began:.0f} s")


def _first_base(api: Api) -> str:
    models = api.get("/models")["data"]
    return str(next(model["id"] for model in models if model["tunery"]["base"] == model["id"]))


def _delete(api: Api, path: str) -> None:
    try:
        api.delete(path)
    except CommandFailed:
        return
