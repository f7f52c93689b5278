"""Converts tokens to text that is safe to send: whole characters, and nothing that may become a stop
string."""

import codecs
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

from cluster.contracts.generation import TokenLogprob


@dataclass(frozen=True, slots=True)
class Piece:
    """Text to send now, the tokens that begin in it, and whether a stop string was found."""

    text: str
    tokens: list[TokenLogprob]
    is_stopped: bool = False


class TextStream:
    """The growing text of one choice.

    Text is held back while it ends in a partial character or stop string. Tokens are sent with the text in
    which they begin; tokens after the first character of a stop string are never sent."""

    def __init__(self, stop: list[str]) -> None:
        self._stop = [_StopString(string) for string in stop if string]
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self._sent = 0
        """Characters sent so far."""
        self._waiting: deque[tuple[int, TokenLogprob]] = deque()
        """Tokens not yet sent, each with the number of characters before it."""

    def push(self, raw: bytes, *tokens: TokenLogprob, may_stop: bool = True) -> Piece:
        """Adds the bytes of `tokens`, which are given if their log-probabilities are requested. Without
        `may_stop`, a stop string that these bytes complete is ordinary text."""
        self._waiting += ((self._sent + len(self._held), token) for token in tokens)
        return self._release(self._decoder.decode(raw), may_stop=may_stop)

    def finish(self) -> Piece:
        """Returns the rest of the text. A partial character becomes U+FFFD."""
        return self._release(self._decoder.decode(b"", final=True), is_last=True)

    def _release(self, new: str, *, may_stop: bool = True, is_last: bool = False) -> Piece:
        num_held = len(self._held)
        self._held += new
        completed = [found for stop in self._stop if (found := stop.add(new)) is not None]
        is_stopped = may_stop and bool(completed)
        if is_stopped:
            cut = num_held + min(completed)[1]
        else:
            num_begun = max((stop.num_begun for stop in self._stop), default=0)
            cut = len(self._held) - (0 if is_last else num_begun)
        text, self._held = self._held[:cut], self._held[cut:]
        self._sent += len(text)
        is_all_sent = not is_stopped and not self._held and (is_last or not self._decoder.getstate()[0])
        tokens = []
        while self._waiting and (self._waiting[0][0] < self._sent or is_all_sent):
            tokens.append(self._waiting.popleft()[1])
        return Piece(text, tokens, is_stopped)


class _StopString:
    """A stop string that arrives character by character, found with the algorithm of Knuth, Morris and Pratt
    (1977)."""

    def __init__(self, string: str) -> None:
        self._string = string
        self._borders = _borders(string)
        self.num_begun = 0
        """Number of characters at the end of the text that may become the stop string. It is less than the
        stop string's length."""

    def add(self, text: str) -> tuple[int, int] | None:
        """Adds text. Returns where in it the stop string first ends and where it starts, which is negative if
        that is before this text. None if the stop string is not completed."""
        string, borders, begun = self._string, self._borders, self.num_begun
        found = None
        for place, character in enumerate(text, 1):
            while begun and string[begun] != character:
                begun = borders[begun]
            if string[begun] == character:
                begun += 1
            if begun == len(string):
                found = found or (place, place - begun)
                begun = borders[begun]
        self.num_begun = begun
        return found


# The choices of a request share their stop strings.
@lru_cache(maxsize=64)
def _borders(string: str) -> tuple[int, ...]:
    """Returns, for each prefix, the length of its longest proper suffix that is also a prefix."""
    borders = [0, 0]
    border = 0
    for character in string[1:]:
        while border and string[border] != character:
            border = borders[border]
        if string[border] == character:
            border += 1
        borders.append(border)
    return tuple(borders)
