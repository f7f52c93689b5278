"""How the entry handles hot adapters, with a fake placer and fake applications."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from cluster.contracts.bases import WeightsForm
from cluster.contracts.errors import InvalidRequest, Unavailable
from cluster.contracts.generation import ModelRef
from cluster.contracts.weights import WeightsRef
from cluster.serving.deployment.placement.application import ModelApplication
from cluster.serving.deployment.placement.merged_adapters import MergedAdapters
from cluster.serving.deployment.settings import EngineSettings
from tests.api import BASE

pytestmark = pytest.mark.anyio

FORMS: tuple[WeightsForm, ...] = ("lora", "qlora", "full", "prefix")
HOT, QUANTIZED, FULL, PREFIX = (
    ModelRef(base=BASE, adapter=WeightsRef(digest="1" * 64, manifest_key="k", form=form)) for form in FORMS
)
KEY = HOT.model_dump_json()
SETTINGS = EngineSettings(TUNERY_ENGINE_PLACEMENT="own", TUNERY_ENGINE_HOT_TOKENS_PER_SECOND="1")


class Entry:
    """MergedAdapters with a placer that returns `hot`, and an application that starts with `start`."""

    def __init__(self, settings: EngineSettings = SETTINGS) -> None:
        self.now = 0.0
        self.hot = {KEY: "model-hot"}
        self.start: Callable[[], Coroutine[Any, Any, None]] = lambda: asyncio.sleep(0)
        self.reports: list[tuple[dict[str, int], list[str]]] = []
        self.calls: list[str] = []
        self.adapters = MergedAdapters(
            settings, self._report, lambda name: ModelApplication(name, self, 0.0), clock=lambda: self.now
        )

    async def answer(self, model: ModelRef = HOT) -> None:
        """Ten tokens in two chunks, and time for what follows from that."""
        count = self.adapters.counter(model)
        count(3)
        count(7)
        for _ in range(10):
            await asyncio.sleep(0)
        self.now += 2.0

    @property
    def is_switched(self) -> bool:
        return self.adapters.ready_application(HOT) is not None

    async def _report(self, tokens: dict[str, int], refused: list[str]) -> dict[str, str]:
        self.reports.append((tokens, refused))
        return {model: name for model, name in self.hot.items() if model not in refused}

    # The application's handle.
    def options(self, *, method_name: str, multiplexed_model_id: str) -> "Entry":
        assert (method_name, multiplexed_model_id) == ("ensure", HOT.name)
        return self

    async def remote(self, model: str, load_timeout_seconds: float | None) -> None:
        self.calls.append(model)
        await self.start()


def test_tokens_are_reported_at_intervals() -> None:
    async def run() -> Entry:
        entry = Entry()
        await entry.answer()
        entry.now -= 1.0
        await entry.answer()
        await entry.answer()
        return entry

    # The first report is sent at once; tokens within the interval after it wait for the next report.
    assert [tokens for tokens, _ in asyncio.run(run()).reports] == [{KEY: 10}, {KEY: 20}]


@pytest.mark.parametrize(
    ("settings", "model"),
    [
        (EngineSettings(), HOT),
        (SETTINGS, ModelRef(base=BASE)),
        (SETTINGS, FULL),
        (SETTINGS, PREFIX),
    ],
)
def test_only_mergeable_adapters_are_reported(settings: EngineSettings, model: ModelRef) -> None:
    async def run() -> Entry:
        entry = Entry(settings)
        await entry.answer(model)
        return entry

    assert asyncio.run(run()).reports == []


def test_an_adapter_on_four_bits_may_be_merged_too() -> None:
    async def run() -> Entry:
        entry = Entry()
        await entry.answer(QUANTIZED)
        return entry

    assert [tokens for tokens, _ in asyncio.run(run()).reports] == [{QUANTIZED.model_dump_json(): 10}]


async def test_requests_go_to_the_merged_adapter_while_it_is_running_and_hot() -> None:
    entry = Entry()
    is_up = asyncio.Event()
    entry.start = is_up.wait
    await entry.answer()
    await entry.answer()
    assert (entry.calls, entry.is_switched) == ([KEY], False)
    is_up.set()
    await entry.answer()
    assert (entry.calls, entry.is_switched) == ([KEY], True)
    entry.hot = {}
    await entry.answer()
    assert (entry.is_switched, entry.adapters.applications) == (False, [])


async def test_a_start_is_cancelled_when_the_adapter_cools_down() -> None:
    entry = Entry()
    is_left = asyncio.Event()

    async def start() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            is_left.set()

    entry.start = start
    await entry.answer()
    entry.hot = {}
    await entry.answer()
    assert is_left.is_set()


def failing(entry: Entry, error: Exception) -> None:
    async def start() -> None:
        raise error

    entry.start = start


async def test_an_adapter_that_cannot_be_merged_is_reported_and_tried_once() -> None:
    entry = Entry()
    failing(entry, InvalidRequest("no", code="not_mergeable"))
    await entry.answer()
    entry.now += 10_000
    await entry.answer()
    await entry.answer()
    assert (entry.calls, entry.is_switched) == ([KEY], False)
    assert [refused for _, refused in entry.reports] == [[], [KEY], [KEY]]


@pytest.mark.parametrize("error", [Unavailable("no room"), MemoryError()])
async def test_a_failed_merge_is_retried_after_minutes(error: Exception) -> None:
    entry = Entry()
    failing(entry, error)
    for _ in range(10):
        await entry.answer()
    assert len(entry.calls) == 1
    entry.now += 300
    entry.start = lambda: asyncio.sleep(0)
    await entry.answer()
    assert (len(entry.calls), entry.is_switched) == (2, True)


async def test_an_unavailable_placer_loses_only_the_report() -> None:
    entry = Entry()
    await entry.answer()
    entry.hot = None  # type: ignore[assignment]
    await entry.answer()
    assert entry.is_switched
    entry.hot = {}
    await entry.answer()
    assert not entry.is_switched
