"""The entry in front of per-model deployments, with fake handles."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from grpc.aio import UsageError
from ray.exceptions import ActorUnavailableError, RayTaskError
from ray.serve.exceptions import RayServeException

from cluster.contracts.errors import EngineStartFailed, NotFound, Unavailable
from cluster.contracts.generation import (
    EngineStats,
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    TextPrompt,
)
from cluster.serving.deployment.placement import remote
from cluster.serving.deployment.placement.remote import RemoteModels
from cluster.serving.deployment.settings import EngineSettings
from cluster.wire.codec import EventChunk, decode_events, encode_event
from tests.api import BASE

REQUEST = GenerationRequest(id="r", model=ModelRef(base=BASE), prompt=TextPrompt(text="x"))
PROMPT = PromptEvent(prompt_tokens=1)
END = FinishEvent(index=0, reason="stop", completion_tokens=1)
STATS = EngineStats(base="c", running=0, waiting=0, slots=1, adapters=[], generated_tokens=0)


LOST = ActorUnavailableError("gone", None)
CLOSED = UsageError("Channel is closed.")
GONE = RayServeException("The deployment is unavailable.")


class Stream:
    def __init__(self, items: list[GenerationEvent | Exception]) -> None:
        self._items = items
        self.is_cancelled = False

    async def __aiter__(self) -> AsyncIterator[EventChunk]:
        for item in self._items:
            if isinstance(item, Exception):
                raise item
            yield EventChunk(encode_event(item), 1)

    def cancel(self) -> None:
        self.is_cancelled = True


class Handle:
    """The handle of one application. `streams` are its answers to `generate`, in order."""

    def __init__(self, *streams: list[GenerationEvent | Exception]) -> None:
        self.streams = [Stream(items) for items in streams]
        self.calls: list[str] = []
        self.start: Callable[[], Any] = lambda: asyncio.sleep(0)

    def options(self, *, method_name: str, **_: object) -> "Handle.Method":
        return Handle.Method(self, method_name)

    class Method:
        def __init__(self, handle: "Handle", name: str) -> None:
            self.handle, self.name = handle, name

        def remote(self, *_: object) -> Any:
            self.handle.calls.append(self.name)
            if self.name == "generate":
                return self.handle.streams[self.handle.calls.count("generate") - 1]
            return self.handle.start()


class Placer:
    def __init__(self) -> None:
        self.num_calls = 0
        self.touched: list[str] = []
        self.was_touched = asyncio.Event()
        self.is_ready = asyncio.Event()
        self.is_ready.set()
        self.failure: EngineStartFailed | None = None
        """Why the application was removed."""

    def options(self, *, method_name: str) -> Any:
        return {"place": self, "touch": Placer.Touch(self)}[method_name]

    class Touch:
        def __init__(self, placer: "Placer") -> None:
            self.placer = placer

        async def remote(self, name: str) -> bool:
            self.placer.touched.append(name)
            self.placer.was_touched.set()
            return self.placer.failure is None

    async def remote(self, model: str) -> str:
        self.num_calls += 1
        await self.is_ready.wait()
        if self.failure is not None:
            raise self.failure
        return f"model-{ModelRef.model_validate_json(model).base.alias}"


def ask(handle: Handle, *, load_timeout_seconds: float | None = None) -> list[GenerationEvent]:
    async def run() -> list[GenerationEvent]:
        models = RemoteModels(EngineSettings(), Placer(), find=lambda name: handle)
        return await _all(models.generate(REQUEST, load_timeout_seconds=load_timeout_seconds))

    return asyncio.run(run())


def test_a_replica_is_started_before_the_first_request() -> None:
    handle = Handle([PROMPT, END])
    assert ask(handle) == [PROMPT, END]
    assert handle.calls == ["ensure", "generate"]


@pytest.mark.parametrize("lost", [LOST, CLOSED], ids=["actor", "channel"])
def test_a_request_whose_replica_is_lost_before_it_answers_is_retried_once(lost: Exception) -> None:
    handle = Handle([lost], [PROMPT, END])
    assert ask(handle) == [PROMPT, END]
    assert handle.calls == ["ensure", "generate", "ensure", "generate"]
    with pytest.raises(Unavailable, match="replica was lost"):
        ask(Handle([lost], [lost]))


def test_a_request_to_a_deployment_that_has_gone_is_retried() -> None:
    class Unassigned(Stream):
        def cancel(self) -> None:
            # As Serve does if it has found no replica for the request.
            raise GONE

    handle = Handle([GONE], [PROMPT, END])
    handle.streams[0] = Unassigned([GONE])
    assert ask(handle) == [PROMPT, END]
    assert handle.calls == ["ensure", "generate", "ensure", "generate"]


def test_a_handle_whose_deployment_has_gone_is_replaced() -> None:
    handle = Handle([PROMPT, END])
    stale = [GONE]

    class Gone(Handle):
        def options(self, **named: Any) -> Handle.Method:
            if named["method_name"] == "generate" and stale:
                raise stale.pop()
            return handle.options(**named)

    assert ask(Gone()) == [PROMPT, END]


def test_the_application_of_a_lost_replica_is_placed_again() -> None:
    handle = Handle([LOST], [PROMPT, END])
    placer = Placer()
    models = RemoteModels(EngineSettings(), placer, find=lambda name: handle)
    assert asyncio.run(_all(models.generate(REQUEST, load_timeout_seconds=None))) == [PROMPT, END]
    assert placer.num_calls == 2


@pytest.mark.parametrize(
    ("items", "kind"),
    [
        ([PROMPT, LOST], Unavailable),
        ([NotFound("no files")], NotFound),
        ([PROMPT, NotFound("x")], NotFound),
    ],
)
def test_a_request_that_has_begun_or_was_refused_is_not_retried(
    items: list[GenerationEvent | Exception], kind: type[Exception]
) -> None:
    handle = Handle(items)
    with pytest.raises(kind):
        ask(handle)
    assert handle.calls == ["ensure", "generate"]


@pytest.mark.parametrize(
    "fault",
    [ValueError("a fault of ours"), RayTaskError("generate", "…", ValueError("over Ray's own way"))],
    ids=["as raised", "wrapped"],
)
def test_an_unexpected_error_counts_as_a_lost_replica(fault: Exception) -> None:
    handle = Handle([fault], [fault])
    with pytest.raises(Unavailable, match="replica was lost"):
        ask(handle)
    assert handle.calls == ["ensure", "generate", "ensure", "generate"]


def test_a_load_timeout_says_how_long_the_start_has_taken_and_does_not_stop_it() -> None:
    handle = Handle([PROMPT, END])

    async def run() -> list[GenerationEvent]:
        is_up = asyncio.Event()
        handle.start = is_up.wait
        models = RemoteModels(EngineSettings(), Placer(), find=lambda name: handle)
        waiting = asyncio.ensure_future(_all(models.generate(REQUEST, load_timeout_seconds=None)))
        while not handle.calls:
            await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="has been loading for 0 s"):
            await _all(models.generate(REQUEST, load_timeout_seconds=0.01))
        is_up.set()
        return await waiting

    assert asyncio.run(run()) == [PROMPT, END]
    assert handle.calls == ["ensure", "generate"]


def test_concurrent_requests_share_one_call_of_the_placer_which_outlasts_the_first() -> None:
    placer = Placer()

    async def run() -> list[GenerationEvent]:
        models = RemoteModels(EngineSettings(), placer, find=lambda name: Handle([PROMPT, END]))
        placer.is_ready.clear()
        requests = [
            asyncio.ensure_future(_all(models.generate(REQUEST, load_timeout_seconds=limit)))
            for limit in (0.01, None)
        ]
        with pytest.raises(Unavailable):
            await requests[0]
        placer.is_ready.set()
        return await requests[1]

    assert asyncio.run(run()) == [PROMPT, END]
    assert placer.num_calls == 1


def test_an_application_that_has_gone_leaves_the_others_statistics() -> None:
    def raise_gone() -> None:
        raise GONE

    async def lost() -> None:
        raise LOST

    async def stats() -> list[EngineStats]:
        return [STATS]

    handles = {f"model-{alias}": Handle([PROMPT, END]) for alias in "abc"}

    async def run() -> list[EngineStats]:
        models = RemoteModels(EngineSettings(), Placer(), find=handles.__getitem__)
        for alias in "abc":
            model = ModelRef(base=BASE.model_copy(update={"alias": alias}))
            request = REQUEST.model_copy(update={"model": model})
            await _all(models.generate(request, load_timeout_seconds=None))
        for handle, answer in zip(handles.values(), (raise_gone, lost, stats), strict=True):
            handle.start = answer
        return await models.stats()

    assert asyncio.run(run()) == [STATS]


def test_closing_the_stream_cancels_the_request_in_its_replica() -> None:
    handle = Handle([PROMPT, END])

    async def run() -> None:
        models = RemoteModels(EngineSettings(), Placer(), find=lambda name: handle)
        events = models.generate(REQUEST, load_timeout_seconds=None)
        assert decode_events((await anext(events)).lines.encode()) == [PROMPT]
        assert not handle.streams[0].is_cancelled
        await events.aclose()

    asyncio.run(run())
    assert handle.streams[0].is_cancelled


def test_an_application_counts_as_used_during_its_start_and_an_open_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "_TOUCH_SECONDS", 0.01)
    handle, placer = Handle([PROMPT, END]), Placer()

    async def run() -> None:
        is_up = asyncio.Event()
        handle.start = is_up.wait
        models = RemoteModels(EngineSettings(), placer, find=lambda name: handle)
        events = models.generate(REQUEST, load_timeout_seconds=None)
        first = asyncio.ensure_future(anext(events))
        async with asyncio.timeout(5):
            await placer.was_touched.wait()
            assert handle.calls == ["ensure"]
            is_up.set()
            await first
            placer.was_touched.clear()
            await placer.was_touched.wait()
        await events.aclose()
        await asyncio.sleep(0.05)
        placer.touched.clear()
        await asyncio.sleep(0.05)

    asyncio.run(run())
    assert placer.touched == []


async def _all(chunks: Any) -> list[GenerationEvent]:
    return [event async for chunk in chunks for event in decode_events(chunk.lines.encode())]


def test_requests_that_wait_for_a_model_which_is_removed_learn_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_TOUCH_SECONDS", 0.01)

    async def run() -> None:
        handle, placer = Handle(), Placer()
        # As Serve's: it waits for a replica, also of an application that has gone.
        handle.start = asyncio.Event().wait
        models = RemoteModels(EngineSettings(), placer, find=lambda name: handle)
        asking = asyncio.create_task(_all(models.generate(REQUEST, load_timeout_seconds=None)))
        await placer.was_touched.wait()
        placer.failure = EngineStartFailed("no node had 8 free GPUs", cause="no_node")
        async with asyncio.timeout(10):
            with pytest.raises(EngineStartFailed, match="no node had 8"):
                await asking
            placer.failure, handle.start = None, lambda: asyncio.sleep(0)
            handle.streams = [Stream([PROMPT, END])]
            assert await _all(models.generate(REQUEST, load_timeout_seconds=None)) == [PROMPT, END]

    asyncio.run(run())
