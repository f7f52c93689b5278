"""Sends streaming requests without a pause, with the openai SDK, and checks each answer."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI

from tests.benchmarks.load.reference import Request
from tests.benchmarks.streams.cases import Case

_BROKEN_OFF = 0.1
"""Share of the streams whose client disconnects after a few chunks."""
_ANSWER_SECONDS = 300.0


@dataclass
class Tally:
    whole: int = 0
    broken_off: int = 0
    tokens: int = 0
    errors: list[str] = field(default_factory=list)
    mixed_up: list[str] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    """Seconds from each request to its first text, including the time in the queue."""


@dataclass
class _Stream:
    """What one stream has received so far."""

    texts: list[str]
    reasons: list[str | None]
    tokens: int = 0
    seconds: float | None = None


async def keep_streaming(
    url: str, cases: Sequence[Case], *, streams: int, seconds: float, seed: int = 0
) -> Tally:
    """Keeps `streams` streams open for `seconds`, then waits for the last ones to end."""
    clients = {
        key: AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=_ANSWER_SECONDS)
        for key in {case.key for case in cases}
    }
    tally = Tally()
    until = time.monotonic() + seconds

    async def stream_repeatedly(number: int) -> None:
        rng = random.Random(f"{seed}/{number}")
        while time.monotonic() < until:
            case = rng.choice(cases)
            disconnect_after = rng.randint(1, 8) if rng.random() < _BROKEN_OFF else None
            await _stream(clients[case.key], case, disconnect_after, tally)

    try:
        await asyncio.gather(*(stream_repeatedly(number) for number in range(streams)))
    finally:
        for client in clients.values():
            await client.close()
    return tally


async def _stream(client: AsyncOpenAI, case: Case, disconnect_after: int | None, tally: Tally) -> None:
    seen = _Stream(texts=[""] * len(case.choices), reasons=[None] * len(case.choices))
    is_whole = True
    try:
        began = time.monotonic()
        async with await _open(client, case.model, case.request) as chunks:
            count = 0
            async for chunk in chunks:
                _add(seen, chunk, case.request.is_chat, began)
                count += 1
                if count == disconnect_after:
                    is_whole = False
                    break
    except Exception as error:
        # Any error that a client sees counts.
        tally.errors.append(f"{case.model}: {error!r} from {error.__cause__!r}")
        return
    if seen.seconds is not None:
        tally.first_tokens.append(seen.seconds)
    tally.tokens += seen.tokens
    tally.whole += is_whole
    tally.broken_off += not is_whole
    if (wrong := _difference(case, seen, is_whole)) is not None:
        tally.mixed_up.append(f"{case.model}: {case.request}: {wrong}")


async def _open(client: AsyncOpenAI, model: str, request: Request) -> Any:
    options: dict[str, Any] = {
        **request.options,
        "model": model,
        "max_tokens": request.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.is_chat:
        messages = [{"role": "user", "content": request.prompt}]
        return await client.chat.completions.create(messages=messages, **options)
    return await client.completions.create(prompt=request.prompt, **options)


def _add(seen: _Stream, chunk: Any, is_chat: bool, began: float) -> None:
    for choice in chunk.choices:
        text = (choice.delta.content if is_chat else choice.text) or ""
        if text and seen.seconds is None:
            seen.seconds = time.monotonic() - began
        seen.texts[choice.index] += text
        seen.reasons[choice.index] = choice.finish_reason or seen.reasons[choice.index]
    if chunk.usage is not None:
        seen.tokens = chunk.usage.completion_tokens


def _difference(case: Case, seen: _Stream, is_whole: bool) -> str | None:
    """Describes how a stream differs from the expected answer; None if it does not.

    A stream that was left early must be the beginning of the answer.
    """
    if not is_whole:
        pairs = zip(case.choices, seen.texts, strict=True)
        return next((repr(text) for choice, text in pairs if not choice.text.startswith(text)), None)
    received = list(zip(seen.texts, seen.reasons, strict=True))
    tokens = sum(choice.num_tokens for choice in case.choices)
    if received == [(choice.text, choice.finish_reason) for choice in case.choices] and seen.tokens == tokens:
        return None
    return f"{received} with {seen.tokens} tokens instead of {case.choices}"
