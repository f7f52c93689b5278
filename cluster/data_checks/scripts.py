"""Answers in another script than nearly all others."""

import unicodedata
from functools import lru_cache

from cluster.contracts.data_report import MAX_PLACES, Place
from cluster.contracts.jsonl import CheckedLine
from cluster.data_checks.findings import Findings, place_in
from cluster.data_checks.texts import RowTexts

_LOOKED_AT = 400
"""Letters of an answer that decide on its script."""
_NEARLY_ALL = 0.95
_FEW = 20
"""Among fewer answers, none is unusual."""
_EAST_ASIAN = {
    "HIRAGANA": "JAPANESE",
    "KATAKANA": "JAPANESE",
    "CJK": "HAN",
    "KANGXI": "HAN",
    "BOPOMOFO": "HAN",
}


class Scripts:
    """Takes memory for at most MAX_PLACES places of each script."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._places: dict[str, list[Place]] = {}

    def see(self, line: CheckedLine, texts: RowTexts) -> None:
        for answer in texts.answers:
            script = main_script(answer.text.text)
            if script is None:
                continue
            self._counts[script] = self._counts.get(script, 0) + 1
            places = self._places.setdefault(script, [])
            if len(places) < MAX_PLACES:
                places.append(place_in(line, answer.text.param))

    def finish(self, findings: Findings) -> None:
        total = sum(self._counts.values())
        usual = max(self._counts, key=self._counts.__getitem__, default="")
        if total < _FEW or self._counts[usual] < _NEARLY_ALL * total:
            return
        for script, count in self._counts.items():
            if script != usual:
                for place in self._places[script]:
                    findings.add(
                        "unusual_script", place.model_copy(update={"hint": f"{script.title()} letters"})
                    )
                findings.count("unusual_script", count - len(self._places[script]))


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
