"""The data report: what a curator would want to know about a training file. It never quotes the file."""

from typing import Literal

from pydantic import ConfigDict, Field

from cluster.contracts.bases import BaseSpec
from cluster.contracts.datasets import DatasetFormat
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.hyperparameters import OnOverlength

Severity = Literal["error", "warning"]
LengthUnit = Literal["characters", "tokens"]

MAX_PLACES = 50


class _Part(FrozenModel):
    """A part of the report, which the API shows as it is."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_serialization_defaults_required=True)


class FindingPlace(_Part):
    """Where a problem occurs."""

    line: int = Field(ge=0)
    """Line number from 1; 0 means the file as a whole."""
    column: int = Field(default=1, ge=1)
    """Column in characters, counted from 1."""
    param: str | None = None
    """The value in the line, e.g. `messages[2].content`."""
    related_line: int | None = None
    """The line that this one repeats or contradicts."""
    hint: str | None = None
    """What is expected here, or a number with more detail."""


class Finding(_Part):
    """All occurrences of one kind of problem."""

    code: str
    severity: Severity
    title: str
    remedy: str
    count: int
    places: list[FindingPlace]
    """The first 50 occurrences, by line."""


class LengthBucket(_Part):
    up_to: int
    """Maximum length in this bucket. The bucket begins above the maximum of the previous one."""
    count: int


class Lengths(_Part):
    """Lengths of the examples. A preference pair has the length of its longer answer."""

    unit: LengthUnit
    total: int
    shortest: int
    longest: int
    mean: float
    p50: int
    p90: int
    p99: int
    histogram: list[LengthBucket]
    """The bounds are powers of two."""


class OverlengthOutcome(_Part):
    """What `training.on_overlength` would do with the file."""

    on_overlength: OnOverlength
    is_accepted: bool
    """Whether a job would start."""
    n_trained: int
    n_dropped: int
    n_truncated: int


class Overlength(_Part):
    limit: int
    """The base's context, in tokens."""
    count: int
    lines: list[int]
    """The first 50 lines."""
    outcomes: list[OverlengthOutcome]


class LabelCount(_Part):
    label: str | None
    """The label. Null for a text that looks like a secret or personal data."""
    count: int


class LabelBalance(_Part):
    """How often each label occurs, or each answer if nearly all answers are short and repeated."""

    kind: Literal["labels", "answers"]
    n_distinct: int
    counts: list[LabelCount]
    """The 100 most frequent labels, in order of frequency."""


class SampledCheck(_Part):
    """A check that covered only a part of the file, to limit its memory use."""

    codes: list[str]
    n_checked: int
    n_rows: int


class DataReport(FrozenModel):
    """Depends on the content of the files, the rules' version and the base's tokenizer only."""

    rules_version: int
    format: DatasetFormat | None
    """None if no line is a valid row."""
    n_lines: int
    """Lines up to the last one that is not blank."""
    n_examples: int
    """Lines that are valid rows."""
    errors: list[Finding] = []
    """Broken rules that keep the file from being trained on, the most frequent first."""
    warnings: list[Finding] = []
    """What may make the model worse."""
    lengths: Lengths | None = None
    """None if there is no valid row."""
    overlength: Overlength | None = None
    """None without a base model."""
    labels: LabelBalance | None = None
    sampled: list[SampledCheck] = []

    @property
    def findings(self) -> list[Finding]:
        return [*self.errors, *self.warnings]


class StoredFile(FrozenModel):
    key: str
    sha256: str


class DataReportRequest(FrozenModel):
    """Asks the dataset compiler for the report of a stored file."""

    file: StoredFile
    validation: StoredFile | None = None
    """The file whose prompts must not occur in `file`."""
    base: BaseSpec | None = None
    """Lengths are in this base's tokens; in characters if there is none."""
    encryption_key: str | None = None
    """The project's key, with which storage encrypts what is written for it. None: it has none."""
