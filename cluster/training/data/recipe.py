"""The rules by which rows become examples, apart from what the file and the tokenizer determine."""

from dataclasses import dataclass

from cluster.contracts.bases import BaseSpec
from cluster.contracts.datasets import DatasetFormat, Problem, formats_for
from cluster.contracts.errors import InvalidDataset
from cluster.contracts.hyperparameters import Method, OnOverlength
from cluster.contracts.previews import Outcome
from cluster.training.data.rendering import Sample


@dataclass(frozen=True, slots=True)
class Recipe:
    """How rows are compiled, apart from what the file and the tokenizer determine."""

    base: BaseSpec
    method: Method
    max_length: int
    """The largest number of tokens in a sequence."""
    policy: OnOverlength
    """What happens to examples with a longer sequence."""
    class_names: tuple[str, ...] = ()
    """The classes that labels may name. If empty, all classes in the file, sorted by name."""


def wrong_format(format: DatasetFormat, recipe: Recipe) -> InvalidDataset | None:
    allowed = formats_for(recipe.base, recipe.method)
    if format in allowed:
        return None
    kind = "an encoder" if recipe.base.architecture == "encoder" else "a decoder"
    return InvalidDataset(
        f"the file holds {format} rows, and method '{recipe.method}' trains {recipe.base.alias}, which is "
        f"{kind}, on {' or '.join(allowed)} rows",
        code="wrong_format",
    )


def outcomes_of(sample: Sample | InvalidDataset, recipe: Recipe) -> list[Outcome] | InvalidDataset:
    """What training makes of each example of a rendered row by the over-length policy, or why it refuses the
    file."""
    if isinstance(sample, InvalidDataset):
        return sample
    is_overlength = sample.full_length > recipe.max_length
    if is_overlength and recipe.policy == "error":
        return _too_long(sample.full_length, recipe.max_length)
    if not is_overlength and not sample.has_something_to_learn:
        return InvalidDataset("no token of the row is learned", code="nothing_to_learn")
    return [_outcome_of(example, recipe) for example in sample.examples()]


def _outcome_of(example: Sample, recipe: Recipe) -> Outcome:
    if example.full_length <= recipe.max_length:
        return "whole"
    return "truncated" if recipe.policy == "truncate" and example.has_something_to_learn else "dropped"


def as_problem(line: int, error: InvalidDataset) -> Problem:
    return Problem(
        line=line,
        code=error.code or InvalidDataset.default_code,
        message=f"Line {line}: {error.message}",
        param=error.param,
    )


def _too_long(length: int, max_length: int) -> InvalidDataset:
    return InvalidDataset(
        f"{length} tokens, and the model takes {max_length}; shorten it, or choose `on_overlength` `drop` or "
        "`truncate`",
        code="too_long",
    )
