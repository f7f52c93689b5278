"""Converts tokens to text that is safe to send: whole characters, and nothing that may become a stop
string."""

import codecs
from collections import deque
from dataclasses import dataclass

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
        self._stop = [string for string in stop if string]
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self._num_exempt = 0
        """Characters at the start of the held text in which no stop string counts that ends there."""
        self._sent = 0
        """Characters sent so far."""
        self._waiting: deque[tuple[int, TokenLogprob]] = deque()
        """Tokens not yet sent, each with the number of characters before it."""

    def push(self, raw: bytes, token: TokenLogprob | None = None, *, may_stop: bool = True) -> Piece:
        """Adds the bytes of one token. `token` is its log-probability, if requested. Without `may_stop`, a
        stop string that this token completes is ordinary text."""
        if token is not None:
            self._waiting.append((self._sent + len(self._held), token))
        self._held += self._decoder.decode(raw)
        if not may_stop:
            self._num_exempt = len(self._held)
        return self._release(is_last=False)

    def finish(self) -> Piece:
        """Returns the rest of the text. A partial character becomes U+FFFD."""
        self._held += self._decoder.decode(b"", final=True)
        return self._release(is_last=True)

    def _release(self, *, is_last: bool) -> Piece:
        cut = _first_stop(self._held, self._stop, self._num_exempt)
        is_stopped = cut is not None
        if cut is None:
            cut = len(self._held) - (0 if is_last else _stop_prefix(self._held, self._stop))
        text, self._held = self._held[:cut], self._held[cut:]
        self._num_exempt = max(0, self._num_exempt - cut)
        self._sent += len(text)
        is_all_sent = not is_stopped and not self._held and (is_last or not self._decoder.getstate()[0])
        tokens = []
        while self._waiting and (self._waiting[0][0] < self._sent or is_all_sent):
            tokens.append(self._waiting.popleft()[1])
        return Piece(text, tokens, is_stopped)


def _first_stop(text: str, stop: list[str], num_exempt: int) -> int | None:
    """Start of the stop string that is completed first, as if the text had come character by character, among
    those that end after `num_exempt` characters."""
    starts = {string: text.find(string, max(0, num_exempt - len(string) + 1)) for string in stop}
    found = [(start + len(string), start) for string, start in starts.items() if start >= 0]
    return min(found)[1] if found else None


def _stop_prefix(text: str, stop: list[str]) -> int:
    """Length of the longest suffix of `text` that is a prefix of a stop string."""
    longest = 0
    for string in stop:
        for length in range(min(len(string) - 1, len(text)), longest, -1):
            if text.endswith(string[:length]):
                longest = length
                break
    return longest
