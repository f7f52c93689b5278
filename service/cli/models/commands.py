"""`tunery models`: list, download, name and import models."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli import completion
from service.cli.commands import api_command
from service.cli.confirming import Yes, confirm
from service.cli.failures import CommandFailed
from service.cli.files.uploads import upload
from service.cli.lookups import model_answer, quoted
from service.cli.models.downloads import download_folder
from service.cli.models.exports import Format, Quantization, export_model
from service.cli.models.hub import push_folder
from service.cli.models.polling import next_state
from service.cli.output import Columns, Output, date
from service.cli.remote import Api

app = typer.Typer(help="Manage models and their aliases.", no_args_is_help=True)

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="The model's name, or an alias of it.", autocompletion=completion.models
    ),
]
_Alias = Annotated[
    str,
    typer.Argument(
        metavar="ALIAS", help="The alias, such as support@prod.", autocompletion=completion.aliases
    ),
]
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
        Path | None,
        typer.Argument(metavar="[DIR]", help="Folder to write to; named after the model by default."),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(
            help="Export the model first: as a full model for transformers, or as files for llama.cpp."
        ),
    ] = None,
    quantization: Annotated[
        Quantization | None, typer.Option(help="Quantization of matrices in GGUF files; f16 by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files that differ.")] = False,
) -> None:
    """Download a tuned model's weights and verify their SHA-256 hashes. Run it again to resume."""
    weights, folder = _downloaded(api, model, directory, format, quantization, replaces=force)
    output.done(weights | {"directory": str(folder)}, f"Downloaded {weights['model']} to {folder}.")


@api_command(app, "push")
def push(
    api: Api,
    output: Output,
    model: _Model,
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/NAME", help="Id of the model on the Hugging Face Hub.")
    ],
    format: Annotated[
        Format | None,
        typer.Option(
            help="Export the model first: as a full model for transformers, or as files for llama.cpp."
        ),
    ] = None,
    quantization: Annotated[
        Quantization | None, typer.Option(help="Quantization of matrices in GGUF files; f16 by default.")
    ] = None,
    public: Annotated[
        bool,
        typer.Option(
            "--public", help="Make the weights public. Without this option, the repository must be private."
        ),
    ] = False,
) -> None:
    """Push a tuned model's weights and a model card to the Hugging Face Hub. The token comes from
    HF_TOKEN or `hf auth login`."""
    with tempfile.TemporaryDirectory(prefix="tunery-push-") as folder:
        weights, _ = _downloaded(api, model, Path(folder), format, quantization)
        name = weights["model"]
        url = push_folder(Path(folder), repository, is_public=public, message=f"Upload {name}")
    output.done({"model": name, "repository": repository, "commit_url": url}, f"Pushed {name}: {url}")


@api_command(app, "alias")
def alias(api: Api, output: Output, model: _Model, alias: _Alias) -> None:
    """Point an alias at a model."""
    named = api.post(f"/models/{quoted(model)}/aliases", {"alias": alias})
    output.done(named, f"{named['id']} names {named['model']}.")


@api_command(app, "unalias")
def unalias(api: Api, output: Output, alias: _Alias, yes: Yes = False) -> None:
    """Delete an alias. The model is kept."""
    confirm(f"Delete {alias}? Requests for this name are refused from now on.", yes=yes)
    output.done(api.delete(f"/aliases/{quoted(alias)}"), f"Deleted {alias}.")


@api_command(app, "rollback")
def rollback(
    api: Api,
    output: Output,
    alias: _Alias,
    to_version: Annotated[
        int | None, typer.Option(help="The version of the alias's history to return to.", min=1)
    ] = None,
) -> None:
    """Point an alias back at the model it named before its last change."""
    named = api.post(f"/aliases/{quoted(alias)}/rollback", {"to_version": to_version})
    output.done(named, f"{named['id']} names {named['model']}.")


@api_command(app, "history")
def history(api: Api, output: Output, alias: _Alias) -> None:
    """List the last 100 changes of an alias, newest first."""
    output.items(api.get(f"/aliases/{quoted(alias)}/history", limit=100)["data"], _CHANGES)


@api_command(app, "republish")
def republish(
    api: Api,
    output: Output,
    job: Annotated[
        str,
        typer.Argument(
            metavar="JOB",
            help="A trained job whose model has not been published.",
            autocompletion=completion.jobs,
        ),
    ],
    skip_gate: Annotated[
        bool,
        typer.Option(
            "--skip-gate",
            help="Publish the model even if serving computes different results than training did. Requires "
            "the admin scope.",
        ),
    ] = False,
    allow_regression: Annotated[
        bool,
        typer.Option(
            "--allow-regression",
            help="Publish the model even if it has forgotten more than the job's max_regression allows.",
        ),
    ] = False,
) -> None:
    """Retry publishing the model of a trained job."""
    body = {
        "gate": "skip" if skip_gate else "check",
        "regression": "allow" if allow_regression else "check",
    }
    found = api.post(f"/fine_tuning/jobs/{quoted(job)}/republish", body)
    output.done(found, f"Publishing {job}; its events say what comes of it.")


@api_command(app, "import")
def import_model(
    api: Api,
    output: Output,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder saved by PEFT.", exists=True, file_okay=False)
    ],
    base: Annotated[str, typer.Option(help="Id of the base model that the adapter was trained on.")],
    suffix: Annotated[str | None, typer.Option(help="Becomes part of the model's name.")] = None,
) -> None:
    """Upload a LoRA adapter and wait until it is available as a model."""
    for name in _ADAPTER_FILES:
        if not (directory / name).is_file():
            raise CommandFailed(f"{directory} has no {name}. Save the adapter with PEFT, as safetensors.")
    files: list[str] = []
    try:
        for name in _ADAPTER_FILES:
            files.append(upload(api, directory / name, "user_data")["id"])
        imported = api.post("/models/import", {"base": base, "files": files, "suffix": suffix})
        while imported["status"] == "validating":
            imported = next_state(api, f"/models/import/{imported['id']}")
    finally:
        # The model has its own files.
        for file in files:
            _discard(api, file)
    if imported["error"] is not None:
        raise CommandFailed(f"{imported['error']['message']} ({imported['error']['code']})")
    output.done(imported, f"Imported {imported['model']}.")


def _downloaded(
    api: Api,
    model: str,
    directory: Path | None,
    format: Format | None,
    quantization: Quantization | None,
    *,
    replaces: bool = False,
) -> tuple[dict[str, Any], Path]:
    """Returns the API's description of the weights, and the folder that contains them."""
    path = f"/models/{quoted(model)}/weights"
    weights, query = model_answer(api, model, "/weights"), {}
    if format is not None and not (format == "merged" and weights["form"] == "full"):
        export_model(api, f"/models/{quoted(model)}/exports", format, quantization)
        query = {"format": format, "quantization": quantization}
        weights = api.get(path, **query)
    name = weights["model"].replace(":", "-")
    folder = directory or Path("-".join(part for part in (name, format, quantization) if part))
    download_folder(api, path, weights["files"], folder, replaces=replaces, **query)
    return weights, folder


def _discard(api: Api, file: str) -> None:
    try:
        api.delete(f"/files/{file}")
    except CommandFailed:
        # The import still reads it, or the API cannot be reached. The reason for that has been reported.
        return
