"""A preview: what training makes of single rows of a file, token by token."""

from typing import Literal

from cluster.contracts.bases import BaseSpec
from cluster.contracts.datasets import DatasetFormat, Problem
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.hyperparameters import Method, OnOverlength

Outcome = Literal["whole", "truncated", "dropped"]
"""What the over-length policy makes of an example, or of a row: `truncated` if only a part of it is used."""

MAX_PREVIEW_ROWS = 100
MAX_PREVIEW_TOKENS = 50_000
"""Rows after this many tokens are left out, but the first row is shown whatever its length."""


class PreviewRequest(FrozenModel):
    """Asks what training a base makes of some rows of a stored file."""

    base: BaseSpec
    key: str
    on_overlength: OnOverlength = "error"
    max_length: int | None = None
    """Tokens of the longest sequence. None is the base's context."""
    method: Method = "supervised"
    n_rows: int = 5
    """How many rows to show, from the first one."""
    lines: list[int] | None = None
    """If given, these lines are shown instead, counted from 1."""


class PreviewToken(FrozenModel):
    id: int
    token: str
    """Text of the token. Bytes that are not whole characters are escaped, as in log-probabilities."""
    bytes: list[int]
    learned: bool
    """Whether the token is part of the loss."""
    label: str | None = None
    """The class that a classifier learns at this token."""


class PreviewSequence(FrozenModel):
    role: Literal["example", "preferred", "non_preferred"]
    """A preference has two sequences. A chat has one for each learned answer if the base's chat template
    renders answers differently once others follow; anything else has one."""
    tokens: list[PreviewToken]


class PreviewRow(FrozenModel):
    line: int
    outcome: Outcome | Literal["error"]
    """Whether training uses the whole row, a part of it, or nothing, or refuses the file because of it."""
    problem: Problem | None
    """Why training refuses the file."""
    full_length: int | None
    """Tokens of the longest sequence before it is cut. None if the row cannot be rendered."""
    truncated_at: int | None
    """The number of tokens after which sequences of this row are cut. None if none of them is longer."""
    sequences: list[PreviewSequence]


class Preview(FrozenModel):
    format: DatasetFormat
    max_length: int
    """The largest number of tokens in a sequence."""
    rows: list[PreviewRow]
    has_more: bool
    """Whether rows that were asked for are left out, because they would make the answer too large."""
