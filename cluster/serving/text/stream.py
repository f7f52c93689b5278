"""From tokens to text that is safe to send: whole characters, and nothing that may become a stop string."""

import codecs
from collections import deque
from dataclasses import dataclass

from cluster.contracts.generation import TokenLogprob


@dataclass(frozen=True, slots=True)
class Piece:
    """Text to send now, the tokens it began with, and whether a stop string was met."""

    text: str
    tokens: list[TokenLogprob]
    is_stopped: bool = False


class TextStream:
    """The growing text of one choice.

    Text is held back while it ends in a part of a character or of a stop string. Tokens go out with the text
    that they begin; those after a stop string's first character never do.
    """

    def __init__(self, stop: list[str]) -> None:
        self._stop = [string for string in stop if string]
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self._sent = 0
        """Characters sent so far."""
        self._waiting: deque[tuple[int, TokenLogprob]] = deque()
        """Tokens not yet sent, each with the number of characters before it."""

    def push(self, raw: bytes, token: TokenLogprob | None = None) -> Piece:
        """Adds the bytes of one token; `token` is what is said of it if log-probabilities were asked for."""
        if token is not None:
            self._waiting.append((self._sent + len(self._held), token))
        self._held += self._decoder.decode(raw)
        return self._release(is_last=False)

    def finish(self) -> Piece:
        """The rest: nothing more comes, so what was held back is sent, half a character as U+FFFD."""
        self._held += self._decoder.decode(b"", final=True)
        return self._release(is_last=True)

    def _release(self, *, is_last: bool) -> Piece:
        cut = _first_stop(self._held, self._stop)
        is_stopped = cut is not None
        if cut is None:
            cut = len(self._held) - (0 if is_last else _stop_prefix(self._held, self._stop))
        text, self._held = self._held[:cut], self._held[cut:]
        self._sent += len(text)
        is_all_sent = not is_stopped and not self._held and (is_last or not self._decoder.getstate()[0])
        tokens = []
        while self._waiting and (self._waiting[0][0] < self._sent or is_all_sent):
            tokens.append(self._waiting.popleft()[1])
        return Piece(text, tokens, is_stopped)


def _first_stop(text: str, stop: list[str]) -> int | None:
    """Where the stop string that is complete first begins, as if the text had come character by character."""
    found = [(text.index(string) + len(string), text.index(string)) for string in stop if string in text]
    return min(found)[1] if found else None


def _stop_prefix(text: str, stop: list[str]) -> int:
    """Length of the longest end of `text` that a stop string begins with."""
    longest = 0
    for string in stop:
        for length in range(min(len(string) - 1, len(text)), longest, -1):
            if text.endswith(string[:length]):
                longest = length
                break
    return longest
