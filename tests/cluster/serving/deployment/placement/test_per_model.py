"""A replica of one model, in this process."""

import asyncio
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from cluster.contracts.errors import CorruptArtefact, EngineStartFailed, InvalidRequest, Unavailable
from cluster.contracts.generation import EngineStats, GenerationRequest, ModelRef, Sampling, TextPrompt
from cluster.contracts.serving_plan import ServingPool, VllmPlan
from cluster.serving.deployment.placement import per_model
from cluster.serving.deployment.placement.per_model import ModelApp
from cluster.serving.deployment.settings import EngineSettings
from cluster.storage.local import LocalStore
from tests.api import BASE
from tests.cluster.serving.published import publish_lora
from tests.families import make_family


class KeptApp(ModelApp):
    def __del__(self) -> None:  # type: ignore[override]
        """Only Serve awaits the inherited method."""


async def started(model: ModelRef, *, merges: bool, vllm: str = "", placer: str = "") -> ModelApp:
    app = object.__new__(KeptApp)
    # As Serve does.
    await ModelApp.__init__(app, model.model_dump_json(), merges, vllm, placer)  # type: ignore[misc]
    return app


async def answer(app: ModelApp, model: ModelRef) -> str:
    request = GenerationRequest(
        id=model.name,
        model=model,
        prompt=TextPrompt(text="The quick brown"),
        sampling=Sampling(temperature=0, max_tokens=12),
    )
    chunks = [chunk async for chunk in app.generate(request.model_dump_json(), None)]
    return "".join(chunk.lines for chunk in chunks)


PLAN = VllmPlan(
    pool=ServingPool(kind="cuda", devices=1, device_bytes=80 * 10**9),
    max_model_len=4096,
    max_num_batched_tokens=4096,
    max_num_seqs=8,
    memory=None,
)


class Models:
    """In the place of ReplicaModels."""

    made: ClassVar[list["Models"]] = []
    failure: ClassVar[BaseException | None] = None
    loaded: tuple[str, ...] = ()
    hangs: ClassVar[bool] = False

    def __init__(self, settings: EngineSettings, *, merges: bool, plan: VllmPlan | None) -> None:
        self.settings = settings
        self.is_closed = False
        self.made.append(self)

    async def ensure(self, model: ModelRef) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure

    async def check(self) -> None:
        pass

    async def names(self) -> list[str]:
        return list(self.loaded)

    async def own_stats(self) -> list[EngineStats]:
        stats = EngineStats(base="b", running=0, waiting=0, slots=1, adapters=[], generated_tokens=0)
        return [stats.model_copy(update={"context_length": 4864})]

    async def close(self) -> None:
        self.is_closed = True


class Placer:
    def __init__(self) -> None:
        self.told: list[str | int] = []

    def options(self, *, method_name: str) -> "Placer":
        assert method_name == "started"
        return self

    async def remote(
        self, model: str, failure: EngineStartFailed | None, *, name: str, replica: str, context_length: int
    ) -> None:
        assert (name, replica) == ("model-a", "r1")
        self.told.append(f"{failure.message} ({failure.cause})" if failure else context_length)


async def of_fakes(monkeypatch: pytest.MonkeyPatch, plan: VllmPlan | None) -> tuple[ModelApp, Models, Placer]:
    placer = Placer()
    monkeypatch.setattr(per_model, "log_as_json", lambda: None)
    monkeypatch.setattr(per_model.serve, "get_deployment_handle", lambda name, application: placer)
    context = SimpleNamespace(app_name="model-a", replica_id=SimpleNamespace(unique_id="r1"))
    monkeypatch.setattr(per_model.serve, "get_replica_context", lambda: context)
    monkeypatch.setattr(per_model, "ReplicaModels", Models)
    vllm = plan.model_dump_json() if plan else ""
    app = await started(ModelRef(base=BASE), merges=False, vllm=vllm, placer="engine")
    return app, Models.made[-1], placer


@pytest.mark.anyio
@pytest.mark.parametrize(("plan", "idle_seconds"), [(PLAN, 0), (None, 3600)])
async def test_what_has_reserved_gpus_is_never_unloaded_for_being_idle(
    monkeypatch: pytest.MonkeyPatch, plan: VllmPlan | None, idle_seconds: int
) -> None:
    _, models, _ = await of_fakes(monkeypatch, plan)
    assert models.settings.idle_seconds == idle_seconds


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (None, [4864]),
        (EngineStartFailed("too small", cause="out_of_memory"), ["too small (out_of_memory)"]),
        (CorruptArtefact("a byte differs"), ["a byte differs (crashed)"]),
        (
            OSError("/secret"),
            [f"{BASE.alias} could not be loaded. The replica's log says why. (crashed)"],
        ),
        (asyncio.CancelledError(), []),
    ],
)
async def test_the_placer_learns_how_a_start_has_ended(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException | None, told: list[str | int]
) -> None:
    monkeypatch.setattr(Models, "failure", failure)
    app, _, placer = await of_fakes(monkeypatch, PLAN)
    await asyncio.wait([app._loading])
    assert placer.told == told


@pytest.mark.anyio
async def test_a_start_that_hangs_fails_and_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Models, "hangs", True)
    monkeypatch.setenv("TUNERY_ENGINE_START_SECONDS", "0.1")
    app, models, placer = await of_fakes(monkeypatch, PLAN)
    await asyncio.wait([app._loading])
    assert placer.told == [
        f"vLLM has not started {BASE.alias} within 0 s (TUNERY_ENGINE_START_SECONDS). The log of its replica "
        "says how far it has come. (timed_out)"
    ]
    with pytest.raises(Unavailable, match="could not be loaded"):
        await app.check_health()
    await ModelApp.__del__(app)
    assert not models.is_closed
    # The embedded engine holds no GPU, and its requests have time limits of their own.
    app, _, _ = await of_fakes(monkeypatch, None)
    await asyncio.sleep(0.2)
    assert not app._loading.done()
    app._loading.cancel()


@pytest.mark.anyio
@pytest.mark.parametrize(("plan", "is_replaced"), [(PLAN, True), (None, False)])
async def test_serve_replaces_a_replica_that_keeps_gpus_and_has_no_model(
    monkeypatch: pytest.MonkeyPatch, plan: VllmPlan | None, is_replaced: bool
) -> None:
    monkeypatch.setattr(Models, "failure", Unavailable("no storage"))
    app, models, _ = await of_fakes(monkeypatch, plan)
    await app.check_health()
    await asyncio.wait([app._loading])
    with pytest.raises(Unavailable, match="could not be loaded") if is_replaced else nullcontext():
        await app.check_health()
    # A request has had it loaded.
    models.loaded = (BASE.alias,)
    await app.check_health()


@pytest.mark.anyio
async def test_a_replica_that_serve_stops_closes_its_models_unless_they_are_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, models, _ = await of_fakes(monkeypatch, None)
    await ModelApp.__del__(app)
    assert not models.is_closed
    await app._loading
    await ModelApp.__del__(app)
    assert models.is_closed


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_merged_adapter_answers_as_unmerged_and_its_replica_runs_nothing_else(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNERY_STORAGE_URL", f"file://{tmp_path / 'store'}")
    monkeypatch.setenv("TUNERY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TUNERY_ENGINE_PLACEMENT", "own")
    # There is no replica whose name its lines would have.
    monkeypatch.setattr(per_model, "log_as_json", lambda: None)
    base = ModelRef(base=make_family(family, tmp_path / "base"))
    store = LocalStore(tmp_path / "store")
    options = {"target_modules": "all-linear", "fan_in_fan_out": family == "gpt2"}
    adapted, other = (
        ModelRef(
            base=base.base,
            adapter=publish_lora(store, base.base, tmp_path / f"lora-{seed}", seed=seed, **options),
        )
        for seed in (1, 2)
    )

    async def run() -> list[EngineStats]:
        beside, merged = await started(base, merges=False), await started(adapted, merges=True)
        assert await answer(merged, adapted) == await answer(beside, adapted) != await answer(beside, base)
        for model in (base, other):
            with pytest.raises(InvalidRequest, match="one adapter merged into its base"):
                await answer(merged, model)
            with pytest.raises(InvalidRequest, match="one adapter merged into its base"):
                await merged.ensure(model.model_dump_json(), None)
        stats = [*await merged.stats(), *await beside.stats()]
        for app in (merged, beside):
            await ModelApp.__del__(app)
            assert await app.stats() == []
        return stats

    assert adapted.adapter
    stats = asyncio.run(run())
    assert [one.adapters for one in stats] == [[adapted.adapter.digest]] * 2
    # Only the unmerged adapter uses memory of its own.
    assert [one.adapter_bytes > 0 for one in stats] == [False, True]
