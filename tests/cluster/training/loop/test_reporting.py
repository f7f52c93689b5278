"""Messages to the job's owner about what takes long."""

import threading
from functools import partial

import pytest

from cluster.contracts.jobs import RunnerEvent, RunnerMessage
from cluster.training.loop import reporting
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.reporting import PassProgress, changes_of, kept_alive, report_if_slow


class Heard:
    """A thread-safe `report` that a test can wait for."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, event: RunnerEvent) -> None:
        assert isinstance(event, RunnerMessage)
        with self._changed:
            self.texts.append(event.message)
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.texts) >= count, timeout=300)


def test_a_short_phase_sends_no_message() -> None:
    heard = Heard()
    with report_if_slow(heard, "Saving"):
        pass
    assert heard.texts == []


def test_a_long_phase_reports_repeatedly_until_it_ends_even_by_an_error() -> None:
    heard, beats = Heard(), []

    def fail_later() -> None:
        beat = partial(beats.append, 1)
        with report_if_slow(heard, "Saving", heartbeat=beat, first_seconds=0.01, next_seconds=0.01):
            heard.wait_for(3)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail_later()
    count = len(heard.texts)
    assert len(beats) == count
    assert heard.texts[0] == "Saving: under way for 0 seconds"
    assert not [one for one in threading.enumerate() if one.name == "slow-phase"]
    assert len(heard.texts) == count


def test_what_waits_is_kept_alive_only_while_what_it_waits_for_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reporting, "HEARTBEAT_SECONDS", 0.01)
    beats, looks = threading.Semaphore(0), threading.Semaphore(0)
    bytes_here = 0

    def look() -> int:
        looks.release()
        return bytes_here

    with kept_alive(beats.release, only_if=changes_of(look)):
        for _ in range(5):
            assert looks.acquire(timeout=300)
        assert not beats.acquire(blocking=False)
        bytes_here = 1
        assert beats.acquire(timeout=300)
        for _ in range(5):
            assert looks.acquire(timeout=300)
        assert not beats.acquire(blocking=False)


def test_passes_report_their_progress_at_intervals() -> None:
    heard, beats, seconds = Heard(), [], [0.0]
    hooks = RunHooks(heard, heartbeat=lambda: beats.append(1), clock=lambda: seconds[0])
    passes = PassProgress(hooks, "Evaluation")
    passes.expect(150)
    passes.expect(50)
    for second in range(200):
        seconds[0] = float(second)
        passes()
    assert len(beats) == 200
    assert heard.texts == [
        "Evaluation: 5% (10 of 200 passes)",
        "Evaluation: 35% (70 of 200 passes)",
        "Evaluation: 65% (130 of 200 passes)",
        "Evaluation: 95% (190 of 200 passes)",
    ]
