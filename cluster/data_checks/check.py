"""Makes the data report of a file: one pass over its lines, in bounded memory."""

from functools import lru_cache, partial
from typing import BinaryIO

from cluster.contracts.data_report import DataReport, FindingPlace
from cluster.contracts.datasets import MIN_TRAINING_EXAMPLES, DatasetFormat
from cluster.contracts.errors import InvalidDataset
from cluster.contracts.jsonl import CheckedLine, checked_lines
from cluster.contracts.rows import CompletionRow, PreferenceRow, row_format
from cluster.data_checks.answers import judge
from cluster.data_checks.characters import find_bad_characters
from cluster.data_checks.columns import column_of
from cluster.data_checks.duplicates import Duplicates
from cluster.data_checks.findings import Findings, by_severity
from cluster.data_checks.labels import Labels
from cluster.data_checks.lengths import LengthCounts
from cluster.data_checks.prompts import SystemPrompts
from cluster.data_checks.rules import RULES_VERSION
from cluster.data_checks.scripts import Scripts
from cluster.data_checks.secret_patterns import find_secrets, has_secret
from cluster.data_checks.texts import RowTexts, texts_of

_LONGEST_PARAM = 120


def check_data(stream: BinaryIO, *, validation: BinaryIO | None = None) -> DataReport:
    """Checks every line of a training file, and its overlap with the validation file. Lengths are in
    characters. Never raises because of the files' content, and quotes nothing of it but labels."""
    found = _Report()
    if validation is not None:
        for line in checked_lines(validation):
            if line.row is not None:
                found.duplicates.see_validation(line, texts_of(line.row))
    for line in checked_lines(stream):
        found.see(line)
    return found.report()


class _Report:
    def __init__(self) -> None:
        self.duplicates = Duplicates()
        self._findings = Findings()
        self._labels, self._scripts, self._prompts = Labels(), Scripts(), SystemPrompts()
        self._lengths = LengthCounts()
        # Rows share their instructions.
        self._remembered = lru_cache(maxsize=8)(_found)
        self._format: DatasetFormat | None = None
        self._num_lines = self._num_examples = 0

    def see(self, line: CheckedLine) -> None:
        self._num_lines = line.number
        for error in line.errors:
            self._findings.add(error.code or InvalidDataset.default_code, partial(_place_of, error, line))
        if line.row is None:
            return
        self._num_examples += 1
        self._format = self._format or row_format(line.row)
        texts = texts_of(line.row)
        if isinstance(line.row, PreferenceRow) and line.row.preferred_output == line.row.non_preferred_output:
            self._findings.add_at("identical_answers", line, "non_preferred_output")
        self._see_texts(line, texts, has_own_markers=isinstance(line.row, CompletionRow))
        self._labels.see(line, texts)
        self._scripts.see(line, texts)
        self._prompts.see(line, texts, self._findings)
        self.duplicates.see(line, texts, self._findings)

    def report(self) -> DataReport:
        findings = self._findings
        if not self._num_lines:
            findings.add("invalid_n_examples", FindingPlace(line=0))
        elif self._num_examples < MIN_TRAINING_EXAMPLES:
            findings.add("few_examples", FindingPlace(line=0, hint=f"{self._num_examples} valid row(s)"))
        self._scripts.finish(findings)
        self._prompts.finish(findings)
        labels = self._labels.finish(findings)
        sampled = self.duplicates.finish(findings)
        return DataReport(
            rules_version=RULES_VERSION,
            format=self._format,
            n_lines=self._num_lines,
            n_examples=self._num_examples,
            **by_severity(findings.findings()),
            lengths=self._lengths.lengths("characters"),
            labels=labels,
            sampled=sampled,
        )

    def _see_texts(self, line: CheckedLine, texts: RowTexts, *, has_own_markers: bool) -> None:
        """`has_own_markers`: the author of the row writes the markers that a template writes elsewhere."""
        length = 0
        for text in texts.all:
            length += len(text.text)
            found = self._remembered(text.text) if text.is_instruction else _found(text.text)
            for code, offset in found.items():
                if code == "template_marker" and has_own_markers:
                    continue
                self._findings.add_at(code, line, text.param, offset)
        self._lengths.add(length)
        for answer in texts.answers:
            for code in judge(answer):
                self._findings.add_at(code, line, answer.text.param)


def _found(text: str) -> dict[str, int]:
    return find_bad_characters(text) | find_secrets(text)


def _place_of(error: InvalidDataset, line: CheckedLine) -> FindingPlace:
    param = error.param
    column = error.column or 1 if param is None else column_of(line.content.decode(), param)
    # A key in the file may be anything.
    if param is not None and (len(param) > _LONGEST_PARAM or has_secret(param)):
        param = None
    return FindingPlace(line=line.number, column=column, param=param, hint=error.demand)
