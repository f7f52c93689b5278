"""A preview of what training sees: the request and the public objects."""

from typing import Annotated, Literal

from pydantic import Field

from cluster.contracts.datasets import DatasetFormat
from cluster.contracts.previews import MAX_PREVIEW_ROWS
from service.api.schemas.base import Answer
from service.api.schemas.jobs import CreateJobBody


class PreviewJobBody(CreateJobBody):
    """The body of a create request, and the rows to show."""

    n: int = Field(default=5, ge=1, le=MAX_PREVIEW_ROWS)
    """Number of rows to show, from the start of the file."""
    lines: (
        Annotated[
            list[Annotated[int, Field(ge=1, le=2**31)]], Field(min_length=1, max_length=MAX_PREVIEW_ROWS)
        ]
        | None
    ) = None
    """Line numbers of the rows to show instead, counted from 1."""


class PreviewedToken(Answer):
    id: int
    token: str
    """Text of the token. Bytes that are not whole characters are escaped, as in `logprobs`:
    `bytes:\\xe4\\xbd`."""
    bytes: list[int]
    """UTF-8 bytes of the token. A character may be spread over several tokens."""
    learned: bool
    """Whether the token is part of the loss."""
    label: str | None
    """The class that an encoder learns at this token. Null everywhere else."""


class PreviewedSequence(Answer):
    role: Literal["example", "preferred", "non_preferred"]
    """The two answers of a preference are two sequences. A chat has one sequence per learned answer if the
    base's chat template renders answers differently once others follow; any other row is a single
    sequence."""
    tokens: list[PreviewedToken]


class PreviewProblem(Answer):
    code: str
    message: str
    param: str | None
    """The field in the line, e.g. `messages[2].role`."""


class PreviewedRow(Answer):
    line: int
    """Line number, counted from 1."""
    outcome: Literal["whole", "truncated", "dropped", "error"]
    """Whether training uses the whole row, only a part of it, or nothing (the last two depending on
    `training.on_overlength`), or refuses the file because of it."""
    problem: PreviewProblem | None
    """Why training refuses the file. Null unless `outcome` is `error`."""
    full_length: int | None
    """Tokens of the row's longest sequence before truncation. Null if the row cannot be rendered."""
    truncated_at: int | None
    """Number of tokens after which a sequence is truncated; the rest is not shown. Null if the row fits."""
    sequences: list[PreviewedSequence]


class FineTuningJobPreview(Answer):
    object: Literal["fine_tuning.job.preview"] = "fine_tuning.job.preview"
    format: DatasetFormat
    max_length: int
    """Maximum number of tokens in a sequence: the base's context length."""
    data: list[PreviewedRow]
    """The rows, in the order of the file."""
    has_more: bool
    """Whether requested rows are left out because the response would become too large. Request them with
    `lines`."""
