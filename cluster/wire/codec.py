"""The codec between the service and the Serve replicas: one JSON event per line, errors as events, and a
status code for a request that is refused before its stream begins."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from cluster.contracts.errors import InternalError, Overloaded, TuneryError, Unavailable
from cluster.contracts.generation import ErrorEvent, GenerationEvent, PromptEvent, WireEvent
from cluster.wire.chunks import in_chunks

Answer = TypeVar("Answer", bound=BaseModel)

_CHUNK_SECONDS = 0.02
"""Time between two chunks of a stream. Each chunk costs the replica and the proxy a quarter of a millisecond
of CPU together: over gRPC, with 16 streams, 64 tokens in 130 ms cost 11.3 ms one by one and 7.4 ms in
chunks."""
_MOST_CHUNK_SECONDS = 0.1
"""Maximum time between two chunks. With more, the answer would no longer appear to stream."""
_CHUNKS_PER_SECOND = 400
"""Maximum chunks per second over all streams of a process. A replica of `engine` forwards about 500
(deploy/README.md)."""

_EVENT: TypeAdapter[WireEvent] = TypeAdapter(WireEvent)
_log = logging.getLogger(__name__)

_NAMES = frozenset(get_args(ErrorEvent.model_fields["error"].annotation))
_STATUS = {
    "InvalidRequest": 400,
    "InvalidDataset": 400,
    "ContextLengthExceeded": 400,
    "NotFound": 404,
    "Overloaded": 429,
    "Unavailable": 503,
}


def encode_event(event: WireEvent) -> str:
    """Encodes one event as a line."""
    return event.model_dump_json() + "\n"


class EventChunk(NamedTuple):
    """Some events of a stream, encoded."""

    lines: str
    num_tokens: int
    """Tokens of the prompt and of the completions that these events are the first to report."""


def chunk_seconds(streams: int) -> float:
    """Returns the time between two chunks of each stream of a process with this many streams."""
    return min(max(_CHUNK_SECONDS, streams / _CHUNKS_PER_SECOND), _MOST_CHUNK_SECONDS)


async def encode_stream(
    events: AsyncGenerator[GenerationEvent, None],
    *,
    interval_seconds: Callable[[], float] = lambda: _CHUNK_SECONDS,
) -> AsyncGenerator[EventChunk, None]:
    """Yields chunks of whole lines; events of a fast stream share a chunk, as in `in_chunks`. Raises what
    `events` raises, after the lines of the events before it. Closing this generator closes `events`."""
    completion_tokens: dict[int, int] = {}

    def new_tokens(event: GenerationEvent) -> int:
        if isinstance(event, PromptEvent):
            return event.prompt_tokens
        reported = completion_tokens.get(event.index, 0)
        completion_tokens[event.index] = event.completion_tokens
        return event.completion_tokens - reported

    async with aclosing(in_chunks(events, interval_seconds=interval_seconds)) as chunks:
        async for chunk in chunks:
            yield EventChunk("".join(map(encode_event, chunk)), sum(map(new_tokens, chunk)))


def decode_event(line: bytes) -> GenerationEvent:
    """Raises the error that the line carries, and Unavailable if it cannot be read."""
    try:
        event = _EVENT.validate_json(line)
    except ValidationError as error:
        raise _unreadable() from error
    if isinstance(event, ErrorEvent):
        raise event.as_error()
    return event


def decode_events(lines: bytes) -> list[GenerationEvent]:
    """Returns the events of whole lines. Raises the errors of `decode_event`."""
    return [decode_event(line) for line in lines.split(b"\n") if line]


def decode_answer(kind: type[Answer], content: bytes) -> Answer:
    """Decodes the body of the answer to a request that does not stream. Raises Unavailable if it cannot be
    read."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise _unreadable() from error


def encode_error(error: Exception) -> ErrorEvent:
    """Encodes the error under the nearest name that the wire format has. An unexpected error is logged with
    its traceback, and the caller gets the id of the log entry."""
    if not isinstance(error, TuneryError):
        internal = InternalError.of("The model server")
        _log.error("%s", internal.message, exc_info=error)
        error = internal
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _NAMES)
    return ErrorEvent.model_validate(
        {"error": name, "message": error.message, "code": error.code, "param": error.param}
    )


def encode_status(error: Exception) -> int:
    """Returns the HTTP status of a request that is refused with `error`."""
    return _STATUS.get(encode_error(error).error, 500) if isinstance(error, TuneryError) else 500


def encode_headers(error: Exception) -> dict[str, str]:
    """Returns the HTTP headers of a request that is refused with `error`."""
    if isinstance(error, Overloaded | Unavailable):
        return {"Retry-After": str(max(1, round(error.retry_after_seconds)))}
    return {}


def decode_refusal(status: int, retry_after: str | None, body: bytes) -> TuneryError:
    """Returns the error behind a status other than 200: the replica's own, or that of the Serve proxy in
    front of it. `retry_after` is the header of that name."""
    retry_after_seconds = float(retry_after) if retry_after and retry_after.isdecimal() else 2.0
    try:
        return ErrorEvent.model_validate_json(body).as_error(retry_after_seconds=retry_after_seconds)
    except ValidationError:
        pass
    if status == 503 and b"backpressure" in body.lower():
        return Overloaded("The model server has too many requests at once. Try again shortly.")
    return Unavailable(
        f"The model server is not ready (status {status}).", retry_after_seconds=retry_after_seconds
    )


def _unreadable() -> Unavailable:
    return Unavailable("The model server answered with something unreadable.")
