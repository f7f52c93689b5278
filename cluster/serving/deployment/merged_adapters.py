"""Hot adapters as the entry sees them: it tells the placer what each adapter is asked for, and keeps the
applications awake that the placer names for those which are merged into their bases."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from cluster.contracts.errors import Overloaded, TuneryError, Unavailable
from cluster.contracts.generation import ModelRef
from cluster.serving.deployment.application import ModelApplication
from cluster.serving.deployment.settings import EngineSettings

_log = logging.getLogger(__name__)

_REPORT_SECONDS = 2.0
"""Between two reports at least. There are none while nobody asks."""
_RETRY_SECONDS = 300.0
"""After which a merge is tried again that came to nothing for another reason than the adapter itself."""

Report = Callable[[dict[str, int], list[str]], Awaitable[dict[str, str]]]
"""From the tokens of adapters since the last report, and all those that cannot be merged, to the applications
of the hot ones; models are JSON."""


class MergedAdapters:
    """Belongs to one event loop. Only what is awake is offered, so that nobody waits for a merge."""

    def __init__(
        self,
        settings: EngineSettings,
        report: Report,
        find: Callable[[str], ModelApplication],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`find` gives an application by its name."""
        self._is_on = settings.hot_tokens_per_second > 0
        self._scale_to_zero_seconds = settings.scale_to_zero_seconds
        self._report = report
        self._find = find
        self._clock = clock
        self._tokens: dict[str, int] = {}
        """Since the last report, by model."""
        self._reported_at = float("-inf")
        self._reporting: asyncio.Task[None] | None = None
        self._applications: dict[str, ModelApplication] = {}
        """Of what is hot, by model."""
        self._refused: set[str] = set()
        """Models that cannot be merged. An adapter is in it only after it was hot."""
        self._failed_at: dict[str, float] = {}
        """When the last try came to nothing, by model that is hot."""

    def counter(self, model: ModelRef) -> Callable[[int], None]:
        """To be called with the number of tokens in each chunk of one answer of the model."""
        if not self._is_on or model.adapter is None or model.adapter.form not in ("lora", "qlora"):
            return lambda num_tokens: None
        key = model.model_dump_json()

        def count(num_tokens: int) -> None:
            self._tokens[key] = self._tokens.get(key, 0) + num_tokens
            if self._reporting is None and self._clock() - self._reported_at >= _REPORT_SECONDS:
                self._reporting = asyncio.create_task(self._exchange())

        return count

    def ready_application(self, model: ModelRef) -> ModelApplication | None:
        """The application that has the model merged, if it is hot and answers at once."""
        if model.adapter is None or not self._applications:
            return None
        application = self._applications.get(model.model_dump_json())
        return application if application and application.is_up(self._scale_to_zero_seconds) else None

    @property
    def applications(self) -> list[ModelApplication]:
        return list(self._applications.values())

    async def _exchange(self) -> None:
        """Reports, and follows what the placer says; never raises."""
        tokens, self._tokens = self._tokens, {}
        try:
            self._follow(await self._report(tokens, sorted(self._refused)))
        except Exception:
            _log.warning("Could not tell the placer how much adapters are asked for.", exc_info=True)
        finally:
            self._reported_at = self._clock()
            self._reporting = None

    def _follow(self, hot: dict[str, str]) -> None:
        for cooled in self._applications.keys() - hot.keys():
            # Requests under way there come to their ends; then it rests.
            if starting := self._applications.pop(cooled).starting:
                starting.cancel()
            self._failed_at.pop(cooled, None)
        for model, name in hot.items():
            if model in self._refused:
                continue
            if model not in self._applications:
                self._applications[model] = self._find(name)
            application = self._applications[model]
            is_left = self._clock() - self._failed_at.get(model, float("-inf")) < _RETRY_SECONDS
            if (
                application.starting is None
                and not is_left
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
                _log.warning("An adapter stays beside its base: %s", error.message)
            else:
                self._failed_at[model] = self._clock()
                _log.warning("An adapter is not merged yet.", exc_info=error)
