"""Hundreds of streams over tens of adapters, each held to its answer: `python -m tests.benchmarks.streams`.

Starts `tunery up` on a folder with random adapters of several projects, works out with PEFT and transformers
what every model must say, and asks without a pause: chat and text, greedy and seeded, stop strings, several
choices; a tenth of the clients leave early. Ends with one line of JSON on stdout, and with status 1 unless
there was no error, no answer but the one expected, no slot still taken at the end, and memory stayed flat:
the peak of the last third of the time at most 5 % above that of the middle third, in the API, in the engine's
replica and in Serve's proxy (of a minute or more; before that, caches fill).
"""

import argparse
import asyncio
import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.load.memory import Memory, processes_of
from tests.benchmarks.load.quiet import keep_quiet
from tests.benchmarks.load.stats import EngineWatch
from tests.benchmarks.load.world import make_world
from tests.benchmarks.streams.cases import Case, make_cases
from tests.benchmarks.streams.load import Tally, keep_asking
from tests.e2e.server import Tunery, running

_WARMING_SECONDS = 0.1
"""Of the time that counts, before it: every worker's first connections, adapters and threads."""
_FREED_SECONDS = 10.0
_SHOWN = 5


def main() -> None:
    asked = _arguments()
    keep_quiet()
    with tempfile.TemporaryDirectory(prefix="bench-streams-") as name:
        world = make_world(Path(name), num_models=asked.adapters, num_projects=asked.projects)
        cases = make_cases(world.models)
        say(f"{len(cases)} requests with known answers over {asked.adapters} adapters and their base")
        with running(world.folder) as tunery:
            tally, memory, is_freed = asyncio.run(
                _measured(tunery, cases, streams=asked.streams, seconds=asked.seconds)
            )
    for line in [*tally.errors[:_SHOWN], *tally.mixed_up[:_SHOWN]]:
        say(line)
    print(json.dumps(_result(asked, tally, memory, is_freed)))
    sys.exit(bool(tally.errors or tally.mixed_up or memory.grown() or not is_freed))


async def _measured(
    tunery: Tunery, cases: list[Case], *, streams: int, seconds: float
) -> tuple[Tally, Memory, bool]:
    await keep_asking(tunery.url, cases, streams=streams, seconds=seconds * _WARMING_SECONDS, seed=1)
    memory = Memory()
    watching = asyncio.create_task(memory.watch(processes_of(tunery)))
    try:
        tally = await keep_asking(tunery.url, cases, streams=streams, seconds=seconds)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    return tally, memory, await EngineWatch(tunery).wait_idle(_FREED_SECONDS)


def _result(asked: argparse.Namespace, tally: Tally, memory: Memory, is_freed: bool) -> dict[str, Any]:
    p50, p99 = np.percentile(tally.first_tokens, [50, 99])
    return {
        "streams_at_once": asked.streams,
        "adapters": asked.adapters,
        "seconds": asked.seconds,
        "streams": tally.whole,
        "broken_off": tally.broken_off,
        "tokens": tally.tokens,
        "errors": len(tally.errors),
        "mixed_up": len(tally.mixed_up),
        "ttft_p50": round(p50, 3),
        "ttft_p99": round(p99, 3),
        "rss_mib_by_third": {name: [round(mib) for mib in peaks] for name, peaks in memory.peaks().items()},
        "grown": memory.grown(),
        "slots_freed": is_freed,
    }


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=200, help="at once")
    parser.add_argument("--adapters", type=int, default=50)
    parser.add_argument("--projects", type=int, default=4, help="that the adapters belong to")
    parser.add_argument("--seconds", type=float, default=300)
    return parser.parse_args()


if __name__ == "__main__":
    main()
