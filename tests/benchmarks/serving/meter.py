"""Measures bursts of requests from within the process that answers them."""

import time
from collections.abc import Callable

from tests.benchmarks.serving.task import FIRST_WORD, Measurement, Request, Task

Arrived = Callable[[int], None]
Burst = Callable[[list[Request], Arrived], list[list[int]]]
"""Answers a burst: the token ids of each request. Says when a request's first token came, by its place."""


def measure(task: Task, answer: Burst) -> dict[int, Measurement]:
    """By level, after one burst that nobody counts."""
    answer(task.bursts(min(8, *task.levels[1:], task.levels[-1]))[0], lambda place: None)
    return {level: _measure_level(task, answer, level) for level in task.levels}


def _measure_level(task: Task, answer: Burst, level: int) -> Measurement:
    found = [_run(task, answer, level) for _ in range(task.repeats)]
    return min(found, key=lambda measurement: measurement.seconds)


def _run(task: Task, answer: Burst, level: int) -> Measurement:
    seconds = 0.0
    first_tokens: list[float] = []
    outputs: list[list[int]] = []
    for burst in task.bursts(level):
        arrivals: dict[int, float] = {}
        began = time.process_time()

        def arrived(place: int, arrivals: dict[int, float] = arrivals, began: float = began) -> None:
            arrivals.setdefault(place, time.process_time() - began)

        outputs += answer(burst, arrived)
        seconds += time.process_time() - began
        first_tokens += arrivals.values()
    short = sum(len(output) != task.new_tokens for output in outputs)
    assert not short, f"{short} answers ended early"
    words = [[token for token in output if token >= FIRST_WORD] for output in outputs]
    return Measurement(len(outputs) * task.new_tokens, seconds, first_tokens, words)
