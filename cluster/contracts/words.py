"""Divides texts into words, in any script."""

import re
import unicodedata

UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts without spaces between words, for a class of characters in a pattern: each character is a word."""
WORD = f"[{UNSPACED}]|[^\\W_{UNSPACED}]+"
_WORDS = re.compile(WORD)


def words_of(text: str, pattern: re.Pattern[str] = _WORDS) -> list[str]:
    """Returns the words in order, or whatever `pattern` finds. Combining marks belong to the word before
    them: in many scripts they are its vowels, which `\\w` leaves out."""
    if text.isascii():
        return pattern.findall(text)
    shape = text.translate(_SHAPE)
    return [text[found.start() : found.end()] for found in pattern.finditer(shape)]


class _Shape(dict[int, int]):
    """A letter in place of each combining mark of scripts with spaces; every other character as it is."""

    def __missing__(self, code: int) -> int:
        character = chr(code)
        is_mark = unicodedata.category(character).startswith("M") and not _UNSPACED.match(character)
        self[code] = found = ord("a") if is_mark else code
        return found


_UNSPACED = re.compile(f"[{UNSPACED}]")
_SHAPE = _Shape()
