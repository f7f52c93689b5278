"""A vLLM that hangs is told from one that is busy, idle, or given up by its clients."""

from contextlib import ExitStack

import pytest

from cluster.serving.vllm_backend.hang import HangDetector, silence_limit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def detector(clock: Clock) -> HangDetector:
    return HangDetector(300, clock)


def test_a_vllm_that_gives_no_output_for_the_whole_limit_hangs(clock: Clock, detector: HangDetector) -> None:
    with detector.running():
        clock.now = 299
        assert not detector.is_hung
        clock.now = 300
        assert detector.is_hung


def test_output_of_any_sequence_shows_that_vllm_runs(clock: Clock, detector: HangDetector) -> None:
    with detector.running(), detector.running():
        for clock.now in range(0, 1000, 100):
            detector.record_output()
            assert not detector.is_hung


def test_a_vllm_without_work_does_not_hang(clock: Clock, detector: HangDetector) -> None:
    with detector.running():
        clock.now = 100
    clock.now = 10_000
    assert not detector.is_hung
    with detector.running():
        assert not detector.is_hung
        clock.now += 199
        assert not detector.is_hung


@pytest.mark.parametrize("overlap", [True, False])
def test_clients_that_give_up_one_after_the_other_do_not_hide_a_hang(
    clock: Clock, detector: HangDetector, overlap: bool
) -> None:
    with ExitStack() as leaving:
        for _ in range(5):
            if not overlap:
                leaving.close()
            sequence = ExitStack()
            sequence.enter_context(detector.running())
            leaving.close()
            leaving.push(sequence)
            clock.now += 60
        assert detector.is_hung


@pytest.mark.parametrize(("context", "seconds"), [(4096, 300), (120_000, 300), (1_048_576, 2621)])
def test_a_longer_context_may_take_longer_to_prefill(context: int, seconds: float) -> None:
    assert silence_limit(context) == pytest.approx(seconds, abs=1)
