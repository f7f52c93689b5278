"""Training files: row formats, and the results of checking a file. Pure, without a tokenizer."""

from typing import Literal

from pydantic import Field

from cluster.contracts.bases import BaseSpec
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.hyperparameters import Method, OnOverlength, TrainingOptions
from cluster.contracts.model_shape import ModelShape

DatasetFormat = Literal["chat", "completion", "preference", "classification", "token_classification"]

MAX_CLASSES = 1000
MIN_TRAINING_EXAMPLES = 10


class Problem(FrozenModel):
    """One broken rule. `line` counts from 1; 0 means the file as a whole."""

    line: int = Field(ge=0)
    code: str
    """The rule, e.g. `invalid_json`, `missing_messages`, `empty_assistant`."""
    message: str
    param: str | None = None
    """The place in the line, e.g. `messages[2].role`."""


class RowLength(FrozenModel):
    line: int
    tokens: int
    """Tokens of all sequences of the example, after the over-length policy is applied."""


class DatasetCheckRequest(FrozenModel):
    """Asks the dataset compiler what a stored file becomes for a base."""

    base: BaseSpec
    key: str
    sha256: str
    on_overlength: OnOverlength = "error"
    method: Method = "supervised"
    training: TrainingOptions | None = None
    """If given, the layers that the options name are looked up in the base."""
    validation_split: float = 0.0
    seed: int = 0
    """The share of the examples that training holds out, and the seed that draws them."""
    max_length: int | None = None
    """Tokens of the longest sequence. None is the base's context."""
    base_sha256: str | None = None
    """If given, the weights that the base must still have."""
    class_names: list[str] = []
    """The only classes that the file may use; for a validation file, those of the training file. If empty,
    the file defines its classes."""
    encryption_key: str | None = None
    """The project's key, with which storage encrypts what is written for it. None: it has none."""


class DatasetCheck(FrozenModel):
    """The compiler's answer: what would be trained on, after the over-length policy is applied."""

    format: DatasetFormat | None = None
    """None only if no row could be read, which is also reported as a problem."""
    n_examples: int
    n_tokens: int
    n_supervised_tokens: int
    """Supervised tokens; for an encoder's file, the labels."""
    longest: int
    """Length in tokens of the longest sequence, before the over-length policy is applied."""
    n_held_out: int = 0
    n_held_out_tokens: int = 0
    n_held_out_supervised_tokens: int = 0
    """What `validation_split` holds out, included in the numbers above."""
    longest_rows: list[RowLength] = []
    """The longest examples that are trained on, the longest first: five at most."""
    class_names: list[str] = []
    """The classes: those of the request, or else those found, sorted. Empty for a decoder's file."""
    problems: list[Problem] = []
    """The first 100. If there are any, the file cannot be used."""
    dropped_lines: list[int] = []
    """The first 100 lines of which the policy drops examples: those that are too long, or those that would
    have nothing left to learn."""
    n_dropped: int = 0
    """Examples, of which a line may have several."""
    truncated_lines: list[int] = []
    """The first 100 lines of which the policy truncates examples."""
    n_truncated: int = 0
    notes: list[str] = []
    """What the job's owner should know about how the file is used."""
    shape: ModelShape | None = None
    """Shape of the base, if `training` is given and the family is known."""


def too_few_examples(param: str, n_examples: int, least: int) -> str:
    """Returns OpenAI's message about the file that `param` names, e.g. `training_file`."""
    name = param.rpartition(".")[2].replace("_", " ").capitalize()
    examples = "example" if least == 1 else "examples"
    return f"{name} has {n_examples} example(s), but must have at least {least} {examples}"


def formats_for(base: BaseSpec, method: Method) -> tuple[DatasetFormat, ...]:
    """Returns the row formats that a method can train a base on."""
    if base.architecture == "encoder":
        return ("classification", "token_classification")
    return ("preference",) if method == "dpo" else ("chat", "completion")
