"""Finds system prompts that are repeated within themselves, or that differ from the one that nearly all rows
have."""

from cluster.contracts.jsonl import CheckedLine
from cluster.data_checks.findings import Findings, place_in
from cluster.data_checks.majority import Majority
from cluster.data_checks.texts import RowTexts

_LEAST_DOUBLED = 20
"""Number of characters from which on a text that says the same twice is assumed to do so by mistake."""


class SystemPrompts:
    def __init__(self) -> None:
        self._majority = Majority(share=0.9, least=10)

    def see(self, line: CheckedLine, texts: RowTexts, findings: Findings) -> None:
        if texts.instructions is None:
            return
        seen: set[str] = set()
        for text in texts.instructions:
            content = text.text.strip()
            if content and (content in seen or _is_doubled(content)):
                findings.add_at("doubled_system_prompt", line, text.param)
            seen.add(content)
        param = texts.instructions[0].param if texts.instructions else None
        kind = hash(tuple(text.text for text in texts.instructions))
        self._majority.add(kind, lambda: place_in(line, param))

    def finish(self, findings: Findings) -> None:
        places = [place for _, place in self._majority.unusual()]
        findings.add_all("inconsistent_system_prompt", places, self._majority.num_unusual)


def _is_doubled(content: str) -> bool:
    """Whether the text is one text twice, with anything blank in between."""
    half = len(content) // 2
    is_long = len(content) > _LEAST_DOUBLED
    return is_long and content[:half].strip() == content[len(content) - half :].strip()
