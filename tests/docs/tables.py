"""Tables of settings, options and commands."""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import click
import typer
from pydantic import AliasChoices, BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import RateLimited, TuneryError
from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions, resolve
from cluster.contracts.metrics import Metric
from cluster.contracts.peft_options import _RULES, ALLOWED, RATE_FACTORS
from cluster.data_checks.rules import ERRORS, WARNINGS, Rule
from cluster.serving.deployment.settings import EngineSettings
from service.api.http.errors import _STATUS
from service.cli.commands import PROJECT_HELP
from service.cli.main import COMMANDS, app
from service.settings import RENAMED, Settings
from tests.docs.api import fields, load_document
from tests.docs.markdown import code, sentence, table

COMPUTED = {
    "TUNERY_ENGINE_MIN_REPLICAS": "1 if shared, 0 if own",
    "TUNERY_ENGINE_MAX_ENTRIES": "1 if shared, 4 if own",
    "TUNERY_CACHE_DIR": "`~/.cache/tunery`",
}
"""Defaults that a function makes."""

OTHERS = {
    "TUNERY_API_KEY": (
        "`tunery up`, `python -m service.migrate`; commands that call the API",
        "The operator's key. It replaces any key that was set this way before. Without it, `tunery up` "
        "creates a key, prints it once and stores it in `DIR/admin.key`, and `service.migrate` keeps "
        "the installation's existing key. Commands that call the API use it as their key.",
    ),
    "TUNERY_BASE_URL": (
        "commands that call the API",
        "URL of the API to call, ending in `/v1`. By default `OPENAI_BASE_URL`, or else the running "
        "server of the data folder (`server.url` in `--data`), or else `http://127.0.0.1:8000/v1`.",
    ),
    "TUNERY_PROJECT": (
        "commands that call the API",
        "Id of the project to act in, with an admin key. By default, the key's own project. "
        "`--project` takes precedence.",
    ),
    "TUNERY_SOURCE_API_KEY": (
        "`tunery import-openai fetch` and `harvest`",
        "API key of the OpenAI account, or the account elsewhere, to migrate from.",
    ),
    "TUNERY_WORKER_CPUS": (
        "runner",
        "CPUs that each training process reserves and uses; 1 by default. `tunery up` gives it all of "
        "the machine's CPUs.",
    ),
    "TUNERY_HANG_SECONDS": (
        "runner",
        "Maximum duration of one forward or backward pass, or of one message between workers, in "
        "seconds; 1800 by default. After that, the attempt ends as `hung`.",
    ),
    "TUNERY_CACHE_BYTES": (
        "engine",
        "Maximum disk space for the weights in `TUNERY_CACHE_DIR`, in bytes; half of the free space by "
        "default.",
    ),
}
"""Variables that no settings class reads: who reads them, and what they do."""

_TYPES: dict[type[TuneryError], list[str]] = {RateLimited: ["requests", "tokens"]}
"""Of errors whose type depends on the case."""

_NAME = re.compile(r"`(\w+)`")
_EXAMPLE_COUNTS = (10, 20, 50, 250, 1_000, 5_000, 10_000, 100_000)


def service_settings() -> str:
    return _settings(Settings, "TUNERY_")


def engine_settings() -> str:
    return _settings(EngineSettings, "")


def other_settings() -> str:
    rows = [(code(name), reader, sentence(meaning)) for name, (reader, meaning) in OTHERS.items()]
    return table(("Variable", "Read by", "Meaning"), rows)


def renamed_settings() -> str:
    renamed = {old: f"TUNERY_{field.upper()}" for old, field in RENAMED.items()}
    for name in EngineSettings.model_fields:
        new, *former = _variables(EngineSettings, name, "")
        renamed |= dict.fromkeys(former, new)
    rows = [(code(old), code(new)) for old, new in renamed.items()]
    return table(("Formerly", "Now"), rows)


def hyperparameters() -> str:
    return _schema_table("DpoHyperparametersBody")


def training_options() -> str:
    parts = {"num_workers": "WorkerRange", "early_stopping": "EarlyStopping"}
    named = [f"`{option}`:\n\n{_schema_table(schema)}" for option, schema in parts.items()]
    return "\n\n".join([_schema_table("TrainingOptions"), *named])


def auto_values() -> str:
    base = next(iter(load_catalogue().values()))
    rows = []
    for count in _EXAMPLE_COUNTS:
        found, _ = resolve(Hyperparameters(), TrainingOptions(), base, n_examples=count, seed=0)
        rows.append((f"{count:,}", str(found.n_epochs), str(found.batch_size)))
    return table(("Examples", "`n_epochs`", "`batch_size`"), rows)


def peft_methods() -> str:
    rows = [
        (code(name), f"{RATE_FACTORS.get(name, 1.0):g}", ", ".join(code(one) for one in sorted(allowed)))
        for name, allowed in ALLOWED.items()
    ]
    return table(("`peft_type`", "Rate factor", "Fields"), rows)


def peft_fields() -> str:
    names: dict[str, list[str]] = {}
    for name, rule in _RULES.items():
        names.setdefault(rule.description, []).append(code(name))
    return table(("Fields", "Value"), [(", ".join(found), sentence(value)) for value, found in names.items()])


def catalogue_fields() -> str:
    docs = _attribute_docs(BaseSpec)
    rows = [
        (code(name), _default(field), sentence(docs.get(name, "")))
        for name, field in BaseSpec.model_fields.items()
    ]
    return table(("Field", "Default", "Meaning"), rows)


def packaged_catalogue() -> str:
    rows = [
        (
            code(base.alias),
            f"{base.context_length:,}",
            ", ".join(f"{name} {rate:g}" for name, rate in base.learning_rates.items()),
            base.dtype,
        )
        for base in load_catalogue().values()
    ]
    return table(("Model", "Context (tokens)", "Learning rates", "Weights"), rows)


def data_errors() -> str:
    return _rules(ERRORS)


def data_warnings() -> str:
    return _rules(WARNINGS)


def _rules(rules: tuple[Rule, ...]) -> str:
    rows = [(code(rule.code), rule.title, rule.remedy) for rule in rules]
    return table(("Code", "What is found", "What to do"), rows)


def statuses() -> str:
    rows = [
        (str(status), " or ".join(map(code, _TYPES.get(error, [kind]))), code(error.default_code))
        for error, status, kind in _STATUS
    ]
    rows.append(("500", "`server_error`", "`internal_error`"))
    return table(("Status", "`type`", "`code`, unless a more specific one applies"), rows)


def metrics(declared: Sequence[Metric]) -> str:
    rows = [
        (code(one.name), one.kind, ", ".join(map(code, one.labels)) or "—", sentence(one.help))
        for one in declared
    ]
    return table(("Metric", "Type", "Labels", "Meaning"), rows)


_SHARED = ("--base-url", "--data", "--json")
"""Options of every command that calls the API."""
_INSTALLATION = ("up", "demo", "sweep", "backup", "restore", "reconcile", "reencrypt")


def commands() -> str:
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands")
    parts = []
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if name in COMMANDS:
            command = COMMANDS[name].load(name)
        if hasattr(command, "commands"):
            parts.append(_command_group(f"tunery {name}", command))
            continue
        rows = [
            (code(option.opts[0]), _option_default(option), sentence(getattr(option, "help", None) or ""))
            for option in command.params
            if not _is_shared(option) or name in _INSTALLATION
        ]
        described = sentence(command.help or "")
        parts.append(f"### `tunery {name}`\n\n{described}\n\n{table(('Option', 'Default', 'Meaning'), rows)}")
    return "\n\n".join(parts)


def _command_group(name: str, group: Any) -> str:
    """A group whose commands call the API: they have the same options beside their own."""
    rows = [
        (code(_usage(f"{name} {one}", command)), sentence(command.help or ""))
        for one, command in group.commands.items()
    ]
    return f"### `{name}`\n\n{sentence(group.help or '')}\n\n{table(('Command', 'Meaning'), rows)}"


def _usage(name: str, command: Any) -> str:
    arguments, options = [], []
    for option in command.params:
        if not option.opts[0].startswith("-"):
            metavar = option.make_metavar(click.Context(command))
            arguments.append(metavar if option.required or metavar.startswith("[") else f"[{metavar}]")
        elif not _is_shared(option):
            options.append(option.opts[0] if option.required else f"[{option.opts[0]}]")
    return " ".join([name, *arguments, *options])


def _is_shared(option: Any) -> bool:
    """Some commands have a `--project` of their own, which means something else."""
    return option.opts[0] in _SHARED or getattr(option, "help", None) == PROJECT_HELP


def settings_names() -> set[str]:
    """Every variable that the settings classes read."""
    read = [_variables(Settings, name, "TUNERY_") for name in Settings.model_fields]
    read += [_variables(EngineSettings, name, "") for name in EngineSettings.model_fields]
    return {variable for variables in read for variable in variables} | RENAMED.keys()


def _settings(model: type[BaseModel], prefix: str) -> str:
    docs = _attribute_docs(model)

    def by_variable(named: re.Match[str]) -> str:
        is_field = named[1] in model.model_fields
        return code(_variable(model, named[1], prefix)) if is_field else named[0]

    rows = []
    for name, field in model.model_fields.items():
        variable = _variable(model, name, prefix)
        default = COMPUTED.get(variable) or _default(field)
        rows.append((code(variable), default, sentence(_NAME.sub(by_variable, docs.get(name, "")))))
    return table(("Variable", "Default", "Meaning"), rows)


def _variable(model: type[BaseModel], name: str, prefix: str) -> str:
    return _variables(model, name, prefix)[0]


def _variables(model: type[BaseModel], name: str, prefix: str) -> list[str]:
    """The variable of a field, and its former names."""
    alias = model.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias) if alias is not None else f"{prefix}{name.upper()}"]


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if field.is_required():
        return "required"
    if value is PydanticUndefined or value is None or value in ("", ()):
        return "—"
    if isinstance(value, dict):
        return code(json.dumps(value))
    return code(f"{value:g}" if isinstance(value, float) else value)


def _option_default(option: Any) -> str:
    default = option.default
    return "—" if default in (None, False) else code(default)


def _schema_table(name: str) -> str:
    document = load_document()
    return fields(document, document["components"]["schemas"][name])


def _attribute_docs(model: type) -> dict[str, str]:
    """The string below each field of the class, and of those of ours that it inherits from."""
    docs = {}
    for base in reversed(model.__mro__):
        if base.__module__.startswith(("cluster", "service")):
            docs |= _own_attribute_docs(base)
    return docs


def _own_attribute_docs(model: type) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for before, after in zip(body.body, body.body[1:], strict=False):
        is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and is_text:
            docs[before.target.id] = str(after.value.value)  # type: ignore[attr-defined]
    return docs
