"""A tenant that floods, in a process of its own: `python -m tests.benchmarks.fairness.flood '<options>'`.

Hundreds of clients that ask again as soon as they are answered, or as soon as a refusal allows. Prints one
line of JSON for each second: what was answered and refused in it. Ends when its standard input does.
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
"""About the longest that a refused client waits, whatever it is told."""


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
        asking = [asyncio.create_task(_ask(client, flood, place, counts)) for place in range(flood.clients)]
        ending = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
        while not ending.done():
            await asyncio.wait([ending], timeout=1)
            print(json.dumps(counts), flush=True)
            counts.clear()
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _ask(client: AsyncOpenAI, flood: Flood, place: int, counts: Counter[str]) -> None:
    model = flood.models[place % len(flood.models)]
    while True:
        try:
            answer = await client.completions.create(
                model=model, prompt=f"Order {place} holds", max_tokens=flood.max_tokens, temperature=1
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
    # Its clients would be on other machines: they get what the server and the other tenant leave.
    os.nice(10)
    asyncio.run(run(Flood(**json.loads(sys.argv[1]))))
