"""Training files: the row formats and the rules that every line must keep. Pure, no tokenizer."""

from typing import Literal

from pydantic import Field

from cluster.contracts.bases import BaseSpec
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.hyperparameters import Method, OnOverlength, TrainingOptions

DatasetFormat = Literal["chat", "completion", "preference", "classification", "token_classification"]

MAX_CLASSES = 1000
MIN_TRAINING_EXAMPLES = 10


class Problem(FrozenModel):
    """One broken rule. `line` counts from 1; 0 is the file as a whole."""

    line: int = Field(ge=0)
    code: str
    """The rule, e.g. `invalid_json`, `missing_messages`, `empty_assistant`."""
    message: str
    param: str | None = None
    """Where in the line, e.g. `messages[2].role`."""


class DatasetCheckRequest(FrozenModel):
    """Asks the dataset compiler what a stored file becomes for one base."""

    base: BaseSpec
    key: str
    sha256: str
    on_overlength: OnOverlength = "error"
    method: Method = "supervised"
    training: TrainingOptions | None = None
    """The layers that they name are looked for in the base; None: not."""
    class_names: list[str] = []
    """The classes that the file may use, for a validation file those of the training file. Empty: the file
    decides by itself."""


class DatasetCheck(FrozenModel):
    """The compiler's answer: what would be trained on, after the over-length policy."""

    format: DatasetFormat | None = None
    """None only where no row could be read, which is a problem then."""
    n_examples: int
    n_tokens: int
    n_supervised_tokens: int
    """Of an encoder's file: the labels."""
    longest: int
    """Tokens of the longest sequence that the model would see, before the policy."""
    class_names: list[str] = []
    """The classes: those that were given, or sorted those that were found. Empty for a decoder's file."""
    problems: list[Problem] = []
    """Not empty: the file cannot be used. The first 100."""
    dropped_lines: list[int] = []
    """Lines that the policy leaves out: all that are too long, or those of which nothing learned would be
    left. The first 100."""
    n_dropped: int = 0
    truncated_lines: list[int] = []
    """Lines that the policy cuts at the end. The first 100."""
    n_truncated: int = 0
    notes: list[str] = []
    """What the job's owner should know of how the file is trained on."""


def too_few_examples(param: str, n_examples: int, least: int) -> str:
    """OpenAI's sentence, about the file that `param` names, such as `training_file`."""
    name = param.rpartition(".")[2].replace("_", " ").capitalize()
    examples = "example" if least == 1 else "examples"
    return f"{name} has {n_examples} example(s), but must have at least {least} {examples}"


def formats_for(base: BaseSpec, method: Method) -> tuple[DatasetFormat, ...]:
    """The row formats that a method trains a base on."""
    if base.architecture == "encoder":
        return ("classification", "token_classification")
    return ("preference",) if method == "dpo" else ("chat", "completion")
