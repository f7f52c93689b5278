"""`tunery bases`: the base models of this installation. Works on its files, so run it where they are."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.bases import hub
from cluster.bases.catalogue import (
    PACKAGED_CATALOGUE,
    add_to_catalogue,
    load_catalogue,
    remove_from_catalogue,
)
from cluster.bases.configs import config_here, is_quantized, read_config, stored_bytes_here, why_not_trained
from cluster.bases.file_digests import changed_files
from cluster.bases.layers import base_layers, stored_tensors
from cluster.bases.resolve import base_folder, folder_here, tokenizer_folder, why_unavailable
from cluster.bases.suggest import alias_of, is_encoder, suggest_base
from cluster.contracts.bases import BaseSpec, FolderSource, HubSource, TrainingType
from cluster.contracts.devices import Pool
from cluster.contracts.errors import EngineStartFailed, InvalidConfiguration, InvalidRequest, TuneryError
from cluster.contracts.hyperparameters import MAX_WORKERS, TrainingOptions
from cluster.contracts.serving_plan import ServingPool
from cluster.planning.memory import Task
from cluster.planning.planner import task_of
from cluster.planning.refusals import plan_or_refuse
from cluster.planning.serving import ServingOptions, plan_serving
from cluster.planning.serving_settings import ServingSettings
from cluster.planning.shapes import shape_of
from service.cli.confirming import Yes, confirm
from service.cli.failures import CommandFailed, reason_of
from service.cli.output import Columns, Item, Output, printable
from service.cli.progress import bar
from service.data_folder import catalogue_path, create_catalogue
from service.local_devices import divide_devices, gpu_bytes
from service.settings import checked_settings

app = typer.Typer(help="Manage the base models of this installation.", no_args_is_help=True)

_HUB = "hub:"
_Data = Annotated[
    Path, typer.Option("--data", help="Data folder of `tunery up`, which contains the catalogue.")
]
_Catalogue = Annotated[
    Path | None,
    typer.Option("--catalogue", help="The catalogue file; TUNERY_CATALOGUE or the one in --data by default."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_Aliases = Annotated[
    list[str] | None, typer.Argument(metavar="[MODEL]...", help="Base models to include; all by default.")
]
_COLUMNS: Columns = {
    "MODEL": "alias",
    "STATE": "state",
    "CONTEXT": lambda item: _context(item["context_length"], item["served_context_length"]),
    "TYPE": "dtype",
    "SOURCE": "source",
    "PROBLEM": "problem",
}

_PLANNED_LENGTH = 8192
_PLANNED_TYPES: tuple[TrainingType, ...] = ("lora", "qlora", "full")
_PLAN_COLUMNS: Columns = {
    "TYPE": "type",
    "DEVICES": lambda item: item["plan"] and _devices(item["plan"]),
    "HOW": lambda item: item["plan"] and (item["plan"].get("engine") or item["plan"]["parallelism"]),
    "GB A DEVICE": lambda item: item["plan"] and _memory(item["plan"]),
    "DETAILS": lambda item: item["problem"] or _details(item["plan"]),
}


@app.command()
def ls(data: _Data = Path(".tunery"), catalogue: _Catalogue = None, as_json: _Json = False) -> None:
    """List the base models, whether each is on this machine, and how much of its context can be served on
    this machine's devices."""
    with _reported_errors():
        models = load_catalogue(_path(data, catalogue)).values()
        options = ServingSettings.read().options
        workers = checked_settings().training_slots
        pools = divide_devices(os.environ, gpu_bytes(os.environ), workers=workers).serving
        items = [
            _described(spec) | {"served_context_length": _planned_context(spec, pools, options)}
            for spec in models
        ]
        Output(as_json).items(items, _COLUMNS)


@app.command()
def add(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="hub:OWNER/NAME, hub:OWNER/NAME@REVISION, or a folder.")
    ],
    alias: Annotated[
        str | None,
        typer.Option(help="The model's name in the API; the repository's or folder's name by default."),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            help="Maximum tokens of prompt and answer together; the model's own limit by default.", min=1
        ),
    ] = None,
    data: _Data = Path(".tunery"),
    catalogue: _Catalogue = None,
    as_json: _Json = False,
) -> None:
    """Add a base model. A Hub model is pinned to its current commit, and downloaded on first use or by
    `tunery bases fetch`. A running server offers the model within seconds."""
    with _reported_errors():
        path = catalogue or catalogue_path(data)
        found = _source(source)
        # This is enough to read its configuration.
        bare = BaseSpec(alias=alias_of(found), source=found, context_length=1, learning_rates={})
        if is_encoder(read_config(tokenizer_folder(bare))):
            # Most encoders have no causal model with which their weights could be checked.
            bare = bare.model_copy(update={"architecture": "encoder"})
        _check_usable(bare)
        parameters = sum(math.prod(shape) for shape in base_layers(bare).shapes.values())
        spec = suggest_base(
            found,
            tokenizer_folder(bare),
            parameters,
            alias=alias,
            context_length=context,
            created=int(time.time()),
        )
        if not path.exists() and not path.parent.exists():
            Output(as_json).remark(f"{path.parent} is a new data folder: give --data to `tunery up`, too.")
        create_catalogue(path)
        add_to_catalogue(path, spec)
        Output(as_json).done(
            _described(spec),
            f"Added {spec.alias} to {path}. `tunery bases plan {spec.alias}` shows what training it takes.",
        )


@app.command()
def rm(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name in the catalogue.")],
    data: _Data = Path(".tunery"),
    catalogue: _Catalogue = None,
    yes: Yes = False,
    as_json: _Json = False,
) -> None:
    """Remove a base model from the catalogue. Its weights are kept. A running server stops offering it within
    seconds. Models tuned from it can still be downloaded, and can be used again if the base model is added
    back."""
    with _reported_errors():
        path = catalogue or catalogue_path(data)
        confirm(f"Take {model} out of {path}? Requests for it are refused within seconds.", yes=yes)
        create_catalogue(path)
        remove_from_catalogue(path, model)
        Output(as_json).done({"alias": model, "removed": True}, f"Removed {model} from {path}.")


@app.command()
def fetch(
    models: _Aliases = None,
    data: _Data = Path(".tunery"),
    catalogue: _Catalogue = None,
    as_json: _Json = False,
) -> None:
    """Download Hub models to this machine, so that no job has to wait for them."""
    with _reported_errors():
        chosen = _chosen(models, _path(data, catalogue))
        with _listed(Output(as_json)) as show:
            for spec in chosen:
                with bar(spec.alias, None, "bytes") as shown:
                    folder = base_folder(spec, report=shown.update)
                show(_described(spec) | {"folder": str(folder)}, f"{spec.alias} is in {folder}.")


@app.command()
def plan(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name in the catalogue.")],
    max_seq_length: Annotated[
        int | None, typer.Option(help="Length of the longest example in tokens; 8,192 by default.", min=1)
    ] = None,
    data: _Data = Path(".tunery"),
    catalogue: _Catalogue = None,
    as_json: _Json = False,
) -> None:
    """Show the resources needed on this machine's devices to serve a model and to fine-tune it with LoRA,
    QLoRA and all weights."""
    with _reported_errors():
        (spec,) = _chosen([model], _path(data, catalogue))
        config = read_config(tokenizer_folder(spec))
        shape = shape_of(config)
        settings, options, gpus = checked_settings(), ServingSettings.read().options, gpu_bytes(os.environ)
        devices = divide_devices(os.environ, gpus, workers=settings.training_slots)
        pools = settings.training_pools or [pool for pool in (devices.training_pool,) if pool is not None]
        length = min(max_seq_length or _PLANNED_LENGTH, spec.context_length)
        if max_seq_length is not None and length < max_seq_length:
            Output(as_json).remark(f"Planned for {length} tokens, which is the context of {model}.")
        served = _planned_serving(spec, config, devices.serving, options)
        trainings = [TrainingOptions(type=kind, max_seq_length=length) for kind in _PLANNED_TYPES]
        if problem := why_not_trained(config):
            trained = [_unplanned(each, f"It cannot be trained: {problem}.") for each in trainings]
        elif shape is None:
            trained = [_unplanned(each, "The planner does not know its family.") for each in trainings]
        else:
            trained = [_planned(task_of(shape, spec, each, "supervised"), pools) for each in trainings]
        Output(as_json).items([served, *trained], _PLAN_COLUMNS)


@app.command()
def verify(
    models: _Aliases = None,
    data: _Data = Path(".tunery"),
    catalogue: _Catalogue = None,
    as_json: _Json = False,
) -> None:
    """Read all weights and compare their SHA-256 hashes with the Hub's, or with those of an earlier run.
    Exits with 1 if a file has changed."""
    are_intact = True
    with _reported_errors():
        chosen = _chosen(models, _path(data, catalogue))
        with _listed(Output(as_json)) as show:
            for spec in chosen:
                checked = changed_files(sorted(base_folder(spec).glob("*.safetensors")))
                changed = sorted(name for name, has_changed in checked.items() if has_changed)
                known = sum(has_changed is not None for has_changed in checked.values())
                sentence = _verdict(spec, changed, known, unread=len(checked) - known)
                show({"alias": spec.alias, "changed": changed, "compared": known}, sentence)
                are_intact &= not changed
    if not are_intact:
        raise typer.Exit(1)


def _verdict(spec: BaseSpec, changed: Sequence[str], known: int, *, unread: int) -> str:
    """`known` is the number of files with a digest to compare with."""
    parts = [f"{len(changed)} changed ({', '.join(changed)})"] if changed else []
    parts += [f"{known - len(changed)} unchanged"] if known > len(changed) else []
    parts += [f"{unread} read for the first time, so there is nothing to compare with"] if unread else []
    return f"{spec.alias}: {'; '.join(parts)}."


def _planned_context(spec: BaseSpec, pools: Sequence[ServingPool], options: ServingOptions) -> int | None:
    """None if the base is not on this machine, or if no device has room for it."""
    if (config := config_here(spec)) is None:
        return None
    plan = _planned_serving(spec, config, pools, options)["plan"]
    return plan and (plan["vllm"]["max_model_len"] if plan["vllm"] else spec.context_length)


def _context(full: int, served: int | None) -> str:
    return f"{served} of {full}" if served is not None and served < full else str(full)


def _planned_serving(
    spec: BaseSpec, config: Mapping[str, Any], pools: Sequence[ServingPool], options: ServingOptions
) -> dict[str, Any]:
    try:
        found = plan_serving(
            spec,
            shape_of(config),
            pools,
            options,
            is_quantized=is_quantized(config),
            stored_bytes=stored_bytes_here(spec),
        )
    except EngineStartFailed as error:
        return {"type": "serving", "plan": None, "problem": error.message}
    return {"type": "serving", "plan": found.model_dump(mode="json"), "problem": None}


def _planned(task: Task, pools: Sequence[Pool]) -> dict[str, Any]:
    try:
        found = plan_or_refuse(task, task.options, pools, slots=MAX_WORKERS)
    except InvalidRequest as error:
        return _unplanned(task.options, error.message)
    return {"type": task.options.type, "plan": found.model_dump(mode="json"), "problem": None}


def _unplanned(options: TrainingOptions, problem: str) -> dict[str, Any]:
    return {"type": options.type, "plan": None, "problem": problem}


def _devices(plan: Mapping[str, Any]) -> int:
    return int(plan["vllm"]["tensor_parallel_size"] if plan.get("vllm") else plan.get("num_workers", 1))


def _memory(plan: Mapping[str, Any]) -> str | None:
    whole, part = ("vllm", "memory") if "engine" in plan else ("footprint", "device")
    memory = (plan[whole] or {}).get(part)
    return memory and f"{sum(memory.values()) / 1e9:.1f}"


def _details(plan: Mapping[str, Any]) -> str:
    if "engine" not in plan:
        return ""
    vllm = plan["vllm"]
    if vllm is None:
        return str(plan["reason"])
    return (
        f"context of {vllm['max_model_len']}; at once {vllm['max_num_seqs']} sequences and "
        f"{vllm['max_loras']} adapters of rank {vllm['max_lora_rank']}"
    )


def _path(data: Path, catalogue: Path | None) -> Path:
    """Path of the catalogue. A data folder without a catalogue offers the packaged one."""
    path = catalogue_path(data)
    return catalogue or (path if path.exists() or "TUNERY_CATALOGUE" in os.environ else PACKAGED_CATALOGUE)


def _check_usable(spec: BaseSpec) -> None:
    """Raises InvalidConfiguration if jobs and requests could not use the model."""
    # Imported here because they import transformers, which takes seconds.
    from cluster.bases.fit import why_unusable
    from cluster.bases.pretrained import read_config as read_transformers_config
    from cluster.bases.pretrained import read_tokenizer

    folder = tokenizer_folder(spec)
    stored_tensors(spec, folder)
    read_transformers_config(folder)
    read_tokenizer(folder)
    # The service's own image has no torch; there, a job's validation finds the problem.
    if find_spec("torch") is not None and (problem := why_unusable(spec, folder)):
        raise InvalidConfiguration(f"The model cannot be used: {problem}.")


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
        "state": "unavailable" if problem else "here" if folder_here(spec) else "not downloaded",
        "problem": problem,
    }


@contextmanager
def _listed(output: Output) -> Iterator[Callable[[Item, str], None]]:
    """Yields a function that reports one model: as a sentence at once, or as JSON in one list at the end,
    even if an error ends the command."""
    items: list[Item] = []

    def show(item: Item, sentence: str) -> None:
        items.append(item)
        if not output.wants_json:
            output.done(item, sentence)

    try:
        yield show
    finally:
        if output.wants_json:
            output.json(items)


@contextmanager
def _reported_errors() -> Iterator[None]:
    try:
        yield
    except TuneryError as error:
        print(f"tunery bases: {printable(error.message)}", file=sys.stderr)
        raise typer.Exit(1) from None
    except CommandFailed as error:
        print(f"tunery: {printable(str(error))}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        print(f"tunery bases: {printable(reason_of(error))}", file=sys.stderr)
        raise typer.Exit(1) from None
