"""Hot adapters, as the entry handles them. It reports each adapter's tokens to the placer, and keeps a
replica running in each application that the placer returns for an adapter merged into its base."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from cluster.contracts.errors import Overloaded, TuneryError, Unavailable
from cluster.contracts.generation import ModelRef
from cluster.serving.deployment.placement.application import ModelApplication
from cluster.serving.deployment.settings import EngineSettings

_log = logging.getLogger(__name__)

_REPORT_SECONDS = 2.0
"""Minimum time between two reports. Without requests, none are sent."""
_RETRY_SECONDS = 300.0
"""Time after which a failed merge is retried, unless the adapter itself was the reason."""

Report = Callable[[dict[str, int], list[str]], Awaitable[dict[str, str]]]
"""Takes the tokens by adapter since the last report, and all adapters that cannot be merged. Returns the
application names of the hot adapters. Models are given as JSON."""


class MergedAdapters:
    """Used from one event loop. Returns only applications with a running replica, so that no request waits
    for a merge."""

    def __init__(
        self,
        settings: EngineSettings,
        report: Report,
        find: Callable[[str], ModelApplication],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`find` returns an application by its name."""
        self._is_on = settings.hot_tokens_per_second > 0
        self._scale_to_zero_seconds = settings.scale_to_zero_seconds
        self._report = report
        self._find = find
        self._clock = clock
        self._tokens: dict[str, int] = {}
        """Tokens since the last report, by model."""
        self._reported_at = float("-inf")
        self._reporting: asyncio.Task[None] | None = None
        self._applications: dict[str, ModelApplication] = {}
        """The applications of hot adapters, by model."""
        self._refused: set[str] = set()
        """Models that cannot be merged. Only adapters that were hot get here."""
        self._failed_at: dict[str, float] = {}
        """When the last attempt failed, by hot model."""

    def counter(self, model: ModelRef) -> Callable[[int], None]:
        """Returns a function to call with the number of tokens in each chunk of one answer of the model."""
        if not self._is_on or model.adapter is None or model.adapter.form not in ("lora", "qlora"):
            return lambda num_tokens: None
        key = model.model_dump_json()

        def count(num_tokens: int) -> None:
            self._tokens[key] = self._tokens.get(key, 0) + num_tokens
            if self._reporting is None and self._clock() - self._reported_at >= _REPORT_SECONDS:
                self._reporting = asyncio.create_task(self._send_report())

        return count

    def ready_application(self, model: ModelRef) -> ModelApplication | None:
        """Returns the application that serves the merged model, if the adapter is hot and a replica is
        running."""
        if model.adapter is None or not self._applications:
            return None
        application = self._applications.get(model.model_dump_json())
        return application if application and application.is_up(self._scale_to_zero_seconds) else None

    @property
    def applications(self) -> list[ModelApplication]:
        return list(self._applications.values())

    async def _send_report(self) -> None:
        """Sends a report and applies the answer. Never raises."""
        tokens, self._tokens = self._tokens, {}
        try:
            self._apply(await self._report(tokens, sorted(self._refused)))
        except Exception:
            _log.warning("Could not report the usage of adapters to the placer.", exc_info=True)
        finally:
            self._reported_at = self._clock()
            self._reporting = None

    def _apply(self, hot: dict[str, str]) -> None:
        for cooled in self._applications.keys() - hot.keys():
            # Running requests finish in the old application, which then scales to zero.
            if starting := self._applications.pop(cooled).starting:
                starting.cancel()
            self._failed_at.pop(cooled, None)
        for model, name in hot.items():
            if model in self._refused:
                continue
            if model not in self._applications:
                self._applications[model] = self._find(name)
            application = self._applications[model]
            has_just_failed = self._clock() - self._failed_at.get(model, float("-inf")) < _RETRY_SECONDS
            if (
                application.starting is None
                and not has_just_failed
                and not application.is_up(self._scale_to_zero_seconds)
            ):
                application.starting = asyncio.create_task(self._start(model, application))
                application.starting.add_done_callback(application.start_ended)

    async def _start(self, model: str, application: ModelApplication) -> None:
        ref = ModelRef.model_validate_json(model)
        try:
            await application.ensure(ref, named=ref.name)
        except Exception as error:
            if isinstance(error, TuneryError) and not isinstance(error, Overloaded | Unavailable):
                self._refused.add(model)
                self._applications.pop(model, None)
                _log.warning("An adapter is served unmerged: %s", error.message)
            else:
                self._failed_at[model] = self._clock()
                _log.warning("An adapter could not be merged yet.", exc_info=error)
