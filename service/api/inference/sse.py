"""Server-sent events: frames, and a response that closes its source promptly."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Send

DONE = b"data: [DONE]\n\n"

_HEADERS = {
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}  # nginx would buffer without the second one


def frame(data: str | bytes, *, event_id: str | None = None, name: str | None = None) -> bytes:
    """Formats one event. `data` is JSON on one line; `name` is the event's type.

    Line separators that JSON allows inside strings are escaped, because some clients split lines at any of
    them."""
    text = data.decode() if isinstance(data, bytes) else data
    for separator in ("\x85", "\u2028", "\u2029"):
        text = text.replace(separator, f"\\u{ord(separator):04x}")
    head = f"id: {event_id}\n" if event_id is not None else ""
    if name is not None:
        head += f"event: {name}\n"
    return f"{head}data: {text}\n\n".encode()


class EventStream(StreamingResponse):
    """A stream that closes its generator as soon as the client disconnects, not when it is
    garbage-collected."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes]) -> None:
        super().__init__(frames, headers=_HEADERS)
        self._frames = frames

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._frames):
            await super().stream_response(send)
