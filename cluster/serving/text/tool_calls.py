"""Finds tool calls in a growing text."""

from dataclasses import dataclass

import regex

from cluster.serving.text.tool_form import ID, ToolForm


@dataclass(frozen=True)
class ExpectedCalls:
    """The calls to find."""

    form: ToolForm
    names: tuple[str, ...]
    """Names of the tools that may be called. Calls of other names are text."""
    is_parallel: bool
    """Whether several calls may come. Otherwise the answer ends after the first one."""
    is_required: bool = False
    """Whether the answer is only calls, so that everything around them belongs to the form."""


@dataclass(frozen=True, slots=True)
class Content:
    text: str


@dataclass(frozen=True, slots=True)
class CallBegun:
    call: int
    """Index of the call, counted from 0."""
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    call: int
    text: str


Part = Content | CallBegun | CallArguments


class CallReader:
    """Separates text from calls, and holds back no more than may become the beginning of a call.

    Text that begins like a call but continues otherwise, or calls an unexpected tool, is ordinary text.
    """

    def __init__(self, expected: ExpectedCalls) -> None:
        form = expected.form
        name = "|".join(map(regex.escape, expected.names))
        call = f"(?P<name>{name}){_pattern(form.middle)}\\s*(?=\\{{)"
        self._first = regex.compile(f"(?:{_pattern(form.joint or '')})?{_pattern(form.opening)}{call}")
        self._next = None if form.between is None else regex.compile(_pattern(form.between) + call)
        self._closing = regex.compile(_pattern(form.closing))
        self._joint = form.joint
        self._is_parallel = expected.is_parallel
        self._is_required = expected.is_required
        self._held = ""
        self._arguments: _ObjectEnd | None = None
        """Set while a call's arguments are being read."""
        self._is_after_call = False
        self._has_text = False
        """Whether there was text since the last call."""
        self.num_calls = 0

    @property
    def is_done(self) -> bool:
        """Whether the only allowed call is complete."""
        return bool(self.num_calls) and not self._is_parallel and self._arguments is None

    def push(self, text: str, *, is_last: bool = False, is_cut: bool = False) -> list[Part]:
        """Adds `text` and returns the parts that are certain now. `is_last`: nothing follows. `is_cut`: the
        answer was cut off after it, so an incomplete beginning of a call counts as a call and is dropped."""
        self._held += text
        parts: list[Part] = []
        while self._held and not self.is_done:
            if self._arguments is not None:
                goes_on = self._read_arguments(self._arguments, parts)
            elif self._is_after_call:
                goes_on = self._read_after_call(parts, is_last)
            else:
                goes_on = self._read_text(parts, is_last and not is_cut)
            if not goes_on:
                break
        if is_cut and self._held.isspace() and (self._joint or "").startswith(self._held):
            self._say(parts, len(self._held))
        return parts

    def _read_arguments(self, end: "_ObjectEnd", parts: list[Part]) -> bool:
        length = end.find(self._held)
        self._is_after_call = length is not None
        parts.append(CallArguments(self.num_calls - 1, self._held[:length]))
        self._held = "" if length is None else self._held[length:]
        self._arguments = None if self._is_after_call else end
        return self._is_after_call

    def _read_after_call(self, parts: list[Part], is_last: bool) -> bool:
        following = self._next and self._next.match(self._held, partial=True)
        if following and not following.partial:
            return self._begin(following, parts)
        closing = self._closing.match(self._held, partial=True)
        if following or (closing and closing.partial):
            # An incomplete continuation at the end is dropped.
            self._held = "" if is_last else self._held
            return False
        # Anything but the closing is text.
        self._held = self._held[closing.end() :] if closing else self._held
        self._is_after_call = False
        return True

    def _read_text(self, parts: list[Part], is_last: bool) -> bool:
        if self.num_calls and not self._has_text:
            # White space after a call belongs to the template.
            self._held = self._held.lstrip()
        if self._joint is not None or self._is_required:
            found = self._first.search(self._held, partial=not is_last)
        else:
            found = None if self._has_text else self._first.match(self._held, partial=not is_last)
        self._say(parts, found.start() if found else len(self._held))
        return bool(found) and not found.partial and self._begin(found, parts)

    def _say(self, parts: list[Part], length: int) -> None:
        if length and not self._is_required:
            self._has_text = True
            parts.append(Content(self._held[:length]))
        self._held = self._held[length:]

    def _begin(self, found: "regex.Match[str]", parts: list[Part]) -> bool:
        parts.append(CallBegun(self.num_calls, found["name"]))
        self._held = self._held[found.end() - found.start() :]
        self._arguments = _ObjectEnd()
        self._is_after_call = self._has_text = False
        self.num_calls += 1
        return True


class _ObjectEnd:
    """Finds the end of a JSON object that arrives in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._is_in_string = False
        self._is_escaped = False

    def find(self, piece: str) -> int | None:
        """The number of characters of `piece` that belong to the object; None if it continues after
        `piece`."""
        for place, character in enumerate(piece):
            if self._is_escaped:
                self._is_escaped = False
            elif self._is_in_string:
                self._is_escaped = character == "\\"
                self._is_in_string = character != '"'
            elif character == '"':
                self._is_in_string = True
            elif character in "{[":
                self._depth += 1
            elif character in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return place + 1
        return None


def _pattern(literal: str) -> str:
    """Returns a regular expression for a part of a form."""
    return "[A-Za-z0-9_-]+".join(map(regex.escape, literal.split(ID)))
