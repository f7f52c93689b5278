"""What the engine contract does not cover of the vLLM backend: the calls to vLLM and its answers."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from peft import PeftModel
from torch.overrides import TorchFunctionMode
from transformers import AutoModelForCausalLM

from cluster.bases.pretrained import LOADING
from cluster.bases.resolve import base_folder
from cluster.contracts.errors import (
    ContextLengthExceeded,
    CorruptArtefact,
    EngineStartFailed,
    InvalidConfiguration,
    InvalidRequest,
    TuneryError,
    Unavailable,
)
from cluster.contracts.generation import GenerationEvent, GenerationRequest, ModelRef, TokenPrompt
from cluster.contracts.serving_plan import ServingPool, VllmArguments, VllmPlan
from cluster.contracts.weights import WeightsRef
from cluster.serving.deployment.models import planned_bytes
from cluster.serving.embedded.load import EmbeddedLoader
from cluster.serving.limits import EngineLimits
from cluster.serving.vllm_backend.engine import VllmEngine
from cluster.serving.vllm_backend.host_memory import host_bytes
from cluster.serving.vllm_backend.interface import import_vllm
from cluster.serving.vllm_backend.load import VllmLoader, outline
from cluster.serving.vllm_backend.params import choice_seed
from cluster.serving.weights.folder import WeightsFolder
from tests.cluster.serving.conftest import Tuned
from tests.cluster.serving.fake_vllm import AsyncLLM, ClientError, FakeVllm, Seen
from tests.cluster.serving.harness import LoopThread, Served
from tests.cluster.serving.published import publish_lora
from tests.cluster.serving.test_engine_contract import ENDLESS

pytestmark = pytest.mark.slow

Start = Callable[..., tuple[Served, AsyncLLM]]


@pytest.fixture
def start(tuned: Tuned, tmp_path: Path) -> Iterator[Start]:
    """An engine of the base, and its vLLM."""
    loop = LoopThread()
    engines: list[VllmEngine] = []

    def started(
        *,
        adapter: WeightsRef | None = None,
        tokens_per_output: int = 1,
        lora_rank: int = 64,
        clock: Callable[[], float] = monotonic,
        **limits: int,
    ) -> tuple[Served, AsyncLLM]:
        fake = FakeVllm(tokens_per_output=tokens_per_output)
        weights = WeightsFolder(tmp_path / "cache", tuned.store)
        sizes = VllmArguments(max_lora_rank=lora_rank)
        loader = VllmLoader(weights, EngineLimits(**limits), sizes, fake, clock=clock)
        engines.append(loop.run(loader(ModelRef(base=tuned.base, adapter=adapter))))
        return Served(loop, engines[-1], tuned.base), fake.engines[-1]

    yield started
    for engine in engines:
        loop.run(engine.close())
    loop.stop()


async def _events(served: Served, request: GenerationRequest) -> list[GenerationEvent]:
    return [event async for event in served.engine.generate(request)]


# Calls to vLLM


def test_each_choice_is_a_request_with_a_seed_of_its_own(start: Start) -> None:
    served, llm = start()
    served.ask(served.request(n=3, seed=5, temperature=0.5, max_tokens=3))
    assert [seen.params.n for seen in llm.seen] == [1, 1, 1]
    assert [seen.params.seed for seen in llm.seen] == [choice_seed(5, index) for index in range(3)]
    assert len({seen.request_id for seen in llm.seen}) == 3


def test_neighbouring_seeds_share_no_stream() -> None:
    seeds = [choice_seed(seed, index) for seed in range(50) for index in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_top_p_that_vllm_refuses_is_greedy(start: Start) -> None:
    served, llm = start()
    greedy = served.ask(served.request(max_tokens=8)).text
    assert served.ask(served.request(temperature=1.5, top_p=0, max_tokens=8)).text == greedy
    assert llm.seen[-1].params.temperature == 0


def test_tenants_share_no_cache_and_their_requests_do(start: Start) -> None:
    served, llm = start()
    for tenant in ("a", "b", "a", ""):
        served.ask(served.request(max_tokens=1).model_copy(update={"tenant": tenant}))
    assert [seen.prompt["cache_salt"] for seen in llm.seen] == ["a", "b", "a", None]


def test_only_the_first_choice_scores_the_prompt(start: Start) -> None:
    served, llm = start()
    served.ask(served.request(n=3, echo=True, logprobs=2, max_tokens=2))
    assert [seen.params.prompt_logprobs for seen in llm.seen] == [2, None, None]


def test_every_choice_is_watched_for_numbers_that_are_not_finite(start: Start, tuned: Tuned) -> None:
    served, llm = start()
    served.ask(served.request(tuned.refs["rslora"], max_tokens=1))
    served.ask(served.request(max_tokens=1))
    assert [seen.params.logprobs for seen in llm.seen] == [0, 0]


def test_nothing_to_do_asks_vllm_nothing(start: Start) -> None:
    served, llm = start()
    answer = served.ask(served.request(n=2, echo=True, max_tokens=0))
    assert answer.prompt is not None
    assert answer.prompt.text == "The quick brown"
    assert sorted(answer.finishes) == [0, 1]
    assert llm.seen == []


def test_a_full_fine_tune_takes_no_adapters(start: Start, tuned: Tuned) -> None:
    _, base = start(adapters=3, slots=5)
    assert base.arguments["enable_lora"]
    assert base.arguments["max_cpu_loras"] == base.arguments["max_loras"] == 3
    assert base.arguments["max_num_seqs"] == 5
    _, full = start(adapter=tuned.refs["full"])
    assert "enable_lora" not in full.arguments


# What vLLM answers


def test_several_tokens_in_one_output_are_events_one_by_one(start: Start) -> None:
    one, _ = start()
    many, _ = start(tokens_per_output=5)
    sampling = {"max_tokens": 12, "logprobs": 2, "echo": True, **ENDLESS}
    expected, found = (served.loop.run(_events(served, served.request(**sampling))) for served in (one, many))
    assert found == expected


def test_a_stop_string_ends_the_choice_in_vllm_too(start: Start) -> None:
    served, llm = start(tokens_per_output=4)
    whole = served.ask(served.request(max_tokens=40, logprobs=0, **ENDLESS))
    stop = whole.text[10:13]
    answer = served.ask(served.request(max_tokens=40, stop=[stop], **ENDLESS))
    assert answer.text == whole.text[: whole.text.index(stop)]
    assert answer.finishes[0].completion_tokens < 40
    assert llm.aborted == [llm.seen[-1].request_id]


@pytest.mark.parametrize(
    ("failure", "error"),
    [(ClientError("no such token"), InvalidRequest), (RuntimeError("at /usr/lib"), Unavailable)],
)
def test_errors_of_vllm_become_domain_errors(
    start: Start, failure: Exception, error: type[TuneryError]
) -> None:
    served, llm = start()
    llm.fails_with = failure
    with pytest.raises(error) as raised:
        served.ask(served.request(n=2))
    assert "/usr/lib" not in raised.value.message
    llm.fails_with = None
    assert served.ask(served.request()).finishes


def test_a_dead_engine_is_reported(start: Start) -> None:
    served, llm = start()
    llm.errored = True
    for work in (served.engine.stats(), served.answer(served.request())):
        with pytest.raises(Unavailable):
            served.loop.run(work)  # type: ignore[arg-type]


async def _stalled(
    served: Served, llm: AsyncLLM, adapter: WeightsRef | None = None
) -> asyncio.Task[list[GenerationEvent]]:
    """A request that vLLM runs without output."""
    request = served.request(adapter)
    llm.stalled.add(f"{request.id}-0")
    answering = asyncio.create_task(_events(served, request))
    while not llm.running:
        await asyncio.sleep(0)
    return answering


def test_a_vllm_that_hangs_breaks_the_engine_and_ends_what_runs(start: Start) -> None:
    now = 0.0
    served, llm = start(clock=lambda: now)

    async def hung() -> None:
        nonlocal now
        answering = await _stalled(served, llm)
        now = 299.0
        await served.engine.stats()
        now = 300.0
        with pytest.raises(Unavailable, match="broken"):
            await served.engine.stats()
        with pytest.raises(Unavailable, match="hangs"):
            await asyncio.wait_for(answering, 60)
        # Nothing runs any more, and vLLM still hangs.
        with pytest.raises(Unavailable, match="broken"):
            await served.engine.stats()

    served.loop.run(hung())
    assert llm.running == []


def _wild(tuned: Tuned, folder: Path, seed: int) -> WeightsRef:
    """Finite weights with non-finite products."""
    return publish_lora(
        tuned.store, tuned.base, folder / f"wild-{seed}", seed=seed, scale=1e30, target_modules="all-linear"
    )


def test_an_adapter_that_overflows_is_not_run_again_and_others_are(
    start: Start, tuned: Tuned, tmp_path: Path
) -> None:
    served, llm = start()
    served.ask(served.request(tuned.refs["rslora"]))
    for seed in (1, 2):
        wild = _wild(tuned, tmp_path, seed)
        with pytest.raises(CorruptArtefact, match="for this prompt"):
            served.ask(served.request(wild, n=3))
        num_seen = len(llm.seen)
        with pytest.raises(CorruptArtefact, match="does not run them again"):
            served.ask(served.request(wild))
        assert len(llm.seen) == num_seen
    assert served.ask(served.request(tuned.refs["rslora"])).finishes
    assert served.ask(served.request()).finishes
    served.loop.run(served.engine.stats())


@pytest.mark.parametrize("name", ["base", "rslora"])
def test_sound_weights_that_get_non_finite_numbers_from_others_break_the_engine(
    start: Start, tuned: Tuned, tmp_path: Path, name: str
) -> None:
    """The supervisor replaces a broken engine."""
    served, llm = start()
    served.ask(served.request(tuned.refs[name]))
    with pytest.raises(CorruptArtefact):
        served.ask(served.request(_wild(tuned, tmp_path, 3)))
    llm.is_spoiled = True
    with pytest.raises(Unavailable, match="corrupted"):
        served.ask(served.request(tuned.refs[name]))
    for work in (served.engine.stats(), served.answer(served.request())):
        with pytest.raises(Unavailable, match="broken"):
            served.loop.run(work)  # type: ignore[arg-type]


def test_corrupted_memory_ends_what_runs_in_it(start: Start, tuned: Tuned, tmp_path: Path) -> None:
    served, llm = start()
    served.ask(served.request())
    with pytest.raises(CorruptArtefact):
        served.ask(served.request(_wild(tuned, tmp_path, 3)))

    async def corrupted() -> None:
        answering = await _stalled(served, llm, tuned.refs["rslora"])
        llm.is_spoiled = True
        with pytest.raises(Unavailable, match="corrupted"):
            await _events(served, served.request())
        with pytest.raises(Unavailable, match="corrupted"):
            await asyncio.wait_for(answering, 60)

    served.loop.run(corrupted())
    assert llm.running == []


def test_non_finite_numbers_of_the_only_weights_do_not_break_the_engine(start: Start, tuned: Tuned) -> None:
    """They can only corrupt their own requests, and a repeated request is no evidence."""
    served, llm = start(adapter=tuned.refs["full"])
    served.ask(served.request(tuned.refs["full"]))
    llm.is_spoiled = True
    for _ in range(2):
        with pytest.raises(CorruptArtefact):
            served.ask(served.request(tuned.refs["full"]))
    served.loop.run(served.engine.stats())


def test_a_prompt_that_fills_the_context_cannot_be_scored(start: Start) -> None:
    served, _ = start()
    prompt = TokenPrompt(token_ids=[50] * served.base.context_length)
    with pytest.raises(ContextLengthExceeded, match=r"1 for the completion.* to score a prompt"):
        served.ask(served.request(prompt=prompt, max_tokens=0, echo=True, logprobs=0))


def test_cancelling_aborts_every_choice(start: Start) -> None:
    served, llm = start(slots=2)

    async def cancelled() -> None:
        request = served.request(n=3, max_tokens=200, **ENDLESS)
        async with aclosing(served.engine.generate(request)) as events:
            async for event in events:
                if event.type == "text":
                    break

    served.loop.run(cancelled())
    assert llm.running == []
    assert len(llm.aborted) == len(llm.seen) == 2


def test_closing_after_the_first_event_frees_all_slots(start: Start) -> None:
    served, _ = start(slots=2)

    async def left() -> int:
        request = served.request(n=3, max_tokens=200, **ENDLESS)
        async with aclosing(served.engine.generate(request)) as events:
            await anext(events)
        stats = await served.engine.stats()
        return stats.running + stats.waiting

    assert served.loop.run(left()) == 0


def test_closing_ends_vllms_process(start: Start) -> None:
    served, llm = start()
    served.loop.run(served.engine.close())
    assert llm.is_shut_down


class _Watch(TorchFunctionMode):
    """Records whether the lock was held at each call of torch."""

    def __init__(self) -> None:
        self.held: list[bool] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.held.append(LOADING._is_owned())  # type: ignore[attr-defined]
        return func(*args, **kwargs or {})


def test_no_meta_model_is_built_while_another_model_loads(tuned: Tuned) -> None:
    with _Watch() as watch:
        outline(base_folder(tuned.base))
    assert watch.held
    assert all(watch.held), "of two at once, one can be left with the other one's type of numbers"


# Adapters


def _loras(seen: list[Seen]) -> list[tuple[int, str]]:
    return [(one.lora.lora_int_id, one.lora.lora_path) for one in seen if one.lora is not None]


def test_concurrent_requests_share_one_load(start: Start, tuned: Tuned) -> None:
    served, llm = start()
    served.ask_together([served.request(tuned.refs["rslora"], max_tokens=2) for _ in range(6)])
    assert len(llm.lora_paths) == 1
    assert len(set(_loras(llm.seen))) == 1


def test_a_reloaded_adapter_has_a_new_number_and_the_path_that_its_cached_prefixes_name(
    start: Start, tuned: Tuned
) -> None:
    """vLLM hashes the name and the path."""
    served, llm = start(adapters=1)
    for name in ("rslora", "wide_rank", "rslora", "wide_rank"):
        served.ask(served.request(tuned.refs[name], max_tokens=2))
    assert len(set(_loras(llm.seen))) == 4
    assert llm.lora_paths[:2] == llm.lora_paths[2:]
    assert len(set(llm.lora_paths)) == len({seen.lora.lora_name for seen in llm.seen if seen.lora}) == 2
    assert len(llm.loras) == 1
    kept = {path for path in llm.lora_paths if Path(path).exists()}
    assert kept == {llm.lora_paths[-1]}


def test_an_adapter_in_use_keeps_its_place_and_its_files(start: Start, tuned: Tuned) -> None:
    """The double itself refuses to remove one that is in use, to take more than there is room for, and to
    answer without the files."""
    served, llm = start(adapters=2)
    names = ["rslora", "wide_rank", "all_linear", "rank_pattern"]
    requests = [served.request(tuned.refs[name], max_tokens=30, **ENDLESS) for name in names * 2]
    answers = served.ask_together(requests)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert len(llm.loras) == 2


def test_what_is_written_for_vllm_is_the_same_adapter_with_one_scale(start: Start, tuned: Tuned) -> None:
    served, llm = start()
    served.loop.run(served.engine.ensure(ModelRef(base=served.base, adapter=tuned.refs["rank_pattern"])))
    config = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base_folder(tuned.base)), llm.lora_paths[0]
    ).peft_config["default"]
    assert config.r == config.lora_alpha == 6
    assert not config.use_rslora


def test_an_adapter_that_is_not_lora_is_refused(start: Start, tuned: Tuned) -> None:
    served, _ = start()
    ref = tuned.refs["rslora"]
    assert ref is not None
    with pytest.raises(InvalidRequest, match="embedded engine"):
        served.ask(served.request(ref.model_copy(update={"form": "prefix"})))


def test_a_rank_beyond_the_settings_is_refused(start: Start, tuned: Tuned) -> None:
    served, llm = start(lora_rank=8)
    with pytest.raises(InvalidRequest, match=r"rank is 16.*at most 8"):
        served.ask(served.request(tuned.refs["wide_rank"]))
    assert llm.lora_paths == []


UNEXPECTED = (
    "While loading /cache/a, expected target modules in ['q_proj', 'v_proj'] but received ['conv1d']. Please "
    "verify that the loaded LoRA module is correct"
)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (UNEXPECTED, InvalidRequest),
        ("LoRA rank 128 is greater than max_lora_rank 64.", InvalidRequest),
        ("model.embed.lora_magnitude is unsupported LoRA weight", InvalidRequest),
        ("Worker failed with error 'vLLM does not yet support DoRA.'", InvalidRequest),
        ("[Errno 28] No space left on device: '/cache/a'", Unavailable),
        ("CUDA error: out of memory", Unavailable),
        ("Loading lora a failed: No adapter found for /cache/a", Unavailable),
        ("", Unavailable),
    ],
)
def test_only_an_adapter_that_vllm_never_accepts_is_refused(
    start: Start, tuned: Tuned, reason: str, error: type[TuneryError]
) -> None:
    served, llm = start()
    llm.refuses_loras = reason or "AssertionError"
    with pytest.raises(error) as raised:
        served.ask(served.request(tuned.refs["rslora"]))
    assert "merged" in raised.value.message or "try again" in raised.value.message
    assert "add_lora" not in raised.value.message
    assert "/cache" not in raised.value.message
    llm.refuses_loras = ""
    assert served.ask(served.request(tuned.refs["rslora"])).finishes


def test_copies_of_adapters_are_beside_the_weights_and_go_with_the_engine(
    start: Start, tuned: Tuned, tmp_path: Path
) -> None:
    served, llm = start()
    served.ask(served.request(tuned.refs["rslora"]))
    folder = Path(llm.lora_paths[0]).parent
    assert folder.parent == tmp_path / "cache"
    served.loop.run(served.engine.close())
    assert not folder.exists()


def test_copies_of_adapters_that_a_killed_process_has_left_go_an_hour_later_when_an_engine_starts(
    start: Start, tmp_path: Path
) -> None:
    left = tmp_path / "cache" / ".adapters.0123"
    (left / "a-1").mkdir(parents=True)
    start()
    assert left.exists()
    os.utime(left, (0, 0))
    start()
    assert not left.exists()


def test_an_adapter_for_other_shapes_is_refused(start: Start, tuned: Tuned, tmp_path: Path) -> None:
    def widen(model: Any) -> None:
        for name, parameter in model.named_parameters():
            if "lora_A" in name:
                parameter.data = parameter.data.repeat(1, 2)

    ref = publish_lora(
        tuned.store, tuned.base, tmp_path / "wide", seed=1, change=widen, target_modules=["q_proj"]
    )
    served, llm = start()
    with pytest.raises(InvalidRequest, match="this base needs"):
        served.ask(served.request(ref))
    assert llm.lora_paths == []


def test_vllm_is_shut_down_if_its_adapter_folder_cannot_be_created(tuned: Tuned, tmp_path: Path) -> None:
    fake, cache = FakeVllm(), tmp_path / "cache"
    loader = VllmLoader(WeightsFolder(cache, tuned.store), EngineLimits(), VllmArguments(), fake)
    cache.write_text("no folder")
    with pytest.raises(Unavailable):
        asyncio.run(loader(ModelRef(base=tuned.base)))
    assert [llm.is_shut_down for llm in fake.engines] == [True]


def test_a_vllm_that_does_not_start_says_why(tuned: Tuned, tmp_path: Path) -> None:
    fake = FakeVllm(refuses_to_start="No available memory for the cache blocks.")
    loader = VllmLoader(WeightsFolder(tmp_path / "cache", tuned.store), EngineLimits(), VllmArguments(), fake)
    with pytest.raises(EngineStartFailed, match="leave no memory for keys and values") as failed:
        asyncio.run(loader(ModelRef(base=tuned.base)))
    assert failed.value.cause == "out_of_memory"


def test_a_vllm_that_measures_less_memory_than_planned_starts_with_the_context_that_it_names(
    tuned: Tuned, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = tuned.base.model_copy(update={"context_length": 8192})
    fake = FakeVllm(longest_context=5000)
    loader = VllmLoader(WeightsFolder(tmp_path / "cache", tuned.store), EngineLimits(), VllmArguments(), fake)

    async def run() -> None:
        engine = await loader(ModelRef(base=base))
        request = GenerationRequest(
            id="long", model=ModelRef(base=base), prompt=TokenPrompt(token_ids=[5] * 4865)
        )
        with pytest.raises(
            ContextLengthExceeded, match=r"length is 4864 tokens, .* reads 8192, but the GPUs"
        ):
            async with aclosing(engine.generate(request)) as events:
                await anext(events)
        assert (await engine.stats()).context_length == 4864
        await engine.close()

    asyncio.run(run())
    assert fake.contexts == [8192, 4864]
    assert "with a context of 4864 tokens instead of 8192" in caplog.text


@pytest.mark.parametrize(("context", "longest"), [(8192, 2047), (256, 250)])
def test_a_context_that_would_be_too_short_is_not_tried(
    tuned: Tuned, tmp_path: Path, context: int, longest: int
) -> None:
    base = tuned.base.model_copy(update={"context_length": context})
    fake = FakeVllm(longest_context=longest)
    loader = VllmLoader(WeightsFolder(tmp_path / "cache", tuned.store), EngineLimits(), VllmArguments(), fake)
    with pytest.raises(EngineStartFailed, match=r"2\.28 GiB, and 2\.10 GiB are left"):
        asyncio.run(loader(ModelRef(base=base)))
    assert fake.contexts == [context]


def test_a_plan_becomes_vllms_arguments(tuned: Tuned, tmp_path: Path) -> None:
    pool = ServingPool.model_validate({"kind": "cuda", "devices": 4, "device_bytes": 80 * 10**9})
    plan = VllmPlan(
        pool=pool,
        tensor_parallel_size=2,
        max_model_len=64,
        max_num_seqs=48,
        max_num_batched_tokens=4096,
        max_loras=3,
        max_lora_rank=16,
        gpu_memory_utilization=0.9,
        memory=None,
    )
    fake = FakeVllm()
    limits = EngineLimits(slots=plan.max_num_seqs)
    weights = WeightsFolder(tmp_path / "cache", tuned.store)
    loader = VllmLoader(weights, limits, plan, fake, memory_bytes=planned_bytes(plan))

    async def run() -> VllmEngine:
        engine = await loader(ModelRef(base=tuned.base))
        request = GenerationRequest(
            id="long", model=ModelRef(base=tuned.base), prompt=TokenPrompt(token_ids=[5] * 70)
        )
        # The planned context, not the catalogue's.
        with pytest.raises(ContextLengthExceeded, match="length is 64 tokens"):
            async with aclosing(engine.generate(request)) as events:
                await anext(events)
        await engine.close()
        return engine

    assert asyncio.run(run()).num_bytes == 2 * 72 * 10**9
    arguments = fake.engines[0].arguments
    expected = plan.model_dump(exclude={"pool", "memory"}) | {"distributed_executor_backend": "mp"}
    assert {name: arguments[name] for name in expected} == expected


@pytest.mark.parametrize(("setting", "kept"), [("0", 8), ("20000000000", 3)])
def test_the_host_keeps_adapters_for_all_of_a_large_models_places_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, tuned: Tuned, tmp_path: Path, setting: str, kept: int
) -> None:
    from cluster.serving.deployment.models import engine_loader
    from cluster.serving.deployment.settings import EngineSettings

    monkeypatch.setenv("TUNERY_ENGINE_ADAPTER_BYTES", setting)
    pool = ServingPool.model_validate({"kind": "cuda", "devices": 8, "device_bytes": 80 * 10**9})
    plan = VllmPlan(
        pool=pool,
        tensor_parallel_size=4,
        max_model_len=8192,
        max_num_seqs=48,
        max_num_batched_tokens=4096,
        max_loras=7,
        gpu_memory_utilization=0.9,
        memory=None,
    )
    weights = WeightsFolder(tmp_path, tuned.store)
    loader = engine_loader(EngineSettings.read(), weights, planned_bytes(plan), plan=plan)
    assert isinstance(loader, VllmLoader)
    # A copy in each of four processes of an adapter of rank 64 on all layers of a model of 70B.
    largest = 4 * 64 * 2 * 80 * 161_792
    assert host_bytes(plan, loader._limits, largest=largest, free=220 * 10**9) // largest == kept


def test_vllm_is_imported_with_its_variables_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setenv("VLLM_USE_FLASHINFER_SAMPLER", "")
    monkeypatch.delenv("VLLM_USE_FLASHINFER_SAMPLER")
    with suppress(EngineStartFailed):
        import_vllm()
    assert os.environ["VLLM_USE_FLASHINFER_SAMPLER"] == "0"


def test_without_vllm_the_setting_is_named() -> None:
    try:
        import vllm  # noqa: F401
    except ImportError:
        with pytest.raises(EngineStartFailed, match="tunery vllm install"):
            import_vllm()
    else:
        pytest.skip("vLLM is installed.")


# Settings


def test_the_embedded_engine_is_the_default(
    monkeypatch: pytest.MonkeyPatch, tuned: Tuned, tmp_path: Path
) -> None:
    from cluster.serving.deployment.models import engine_loader
    from cluster.serving.deployment.settings import EngineSettings

    kinds = {"": EmbeddedLoader, "auto": EmbeddedLoader, "embedded": EmbeddedLoader, "vllm": VllmLoader}
    weights = WeightsFolder(tmp_path, tuned.store)
    for value, kind in kinds.items():
        monkeypatch.setenv("TUNERY_ENGINE", value)
        assert type(engine_loader(EngineSettings.read(), weights, 1 << 30)) is kind
    monkeypatch.setenv("TUNERY_ENGINE", "sglang")
    with pytest.raises(InvalidConfiguration, match=r"TUNERY_ENGINE is 'sglang'.*'embedded' or 'vllm'"):
        EngineSettings.read()
