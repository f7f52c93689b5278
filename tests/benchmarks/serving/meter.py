"""Measures bursts of requests, inside the process that answers them."""

import time
from collections.abc import Callable, Mapping

from tests.benchmarks.serving.task import FIRST_WORD, Measurement, Request, Task

Arrived = Callable[[int], None]
Burst = Callable[[list[Request], Arrived], list[list[int]]]
"""Answers a burst with the token ids of each request. Calls `Arrived` with a request's position in the burst
when its first token arrives."""


def measure(task: Task, answer: Burst) -> dict[int, Measurement]:
    """Measurements by level."""
    return measure_in_turns(task, {"alone": answer})["alone"]


def measure_in_turns(task: Task, answers: Mapping[str, Burst]) -> dict[str, dict[int, Measurement]]:
    """Measurements by name and level, after one warm-up burst each.

    The systems take turns because a machine's speed changes from minute to minute.
    """
    for answer in answers.values():
        answer(task.bursts(min(8, *task.levels[1:], task.levels[-1]))[0], lambda place: None)
    fastest: dict[str, dict[int, Measurement]] = {name: {} for name in answers}
    for level in task.levels:
        runs = [
            {name: _run(task, answer, level) for name, answer in answers.items()} for _ in range(task.repeats)
        ]
        for name in answers:
            fastest[name][level] = min((run[name] for run in runs), key=lambda run: run.seconds)
    return fastest


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
