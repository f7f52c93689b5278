"""Many event streams cost the database no more than one, and are notified at once of what this process
writes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager

import pytest
from sqlalchemy.orm import Session

from cluster.contracts.errors import AuthenticationFailed, NotFound, Overloaded, Unavailable
from service.api.http.draining import Draining
from service.api.jobs import event_feed
from service.api.jobs.event_feed import KEEP_ALIVE, EventFeed
from service.db.database import Database
from service.db.jobs.events import LogPosition, log_positions
from service.db.jobs.jobs import Jobs
from tests.service.db.rows import OTHER, TENANT, add_file, add_job, add_tenants

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
NEVER = 1000.0
CREATED = 2
"""Number of events of a new job."""


class Watched(Database):
    """Counts its reads, and fails them on demand."""

    num_reads = 0
    is_down = False

    @contextmanager
    def read(self) -> Iterator[Session]:
        self.num_reads += 1
        if self.is_down:
            raise Unavailable("The database does not answer.")
        with super().read() as session:
            yield session


@pytest.fixture
def watched(database: Database, database_url: str) -> Iterator[Watched]:
    add_tenants(database)
    watched = Watched(database_url)
    yield watched
    watched.close()


@pytest.fixture
def jobs(database: Database, watched: Watched) -> Callable[[int], list[str]]:
    def add(count: int) -> list[str]:
        file = add_file(database)
        return [add_job(database, file=file).id for _ in range(count)]

    return add


def cancel(database: Database, job_id: str) -> None:
    with database.write() as session:
        Jobs(session, TENANT).cancel(job_id)


@asynccontextmanager
async def polling(feed: EventFeed) -> AsyncIterator[None]:
    async with asyncio.timeout(30), feed.polling():
        yield


async def take(frames: AsyncGenerator[bytes], count: int) -> list[bytes]:
    return [await anext(frames) for _ in range(count)]


async def polls(watched: Watched, count: int) -> None:
    """Waits until the database has been read so many more times."""
    enough = watched.num_reads + count
    while watched.num_reads < enough:
        await asyncio.sleep(0.01)


async def test_events_of_this_process_arrive_without_a_poll(
    watched: Watched, jobs: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", NEVER)
    (job,) = jobs(1)
    feed = EventFeed(watched, Draining())
    async with polling(feed), aclosing(await feed.follow(TENANT, job, -1)) as frames:
        await take(frames, CREATED)
        rest = asyncio.ensure_future(take(frames, 1))
        await asyncio.to_thread(cancel, watched, job)
        assert b"cancelled" in (await rest)[0]
        assert [frame async for frame in frames] == []


async def test_events_of_another_process_are_found_by_polling(
    database: Database, watched: Watched, jobs: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 0.05)
    (job,) = jobs(1)
    feed = EventFeed(watched, Draining())
    async with polling(feed), aclosing(await feed.follow(TENANT, job, 0)) as frames:
        await take(frames, CREATED - 1)
        await asyncio.to_thread(cancel, database, job)
        assert len([frame async for frame in frames]) == 1


async def test_polling_costs_one_read_however_many_jobs_are_followed(
    watched: Watched, jobs: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 0.02)
    read_counts: list[int] = []

    def counted(session: Session, job_ids: Collection[str]) -> dict[str, LogPosition]:
        read_counts.append(len(job_ids))
        return log_positions(session, job_ids)

    monkeypatch.setattr(event_feed, "log_positions", counted)
    followed = jobs(30)
    feed = EventFeed(watched, Draining())
    async with polling(feed):
        streams = [await feed.follow(TENANT, job, -1) for job in followed]
        for frames in streams:
            await take(frames, CREATED)
        waiting = [asyncio.ensure_future(anext(frames)) for frames in streams]
        await polls(watched, 2)
        read_counts.clear()
        before = watched.num_reads
        await polls(watched, 5)
        assert set(read_counts) == {30}
        assert watched.num_reads - before <= len(read_counts) + 1
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_streams_at_the_same_position_share_a_read(
    watched: Watched, jobs: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", NEVER)
    (job,) = jobs(1)
    feed = EventFeed(watched, Draining())

    async def all_of(frames: AsyncGenerator[bytes]) -> list[bytes]:
        return [frame async for frame in frames]

    async with polling(feed):
        streams = await asyncio.gather(*(feed.follow(TENANT, job, -1) for _ in range(100)))
        taking = [asyncio.ensure_future(all_of(frames)) for frames in streams]
        await asyncio.to_thread(cancel, watched, job)
        for frames in await asyncio.gather(*taking):
            assert len(frames) == CREATED + 1
        assert watched.num_reads <= 6


async def test_a_stream_survives_a_database_outage(
    database: Database, watched: Watched, jobs: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 0.02)
    (job,) = jobs(1)
    feed = EventFeed(watched, Draining())
    async with polling(feed), aclosing(await feed.follow(TENANT, job, CREATED - 1)) as frames:
        rest = asyncio.ensure_future(take(frames, 1))
        watched.is_down = True
        await polls(watched, 3)
        watched.is_down = False
        await asyncio.to_thread(cancel, database, job)
        assert b"cancelled" in (await rest)[0]


@pytest.mark.parametrize("last_seq", [-1, 10**9])
async def test_a_quiet_stream_sends_keep_alives_and_ends_with_the_process(
    watched: Watched, jobs: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch, last_seq: int
) -> None:
    monkeypatch.setattr(event_feed, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(event_feed, "KEEP_ALIVE_SECONDS", 0.1)
    (job,) = jobs(1)
    draining = Draining()
    feed = EventFeed(watched, draining)
    async with polling(feed), aclosing(await feed.follow(TENANT, job, last_seq)) as frames:
        await take(frames, CREATED if last_seq < 0 else 0)
        assert await take(frames, 2) == [KEEP_ALIVE, KEEP_ALIVE]
        draining.has_begun = True
        assert {frame async for frame in frames} <= {KEEP_ALIVE}


async def test_another_tenants_job_is_absent(watched: Watched, jobs: Callable[[int], list[str]]) -> None:
    (job,) = jobs(1)
    feed = EventFeed(watched, Draining())
    async with polling(feed):
        with pytest.raises(NotFound):
            await feed.follow(OTHER, job, -1)


async def test_a_project_cannot_take_the_streams_of_all_others(
    watched: Watched, jobs: Callable[[int], list[str]]
) -> None:
    (job,) = jobs(1)
    feed = EventFeed(watched, Draining(), max_streams_per_project=2)
    async with polling(feed):
        streams = [await feed.follow(TENANT, job, -1) for _ in range(2)]
        for frames in streams:
            await take(frames, 1)
        with pytest.raises(Overloaded, match="follows events in 2 streams, the most"):
            await feed.follow(TENANT, job, -1)
        with pytest.raises(NotFound):
            await feed.follow(OTHER, job, -1)
        await streams[0].aclose()
        async with aclosing(await feed.follow(TENANT, job, -1)) as frames:
            await take(frames, CREATED)
        await streams[1].aclose()


async def test_streams_that_are_asked_for_at_once_are_counted_before_any_is_read(
    watched: Watched, jobs: Callable[[int], list[str]]
) -> None:
    (job,) = jobs(1)
    feed = EventFeed(watched, Draining(), max_streams_per_project=2)
    async with polling(feed):
        answers = await asyncio.gather(
            *(feed.follow(TENANT, job, -1) for _ in range(5)), return_exceptions=True
        )
        streams = [answer for answer in answers if isinstance(answer, AsyncGenerator)]
        assert [type(answer) for answer in answers].count(Overloaded) == 3
        assert len(streams) == 2
        for frames in streams:
            await frames.aclose()
        async with aclosing(await feed.follow(TENANT, job, -1)) as frames:
            await take(frames, CREATED)


async def test_a_stream_ends_when_its_reader_may_not_read_any_more(
    watched: Watched, jobs: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "KEEP_ALIVE_SECONDS", 0.02)
    monkeypatch.setattr(event_feed, "ACCESS_SECONDS", 0.0)
    answers = iter([None, Unavailable("The database does not answer."), AuthenticationFailed("Revoked.")])

    async def check_access() -> None:
        if (error := next(answers)) is not None:
            raise error

    (job,) = jobs(1)
    feed = EventFeed(watched, Draining())
    stream = await feed.follow(TENANT, job, CREATED - 1, check_access=check_access)
    async with polling(feed), aclosing(stream) as frames:
        assert [frame async for frame in frames] == [KEEP_ALIVE, KEEP_ALIVE]
