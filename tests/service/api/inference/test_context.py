"""What a caller uses is charged, counted and written, however the request ends."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import date
from typing import Any, Literal

import pytest
from prometheus_client import CollectorRegistry

from cluster.contracts.classification import ClassificationRequest, TextInput
from cluster.contracts.embedding import EmbeddingRequest
from cluster.contracts.errors import Overloaded, Unavailable
from cluster.contracts.generation import (
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    Sampling,
    TextEvent,
    TextPrompt,
    ToolCallEvent,
)
from service.api.flushing import flushing
from service.api.inference.admission import AdmissionQueue
from service.api.inference.context import InferenceContext, MeteredEngine, TokenMeter
from service.api.inference.fair_queue import QueueLimits
from service.api.inference.rate_limits import Admission, RateLimiter
from service.api.inference.usage_meter import UsageMeter
from service.db.database import Database
from service.db.organization.api_keys import ApiKeys, Principal
from service.db.usage.usage import Usage, UsageCounts
from service.metrics.api import ApiMetrics
from tests.api import BASE, ENCODER, Project, add_project
from tests.fakes import FakeEngine

pytestmark = pytest.mark.anyio

NOON = 1_772_452_800.0
TODAY = date(2026, 3, 2)
DAY = 86_400


@pytest.fixture
def project(database: Database) -> Project:
    return add_project(database)


@pytest.fixture
def caller(database: Database, project: Project) -> Principal:
    with database.read() as session:
        return ApiKeys(session).authenticate(project.key)


def generation(n: int = 1) -> GenerationRequest:
    return GenerationRequest(
        id="r", model=ModelRef(base=BASE), prompt=TextPrompt(text="a b"), sampling=Sampling(n=n), tenant="t"
    )


@asynccontextmanager
async def metered(database: Database, caller: Principal, engine: FakeEngine) -> AsyncIterator[MeteredEngine]:
    """Writes what the block has used of the engine when it ends."""
    meter = UsageMeter(database, clock=lambda: NOON)
    limits = QueueLimits(max_running=4, max_waiting_per_tenant=4, max_waiting=4)
    admission = AdmissionQueue(limits, wait_seconds=5)
    async with asyncio.timeout(30), flushing(meter.flush, 60, "usage"):
        context = InferenceContext(
            engine, admission, meter, RateLimiter(database, {}), ApiMetrics(CollectorRegistry())
        )
        yield MeteredEngine(context, caller, "model-1", Admission({}))
        await admission.wait_until_empty()


def usage_by_model(database: Database, caller: Principal) -> dict[str, UsageCounts]:
    with database.read() as session:
        found = Usage(session, caller.tenant).between(TODAY, TODAY)
    assert all((key.api_key_id, key.day) == (caller.key_id, TODAY) for key, _ in found)
    return {key.model: used for key, used in found}


async def drain(events: AsyncGenerator[GenerationEvent]) -> None:
    async for _ in events:
        pass


async def test_a_whole_answer_is_counted_once_however_many_prompts_it_has(
    database: Database, caller: Principal
) -> None:
    async with metered(database, caller, FakeEngine()) as engine:
        await asyncio.gather(drain(engine.generate(generation(n=2))), drain(engine.generate(generation())))
    assert usage_by_model(database, caller) == {"model-1": UsageCounts(1, 4, 9)}


async def test_tokens_generated_before_a_disconnect_are_counted(
    database: Database, caller: Principal
) -> None:
    fake = FakeEngine()
    async with (
        metered(database, caller, fake) as engine,
        aclosing(engine.generate(generation())) as events,
    ):
        assert isinstance(await anext(events), PromptEvent)
        assert isinstance(await anext(events), TextEvent)
        assert isinstance(await anext(events), TextEvent)
    assert usage_by_model(database, caller) == {"model-1": UsageCounts(1, 2, 2)}
    assert fake.was_cancelled.is_set()


async def test_tokens_whose_text_is_held_back_are_counted_and_not_passed_on(
    database: Database, caller: Principal
) -> None:
    fake = FakeEngine(pieces=["", "", "", "later"], fault=Unavailable("gone"))
    async with (
        metered(database, caller, fake) as engine,
        aclosing(engine.generate(generation())) as events,
    ):
        assert isinstance(await anext(events), PromptEvent)
        with pytest.raises(Unavailable):
            await anext(events)
    assert usage_by_model(database, caller) == {"model-1": UsageCounts(1, 2, 3)}


async def test_tokens_generated_before_an_engine_failure_are_counted(
    database: Database, caller: Principal
) -> None:
    async with metered(database, caller, FakeEngine(fault=Unavailable("gone"))) as engine:
        with pytest.raises(Unavailable):
            await drain(engine.generate(generation()))
    assert usage_by_model(database, caller) == {"model-1": UsageCounts(1, 2, 2)}


async def test_a_refused_request_is_not_counted(database: Database, caller: Principal) -> None:
    async with metered(database, caller, FakeEngine(refusal=Overloaded("busy"))) as engine:
        with pytest.raises(Overloaded):
            await drain(engine.generate(generation()))
    assert usage_by_model(database, caller) == {}


@pytest.mark.parametrize("kind", ["classify", "embed"])
async def test_texts_wait_for_their_turn_and_are_charged_to_their_tenant(
    database: Database, caller: Principal, kind: Literal["classify", "embed"]
) -> None:
    """Of two waiting requests, the one whose tenant has used less goes first, although it came later."""
    fake = FakeEngine()
    model = ModelRef(base=ENCODER)

    async def ask(engine: MeteredEngine, id_: str, tenant: str) -> None:
        if kind == "classify":
            await engine.classify(
                ClassificationRequest(id=id_, model=model, inputs=[TextInput(text="x")], tenant=tenant)
            )
        else:
            await engine.embed(
                EmbeddingRequest(id=id_, model=model, inputs=[TextInput(text="x")], tenant=tenant)
            )

    admission = AdmissionQueue(
        QueueLimits(max_running=1, max_waiting_per_tenant=4, max_waiting=4), wait_seconds=5
    )
    context = InferenceContext(
        fake,
        admission,
        UsageMeter(database),
        RateLimiter(database, {}),
        ApiMetrics(CollectorRegistry()),
    )
    engine = MeteredEngine(context, caller, "model-1", Admission({}))
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks, admission.turn("another", 1):
        for id_, tenant in (("a1", "a"), ("a2", "a"), ("b1", "b")):
            tasks.create_task(ask(engine, id_, tenant))
            await asyncio.sleep(0)
        assert not fake.classified
        assert not fake.embedded
    served = [one.id for one in fake.classified] + [one.id for one in fake.embedded]
    assert served == ["a1", "b1", "a2"]


async def test_usage_survives_a_database_outage(database: Database, caller: Principal) -> None:
    class Away:
        def write(self) -> Any:
            raise Unavailable("The database does not answer.")

    meter = UsageMeter(database, clock=lambda: NOON)
    meter.add(caller, "m", "completions", UsageCounts(1, 2, 3))
    meter._database = Away()  # type: ignore[assignment]
    with pytest.raises(Unavailable):
        await meter.flush()
    meter._database = database
    meter.add(caller, "m", "completions", UsageCounts(1, 2, 3))
    await meter.flush()
    await meter.flush()
    with database.read() as session:
        ((_, used),) = Usage(session, caller.tenant).between(TODAY, TODAY)
    assert used == UsageCounts(2, 4, 6)


async def test_days_are_counted_apart_and_forgotten_once_they_are_written(
    database: Database, caller: Principal
) -> None:
    now = NOON

    meter = UsageMeter(database, clock=lambda: now)
    for _ in range(4):
        meter.add(caller, "m", "completions", UsageCounts(1, 2, 3))
        await meter.flush()
        now += DAY
    assert len(meter._totals) == 2, "the last hour, and the last minute"
    with database.read() as session:
        found = Usage(session, caller.tenant).between(TODAY, date(2026, 3, 9))
    assert [(key.day.day, used) for key, used in found] == [
        (day, UsageCounts(1, 2, 3)) for day in (2, 3, 4, 5)
    ]


async def test_a_request_of_many_prompts_leaves_places_to_others_and_keeps_its_own(
    database: Database, caller: Principal
) -> None:
    fake = FakeEngine(stalls=True)
    limits = QueueLimits(max_running=4, max_waiting_per_tenant=2, max_waiting=2)
    context = InferenceContext(
        fake,
        AdmissionQueue(limits, wait_seconds=5),
        UsageMeter(database),
        RateLimiter(database, {}),
        ApiMetrics(CollectorRegistry()),
    )
    engine = MeteredEngine(context, caller, "model-1", Admission({}), at_once=2)
    async with asyncio.timeout(30):
        running = [asyncio.create_task(drain(engine.generate(generation()))) for _ in range(50)]
        while len(fake.requests) < 2:
            await asyncio.sleep(0.01)
        assert (context.admission.num_running, context.admission.num_waiting) == (2, 0)
        fake.stalls = False
        for task in running[:2]:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    assert len(fake.requests) == 50
    assert not any(task.exception() for task in running[2:])


async def test_a_later_prompt_is_not_refused_for_a_full_queue(database: Database, caller: Principal) -> None:
    limits = QueueLimits(max_running=2, max_waiting_per_tenant=1, max_waiting=1)
    context = InferenceContext(
        FakeEngine(),
        AdmissionQueue(limits, wait_seconds=5),
        UsageMeter(database),
        RateLimiter(database, {}),
        ApiMetrics(CollectorRegistry()),
    )
    engine = MeteredEngine(context, caller, "model-1", Admission({}), at_once=1)
    admission = context.admission

    async def wait_for_turn() -> None:
        async with admission.turn("t", 1):
            pass

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        async with aclosing(engine.generate(generation())) as first:
            await anext(first)
            second = tasks.create_task(drain(engine.generate(generation())))
            async with admission.turn("t", 1):
                tasks.create_task(wait_for_turn())
                await asyncio.sleep(0)
                with pytest.raises(Overloaded):
                    admission.check_room("t")
                async for _ in first:
                    pass
        await second


def test_the_token_meter_always_agrees_with_the_engines_count() -> None:
    meter = TokenMeter()
    events: list[GenerationEvent] = [
        PromptEvent(prompt_tokens=7),
        TextEvent(index=0, text="ab", completion_tokens=2),
        TextEvent(index=1, text="", completion_tokens=3),
        TextEvent(index=1, text="y", completion_tokens=4),
        FinishEvent(index=0, reason="stop", completion_tokens=5),
        ToolCallEvent(index=1, call=0, name="f", completion_tokens=8),
        ToolCallEvent(index=1, call=0, arguments="{}", completion_tokens=8),
        FinishEvent(index=1, reason="tool_calls", completion_tokens=9),
    ]
    assert [meter.add(event) for event in events] == [7, 4, 6, 2, 6, 8, 0, 2]
    assert (meter.prompt_tokens, meter.completion_tokens) == (7, 14)
