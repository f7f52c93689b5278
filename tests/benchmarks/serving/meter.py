"""Measures bursts of requests from within the process that answers them."""

import time
from collections.abc import Callable, Mapping

from tests.benchmarks.serving.task import FIRST_WORD, Measurement, Request, Task

Arrived = Callable[[int], None]
Burst = Callable[[list[Request], Arrived], list[list[int]]]
"""Answers a burst: the token ids of each request. Says when a request's first token came, by its place."""


def measure(task: Task, answer: Burst) -> dict[int, Measurement]:
    """By level."""
    return measure_in_turns(task, {"alone": answer})["alone"]


def measure_in_turns(task: Task, answers: Mapping[str, Burst]) -> dict[str, dict[int, Measurement]]:
    """By name and level, after one burst each that nobody counts. A machine's speed changes from minute to
    minute, and so for all of them."""
    for answer in answers.values():
        answer(task.bursts(min(8, *task.levels[1:], task.levels[-1]))[0], lambda place: None)
    found: dict[str, dict[int, Measurement]] = {name: {} for name in answers}
    for level in task.levels:
        runs = [
            {name: _run(task, answer, level) for name, answer in answers.items()} for _ in range(task.repeats)
        ]
        for name in answers:
            found[name][level] = min((run[name] for run in runs), key=lambda one: one.seconds)
    return found


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
