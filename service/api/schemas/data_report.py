"""The data report of a file: the public object."""

from typing import Literal

from cluster.contracts.data_report import Finding, LabelBalance, Lengths, Overlength, SampledCheck
from cluster.contracts.datasets import DatasetFormat
from service.api.schemas.base import Answer


class FileReport(Answer):
    """Problems and statistics of a training file. The report quotes only labels and short answers from the
    file, and none that look like a secret or personal data."""

    object: Literal["file.report"] = "file.report"
    file_id: str
    validation_file: str | None
    model: str | None
    status: Literal["in_progress", "completed"]
    """While the report is being created, the lists are empty and all values are null."""
    rules_version: int | None = None
    format: DatasetFormat | None = None
    """Null if no line is a valid row."""
    n_lines: int | None = None
    """Lines up to the last one that is not blank."""
    n_examples: int | None = None
    """Lines that are valid rows."""
    errors: list[Finding] = []
    """Problems that prevent training on the file."""
    warnings: list[Finding] = []
    """Problems that may make the model worse. They never block a job."""
    lengths: Lengths | None = None
    """Lengths in tokens of `model`, or in characters if no model is given or the model cannot be trained on
    such rows."""
    overlength: Overlength | None = None
    """Null without `model`."""
    labels: LabelBalance | None = None
    """Null if the file has neither labels nor short repeated answers."""
    sampled: list[SampledCheck] = []
    """Checks that covered only a part of a large file."""
