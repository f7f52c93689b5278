"""The clients of a tenant that floods the server: `python -m tests.benchmarks.fairness.flood '<options>'`.

Runs in a process of its own. Each client sends its next request as soon as it has an answer, or as soon as
it may retry after a refusal. Prints a line of JSON each second with the number of answers, tokens and
refusals in that second. Exits when its standard input is closed.
"""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from dataclasses import asdict, dataclass

from openai import APIStatusError, AsyncOpenAI

_PAUSE_SECONDS = 2.0
"""A refused client waits about this long at most, even if `retry-after-ms` is longer."""


@dataclass(frozen=True)
class Flood:
    url: str
    key: str
    models: list[str]
    clients: int
    max_tokens: int


async def run(flood: Flood) -> None:
    counts: Counter[str] = Counter()
    async with AsyncOpenAI(
        base_url=f"{flood.url}/v1", api_key=flood.key, max_retries=0, timeout=600
    ) as client:
        clients = [
            asyncio.create_task(_send(client, flood, number, counts)) for number in range(flood.clients)
        ]
        stdin_closed = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        while not stdin_closed.done():
            await asyncio.wait([stdin_closed], timeout=1)
            print(json.dumps(counts), flush=True)
            counts.clear()
        for task in clients:
            task.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def _send(client: AsyncOpenAI, flood: Flood, number: int, counts: Counter[str]) -> None:
    model = flood.models[number % len(flood.models)]
    while True:
        try:
            answer = await client.completions.create(
                model=model, prompt=f"Order {number} holds", max_tokens=flood.max_tokens, temperature=1
            )
            counts["answered"] += 1
            counts["tokens"] += answer.usage.completion_tokens if answer.usage is not None else 0
        except APIStatusError as error:
            counts[str(error.status_code)] += 1
            wait = float(error.response.headers.get("retry-after-ms", 1000)) / 1000
            await asyncio.sleep(min(wait, random.uniform(0.5, 1.5) * _PAUSE_SECONDS))


def command(flood: Flood) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.fairness.flood", json.dumps(asdict(flood))]


if __name__ == "__main__":
    # Real clients run on other machines: these must not take CPU time from the server or the other tenant.
    os.nice(10)
    asyncio.run(run(Flood(**json.loads(sys.argv[1]))))
