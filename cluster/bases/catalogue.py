"""The catalogue: which base models this installation offers.

The packaged `catalogue.toml` names the built-in model. To offer others, set TUNERY_CATALOGUE on the service
to the path of a TOML file of the same form, which replaces the packaged one. API and scheduler notice when it
changes.

    [[model]]
    alias = "tunery-tiny-1"                                 # keep the built-in model
    source = { kind = "builtin", name = "tiny" }
    context_length = 1024
    learning_rates = { lora = 3e-3, full = 1e-3 }

    [[model]]
    alias = "our-model"                                     # no "/" and no ":"
    source = { kind = "folder", path = "/models/ours" }     # transformers' format, same path on every node
    context_length = 8192
    learning_rates = { lora = 2e-4 }                        # full fine-tuning is not offered
    dtype = "bfloat16"

    [[model]]
    alias = "hub-model"
    source = { kind = "hub", repository = "owner/name", revision = "<40 hex digits of the commit>" }
    context_length = 32768
    learning_rates = { lora = 2e-4, full = 1e-5 }
    dtype = "bfloat16"
    qlora_served_on = "four_bits"                           # as trained, on a second copy of the base

    [[model]]
    alias = "our-bert"
    source = { kind = "folder", path = "/models/bert" }
    context_length = 512
    learning_rates = { lora = 3e-4, full = 3e-5 }
    architecture = "encoder"                                # classifies texts or words; default: "decoder"

A model whose folder is missing or incomplete is listed with the reason, and requests to it get a 503.
`contracts.bases.BaseSpec` says what each field means. Weights are read from safetensors files only, and code
that a repository carries is never run.
"""

import fcntl
import json
import logging
import os
import re
import shutil
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import InvalidConfiguration

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
"""Minimum time between two looks at the file."""

_HEADING = re.compile(r"^[ \t]*\[\[[ \t]*model[ \t]*\]\]", re.MULTILINE)
"""Heading of a model's table."""

PACKAGED_CATALOGUE = Path(__file__).with_name("catalogue.toml")


def load_catalogue(path: Path | None = None) -> dict[str, BaseSpec]:
    """Returns the models by alias, in the order of the file: `path`, otherwise TUNERY_CATALOGUE, otherwise
    the packaged file.

    Raises InvalidConfiguration, which names the file, the entry and the field.
    """
    path = _catalogue_path(path)
    catalogue: dict[str, BaseSpec] = {}
    for number, entry in enumerate(_entries(path), start=1):
        spec = _spec(path, number, entry)
        if spec.alias in catalogue:
            raise _invalid(path, f"entry {number}: alias '{spec.alias}' is taken by an entry before it")
        catalogue[spec.alias] = spec
    return catalogue


class LiveCatalogue(Mapping[str, BaseSpec]):
    """The catalogue of a long-running process. A file that has changed is read again, within a second of its
    next use. If a file cannot be read, this is logged and the previous models stay on offer. Thread-safe.

    The first reading is like `load_catalogue`."""

    def __init__(self, path: Path | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = _catalogue_path(path)
        self._clock = clock
        self._lock = threading.Lock()
        self._state = _state(self._path)
        self._looked_at = clock()
        self._models = load_catalogue(self._path)

    def __getitem__(self, alias: str) -> BaseSpec:
        return self._current()[alias]

    def __iter__(self) -> Iterator[str]:
        return iter(self._current())

    def __len__(self) -> int:
        return len(self._current())

    # Mapping's own methods look up every model, and another reading could have removed one meanwhile.
    def items(self) -> ItemsView[str, BaseSpec]:
        return self._current().items()

    def values(self) -> ValuesView[BaseSpec]:
        return self._current().values()

    def _current(self) -> dict[str, BaseSpec]:
        with self._lock:
            now = self._clock()
            if now - self._looked_at >= _LOOK_SECONDS:
                self._looked_at = now
                self._look()
            return self._models

    def _look(self) -> None:
        state = _state(self._path)
        if state == self._state:
            return
        self._state = state
        try:
            models = load_catalogue(self._path)
        except InvalidConfiguration as error:
            _log.error("%s The former catalogue stays in use.", error.message)
            return
        _log.info(
            "catalogue read again: added %s; removed %s",
            sorted(models.keys() - self._models.keys()) or "none",
            sorted(self._models.keys() - models.keys()) or "none",
        )
        self._models = models


def add_to_catalogue(path: Path, spec: BaseSpec) -> None:
    """Appends a model to the file, whose other text stays unchanged. Raises InvalidConfiguration, and leaves
    the file alone, if it would no longer be a catalogue."""
    with _alone(path):
        text = path.read_text(encoding="utf-8")
        _replace(path, f"{text.rstrip()}\n\n{_table(spec)}")


def remove_from_catalogue(path: Path, alias: str) -> None:
    """Removes a model from the file, whose other text stays unchanged. Raises InvalidConfiguration, and
    leaves the file alone, if it does not have this model or has no other."""
    with _alone(path):
        models = load_catalogue(path)
        if alias not in models:
            raise _invalid(path, f"it has no model '{alias}', only {', '.join(models)}")
        if len(models) == 1:
            raise _invalid(path, f"'{alias}' is its only model, and it must have one")
        tables = _HEADING.split(path.read_text(encoding="utf-8"))
        del tables[1 + list(models).index(alias)]
        kept = {name: spec for name, spec in models.items() if name != alias}
        _replace(path, "[[model]]".join(tables), expected=kept)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Makes other changes of the file, which would overwrite this one, wait for it. Readers need not wait."""
    while True:
        try:
            stream = path.open("rb+")
        except OSError as error:
            raise _invalid(path, f"cannot be changed: {error.strerror}") from error
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            # A change replaces the file, and this may be the previous one.
            if os.fstat(stream.fileno()).st_ino == path.stat().st_ino:
                yield
                return


def _replace(path: Path, text: str, *, expected: Mapping[str, BaseSpec] | None = None) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, encoding="utf-8", delete=False) as stream:
        changed = Path(stream.name)
        stream.write(text)
    try:
        found = load_catalogue(changed)
        if expected is not None and found != expected:
            raise _invalid(path, "it is written in a way that only a person can change")
        shutil.copymode(path, changed)
        # Replaced atomically, because other processes read it at any time.
        changed.replace(path)
    except InvalidConfiguration as error:
        raise InvalidConfiguration(
            error.message.replace(str(changed), str(path)), param=error.param
        ) from None
    finally:
        changed.unlink(missing_ok=True)


def _table(spec: BaseSpec) -> str:
    fields = spec.model_dump(mode="json", exclude_defaults=True) | {
        "source": spec.source.model_dump(mode="json")
    }
    return "[[model]]\n" + "".join(f"{name} = {_toml(value)}\n" for name, value in fields.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    # JSON's strings, numbers, true and false are also TOML's.
    return json.dumps(value)


def _catalogue_path(path: Path | None) -> Path:
    return path or Path(os.environ.get("TUNERY_CATALOGUE") or PACKAGED_CATALOGUE)


def _state(path: Path) -> tuple[int, int, int] | None:
    """Returns a value that changes with the file, also if a link to it is replaced; None if the file is
    absent."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _invalid(path, f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(path, f"not TOML: {error}") from error
    entries = document.get("model")
    if document.keys() != {"model"} or not isinstance(entries, list) or not entries:
        raise _invalid(path, "must consist of one or more [[model]] tables")
    return entries


def _spec(path: Path, number: int, entry: dict[str, Any]) -> BaseSpec:
    try:
        return BaseSpec.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        name = f"entry {number} ({entry['alias']!r})" if "alias" in entry else f"entry {number}"
        raise _invalid(path, f"{name}: {field}: {first['msg']}") from error


def _invalid(path: Path, problem: str) -> InvalidConfiguration:
    return InvalidConfiguration(f"Catalogue {path}: {problem}.", param="TUNERY_CATALOGUE")
