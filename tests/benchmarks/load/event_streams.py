"""Holds many streams of job events at once, one stream per job, while events are added to random jobs."""

import asyncio
import json
import random
import time
from dataclasses import dataclass, field

from service.db import tables
from service.db.database import now
from service.db.transitions import NewEvent, add_events
from tests.benchmarks.load.api_process import Api

_OPENING_AT_ONCE = 50
_EVENTS_PER_SECOND = 20
_FIRST_EVENTS = 2
"""Events that a new job already has."""
_MARK = "at "


@dataclass
class Streams:
    open: int = 0
    cut: int = 0
    delays: list[float] = field(default_factory=list)
    """Seconds from writing an event, in this process, to receiving it over HTTP."""


async def hold_streams(api: Api, count: int, all_open: asyncio.Event, is_over: asyncio.Event) -> Streams:
    """Opens `count` streams, sets `all_open`, then writes events until `is_over` is set."""
    streams = Streams()
    gate = asyncio.Semaphore(_OPENING_AT_ONCE)
    received = [asyncio.Event() for _ in range(count)]
    readers = [
        asyncio.create_task(_read(api, job, gate, first, streams))
        for job, first in zip(api.jobs[:count], received, strict=True)
    ]
    try:
        for first in received:
            await first.wait()
        streams.open = count
        all_open.set()
        while not is_over.is_set():
            await asyncio.to_thread(_write, api, random.choice(api.jobs[:count]))
            await asyncio.sleep(1 / _EVENTS_PER_SECOND)
        streams.cut = sum(reader.done() for reader in readers)
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    return streams


async def _read(api: Api, job: str, gate: asyncio.Semaphore, first: asyncio.Event, streams: Streams) -> None:
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        path = f"/v1/fine_tuning/jobs/{job}/events?stream=true"
        head = f"GET {path} HTTP/1.1\r\nhost: here\r\nauthorization: {api.headers['authorization']}\r\n\r\n"
        writer.write(head.encode())
        for _ in range(_FIRST_EVENTS):
            await _event(reader)
        first.set()
    try:
        while True:
            message = await _event(reader)
            if message.startswith(_MARK):
                streams.delays.append(time.monotonic() - float(message.removeprefix(_MARK)))
    finally:
        writer.close()


async def _event(reader: asyncio.StreamReader) -> str:
    """The message of the next event."""
    while line := await reader.readline():
        if line.startswith(b"data: "):
            return str(json.loads(line.removeprefix(b"data: "))["message"])
    raise ConnectionResetError("the stream was cut")


def _write(api: Api, job_id: str) -> None:
    with api.database.write() as session:
        job = session.get_one(tables.Job, job_id, with_for_update=True)
        add_events(session, job, [NewEvent(f"{_MARK}{time.monotonic()}")], at=now(session))
