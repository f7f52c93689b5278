"""Which silent attempts count as lost while the API is down."""

from dataclasses import replace

import pytest

from cluster.contracts.jobs import JobStatus
from service.db.scheduler.leases import API, Leases
from service.db.scheduler.store import LEASE, SchedulerStore
from service.scheduling.launching import Launcher
from service.scheduling.watching import Watcher
from tests.service.scheduling.world import World


class Watched:
    """A job that runs and is silent from now on."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._job = world.start()
        world.expire_lease()
        with world.database.write() as session:
            epoch = Leases(session).acquire(LEASE, "test", seconds=600)
        assert epoch is not None
        settings = world.settings
        self._jobs = SchedulerStore(
            world.database, epoch, settings.retries, settings.publishing, half_life_seconds=1
        )
        launcher = Launcher(
            world.store,
            world.ray,
            {},
            service_url=settings.service_url,
            device="cpu",
            trackers=settings.trackers,
        )
        self._watcher = Watcher(world.ray, launcher, settings)
        self.longest = settings.heartbeat_timeout_seconds + settings.heartbeat_grace_seconds

    def api(self, *, is_up: bool) -> None:
        with self._world.database.write() as session:
            epoch = Leases(session).acquire(API, "api", seconds=600)
            assert epoch is not None
            if not is_up:
                Leases(session).release(API, epoch)

    def after(self, seconds: float) -> JobStatus:
        """The job's status once the watcher has looked, so long after the last heartbeat."""
        pending = self._jobs.pending_work()
        (attempt,) = pending.attempts
        self._watcher.watch(self._jobs, replace(pending, at=attempt.heartbeat_at + seconds))
        return self._world.status(self._job)


@pytest.fixture
def watched(world: World) -> Watched:
    return Watched(world)


def test_a_silent_attempt_is_lost_while_the_api_is_up(watched: Watched) -> None:
    watched.api(is_up=True)
    assert watched.after(watched.longest - 1) is JobStatus.RUNNING
    assert watched.after(watched.longest + 1) is JobStatus.QUEUED


def test_no_attempt_is_lost_for_its_silence_while_the_api_is_down(watched: Watched) -> None:
    watched.api(is_up=False)
    for hours in range(1, 5):
        assert watched.after(3600 * hours) is JobStatus.RUNNING


def test_once_the_api_is_up_again_runners_have_time_to_report(watched: Watched) -> None:
    watched.api(is_up=False)
    assert watched.after(3600) is JobStatus.RUNNING
    watched.api(is_up=True)
    assert watched.after(3640) is JobStatus.RUNNING
    assert watched.after(3650) is JobStatus.QUEUED
