"""`tunery bases`: the base models of this installation. Works on its files, so run it where they are."""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from cluster.bases import hub
from cluster.bases.catalogue import PACKAGED_CATALOGUE, add_to_catalogue, load_catalogue
from cluster.bases.configs import read_config
from cluster.bases.file_digests import changed_files
from cluster.bases.layers import base_layers, is_whole
from cluster.bases.resolve import base_folder, is_here, tokenizer_folder, why_unavailable
from cluster.bases.suggest import alias_of, suggest_base
from cluster.contracts.bases import BaseSpec, FolderSource, HubSource, TrainingType
from cluster.contracts.devices import Pool
from cluster.contracts.errors import InvalidConfiguration, InvalidRequest, TuneryError
from cluster.contracts.hyperparameters import MAX_WORKERS, TrainingOptions
from cluster.planning.memory import Task
from cluster.planning.planner import task_of
from cluster.planning.refusals import plan_or_refuse
from cluster.planning.shapes import shape_of
from service.cli.output import Columns, Output, printable
from service.data_folder import catalogue_path, create_catalogue
from service.local_devices import gpu_bytes, local_pool
from service.settings import Settings

app = typer.Typer(help="Manage the base models of this installation.", no_args_is_help=True)

_HUB = "hub:"
_Data = Annotated[Path, typer.Option("--data", help="Data folder of `tunery up`, which has the catalogue.")]
_Catalogue = Annotated[
    Path | None,
    typer.Option("--catalogue", help="The catalogue; TUNERY_CATALOGUE, or the one in --data, by default."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Aliases = Annotated[list[str] | None, typer.Argument(metavar="[MODEL]...", help="All of them by default.")]
_COLUMNS: Columns = {
    "MODEL": "alias",
    "STATE": "state",
    "CONTEXT": "context_length",
    "TYPE": "dtype",
    "SOURCE": "source",
    "PROBLEM": "problem",
}

_PLANNED_LENGTH = 8192
_PLAN_COLUMNS: Columns = {
    "TYPE": "type",
    "WORKERS": lambda item: item["plan"] and item["plan"]["num_workers"],
    "PARALLELISM": lambda item: item["plan"] and item["plan"]["parallelism"],
    "GB A DEVICE": lambda item: item["plan"] and _gigabytes(item["plan"]["footprint"]["device"]),
    "PROBLEM": "problem",
}


@app.command()
def ls(data: _Data = Path(".tunery"), catalogue: _Catalogue = None, as_json: _Json = False) -> None:
    """List the base models, and whether this machine has them."""
    with _reported_errors():
        models = load_catalogue(_path(data, catalogue))
        Output(as_json).items([_described(spec) for spec in models.values()], _COLUMNS)


@app.command()
def add(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="hub:OWNER/NAME, hub:OWNER/NAME@REVISION, or a folder.")
    ],
    alias: Annotated[
        str | None, typer.Option(help="Its name in the API; the repository's or folder's by default.")
    ] = None,
    context: Annotated[
        int | None, typer.Option(help="Tokens of prompt and answer; the model's own by default.", min=1)
    ] = None,
    data: _Data = Path(".tunery"),
    catalogue: _Catalogue = None,
    as_json: _Json = False,
) -> None:
    """Add a base model. A hub model is pinned to its present commit, and downloaded when it is first needed
    or by `tunery bases fetch`. A running server offers the model within seconds."""
    with _reported_errors():
        path = catalogue or catalogue_path(data)
        found = _source(source)
        # Enough to read its configuration with.
        bare = BaseSpec(alias=alias_of(found), source=found, context_length=1, learning_rates={})
        _check_usable(bare)
        parameters = sum(math.prod(shape) for shape in base_layers(bare).shapes.values())
        spec = suggest_base(found, tokenizer_folder(bare), parameters, alias=alias, context_length=context)
        if not path.exists() and not path.parent.exists():
            Output(as_json).remark(f"{path.parent} is a new data folder: give --data to `tunery up`, too.")
        create_catalogue(path)
        add_to_catalogue(path, spec)
        Output(as_json).done(
            _described(spec),
            f"Added {spec.alias} to {path}. `tunery bases plan {spec.alias}` shows what training it takes.",
        )


@app.command()
def fetch(
    models: _Aliases = None,
    data: _Data = Path(".tunery"),
    catalogue: _Catalogue = None,
    as_json: _Json = False,
) -> None:
    """Download hub models to this machine, so that no job has to wait for them."""
    with _reported_errors():
        for spec in _chosen(models, _path(data, catalogue)):
            with _progress(spec.alias) as report:
                folder = base_folder(spec, report=report)
            Output(as_json).done(_described(spec) | {"folder": str(folder)}, f"{spec.alias} is in {folder}.")


@app.command()
def plan(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Its name in the catalogue.")],
    max_seq_length: Annotated[
        int | None, typer.Option(help="Tokens of the longest example; 8,192 by default.", min=1)
    ] = None,
    data: _Data = Path(".tunery"),
    catalogue: _Catalogue = None,
    as_json: _Json = False,
) -> None:
    """Show what fine-tuning a model takes on this machine's devices, for LoRA, QLoRA and all weights."""
    with _reported_errors():
        (spec,) = _chosen([model], _path(data, catalogue))
        shape = shape_of(read_config(tokenizer_folder(spec)))
        if shape is None:
            raise InvalidConfiguration(f"The planner does not know the family of {model}.")
        pools = Settings().training_pools or [local_pool(gpu_bytes(), workers=1)]
        length = min(max_seq_length or _PLANNED_LENGTH, spec.context_length)
        kinds: tuple[TrainingType, ...] = ("lora", "qlora", "full")
        options = [TrainingOptions(type=kind, max_seq_length=length) for kind in kinds]
        tasks = [task_of(shape, spec, each, "supervised") for each in options]
        Output(as_json).items([_planned(task, pools) for task in tasks], _PLAN_COLUMNS)


@app.command()
def verify(
    models: _Aliases = None,
    data: _Data = Path(".tunery"),
    catalogue: _Catalogue = None,
    as_json: _Json = False,
) -> None:
    """Read all weights, and compare their SHA-256 with the hub's or with what was read before. Exits with 1
    if a file has changed."""
    are_intact = True
    with _reported_errors():
        for spec in _chosen(models, _path(data, catalogue)):
            checked = changed_files(sorted(base_folder(spec).glob("*.safetensors")))
            changed = sorted(name for name, has_changed in checked.items() if has_changed)
            known = sum(has_changed is not None for has_changed in checked.values())
            unread = len(checked) - known
            first = f"{unread} read for the first time, so there is nothing to compare with"
            parts = [f"{len(changed)} changed ({', '.join(changed)})"] if changed else []
            parts += [f"{known - len(changed)} unchanged"] if known > len(changed) else []
            parts += [first] if unread else []
            sentence = f"{spec.alias}: {'; '.join(parts)}."
            Output(as_json).done({"alias": spec.alias, "changed": changed, "compared": known}, sentence)
            are_intact &= not changed
    if not are_intact:
        raise typer.Exit(1)


def _planned(task: Task, pools: Sequence[Pool]) -> dict[str, Any]:
    try:
        found = plan_or_refuse(task, task.options, pools, slots=MAX_WORKERS)
    except InvalidRequest as error:
        return {"type": task.options.type, "plan": None, "problem": error.message}
    return {"type": task.options.type, "plan": found.model_dump(mode="json"), "problem": None}


def _gigabytes(memory: Mapping[str, float]) -> str:
    return f"{sum(memory.values()) / 1e9:.1f}"


def _path(data: Path, catalogue: Path | None) -> Path:
    """A data folder that has no catalogue yet offers what the packaged one has."""
    path = catalogue_path(data)
    return catalogue or (path if path.exists() or "TUNERY_CATALOGUE" in os.environ else PACKAGED_CATALOGUE)


def _check_usable(spec: BaseSpec) -> None:
    """Raises InvalidConfiguration if jobs and requests would find that the model cannot be used."""
    # Imported here because it imports transformers, which takes seconds.
    from cluster.bases.pretrained import read_config as read_transformers_config
    from cluster.bases.pretrained import read_tokenizer

    folder = tokenizer_folder(spec)
    for file in folder.glob("*.safetensors"):
        if not is_whole(file):
            raise InvalidConfiguration(f"The model's {file.name} is cut short, or no safetensors file.")
    for what, read in (("config.json", read_transformers_config), ("tokenizer", read_tokenizer)):
        try:
            read(folder)
        except Exception as error:
            reason = " ".join(str(error).split())[:300]
            raise InvalidConfiguration(f"transformers cannot read the model's {what}: {reason}") from error


def _chosen(aliases: list[str] | None, path: Path) -> list[BaseSpec]:
    models = load_catalogue(path)
    for alias in aliases or ():
        if alias not in models:
            raise InvalidConfiguration(f"{path} has no model '{alias}'. It has {', '.join(models)}.")
    return [models[alias] for alias in aliases] if aliases else list(models.values())


def _source(text: str) -> FolderSource | HubSource:
    if not text.startswith(_HUB):
        return FolderSource(path=str(Path(text).absolute()))
    repository, _, revision = text.removeprefix(_HUB).partition("@")
    try:
        return HubSource(repository=repository, revision=hub.resolve_commit(repository, revision or None))
    except Exception as error:
        problem = hub.why_failed(error, f"{repository} at {revision or 'its default branch'}")
        if problem is None:
            raise
        raise InvalidConfiguration(f"Cannot add {text}: {problem}.") from error


def _described(spec: BaseSpec) -> dict[str, Any]:
    problem = why_unavailable(spec)
    source = spec.source
    if isinstance(source, HubSource):
        where = f"{_HUB}{source.repository}@{source.revision}"
    else:
        where = source.path if isinstance(source, FolderSource) else "built in"
    return spec.model_dump(mode="json") | {
        "source": where,
        "state": "unavailable" if problem else "here" if is_here(spec) else "not downloaded",
        "problem": problem,
    }


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr if that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def _reported_errors() -> Iterator[None]:
    try:
        yield
    except TuneryError as error:
        print(f"tunery bases: {printable(error.message)}", file=sys.stderr)
        raise typer.Exit(1) from None
