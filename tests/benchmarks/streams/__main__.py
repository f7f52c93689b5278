"""Hundreds of streams over tens of adapters, with every answer checked: `python -m tests.benchmarks.streams`.

Starts `tunery up` on a folder with random adapters of several projects. Computes each model's expected
answers with PEFT and transformers, then sends requests without a pause: chat and text, greedy and seeded,
with stop strings, with several choices. A tenth of the clients disconnect early. Prints one line of JSON on
stdout. The exit status is 0 if

- there was no error and no unexpected answer,
- no slot was still taken at the end, and
- memory stayed flat in the API, the engine's replica and Serve's proxy: the peak in the last third of the
  time is at most 5 % above the peak in the middle third. Checked only in runs of a minute or more, because
  caches still fill before.
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
from tests.benchmarks.streams.load import Tally, keep_streaming
from tests.e2e.server import Tunery, running

_WARMUP_SHARE = 0.1
"""Time to warm up (connections, adapters, threads), as a share of the measured time."""
_IDLE_SECONDS = 10.0
_SHOWN = 5


def main() -> None:
    arguments = _arguments()
    keep_quiet()
    with tempfile.TemporaryDirectory(prefix="bench-streams-") as name:
        world = make_world(Path(name), num_models=arguments.adapters, num_projects=arguments.projects)
        cases = make_cases(world.models)
        _report(f"{len(cases)} requests with known answers from {arguments.adapters} adapters and their base")
        with running(world.folder) as tunery:
            tally, memory, is_freed = asyncio.run(
                _measure(tunery, cases, streams=arguments.streams, seconds=arguments.seconds)
            )
    for line in [*tally.errors[:_SHOWN], *tally.mixed_up[:_SHOWN]]:
        _report(line)
    print(json.dumps(_result(arguments, tally, memory, is_freed)))
    sys.exit(bool(tally.errors or tally.mixed_up or memory.grown() or not is_freed))


async def _measure(
    tunery: Tunery, cases: list[Case], *, streams: int, seconds: float
) -> tuple[Tally, Memory, bool]:
    await keep_streaming(tunery.url, cases, streams=streams, seconds=seconds * _WARMUP_SHARE, seed=1)
    memory = Memory()
    watching = asyncio.create_task(memory.watch(processes_of(tunery)))
    try:
        tally = await keep_streaming(tunery.url, cases, streams=streams, seconds=seconds)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
    return tally, memory, await EngineWatch(tunery).wait_idle(_IDLE_SECONDS)


def _result(arguments: argparse.Namespace, tally: Tally, memory: Memory, is_freed: bool) -> dict[str, Any]:
    p50, p99 = np.percentile(tally.first_tokens, [50, 99])
    return {
        "streams_at_once": arguments.streams,
        "adapters": arguments.adapters,
        "seconds": arguments.seconds,
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


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.streams", description=__doc__)
    parser.add_argument("--streams", type=int, default=200, help="streams at once")
    parser.add_argument("--adapters", type=int, default=50)
    parser.add_argument("--projects", type=int, default=4, help="projects that own the adapters")
    parser.add_argument("--seconds", type=float, default=300)
    return parser.parse_args()


if __name__ == "__main__":
    main()
