"""Compiles the patterns of one schema for searching, within limits.

The library expands counts and compiles in C, where no time limit applies: `a{1000000000}` fills the memory,
and a million alternatives crash the process. Its syntax is also richer than that of JSON Schema."""

import re

import regex

from cluster.serving.schemas.references import SchemaError, shown

MAX_SIZE = 10_000
"""Maximum number of characters, classes and groups in all patterns of a schema, each counted as often as a
count repeats it, and of members of classes. Compiling this many takes 0.1 s, or 0.5 s if they are groups, and
10 MB."""

_PARTS = re.compile(
    r"""\\. | (?P<class>\[\^?\]?(?:\\.|[^\]\\])*\]) | (?P<open>\()(?P<extension>\?)? | (?P<close>\))
    | \{\s*(?P<count>\d+)\s*(?:,\s*\d*\s*)?\} | (?P<about>\{[\d\s<=]*[deis]\s*[\d\s<=,:+}]) | .""",
    re.DOTALL | re.VERBOSE,
)
"""The group `about` matches forms like `a{e<=1}`, an extension of the library: at most one error."""
_EXTENSION = re.compile(r"\?(?:[:=!]|<[=!]|P?<\w+>|[ims]*(?:-[ims]+)?[:)])")
"""What may follow `(`. Excludes recursion and everything else that the library has but JSON Schema's patterns
do not. Flags are also allowed, because grammars have them."""


class Expressions:
    def __init__(self) -> None:
        self._compiled: dict[tuple[str, int], regex.Pattern[str]] = {}
        self._size = 0

    def compiled(self, pattern: str, flags: int = 0) -> regex.Pattern[str]:
        """Compiles the pattern. Raises SchemaError if it cannot be read, or is too large together with the
        previous ones."""
        key = (pattern, flags)
        if key not in self._compiled:
            self._size += _size(pattern)
            if self._size > MAX_SIZE:
                raise SchemaError(
                    f"its patterns have {self._size} parts up to {shown(pattern)}, each counted as often as "
                    f"it is repeated; {MAX_SIZE} are allowed where answers are checked after generation"
                )
            try:
                # The library's own cache would keep the patterns of hundreds of schemas.
                self._compiled[key] = regex.compile(pattern, flags, cache_pattern=False)
            except (regex.error, RecursionError) as error:
                reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
                raise SchemaError(f"the pattern {shown(pattern)} cannot be read: {reason}") from error
        return self._compiled[key]


def _size(pattern: str) -> int:
    """Returns how many parts a pattern has once its counts are expanded. Raises SchemaError for syntax that
    JSON Schema's patterns do not have."""
    sizes, last = [0], 0
    """Sizes of the open groups, and of the previous part."""
    for part in _PARTS.finditer(pattern):
        if part["extension"] and not _EXTENSION.match(pattern, part.start("extension")):
            raise SchemaError(
                f"the pattern {shown(pattern)} has {shown(pattern[part.start() : part.end() + 2])}, which "
                "patterns of JSON Schema do not have"
            )
        if part["about"]:
            raise SchemaError(f"the pattern {shown(pattern)} has a '{{' that begins no count; write '\\{{'")
        if part["class"]:
            sizes[0] += len(part["class"]) - 1
        if part["count"]:
            added = last * max(int(part["count"]) - 1, 0)
            sizes[-1] += added
            last += added
            continue
        if part["open"]:
            sizes.append(1)
            continue
        last = sizes.pop() if part["close"] and len(sizes) > 1 else 1
        sizes[-1] += last
    return sum(sizes)
