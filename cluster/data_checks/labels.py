"""The balance of labels, or of answers if nearly all of them are short and repeated."""

from cluster.contracts.data_report import FindingPlace, LabelBalance, LabelCount
from cluster.contracts.datasets import MAX_CLASSES
from cluster.contracts.jsonl import CheckedLine
from cluster.data_checks.findings import Findings
from cluster.data_checks.secret_patterns import has_secret
from cluster.data_checks.texts import RowTexts

_SHORT_CHARACTERS = 40
_MOST_ANSWERS = 200
"""Number of distinct answers above which they are not classes."""
_MOST_LABELS = 2 * MAX_CLASSES
_SHOWN = 100
_IMBALANCE = 10
_RARE = 5
_FEW = 20
"""Minimum number of rows for a statement about the balance."""
_OUTSIDE = "O"
"""Label of words without a label in token classification. It may be as frequent as it is."""


class Labels:
    def __init__(self) -> None:
        self._labels = _Counts(_MOST_LABELS)
        self._answers = _Counts(_MOST_ANSWERS)
        self._num_answers = 0
        self._is_of_words = False

    def see(self, line: CheckedLine, texts: RowTexts) -> None:
        self._is_of_words = self._is_of_words or len(texts.labels) > 1
        for label in texts.labels:
            self._labels.add(label.text, line, label.param)
        for answer in texts.answers:
            self._num_answers += 1
            if len(answer.text.text) <= _SHORT_CHARACTERS:
                self._answers.add(answer.text.text.strip(), line, answer.text.param)

    def finish(self, findings: Findings) -> LabelBalance | None:
        if self._labels.total:
            self._warn(self._labels, findings, names_rare=True)
            return self._labels.balance("labels")
        if self._answers.are_classes(self._num_answers):
            self._warn(self._answers, findings, names_rare=False)
            return self._answers.balance("answers")
        return None

    def _warn(self, counts: "_Counts", findings: Findings, *, names_rare: bool) -> None:
        if counts.total < _FEW:
            return
        sizes = [
            count for label, count in counts.counts.items() if not (self._is_of_words and label == _OUTSIDE)
        ]
        if len(sizes) > 1 and max(sizes) > _IMBALANCE * min(sizes):
            hint = f"{max(sizes)} of the most frequent, {min(sizes)} of the rarest"
            findings.add("label_imbalance", FindingPlace(line=0, hint=hint))
        for label, place in counts.first.items() if names_rare else ():
            if counts.counts[label] < _RARE:
                findings.add("rare_label", place.model_copy(update={"hint": f"{counts.counts[label]} of it"}))


class _Counts:
    def __init__(self, most: int) -> None:
        self.counts: dict[str, int] = {}
        self.first: dict[str, FindingPlace] = {}
        self.total = 0
        self._most = most
        self._is_full = False

    def add(self, label: str, line: CheckedLine, param: str) -> None:
        self.total += 1
        if label in self.counts:
            self.counts[label] += 1
        elif len(self.counts) < self._most:
            self.counts[label] = 1
            # Without the column, which would take long to find for the labels of thousands of words.
            self.first[label] = FindingPlace(line=line.number, param=param)
        else:
            self._is_full = True

    def are_classes(self, num_answers: int) -> bool:
        is_repeated = len(self.counts) * 5 <= self.total and len(self.counts) > 1
        return not self._is_full and is_repeated and self.total >= 0.9 * num_answers

    def balance(self, kind: str) -> LabelBalance:
        most = sorted(self.counts.items(), key=lambda one: (-one[1], one[0]))[:_SHOWN]
        counts = [
            LabelCount(label=None if has_secret(label) else label, count=count) for label, count in most
        ]
        return LabelBalance(kind=kind, n_distinct=len(self.counts), counts=counts)
