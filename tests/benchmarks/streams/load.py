"""Streams without a pause, by the openai SDK, each held to the answer it must get."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from openai import AsyncOpenAI

from tests.benchmarks.load.reference import Asked
from tests.benchmarks.streams.cases import Case

_BROKEN_OFF = 0.1
"""Of the streams: their client leaves after a few chunks."""
_ANSWER_SECONDS = 300.0


@dataclass
class Tally:
    whole: int = 0
    broken_off: int = 0
    tokens: int = 0
    errors: list[str] = field(default_factory=list)
    mixed_up: list[str] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    """Seconds from a request to its first text, the wait for its turn included."""


@dataclass
class _Stream:
    """What came of one so far."""

    texts: list[str]
    reasons: list[str | None]
    tokens: int = 0
    seconds: float | None = None


async def keep_asking(
    url: str, cases: Sequence[Case], *, streams: int, seconds: float, seed: int = 0
) -> Tally:
    """`streams` at once for so long; whatever runs then comes to its end."""
    clients = {
        key: AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=_ANSWER_SECONDS)
        for key in {case.key for case in cases}
    }
    tally = Tally()
    until = time.monotonic() + seconds

    async def one_after_another(number: int) -> None:
        chance = random.Random(f"{seed}/{number}")
        while time.monotonic() < until:
            case = chance.choice(cases)
            leaves_after = chance.randint(1, 8) if chance.random() < _BROKEN_OFF else None
            await _ask(clients[case.key], case, leaves_after, tally)

    try:
        await asyncio.gather(*(one_after_another(number) for number in range(streams)))
    finally:
        for client in clients.values():
            await client.close()
    return tally


async def _ask(client: AsyncOpenAI, case: Case, leaves_after: int | None, tally: Tally) -> None:
    seen = _Stream(texts=[""] * len(case.said), reasons=[None] * len(case.said))
    is_whole = True
    try:
        began = time.monotonic()
        async with await _opened(client, case.model, case.asked) as chunks:
            count = 0
            async for chunk in chunks:
                _add(seen, chunk, case.asked.is_chat, began)
                count += 1
                if count == leaves_after:
                    is_whole = False
                    break
    except Exception as error:
        # Whatever a client could meet is what is counted here.
        tally.errors.append(f"{case.model}: {error!r} from {error.__cause__!r}")
        return
    if seen.seconds is not None:
        tally.first_tokens.append(seen.seconds)
    tally.tokens += seen.tokens
    tally.whole += is_whole
    tally.broken_off += not is_whole
    if (wrong := _difference(case, seen, is_whole)) is not None:
        tally.mixed_up.append(f"{case.model}: {case.asked}: {wrong}")


async def _opened(client: AsyncOpenAI, model: str, asked: Asked) -> Any:
    options: dict[str, Any] = {
        **asked.options,
        "model": model,
        "max_tokens": asked.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if asked.is_chat:
        messages = [{"role": "user", "content": asked.prompt}]
        return await client.chat.completions.create(messages=messages, **options)
    return await client.completions.create(prompt=asked.prompt, **options)


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
    """What a stream said that it must not; of one that was left, what came must begin the answer."""
    if not is_whole:
        pairs = zip(case.said, seen.texts, strict=True)
        return next((repr(text) for said, text in pairs if not said.text.startswith(text)), None)
    found = list(zip(seen.texts, seen.reasons, strict=True))
    tokens = sum(said.num_tokens for said in case.said)
    if found == [(said.text, said.finish_reason) for said in case.said] and seen.tokens == tokens:
        return None
    return f"{found} with {seen.tokens} tokens instead of {case.said}"
