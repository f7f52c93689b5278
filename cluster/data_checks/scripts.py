"""Finds answers in a script other than that of nearly all others."""

import unicodedata
from functools import lru_cache

from cluster.contracts.jsonl import CheckedLine
from cluster.data_checks.findings import Findings, place_in
from cluster.data_checks.majority import Majority
from cluster.data_checks.texts import RowTexts

_LOOKED_AT = 400
"""Number of letters of an answer that determine its script."""
_EAST_ASIAN = {"HIRAGANA": "JAPANESE", "KATAKANA": "JAPANESE", "CJK": "HAN", "BOPOMOFO": "HAN"}


class Scripts:
    def __init__(self) -> None:
        self._majority = Majority(share=0.95, least=20)

    def see(self, line: CheckedLine, texts: RowTexts) -> None:
        for answer in texts.answers:
            if (script := main_script(answer.text.text)) is not None:
                param = answer.text.param
                self._majority.add(script, lambda param=param: place_in(line, param))  # type: ignore[misc]

    def finish(self, findings: Findings) -> None:
        places = [
            place.model_copy(update={"hint": f"{str(script).title()} letters"})
            for script, place in self._majority.unusual()
        ]
        findings.add_all("unusual_script", places, self._majority.num_unusual)


def main_script(text: str) -> str | None:
    """Returns the script of most letters, e.g. LATIN; None without letters."""
    if text.isascii():
        return "LATIN" if any(map(str.isalpha, text[: 10 * _LOOKED_AT])) else None
    counts: dict[str, int] = {}
    for letter in text[: 10 * _LOOKED_AT]:
        if (script := _script_of(letter)) is not None:
            counts[script] = counts.get(script, 0) + 1
            if counts[script] == _LOOKED_AT:
                break
    if "JAPANESE" in counts:
        counts["JAPANESE"] += counts.pop("HAN", 0)
    return max(counts, key=counts.__getitem__, default=None)


@lru_cache(maxsize=65_536)
def _script_of(character: str) -> str | None:
    if not character.isalpha():
        return None
    name = unicodedata.name(character, "").replace("-", " ").split(" ")[0]
    return _EAST_ASIAN.get(name, name or None)
