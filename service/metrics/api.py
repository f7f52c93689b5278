"""Metrics that an API process counts about itself."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry

from cluster.contracts.jobs import CheckpointSaved, ResumeStateSaved, RunnerEvent
from service.metrics import declared
from service.metrics.making import counter, gauge, histogram

UNROUTED = "none"
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class ApiMetrics:
    """Thread-safe. A scrape reads `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = counter(declared.HTTP_REQUESTS, registry)
        self._seconds = histogram(declared.HTTP_SECONDS, registry)
        self.running = gauge(declared.HTTP_RUNNING, registry)
        self._choices_running = gauge(declared.INFERENCE_RUNNING, registry)
        self._choices_waiting = gauge(declared.INFERENCE_WAITING, registry)
        self._queue = histogram(declared.INFERENCE_QUEUE, registry)
        self._first_token = histogram(declared.INFERENCE_FIRST_TOKEN, registry)
        self._token = histogram(declared.INFERENCE_TOKEN, registry)
        self._tokens = counter(declared.INFERENCE_TOKENS, registry)
        self._failures = counter(declared.INFERENCE_FAILURES, registry)
        self._checkpoints = counter(declared.CHECKPOINTS, registry)
        self._background_failures = counter(declared.BACKGROUND_FAILURES, registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts a request. `route` is a template. Clients may invent methods, which are counted together."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def background_failed(self, work: str) -> None:
        self._background_failures.labels(work).inc()

    def watch_choices(self, *, running: Callable[[], float], waiting: Callable[[], float]) -> None:
        self._choices_running.set_function(running)
        self._choices_waiting.set_function(waiting)

    def waited(self, base: str, seconds: float) -> None:
        self._queue.labels(base).observe(seconds)

    def began_to_answer(self, base: str, seconds: float) -> None:
        self._first_token.labels(base).observe(seconds)

    def generated(
        self, base: str, *, prompt_tokens: int, completion_tokens: int, token_seconds: float | None
    ) -> None:
        """`token_seconds`: the mean time between two tokens, if there were several."""
        self._tokens.labels(base, "prompt").inc(prompt_tokens)
        self._tokens.labels(base, "completion").inc(completion_tokens)
        if token_seconds is not None:
            self._token.labels(base).observe(token_seconds)

    def failed(self, base: str, code: str) -> None:
        self._failures.labels(base, code).inc()

    def reported(self, events: Sequence[RunnerEvent]) -> None:
        """Counts what a runner has reported, after the database has recorded it."""
        for event in events:
            match event:
                case CheckpointSaved():
                    self._checkpoints.labels("weights").inc()
                case ResumeStateSaved():
                    self._checkpoints.labels("resume_state").inc()
                case _:
                    pass
