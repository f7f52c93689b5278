"""System prompts that are there twice, or that differ from the one that nearly all rows have."""

from cluster.contracts.data_report import MAX_PLACES, Place
from cluster.contracts.jsonl import CheckedLine
from cluster.data_checks.findings import Findings, place_in
from cluster.data_checks.texts import RowTexts

_NEARLY_ALL = 0.9
_FEW = 10
"""Among fewer rows, no prompt is unusual."""
_MOST_DISTINCT = 2_000
"""If a file has more prompts than this, none of them is the usual one."""


class SystemPrompts:
    """Takes memory for at most _MOST_DISTINCT prompts and MAX_PLACES places of each."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._places: dict[int, list[Place]] = {}
        self._total = 0

    def see(self, line: CheckedLine, texts: RowTexts, findings: Findings) -> None:
        if texts.instructions is None:
            return
        seen: set[str] = set()
        for text in texts.instructions:
            content = text.text.strip()
            if content and (content in seen or _is_doubled(content)):
                findings.add_at("doubled_system_prompt", line, text.param)
            seen.add(content)
        self._total += 1
        self._count(line, texts)

    def finish(self, findings: Findings) -> None:
        usual = max(self._counts, key=self._counts.__getitem__, default=0)
        if self._total < _FEW or self._counts[usual] < _NEARLY_ALL * self._total:
            return
        for prompt, places in self._places.items():
            if prompt != usual:
                for place in places:
                    findings.add("inconsistent_system_prompt", place)
                findings.count("inconsistent_system_prompt", self._counts[prompt] - len(places))

    def _count(self, line: CheckedLine, texts: RowTexts) -> None:
        prompt = hash(tuple(text.text for text in texts.instructions or ()))
        if prompt not in self._counts and len(self._counts) == _MOST_DISTINCT:
            return
        self._counts[prompt] = self._counts.get(prompt, 0) + 1
        places = self._places.setdefault(prompt, [])
        if len(places) < MAX_PLACES:
            param = texts.instructions[0].param if texts.instructions else "messages"
            places.append(place_in(line, param))


def _is_doubled(content: str) -> bool:
    """Whether the text is one text twice, with anything blank in between."""
    half = len(content) // 2
    return len(content) > 20 and content[:half].strip() == content[len(content) - half :].strip()
