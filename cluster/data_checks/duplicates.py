"""Rows that repeat or contradict others, in the file and in its validation file."""

from hashlib import blake2b

from cluster.contracts.data_report import MAX_PLACES, FindingPlace, SampledCheck
from cluster.contracts.jsonl import CheckedLine
from cluster.data_checks.findings import Findings
from cluster.data_checks.near_duplicates import NearDuplicates
from cluster.data_checks.texts import RowTexts

MOST_ROWS = 250_000
"""Maximum number of rows that are compared; of a larger file, a sample is. This limits memory to about 200
MB."""


class Duplicates:
    def __init__(self, most: int = MOST_ROWS) -> None:
        self._rows = _Sample(most)
        self._questions = _Sample(most)
        self._validation = _Sample(most)
        self._near = NearDuplicates(most)
        self._num_rows = 0
        self._overlapping: set[int] = set()
        """Lines whose prompt is also in the validation file. They are not reported as near overlaps too."""

    def see_validation(self, line: CheckedLine, texts: RowTexts) -> None:
        if texts.question:
            self._validation.first(_digest(texts.question), line.number)
        self._near.add_validation(line.number, texts.content)

    def see(self, line: CheckedLine, texts: RowTexts, findings: Findings) -> None:
        self._num_rows += 1
        question, answer = _digest(texts.question), _digest(texts.answer)
        whole = question * _MIX + answer
        if texts.reasoning:
            whole = whole * _MIX + _digest(texts.reasoning)
        first = self._rows.first(whole & _DIGEST, line.number)
        is_repeated = first not in (None, line.number)
        if is_repeated:
            findings.add_at("exact_duplicate", line, related_line=first)
        if texts.question:
            self._check_question(line, question, answer, findings)
        if not is_repeated:
            self._near.add(line.number, texts.content)

    def finish(self, findings: Findings) -> list[SampledCheck]:
        repeated, leaked = self._near.find()
        nearly = {line: other for line, other in leaked.items() if line not in self._overlapping}
        for code, found in (("near_duplicate", repeated), ("near_validation_overlap", nearly)):
            first = sorted(found.items())[:MAX_PLACES]
            places = [FindingPlace(line=line, related_line=other) for line, other in first]
            findings.add_all(code, places, len(found))
        return [*self._sampled_exact(), *self._sampled_near()]

    def _check_question(self, line: CheckedLine, question: int, answer: int, findings: Findings) -> None:
        other = self._validation.get(question)
        if other is not None:
            self._overlapping.add(line.number)
            findings.add_at("validation_overlap", line, related_line=other)
        packed = self._questions.first(question, line.number << 64 | answer)
        if packed is not None and packed & _DIGEST != answer:
            findings.add_at("conflicting_answers", line, related_line=packed >> 64)

    def _sampled_exact(self) -> list[SampledCheck]:
        rate = max(sample.rate for sample in (self._rows, self._questions, self._validation))
        if rate == 1:
            return []
        codes = ["exact_duplicate", "conflicting_answers", "validation_overlap"]
        return [SampledCheck(codes=codes, n_checked=self._num_rows // rate, n_rows=self._num_rows)]

    def _sampled_near(self) -> list[SampledCheck]:
        if not self._near.num_skipped:
            return []
        codes = ["near_duplicate", "near_validation_overlap"]
        return [SampledCheck(codes=codes, n_checked=self._near.num_checked, n_rows=self._num_rows)]


_DIGEST = (1 << 64) - 1
_MIX = 0x9E3779B97F4A7C15


def _digest(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


class _Sample:
    """Remembers a value for each digest. When there are too many, it forgets half of the digests, selected by
    their value: so either all rows with the same digest are compared, or none."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[int, int] = {}
        self.rate = 1
        """One digest in this many is remembered."""

    def get(self, digest: int) -> int | None:
        return self._values.get(digest)

    def first(self, digest: int, value: int) -> int | None:
        """Returns the value with which this digest first came; None if it is not in the sample."""
        if digest % self.rate:
            return None
        if len(self._values) >= self._most and digest not in self._values:
            self.rate *= 2
            self._values = {known: old for known, old in self._values.items() if known % self.rate == 0}
            return self.first(digest, value)
        return self._values.setdefault(digest, value)
