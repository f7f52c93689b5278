"""Proposes how to train each job of an archive again: the base and the settings. Pure.

Hyperparameters that mean the same everywhere are kept. `learning_rate_multiplier` is not: it multiplies a
learning rate that depends on the base, so it becomes "auto"."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.cli.import_openai.archive.archive import is_id

ORIGIN = "imported_from"
"""The key of a job's metadata that names the job it replaces."""
MAX_PAIRS, MAX_KEY, MAX_VALUE = 16, 64, 512
_NO_SUFFIX_CHARACTER = re.compile(r"[^A-Za-z0-9._-]+")
_BILLIONS = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)b(?![A-Za-z0-9])", re.IGNORECASE)
_DATE = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{4})$")
"""At the end of a name: `-2024-07-18`, or the month and day of older models, `-0613`."""
_DEMONSTRATION = "tunery-tiny-1"
"""The packaged base, which is too small to replace one of OpenAI's models."""
_SMALL, _MEDIUM, _LARGE = range(3)
_CLASSES = (
    ("nano", _SMALL), ("babbage", _SMALL), ("ada", _SMALL), ("mini", _MEDIUM), ("gpt-3.5", _MEDIUM),
    ("gpt-35", _MEDIUM), ("curie", _MEDIUM), ("gpt-4", _LARGE), ("davinci", _LARGE),
)  # fmt: skip
"""Relative sizes of OpenAI's models. The first part that occurs in a name counts."""


@dataclass(frozen=True)
class Proposal:
    job: str
    """Id of the old job."""
    replaces: str | None
    """The old model's name, which becomes an alias."""
    request: Mapping[str, Any] | None
    """The body of the new job, with the old file ids. None if the job cannot be trained again."""
    notes: Sequence[str] = ()
    """Why it cannot be trained again, or what differs."""


def propose(
    jobs: Sequence[Mapping[str, Any]],
    bases: Sequence[str],
    *,
    has_content: Callable[[str], bool] = lambda id: True,
    chosen: Mapping[str, str] = {},
    default: str | None = None,
) -> list[Proposal]:
    """One proposal for each job. `has_content` says whether the archive has a file. `chosen` maps names of
    old models, with or without their dates, to bases; `default` is the base of all others. A job that
    continued from another job's model continues from the replacement of that model."""
    made = {str(job.get("fine_tuned_model")) for job in jobs if _why_not(job, has_content) is None}
    return [_propose(job, bases, has_content, chosen, default, made) for job in jobs]


def propose_base(
    model: str, bases: Sequence[str], chosen: Mapping[str, str] = {}, default: str | None = None
) -> str | None:
    """The base for a model that was tuned from `model`. Without a choice, it is the base of the same name,
    with or without the date, or the one whose size rank in `bases` corresponds to that of `model` among
    OpenAI's models; the demonstration base counts only if it is the only one. None if there are no bases."""
    original = original_base(model)
    for name in names_of(original):
        if name in chosen:
            return chosen[name]
    same = next((name for name in names_of(original) if name in bases), None)
    if default is not None or same is not None or not bases:
        return default or same
    real = [name for name in bases if name != _DEMONSTRATION]
    by_size = sorted(real or bases, key=lambda name: (_billions(name), name))
    size = next((size for part, size in _CLASSES if part in original), _MEDIUM)
    return by_size[{_SMALL: 0, _MEDIUM: (len(by_size) - 1) // 2, _LARGE: -1}[size]]


def original_base(model: str) -> str:
    """Returns `gpt-4o-mini` for `ft:gpt-4o-mini:acme::AbCd1234` and for Azure's `gpt-4o-mini.ft-0e208cf3`."""
    return model.removeprefix("ft:").partition(":")[0].partition(".ft-")[0]


def names_of(original: str) -> tuple[str, str]:
    """Returns `gpt-4o-mini-2024-07-18` unchanged, and without its date."""
    return original, _DATE.sub("", original)


def _propose(
    job: Mapping[str, Any],
    bases: Sequence[str],
    has_content: Callable[[str], bool],
    chosen: Mapping[str, str],
    default: str | None,
    made: set[str],
) -> Proposal:
    name, model = job.get("fine_tuned_model"), job.get("model")
    replaces = name if isinstance(name, str) and name else None
    if why_not := _why_not(job, has_content):
        return Proposal(job["id"], replaces, None, [why_not])
    assert isinstance(model, str), "`_why_not` has looked"
    notes = []
    parent = model.partition(":ckpt-step-")[0]
    if parent in made:
        base: str | None = parent
        notes.append(f"continues from what replaces {parent}")
    else:
        base = propose_base(model, bases, chosen, default)
        if base is None:
            return Proposal(job["id"], replaces, None, ["the server has no base model"])
        if parent != model or model.startswith("ft:"):
            notes.append(f"nothing replaces {model}, so that training begins from the base")
    method, rate = _method(job)
    if rate not in (None, "auto"):
        notes.append(f"learning_rate_multiplier was {str(rate)[:20]}; auto, because it belongs to the base")
    validation = job.get("validation_file")
    if validation and not (is_id(validation) and has_content(validation)):
        notes.append("its validation file is not in the archive")
        validation = None
    if job.get("integrations"):
        notes.append("integrations are not taken over")
    request = {
        "model": base,
        "training_file": job["training_file"],
        "validation_file": validation or None,
        "suffix": _suffix(job, replaces),
        "seed": job["seed"] if _is_whole(job.get("seed"), 0, 2**31 - 1) else None,
        "method": method,
        "metadata": _metadata(job),
    }
    return Proposal(job["id"], replaces, {k: v for k, v in request.items() if v is not None}, notes)


def _why_not(job: Mapping[str, Any], has_content: Callable[[str], bool]) -> str | None:
    if job.get("status") != "succeeded":
        return f"it is {str(job.get('status') or 'without a status')[:40]}"
    if not is_id(job.get("training_file")):
        return "it names no training file"
    if not has_content(job["training_file"]):
        return "its training file is not in the archive"
    if not isinstance(job.get("model"), str) or not job["model"]:
        return "it names no model"
    if _type(job) not in ("supervised", "dpo"):
        return f"there is no method {str(_type(job))[:40]}"
    return None


def _type(job: Mapping[str, Any]) -> object:
    method = job.get("method")
    return method.get("type", "supervised") if isinstance(method, dict) else "supervised"


def _method(job: Mapping[str, Any]) -> tuple[dict[str, Any], object]:
    """The new method, and the old `learning_rate_multiplier`."""
    type = str(_type(job))
    method = job.get("method")
    own = method.get(type) if isinstance(method, dict) else None
    found = own.get("hyperparameters") if isinstance(own, dict) else None
    # Older jobs have hyperparameters at the top level only.
    before = found if isinstance(found, dict) and found else job.get("hyperparameters")
    before = before if isinstance(before, dict) else {}
    kept: dict[str, Any] = {}
    if _is_whole(before.get("n_epochs"), 1, 50):
        kept["n_epochs"] = before["n_epochs"]
    if _is_whole(before.get("batch_size"), 1, 256):
        kept["batch_size"] = before["batch_size"]
    beta = before.get("beta")
    if type == "dpo" and isinstance(beta, int | float) and not isinstance(beta, bool) and 0 < beta <= 2:
        kept["beta"] = beta
    return {"type": type, type: {"hyperparameters": kept}}, before.get("learning_rate_multiplier")


def _suffix(job: Mapping[str, Any], name: str | None) -> str | None:
    found = job.get("user_provided_suffix")
    parts = (name or "").split(":")
    if not isinstance(found, str) and len(parts) >= 5 and parts[0] == "ft":
        found = parts[3]
    if not isinstance(found, str):
        return None
    return _NO_SUFFIX_CHARACTER.sub("-", found).strip("-")[:64] or None


def _metadata(job: Mapping[str, Any]) -> dict[str, str]:
    found = job.get("metadata")
    pairs = [
        (key, value)
        for key, value in (found.items() if isinstance(found, dict) else ())
        if _is_text(key, MAX_KEY) and key and _is_text(value, MAX_VALUE) and key != ORIGIN
    ]
    return dict(pairs[: MAX_PAIRS - 1]) | {ORIGIN: job["id"]}


def _is_text(value: object, longest: int) -> bool:
    """Whether the value is a string that can be sent, which excludes lone surrogates."""
    return (
        isinstance(value, str) and len(value) <= longest and value == value.encode(errors="ignore").decode()
    )


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _billions(name: str) -> float:
    found = _BILLIONS.findall(name)
    return max(map(float, found), default=0.0)
