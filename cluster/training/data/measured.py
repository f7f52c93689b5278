"""Measures a training file in a base's tokens: how long its examples are, which are too long, and which the
base refuses."""

from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import (
    MAX_PLACES,
    Finding,
    FindingPlace,
    Lengths,
    Overlength,
    OverlengthOutcome,
)
from cluster.contracts.datasets import DatasetFormat, formats_for
from cluster.contracts.errors import InvalidDataset, InvalidRequest
from cluster.contracts.hyperparameters import OnOverlength
from cluster.contracts.jsonl import checked_lines
from cluster.contracts.rows import Row
from cluster.data_checks.findings import Findings
from cluster.data_checks.lengths import LengthCounts
from cluster.training.data.rendering import Renderer, Sample

_BATCH = 256


class Measured(NamedTuple):
    findings: list[Finding]
    lengths: Lengths | None
    """None if the base cannot be trained on rows of this format."""
    overlength: Overlength | None


def measure(stream: BinaryIO, format: DatasetFormat, tokenizer: Any, base: BaseSpec) -> Measured:
    """Renders every valid row as training would, and measures it. Memory does not grow with the file."""
    allowed = formats_for(base, "dpo" if format == "preference" else "supervised")
    if format not in allowed:
        return _refused("wrong_format", f"{base.alias} is trained on {' or '.join(allowed)} rows")
    measuring = _Measuring(base.context_length)
    renderer = Renderer(tokenizer, max_length=base.context_length)
    try:
        for lines, rows in _batches(stream):
            for line, sample in zip(lines, renderer.render(rows), strict=True):
                measuring.see(line, sample)
    except InvalidRequest as error:
        return _refused(error.code or InvalidRequest.default_code, None)
    return measuring.result()


class _Measuring:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._findings = Findings()
        self._lengths = LengthCounts()
        self._over: list[int] = []
        self._num_refused = 0
        self._num_fitting = self._num_over = self._num_cut = 0
        """Examples, of which a row may have several."""

    def see(self, line: int, sample: Sample | InvalidDataset) -> None:
        if isinstance(sample, InvalidDataset):
            self._refuse(line, sample.code, sample.param)
            return
        if sample.full_length <= self._limit and not sample.has_something_to_learn:
            self._refuse(line, "nothing_to_learn", None)
            return
        for example in sample.examples():
            self._see_example(line, example)

    def _see_example(self, line: int, example: Sample) -> None:
        length = example.full_length
        self._lengths.add(length)
        if length <= self._limit:
            self._num_fitting += 1
            return
        self._num_over += 1
        # Of some, nothing is left to learn once they are cut.
        self._num_cut += example.has_something_to_learn
        if self._over[-1:] != [line] and len(self._over) < MAX_PLACES:
            self._over.append(line)
        hint = f"{length} tokens, {self._limit} fit"
        self._findings.add("over_length", FindingPlace(line=line, hint=hint))

    def result(self) -> Measured:
        findings = self._findings.findings()
        return Measured(findings, self._lengths.lengths("tokens"), self._overlength())

    def _refuse(self, line: int, code: str | None, param: str | None) -> None:
        self._num_refused += 1
        self._findings.add(code or InvalidDataset.default_code, FindingPlace(line=line, param=param))

    def _overlength(self) -> Overlength:
        fitting, over, cut = self._num_fitting, self._num_over, self._num_cut
        return Overlength(
            limit=self._limit,
            count=over,
            lines=self._over,
            outcomes=[
                self._outcome("error", fitting if not over else 0),
                self._outcome("drop", fitting, dropped=over),
                self._outcome("truncate", fitting + cut, dropped=over - cut, truncated=cut),
            ],
        )

    def _outcome(
        self, policy: OnOverlength, trained: int, *, dropped: int = 0, truncated: int = 0
    ) -> OverlengthOutcome:
        is_accepted = trained > 0 and not self._num_refused
        return OverlengthOutcome(
            on_overlength=policy,
            is_accepted=is_accepted,
            n_trained=trained if is_accepted else 0,
            n_dropped=dropped,
            n_truncated=truncated,
        )


def _refused(code: str, hint: str | None) -> Measured:
    findings = Findings()
    findings.add(code, FindingPlace(line=0, hint=hint))
    return Measured(findings.findings(), None, None)


def _batches(stream: BinaryIO) -> Iterator[tuple[list[int], list[Row]]]:
    """Yields line numbers with rows, skipping lines that are not rows."""
    lines: list[int] = []
    rows: list[Row] = []
    for line in checked_lines(stream):
        if line.row is not None:
            lines.append(line.number)
            rows.append(line.row)
        if len(rows) == _BATCH:
            yield lines, rows
            lines, rows = [], []
    if rows:
        yield lines, rows
