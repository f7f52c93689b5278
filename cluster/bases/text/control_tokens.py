"""Keeps text supplied by users from becoming control tokens.

A tokenizer finds its control tokens in any text, so a message that contains `<|im_end|>` would end its own
turn. Before a conversation is rendered, every control token in its strings is wrapped in two marks. After
rendering, the text between marks is encoded as ordinary text, and everything else as the template wrote it.
transformers 5.23 does the same with `apply_chat_template(…, sanitize_control_tokens=True)`."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from cluster.contracts.errors import InvalidRequest

Message = dict[str, Any]
Tool = dict[str, Any]

_MARKS = [chr(code) for code in range(0x10600, 0x10680)]
"""Letters of Linear A: printable, so that no template filter escapes them, and rare."""
_ROLE = "role"
"""The only key of a message whose value is not the user's: one of a few words from which templates make
control tokens. In arguments of calls and in tools, the value of this key is the user's."""


class Piece(NamedTuple):
    start: int
    """Position of the text in the rendering."""
    text: str
    is_supplied: bool
    """Whether a user wrote this control token, so that it must be encoded as ordinary text."""


class Rendering(NamedTuple):
    """A rendered conversation."""

    text: str
    """Text of the rendering, including the marks, if there are any."""
    marks: tuple[str, str] | None = None
    """The marks before and after control tokens that users wrote; None if there are none."""

    @property
    def plain(self) -> str:
        """The text without the marks."""
        return self.text if self.marks is None else re.sub("|".join(self.marks), "", self.text)

    def pieces(self) -> Iterator[Piece]:
        """Yields the text in order, without the marks. A mark whose partner was removed by the template still
        separates the text around it, so that the two sides cannot join into a control token."""
        if self.marks is None:
            yield Piece(0, self.text, is_supplied=False)
            return
        first, last = self.marks
        end = 0
        for match in re.finditer(f"{first}([^{first}{last}]*){last}|[{first}{last}]", self.text):
            if match.start() > end:
                yield Piece(end, self.text[end : match.start()], is_supplied=False)
            if match[1]:
                yield Piece(match.start(1), match[1], is_supplied=True)
            end = match.end()
        if end < len(self.text):
            yield Piece(end, self.text[end:], is_supplied=False)


class ControlTokens:
    """The control tokens of one base, by their text."""

    def __init__(self, ids: dict[str, int]) -> None:
        self.ids = ids
        longest_first = sorted(ids, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")

    def find(self, text: str) -> list[re.Match[str]]:
        return list(self._pattern.finditer(text))

    def are_in(self, messages: Sequence[Message], tools: Sequence[Tool] | None) -> bool:
        """Whether any string of a conversation, keys included, contains a control token."""
        return self.first_in(messages, tools) is not None

    def first_in(self, messages: Sequence[Message], tools: Sequence[Tool] | None) -> str | None:
        """Returns the first control token in the strings of a conversation; None if there is none."""
        found = (self._pattern.search(string) for string in _strings(messages, tools))
        return next((match[0] for match in found if match), None)

    def mark(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] | None,
        marks: tuple[str, str] | None = None,
    ) -> tuple[tuple[list[Message], list[Tool] | None], tuple[str, str]]:
        """Returns a copy of a conversation with marks around every control token, and the marks: those that
        are given, or two characters that the conversation does not contain."""
        if marks is None:
            first, second = free_marks(messages, tools, 2)
            marks = first, second
        by = f"{marks[0]}\\g<0>{marks[1]}"
        marked = [
            {key: item if key == _ROLE else self._marked(item, by) for key, item in message.items()}
            for message in messages
        ]
        return (marked, None if tools is None else [self._marked(tool, by) for tool in tools]), marks

    def _marked(self, value: Any, by: str) -> Any:
        match value:
            case str():
                return self._pattern.sub(by, value)
            case list():
                return [self._marked(item, by) for item in value]
            case dict():
                return {self._pattern.sub(by, key): self._marked(item, by) for key, item in value.items()}
            case _:
                return value


def free_marks(messages: Sequence[Message], tools: Sequence[Tool] | None, count: int) -> list[str]:
    """Returns characters that a conversation does not contain. Raises InvalidRequest if there are none."""
    used = set().union(*map(set, _strings(messages, tools)))
    free = [mark for mark in _MARKS if mark not in used][:count]
    if len(free) < count:
        raise InvalidRequest(
            "The messages contain every letter of Linear A, which leaves none to mark places with. Remove "
            "some of them.",
            param="messages",
        )
    return free


def control_tokens(tokenizer: Any, template: str, rendered: str) -> ControlTokens:
    """Returns the tokenizer's special tokens, and the added tokens that the chat template writes, according
    to its source or to `rendered`, a rendered conversation. White space never counts."""
    written = f"{template}\0{rendered}"
    return ControlTokens(
        {
            token.content: id_
            for id_, token in tokenizer.added_tokens_decoder.items()
            if not token.content.isspace() and (token.special or token.content in written)
        }
    )


def _strings(messages: Sequence[Message], tools: Sequence[Tool] | None) -> Iterator[str]:
    """Yields all strings of a conversation but the roles of its messages."""
    pending = [*reversed(tools or ())]
    for message in reversed(messages):
        pending += [item for key, item in reversed(message.items()) if key != _ROLE]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            pending += reversed(value)
        elif isinstance(value, dict):
            yield from value
            pending += reversed(value.values())
