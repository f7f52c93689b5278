"""The runner and the service over real HTTP, with a scripted run instead of training."""

import threading
from collections.abc import Callable, Iterator

import httpx2
import pytest

from cluster.contracts.jobs import (
    MAX_SYNC_BYTES,
    Failed,
    Finished,
    JobSpec,
    RunnerEvent,
    RunnerMessage,
    RunnerState,
    Running,
    Stopped,
)
from cluster.runner.supervise import supervise, tell_stopped
from cluster.runner.sync import LONGEST_MESSAGE, FencedError, ServiceLink
from tests.cluster.runner.fake_service import FakeService, fake_service

FINISHED = Finished(trained_tokens=5, manifest_key="m", manifest_sha256="0" * 64, form="lora")


def message(text: str) -> RunnerMessage:
    return RunnerMessage(message=text)


class ScriptedRun:
    """Returns `at_once` events from each `take`, and ends after `n_events` or when it is paused."""

    def __init__(
        self, n_events: int, before: Callable[[int], None] = lambda number: None, *, at_once: int = 1
    ) -> None:
        self.n_given, self._n_events, self._before, self._at_once = 0, n_events, before, at_once
        self.is_paused = False

    def take(self, wait_seconds: float) -> tuple[list[RunnerEvent], RunnerState]:
        if self.is_paused:
            return [], Stopped()
        self._before(self.n_given)
        first = self.n_given + 1
        self.n_given += self._at_once
        state: RunnerState = FINISHED if self.n_given == self._n_events else Running()
        return [message(str(number)) for number in range(first, self.n_given + 1)], state

    def pause(self) -> None:
        self.is_paused = True


class SteppingClock:
    """Advances a second at every reading, so that a call is always due. Sleeping advances it too."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1.0
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def service() -> Iterator[FakeService]:
    with fake_service() as service:
        yield service


@pytest.fixture
def spec(make_spec: Callable[..., JobSpec], service: FakeService) -> JobSpec:
    return make_spec({"service_url": service.url, "attempt": 3, "attempt_token": "secret"})


@pytest.fixture
def run_attempt(spec: JobSpec) -> Iterator[Callable[[ScriptedRun], RunnerState]]:
    with httpx2.Client(timeout=5) as client:
        clock = SteppingClock()
        yield lambda run: supervise(ServiceLink(spec, client, clock=clock), lambda: run, sleep=clock.sleep)


RunAttempt = Callable[[ScriptedRun], RunnerState]


def texts(service: FakeService) -> list[str]:
    return [event.message for event in service.events if isinstance(event, RunnerMessage)]


def test_events_arrive_numbered_and_the_final_state_comes_with_the_last(
    service: FakeService, run_attempt: RunAttempt
) -> None:
    assert run_attempt(ScriptedRun(7)) == FINISHED
    assert [event.seq for event in service.events] == list(range(7))
    assert texts(service) == ["1", "2", "3", "4", "5", "6", "7"]
    assert sum(len(request.events) for request in service.requests) == 7
    assert service.state == FINISHED
    assert service.tokens == {"Bearer secret"}
    assert service.paths == {"/internal/attempts/ftjob-test/3/sync"}


def test_the_first_call_comes_before_training_starts(service: FakeService, spec: JobSpec) -> None:
    heard: list[int] = []

    def start() -> ScriptedRun:
        heard.append(len(service.requests))
        return ScriptedRun(1)

    with httpx2.Client(timeout=5) as client:
        supervise(ServiceLink(spec, client), start, sleep=lambda _: None)
    assert heard == [1]


@pytest.mark.parametrize("command", ["cancel", "pause"])
def test_a_job_stopped_before_it_starts_never_starts(
    service: FakeService, run_attempt: RunAttempt, command: str
) -> None:
    service.command = command
    run = ScriptedRun(5)
    assert run_attempt(run) == Stopped()
    assert run.n_given == 0
    assert service.state == Stopped()


def test_a_runner_that_is_told_to_end_says_so_after_its_events(service: FakeService, spec: JobSpec) -> None:
    with httpx2.Client(timeout=5) as client:
        link = ServiceLink(spec, client)
        link.add(message(str(number)) for number in range(1200))
        tell_stopped(link)
        assert service.state == Stopped()
        assert len(texts(service)) == 1200
        for status in (503, 409):
            service.status = status
            tell_stopped(link)
    assert len(service.requests) == 5


def test_an_outage_delays_events_and_loses_or_repeats_none(
    service: FakeService, run_attempt: RunAttempt
) -> None:
    def outage(number: int) -> None:
        service.status = 503 if 200 <= number < 1500 else 200

    assert run_attempt(ScriptedRun(2000, outage, at_once=100)) == FINISHED
    assert texts(service) == [str(number) for number in range(1, 2001)]
    assert [event.seq for event in service.events] == list(range(2000))
    assert max(len(request.events) for request in service.requests) == 500


def test_an_outage_after_training_only_delays_the_end(service: FakeService, run_attempt: RunAttempt) -> None:
    def outage(number: int) -> None:
        if number == 2:
            service.status = 503
            threading.Thread(target=recover).start()

    def recover() -> None:
        with service.changed:
            n = len(service.requests)
            service.changed.wait_for(lambda: len(service.requests) >= n + 3, timeout=300)
            service.status = 200

    assert run_attempt(ScriptedRun(3, outage)) == FINISHED
    assert texts(service) == ["1", "2", "3"]
    assert service.state == FINISHED


def test_a_lost_answer_repeats_the_same_numbers(service: FakeService, run_attempt: RunAttempt) -> None:
    service.loses_answers = 2
    assert run_attempt(ScriptedRun(6)) == FINISHED
    assert texts(service) == ["1", "2", "3", "4", "5", "6"]


def test_training_continues_without_the_service(spec: JobSpec, service: FakeService) -> None:
    """Nothing listens at the service's address during the whole run."""
    run = ScriptedRun(20)
    clock = SteppingClock()
    unreachable = spec.model_copy(update={"service_url": "http://127.0.0.1:9"})

    class Listening(Exception):
        pass

    def sleep(seconds: float) -> None:
        raise Listening

    with httpx2.Client(timeout=5) as client, pytest.raises(Listening):
        supervise(ServiceLink(unreachable, client, clock=clock), lambda: run, sleep=sleep)
    assert run.n_given == 20


def test_calls_back_off_up_to_five_seconds(spec: JobSpec) -> None:
    time = [0.0]
    with httpx2.Client(timeout=5) as client:
        unreachable = spec.model_copy(update={"service_url": "http://127.0.0.1:9"})
        link = ServiceLink(unreachable, client, clock=lambda: time[0])
        pauses = []
        for _ in range(7):
            assert link.call(Running()) is None
            pauses.append(link.seconds_until_due())
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_fenced_runner_stops_talking_at_once(service: FakeService, run_attempt: RunAttempt) -> None:
    def fence(number: int) -> None:
        service.status = 409 if number >= 3 else 200

    run = ScriptedRun(100, fence)
    with pytest.raises(FencedError):
        run_attempt(run)
    assert run.n_given <= 5
    assert sum(request.state != Running() for request in service.requests) == 0


def test_cancel_does_not_wait_for_the_run(service: FakeService, run_attempt: RunAttempt) -> None:
    def cancel(number: int) -> None:
        service.command = "cancel" if number >= 3 else "continue"

    run = ScriptedRun(100, cancel)
    assert run_attempt(run) == Stopped()
    assert run.n_given <= 5
    assert not run.is_paused
    assert service.state == Stopped()


def test_pause_is_passed_on_and_the_run_ends_by_itself(service: FakeService, run_attempt: RunAttempt) -> None:
    def pause(number: int) -> None:
        service.command = "pause" if number >= 3 else "continue"

    run = ScriptedRun(100, pause)
    assert run_attempt(run) == Stopped()
    assert run.is_paused
    assert texts(service) == [str(number + 1) for number in range(run.n_given)]


def test_no_call_is_larger_than_the_service_accepts(service: FakeService, spec: JobSpec) -> None:
    longest = "\x01" * LONGEST_MESSAGE  # six bytes each as JSON
    failed = Failed(code="c", message="y" * 3 * MAX_SYNC_BYTES, is_user_fault=True)
    with httpx2.Client(timeout=5) as client:
        link = ServiceLink(spec, client)
        link.add(message(text) for text in [longest] * 60 + ["é" * 3 * MAX_SYNC_BYTES, "last"])
        while not (result := link.call(failed)) or not result.is_up_to_date:
            assert result is not None, "refused"
    assert [event.seq for event in service.events] == list(range(62))
    assert texts(service)[-3:] == [longest, "é" * LONGEST_MESSAGE + " …", "last"]
    assert isinstance(service.state, Failed)
    assert service.state.message == "y" * LONGEST_MESSAGE + " …"
    assert 0 < service.largest_body <= MAX_SYNC_BYTES
