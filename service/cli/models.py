"""`tunery models`: list, download, name and import models."""

import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from service.cli.commands import api_command
from service.cli.downloads import download_folder
from service.cli.exports import Format, Quantization, export_model
from service.cli.output import Columns, Output, date
from service.cli.remote import Api, CommandFailed

app = typer.Typer(help="Use the models that you own.", no_args_is_help=True)

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_POLL_SECONDS = 1.0
_Model = Annotated[str, typer.Argument(metavar="MODEL", help="Its name, or an alias of it.")]
_Alias = Annotated[str, typer.Argument(metavar="ALIAS", help="Such as support@prod.")]
_COLUMNS: Columns = {
    "MODEL": "id",
    "BASE": lambda model: model["tunery"]["base"],
    "ALIAS OF": lambda model: model["tunery"]["alias_of"],
    "CREATED": lambda model: date(model["created"] or None),
}
_CHANGES: Columns = {
    "VERSION": "version",
    "FROM": "previous_model",
    "TO": "model",
    "KEY": "api_key_id",
    "AT": lambda change: date(change["created_at"]),
}


@api_command(app, "ls")
def ls(api: Api, output: Output) -> None:
    """List base models, tuned models and aliases."""
    output.items(api.get("/models")["data"], _COLUMNS)


@api_command(app, "download")
def download(
    api: Api,
    output: Output,
    model: _Model,
    directory: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="A folder of the model's name by default.")
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(help="Export it first: a full model for transformers, or files for llama.cpp."),
    ] = None,
    quantization: Annotated[
        Quantization | None, typer.Option(help="How GGUF files store matrices; f16 by default.")
    ] = None,
) -> None:
    """Download a tuned model's weights, and check their SHA-256. Run it again to resume."""
    path = f"/models/{_quoted(model)}/weights"
    weights, query = api.get(path), {}
    if format is not None and not (format == "merged" and weights["form"] == "full"):
        export_model(api, f"/models/{_quoted(model)}/exports", format, quantization)
        query = {"format": format, "quantization": quantization}
        weights = api.get(path, **query)
    name = weights["model"].replace(":", "-")
    folder = directory or Path("-".join(part for part in (name, format, quantization) if part))
    download_folder(api, path, weights["files"], folder, **query)
    output.done(weights | {"directory": str(folder)}, f"Downloaded {weights['model']} to {folder}.")


@api_command(app, "alias")
def alias(api: Api, output: Output, model: _Model, alias: _Alias) -> None:
    """Let an alias name a model from now on."""
    named = api.post(f"/models/{_quoted(model)}/aliases", {"alias": alias})
    output.done(named, f"{named['id']} names {named['model']}.")


@api_command(app, "unalias")
def unalias(api: Api, output: Output, alias: _Alias) -> None:
    """Delete an alias. The model stays."""
    output.done(api.delete(f"/aliases/{_quoted(alias)}"), f"Deleted {alias}.")


@api_command(app, "rollback")
def rollback(
    api: Api,
    output: Output,
    alias: _Alias,
    to_version: Annotated[int | None, typer.Option(help="A version of its history.", min=1)] = None,
) -> None:
    """Let an alias name the model before its last change again."""
    named = api.post(f"/aliases/{_quoted(alias)}/rollback", {"to_version": to_version})
    output.done(named, f"{named['id']} names {named['model']}.")


@api_command(app, "history")
def history(api: Api, output: Output, alias: _Alias) -> None:
    """List the last 100 changes of an alias, the newest first."""
    output.items(api.get(f"/aliases/{_quoted(alias)}/history", limit=100)["data"], _CHANGES)


@api_command(app, "republish")
def republish(
    api: Api,
    output: Output,
    job: Annotated[str, typer.Argument(metavar="JOB", help="A trained job whose model is not published.")],
    skip_gate: Annotated[
        bool,
        typer.Option(
            "--skip-gate",
            help="Publish it though serving computes something else than training. Needs the scope admin.",
        ),
    ] = False,
    allow_regression: Annotated[
        bool,
        typer.Option(
            "--allow-regression", help="Publish it though it forgot more than the job's max_regression."
        ),
    ] = False,
) -> None:
    """Try again to publish the model of a trained job."""
    body = {
        "gate": "skip" if skip_gate else "check",
        "regression": "allow" if allow_regression else "check",
    }
    found = api.post(f"/fine_tuning/jobs/{_quoted(job)}/republish", body)
    output.done(found, f"Publishing {job}; its events say what comes of it.")


@api_command(app, "import")
def import_model(
    api: Api,
    output: Output,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder that PEFT saved.", exists=True, file_okay=False)
    ],
    base: Annotated[str, typer.Option(help="Id of the base model that it was trained on.")],
    suffix: Annotated[str | None, typer.Option(help="Becomes part of the model's name.")] = None,
) -> None:
    """Upload a LoRA adapter, and wait until it is a model."""
    for name in _ADAPTER_FILES:
        if not (directory / name).is_file():
            raise CommandFailed(f"{directory} has no {name}. Save the adapter with PEFT, as safetensors.")
    files: list[str] = []
    try:
        for name in _ADAPTER_FILES:
            files.append(_uploaded(api, directory / name))
        imported = api.post("/models/import", {"base": base, "files": files, "suffix": suffix})
        while imported["status"] == "validating":
            time.sleep(_POLL_SECONDS)
            imported = api.get(f"/models/import/{imported['id']}")
    finally:
        # The model has files of its own.
        for file in files:
            _discard(api, file)
    if imported["error"] is not None:
        raise CommandFailed(f"{imported['error']['message']} ({imported['error']['code']})")
    output.done(imported, f"Imported {imported['model']}.")


def _uploaded(api: Api, path: Path) -> str:
    with path.open("rb") as content:
        request = api.request(
            "POST", "/files", files={"file": (path.name, content)}, data={"purpose": "user_data"}, timeout=600
        )
        response = api.send(request)
    try:
        response.read()
        file: dict[str, Any] = response.json()
    finally:
        response.close()
    return str(file["id"])


def _discard(api: Api, file: str) -> None:
    try:
        api.delete(f"/files/{file}")
    except CommandFailed:
        # The import still reads it, or the API cannot be reached. The reason for that has been reported.
        return


def _quoted(name: str) -> str:
    return quote(name, safe=":@")
