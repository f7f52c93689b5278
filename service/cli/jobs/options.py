"""The options of `tunery run`, and the body of the create request that they define."""

import json
from typing import Annotated, Any, Literal

import typer

from service.cli.failures import USAGE, CommandFailed

_PANEL = "Training"

Suffix = Annotated[str | None, typer.Option(help="Becomes part of the model's name.")]
Seed = Annotated[
    int | None, typer.Option(help="Random seed, which makes the run reproducible.", min=0, max=2**31 - 1)
]
MethodName = Annotated[
    Literal["supervised", "dpo"] | None,
    typer.Option(
        help="Training method: supervised for answers, dpo for preferences. By default determined by the "
        "rows.",
        rich_help_panel=_PANEL,
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(help="Number of passes over the training file.", min=1, max=50, rich_help_panel=_PANEL),
]
BatchSize = Annotated[
    int | None, typer.Option(help="Examples per optimizer step.", min=1, max=256, rich_help_panel=_PANEL)
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--learning-rate-multiplier",
        help="Multiplies the base model's default learning rate.",
        rich_help_panel=_PANEL,
    ),
]
Beta = Annotated[
    float | None,
    typer.Option(
        help="DPO only: how closely the model is held to its starting point; larger is closer.",
        rich_help_panel=_PANEL,
    ),
]
TrainingType = Annotated[
    Literal["lora", "qlora", "full"] | None,
    typer.Option(
        "--type", help="Training type: which weights are trained; lora by default.", rich_help_panel=_PANEL
    ),
]
Rank = Annotated[int | None, typer.Option("--rank", help="LoRA rank (r).", min=1, rich_help_panel=_PANEL)]
Training = Annotated[
    list[str] | None,
    typer.Option(
        "--training",
        metavar="NAME=VALUE",
        help="Any training option of the API, such as on_overlength=drop; can be repeated.",
        rich_help_panel=_PANEL,
    ),
]
PriorityName = Annotated[
    Literal["low", "normal", "high"] | None,
    typer.Option("--priority", help="Priority in the queue; normal by default."),
]
FormerPriority = Annotated[
    Literal["low", "normal", "high"] | None,
    typer.Option("--priority", help="Priority in the queue; the original job's by default."),
]
Metadata = Annotated[
    list[str] | None,
    typer.Option("--metadata", metavar="KEY=VALUE", help="Metadata of the job; can be repeated."),
]


def job_body(
    *,
    model: str,
    suffix: str | None,
    seed: int | None,
    method: str | None,
    hyperparameters: dict[str, int | float | None],
    training: dict[str, Any],
    metadata: list[str] | None,
    priority: str | None = None,
) -> dict[str, Any]:
    """The body without its files. Leaves out options that are None, so that the server chooses."""
    body: dict[str, Any] = {
        "model": model,
        "suffix": suffix,
        "seed": seed,
        "metadata": pairs(metadata or [], "--metadata") or None,
        "tunery": {"priority": priority} if priority else None,
        "training": {name: value for name, value in training.items() if value is not None} or None,
    }
    given = {name: value for name, value in hyperparameters.items() if value is not None}
    if method is not None or given:
        name = method or ("dpo" if "beta" in given else "supervised")
        body["method"] = {"type": name, name: {"hyperparameters": given}}
    return {name: value for name, value in body.items() if value is not None}


def training_options(type: str | None, rank: int | None, given: list[str] | None) -> dict[str, Any]:
    """The body's `training`. Values are JSON, or otherwise strings: `compile=true`, `on_overlength=drop`."""
    values = {name: _value(text) for name, text in pairs(given or [], "--training").items()}
    return {"type": type, "r": rank, **values}


def pairs(given: list[str], option: str) -> dict[str, str]:
    """Reads NAME=VALUE. Raises CommandFailed."""
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise CommandFailed(f"{option} is '{one}'; write NAME=VALUE.", USAGE)
        found[name] = value
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
