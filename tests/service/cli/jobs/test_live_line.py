"""The one line that shows a job's progress."""

import math

import pytest

from service.cli.jobs.live_line import Progress, duration, live_line, sparkline


def progress(*losses: float, **last: object) -> Progress:
    found = Progress()
    for number, loss in enumerate(losses, 1):
        metrics = {"step": number, "total_steps": 20, "train_loss": loss, "tokens_per_second": 1234.5}
        found = found.after(metrics | {"eta_seconds": 95.0} | (last if number == len(losses) else {}))
    return found


def test_it_has_step_loss_and_change_time_validation_speed_and_a_sparkline() -> None:
    line = live_line(progress(4.0, 3.0, 2.0, 1.0, valid_loss=1.5), 120)
    assert line == "step 4/20  loss 1.000 ↓1.000  1 min 35 s left  valid 1.500  1,234 tokens/s  █▆▃▁"


@pytest.mark.parametrize("width", [10, 24, 40, 60, 80, 200])
def test_it_fits_into_the_terminal(width: int) -> None:
    line = live_line(progress(*(1 / number for number in range(1, 400)), valid_loss=1.5), width)
    assert len(line) <= width
    assert line.startswith("step 399/2")


def test_a_rise_is_shown_and_numbers_that_are_none_are_left_out() -> None:
    assert "↑1.000" in live_line(progress(1.0, 2.0), 80)
    assert "loss 0.383 ↑0.372" in live_line(progress(3.0, 2.0, 0.5, 0.2, 0.011, 0.383), 80)
    noisy = progress(*(2.0 + number % 2 for number in range(10)), *(1.0 + number % 2 for number in range(10)))
    assert "loss 1.500 ↓1.000 in 10 steps" in live_line(noisy, 80)
    line = live_line(progress(1.0, math.nan, train_loss=None, eta_seconds=None, tokens_per_second=None), 80)
    assert "nan" in line
    assert "left" not in line
    assert live_line(Progress(), 80) == ""


def test_steps_that_a_resumed_job_repeats_replace_the_former_ones() -> None:
    found = progress(5.0, 4.0, 3.0, 2.0)
    for number, loss in ((3, 2.5), (4, 1.5), (5, 1.0)):
        found = found.after({"step": number, "train_loss": loss})
    assert (found.losses, found.step, found.total_steps) == ((5.0, 4.0, 2.5, 1.5, 1.0), 5, 20)


def test_a_sparkline_is_as_wide_as_asked_and_averages() -> None:
    assert sparkline([1.0] * 5, 10) == "▁▁▁▁▁"
    assert sparkline([0.0, 10.0, math.inf, 5.0], 4) == "▁█ ▅"
    assert len(sparkline([float(number) for number in range(1000)], 30)) <= 30
    assert sparkline([math.nan], 3) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (65, "1 min 05 s"), (7500, "2 h 05 min"), (277_200, "3 d 5 h"), (-3, "0 s")],
)
def test_durations_are_read_easily(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_speed_and_time_left_are_those_of_a_job_that_runs() -> None:
    running = progress(4.0, 3.0, eta_seconds=60)
    assert "tokens/s" in live_line(running, 120)
    assert "tokens/s" not in live_line(running.idle(), 120)
    assert "left" not in live_line(running.idle(), 120)
