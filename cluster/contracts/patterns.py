"""Rewrites regular expressions of schemas for a grammar. Pure.

A grammar supports only regular languages: no look-around and no back-references.
"""

import re

_LOOKS = ("(?=", "(?!", "(?<=", "(?<!")
_LOOK_AHEADS = ("(?=", "(?!")
_ONLY_OF_CLASS = re.compile(r"\^?\[(?P<members>[^\]^\\](?:\\.|[^\]\\])*|\\.(?:\\.|[^\]\\])*)\]\*\$")
"""`[class]*` and nothing else, as the content of a negative look-ahead."""
_BACK_REFERENCE = re.compile(r"\\[1-9]|\\k<")


def regular_patterns(pattern: str) -> tuple[list[str], bool]:
    """Returns distinct patterns without look-around that a text must all match, and whether they are
    equivalent to `pattern`.

    At the start of the text, `(?=X)` becomes a separate pattern, and so does a look-ahead that forbids texts
    that consist only of certain characters, as in pydantic's decimals. Other look-arounds are left out, which
    allows more."""
    if not any(look in pattern for look in _LOOKS) and not _BACK_REFERENCE.search(pattern):
        return [pattern], True
    looks, rest = _leading_look_aheads(pattern)
    beside, is_exact = [], True
    for look in looks:
        inside = look[3:-1]
        if look.startswith("(?="):
            beside.append(f"^(?:{inside})")
        elif only := _ONLY_OF_CLASS.fullmatch(inside):
            beside.append(f"[^{only['members']}]")
        else:
            is_exact = False
    parts = [_without_looks(part) for part in (rest, *beside)]
    if any(_BACK_REFERENCE.search(part) for part, _ in parts):
        return [], False
    distinct = list(dict.fromkeys(part for part, _ in parts))
    return distinct, is_exact and all(is_same for _, is_same in parts)


def _leading_look_aheads(pattern: str) -> tuple[list[str], str]:
    """The look-aheads right after the `^` that `pattern` begins with, and the pattern without them."""
    looks: list[str] = []
    place = 1
    while pattern.startswith("^") and pattern.startswith(_LOOK_AHEADS, place):
        end = _end_of_group(pattern, place)
        looks.append(pattern[place:end])
        place = end
    return looks, f"^{pattern[place:]}" if looks else pattern


def _without_looks(pattern: str) -> tuple[str, bool]:
    kept: list[str] = []
    place, is_in_class, is_same = 0, False, True
    while place < len(pattern):
        if pattern.startswith(_LOOKS, place) and not is_in_class:
            kept.append("(?:)")
            place, is_same = _end_of_group(pattern, place), False
            continue
        length = 2 if pattern[place] == "\\" else 1
        is_in_class = _is_in_class(pattern, place, is_in_class)
        kept.append(pattern[place : place + length])
        place += length
    return "".join(kept), is_same


def _end_of_group(pattern: str, start: int) -> int:
    """Index after the `)` of the group that begins at `start`; the end of the pattern if there is none."""
    depth, place, is_in_class = 0, start, False
    while place < len(pattern):
        if pattern[place] == "\\":
            place += 2
            continue
        if not is_in_class:
            depth += (pattern[place] == "(") - (pattern[place] == ")")
            if depth == 0:
                return place + 1
        is_in_class = _is_in_class(pattern, place, is_in_class)
        place += 1
    return len(pattern)


def _is_in_class(pattern: str, place: int, is_in_class: bool) -> bool:
    """Whether a character class is open after the character at `place`."""
    return pattern[place] != "]" if is_in_class else pattern[place] == "["
