"""Applications of models: created on demand, recreated if Serve gives up on them, removed when unused."""

import asyncio
import json
import time
from collections.abc import Iterable

import pytest
from ray.serve.schema import DeploymentDetails, DeploymentStatusTrigger, ReplicaDetails, ReplicaState

from cluster.contracts.devices import ClaimAnswer, TrainingClaim
from cluster.contracts.errors import EngineStartFailed, Unavailable
from cluster.contracts.generation import ModelRef
from cluster.contracts.serving_plan import VllmPlan
from cluster.contracts.weights import WeightsRef
from cluster.serving.deployment.placement.placer import Placer, application_name, forget, unused
from cluster.serving.deployment.placement.plans import ServingPlans
from cluster.serving.deployment.placement.reservations import Reservation
from cluster.serving.deployment.placement.serve_applications import (
    Replicas,
    actor_options,
    replicas_of,
    said_of_start,
)
from cluster.serving.deployment.settings import EngineSettings
from tests.api import BASE

pytestmark = pytest.mark.anyio

CONFIG = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
"""An 8B model."""
MODEL = ModelRef(base=BASE)
TUNED = ModelRef(base=BASE, adapter=WeightsRef(digest="1" * 64, manifest_key="k", form="full"))


class Applications:
    def __init__(self, alive: Iterable[str] = ()) -> None:
        self.names = set(alive)
        self.drains = False
        """Whether what is deleted stays until it is taken off `draining`."""
        self.draining: set[str] = set()
        self.running: dict[str, set[str]] = {}
        self.starting: set[str] = set()
        self.made: list[str] = []
        self.checks = 0
        self.broken: EngineStartFailed | None = None
        self.said: dict[str, str] = {}
        """What Serve says of applications whose replicas do not start."""

    def alive(self) -> set[str]:
        return set(self.names)

    def present(self) -> set[str]:
        return self.names | self.draining

    def replicas(self) -> dict[str, Replicas]:
        return {
            name: Replicas(frozenset(self.running.get(name, ())), int(name in self.starting))
            for name in self.running.keys() | self.starting
        }

    def run(
        self,
        name: str,
        model: ModelRef,
        settings: EngineSettings,
        *,
        merges: bool,
        vllm: VllmPlan | None = None,
    ) -> None:
        self.made.append(name)
        self.names.add(name)

    def check_environment(self, settings: EngineSettings, plan: VllmPlan) -> None:
        self.checks += 1
        if self.broken is not None:
            raise self.broken

    def start_failure(self, name: str) -> str:
        return self.said.get(name, "")

    def delete(self, name: str) -> None:
        self.said.pop(name, None)
        self.names.discard(name)
        if self.drains:
            self.draining.add(name)


async def started(applications: Applications) -> Placer:
    placer = object.__new__(Placer)
    plans = ServingPlans(EngineSettings.read(), lambda base: CONFIG)
    # As Serve does.
    await Placer.__init__(placer, applications, plans)  # type: ignore[misc]
    return placer


async def report(
    placer: Placer,
    name: str,
    failure: EngineStartFailed | None,
    *,
    replica: str = "r1",
    model: ModelRef = MODEL,
) -> None:
    """What a replica does when it has loaded its model or failed to."""
    await placer.started(
        model.model_dump_json(), failure, name=name, replica=replica, context_length=0 if failure else 4864
    )


def name_of(model: ModelRef) -> str:
    return application_name(model, EngineSettings.read(), merges=False)


async def test_an_application_keeps_its_name_when_the_plan_expects_other_sizes_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_gpus(monkeypatch)
    settings = EngineSettings.read()
    plan = (await ServingPlans(settings, lambda base: CONFIG).plan(BASE)).vllm
    assert plan is not None
    assert plan.memory is not None
    memory = plan.memory.model_copy(update={"weights": plan.memory.weights + 100})
    plans = [plan, plan.model_copy(update={"memory": memory}), plan.model_copy(update={"max_num_seqs": 3})]
    same, name, other = (application_name(MODEL, settings, merges=False, vllm=one) for one in plans)
    assert name == same != other


async def test_an_application_is_created_once_and_again_when_serve_has_given_up_on_it() -> None:
    applications = Applications()

    placer = await started(applications)
    models = [MODEL, TUNED, MODEL, MODEL]
    names = await asyncio.gather(*(placer.place(model.model_dump_json()) for model in models))
    assert names == [name_of(model) for model in models]
    assert sorted(applications.made) == sorted({name_of(MODEL), name_of(TUNED)})
    applications.names.remove(name_of(MODEL))
    for model in (TUNED, MODEL, MODEL):
        await placer.place(model.model_dump_json())
    assert applications.made[2:] == [name_of(MODEL)]


async def test_a_new_placer_keeps_existing_applications() -> None:
    applications = Applications([name_of(MODEL)])

    placer = await started(applications)
    assert await placer.place(MODEL.model_dump_json()) == name_of(MODEL)
    assert applications.made == []


def test_unused_applications_are_removed() -> None:
    assert unused({"model-a": 100.0, "model-b": 500.0}, now=701.0, forget_seconds=600.0) == ["model-a"]


def test_an_application_used_during_removal_stays_and_a_failure_stops_nothing() -> None:
    now = time.monotonic()
    used = {"model-a": now - 700, "model-b": now - 700, "model-c": now - 700}
    deleted: list[str] = []

    async def remove(name: str) -> None:
        deleted.append(name)
        del used[name]
        used["model-b"] = time.monotonic()
        if name == "model-a":
            raise RuntimeError("Serve is busy")

    asyncio.run(forget(used, {}, 600.0, remove))
    assert deleted == ["model-a", "model-c"]
    assert list(used) == ["model-b"]


# vLLM on GPUs


def on_gpus(
    monkeypatch: pytest.MonkeyPatch,
    devices: int = 2,
    *,
    python: str = "/opt/vllm/bin/python",
    floor: int = 0,
) -> None:
    pool = {"kind": "cuda", "devices": devices, "device_bytes": "80GB", "labels": {"pool": "serve"}}
    pool["floor"] = floor
    monkeypatch.setenv("TUNERY_SERVING_POOLS", json.dumps([pool]))
    monkeypatch.setenv("TUNERY_VLLM_PYTHON", python)


def named(number: int) -> ModelRef:
    return ModelRef(base=BASE.model_copy(update={"alias": f"model-{number}"}))


async def test_a_base_of_vllm_reserves_gpus_of_its_pool_in_its_own_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_gpus(monkeypatch, python="/var/my data/vllm/bin/python")
    applications = Applications()
    placer = await started(applications)
    name = await placer.place(MODEL.model_dump_json())
    assert Reservation.read(name) == Reservation("serving", 1)
    settings = EngineSettings.read()
    plan = (await ServingPlans(settings, lambda base: CONFIG).plan(BASE)).vllm
    assert actor_options(settings, plan) == {
        # All CPUs may be training's.
        "num_cpus": 0,
        "num_gpus": 1,
        "label_selector": {"pool": "serve"},
        "runtime_env": {"py_executable": "'/var/my data/vllm/bin/python'"},
    }
    # Once for each start.
    await placer.place(MODEL.model_dump_json())
    assert applications.checks == 1


async def test_what_vllm_does_not_run_has_a_deployment_without_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpus(monkeypatch)
    placer = await started(Applications())
    prefix = WeightsRef(digest="2" * 64, manifest_key="k", form="prefix")
    names = [
        await placer.place(ModelRef(base=BASE, adapter=adapter).model_dump_json())
        for adapter in (None, prefix)
    ]
    assert [Reservation.read(name) is None for name in names] == [False, True]


async def test_bases_take_turns_on_gpus_and_those_in_use_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpus(monkeypatch)
    applications = Applications()
    placer = await started(applications)
    names = [await placer.place(named(number).model_dump_json()) for number in range(2)]
    with pytest.raises(Unavailable, match="needs 1 of the 2 GPUs for serving") as refused:
        await placer.place(named(2).model_dump_json())
    assert (refused.value.code, applications.names) == ("model_not_ready", set(names))
    placer._used[names[0]] -= 1000
    third = await placer.place(named(2).model_dump_json())
    assert applications.names == {names[1], third}


async def test_a_base_that_is_still_in_use_stays_and_one_that_has_gone_is_not_brought_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_gpus(monkeypatch, 1)
    applications = Applications()
    placer = await started(applications)
    name = await placer.place(MODEL.model_dump_json())
    placer._used[name] -= 1000
    await placer.touch(name)
    with pytest.raises(Unavailable, match="other models are using them"):
        await placer.place(named(1).model_dump_json())
    placer._used[name] -= 1000
    other = await placer.place(named(1).model_dump_json())
    await placer.touch(name)
    assert set(placer._used) == applications.names == {other}


async def test_an_environment_that_is_missing_is_told_without_another_start_until_it_is_mended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_gpus(monkeypatch)
    applications = Applications()
    applications.broken = EngineStartFailed("vLLM cannot start: no vLLM.", cause="no_environment")
    placer = await started(applications)
    for _ in range(2):
        with pytest.raises(EngineStartFailed, match="no vLLM") as failed:
            await placer.place(MODEL.model_dump_json())
    assert failed.value.retry_after_seconds > 60
    assert (applications.checks, applications.made) == (1, [])
    assert await placer.failures() == {MODEL.weights: "vLLM cannot start: no vLLM."}
    await placer._look_again()
    assert await placer.failures() != {}
    applications.broken = None
    await placer._look_again()
    assert await placer.failures() == {}
    await placer.place(MODEL.model_dump_json())


async def test_a_failed_start_gives_its_gpus_back_and_a_later_success_clears_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_gpus(monkeypatch)
    applications = Applications()
    placer = await started(applications)
    name = await placer.place(MODEL.model_dump_json())
    await report(placer, name, EngineStartFailed("too small", cause="out_of_memory"))
    await asyncio.gather(*placer._leaving.values())
    assert applications.names == set()
    with pytest.raises(EngineStartFailed, match="too small"):
        await placer.place(MODEL.model_dump_json())
    assert await placer.contexts() == {}
    await report(placer, name, None)
    assert await placer.failures() == {}
    assert await placer.contexts() == {MODEL.weights: 4864}
    await placer.place(MODEL.model_dump_json())


@pytest.mark.parametrize("is_alive", [False, True])
async def test_replicas_that_end_before_they_can_tell_why_are_told_of_by_serve(
    monkeypatch: pytest.MonkeyPatch, is_alive: bool
) -> None:
    on_gpus(monkeypatch)
    applications = Applications()
    placer = await started(applications)
    name = await placer.place(MODEL.model_dump_json())
    applications.said = {name: "Error:\nModuleNotFoundError: No module named 'orjson'"}
    if not is_alive:
        applications.names.remove(name)
    for _ in range(2):
        with pytest.raises(EngineStartFailed, match="has no module orjson") as failed:
            await placer.place(MODEL.model_dump_json())
        await asyncio.gather(*placer._leaving.values())
    assert failed.value.cause == "no_environment"
    assert (applications.names, applications.made) == (set(), [name])
    assert await placer.failures() == {MODEL.weights: failed.value.message}
    placer._failures.clear()
    await placer.place(MODEL.model_dump_json())
    assert applications.names == {name}


@pytest.mark.parametrize(
    ("trigger", "states", "said"),
    [
        (DeploymentStatusTrigger.REPLICA_STARTUP_FAILED, [], "no module"),
        (DeploymentStatusTrigger.REPLICA_STARTUP_FAILED, [ReplicaState.STARTING], "no module"),
        (DeploymentStatusTrigger.REPLICA_STARTUP_FAILED, [ReplicaState.RUNNING], ""),
        (DeploymentStatusTrigger.CONFIG_UPDATE_STARTED, [ReplicaState.STARTING], ""),
    ],
)
def test_serve_is_asked_only_why_no_replica_starts(
    trigger: DeploymentStatusTrigger, states: list[ReplicaState], said: str
) -> None:
    replicas = [
        ReplicaDetails(actor_name="x", replica_id=state.value, state=state, start_time_s=0)
        for state in states
    ]
    details = DeploymentDetails.model_construct(
        status_trigger=trigger, message="no module", replicas=replicas
    )
    assert said_of_start(details) == said


UNREACHABLE = EngineStartFailed("The storage does not answer.", cause="crashed")


@pytest.mark.parametrize("is_new", [False, True])
async def test_a_replica_that_fails_beside_another_leaves_the_model_to_that_one(
    monkeypatch: pytest.MonkeyPatch, is_new: bool
) -> None:
    on_gpus(monkeypatch)
    applications = Applications()
    placer = await started(applications)
    name = await placer.place(MODEL.model_dump_json())
    applications.running = {name: {"r1"}}
    await report(placer, name, None, replica="r1")
    if is_new:
        placer = await started(applications)
    applications.running = {name: {"r1", "r2"}}
    await report(placer, name, UNREACHABLE, replica="r2")
    await asyncio.sleep(0.05)
    assert applications.names == {name}
    assert await placer.failures() == {}


@pytest.mark.parametrize("running", [{"r3"}, {"r2", "r3"}])
async def test_a_model_none_of_whose_replicas_starts_any_more_gives_its_gpus_back(
    monkeypatch: pytest.MonkeyPatch, running: set[str]
) -> None:
    """As one that has scaled to zero after it had run."""
    on_gpus(monkeypatch)
    applications = Applications()
    placer = await started(applications)
    name = await placer.place(MODEL.model_dump_json())
    applications.running = {name: {"r1"}}
    await report(placer, name, None, replica="r1")
    applications.running = {name: running}
    await report(placer, name, UNREACHABLE, replica="r3")
    await asyncio.gather(*placer._leaving.values())
    assert applications.names == set()
    assert await placer.failures() == {MODEL.weights: UNREACHABLE.message}


async def test_a_model_that_no_node_has_room_for_gives_its_gpus_back_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_gpus(monkeypatch, 1)
    monkeypatch.setenv("TUNERY_ENGINE_PENDING_SECONDS", "600")
    applications = Applications()
    placer = await started(applications)
    name = await placer.place(MODEL.model_dump_json())
    applications.starting = {name, "model-of-no-gpus"}
    await placer._give_up_pending()
    placer._pending[name] -= 599
    await placer._give_up_pending()
    # A request that waits for it keeps it in use.
    assert await placer.touch(name)
    with pytest.raises(Unavailable, match="other models are using them"):
        await placer.place(named(1).model_dump_json())
    placer._pending[name] -= 1
    await placer._give_up_pending()
    await asyncio.gather(*placer._leaving.values())
    assert not await placer.touch(name)
    with pytest.raises(EngineStartFailed, match=r"no node with the labels pool=serve had 1 free") as refused:
        await placer.place(MODEL.model_dump_json())
    assert refused.value.cause == "no_node"
    assert await placer.failures() == {MODEL.weights: refused.value.message}
    other = await placer.place(named(1).model_dump_json())
    assert applications.names == {other}


async def test_a_model_that_runs_or_has_scaled_to_zero_waits_for_no_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_gpus(monkeypatch)
    monkeypatch.setenv("TUNERY_ENGINE_PENDING_SECONDS", "600")
    applications = Applications()
    placer = await started(applications)
    name = await placer.place(MODEL.model_dump_json())
    for starting, running in (({name}, {name: {"r1"}}), (set(), {}), ({name}, {})):
        applications.starting, applications.running = starting, running
        await placer._give_up_pending()
        placer._pending = {waiting: since - 599 for waiting, since in placer._pending.items()}
    await placer._give_up_pending()
    assert applications.names == {name}


@pytest.mark.parametrize("is_old", [False, True])
async def test_a_replica_that_waits_for_a_node_counts_as_none_beside_one_that_fails(
    monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    on_gpus(monkeypatch)
    applications = Applications()
    placer = await started(applications)
    name = await placer.place(MODEL.model_dump_json())
    applications.running, applications.starting = {name: {"r1"}}, {name}
    if is_old:
        placer = await started(applications)
    await report(placer, name, UNREACHABLE, replica="r1")
    await asyncio.gather(*placer._leaving.values())
    assert applications.names == set()


def test_only_replicas_that_take_requests_run() -> None:
    found = [
        ReplicaDetails(actor_name="x", replica_id=state.value, state=state, start_time_s=0)
        for state in ReplicaState
    ]
    assert replicas_of(found) == Replicas(
        frozenset({"UPDATING", "RECOVERING", "RUNNING", "PENDING_MIGRATION"}), starting=1
    )


async def test_a_fine_tune_that_does_not_start_leaves_its_base_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_gpus(monkeypatch)
    placer = await started(Applications())
    name = await placer.place(TUNED.model_dump_json())
    await report(placer, name, EngineStartFailed("broken", cause="crashed"), model=TUNED)
    await asyncio.gather(*placer._leaving.values())
    name = await placer.place(MODEL.model_dump_json())
    assert MODEL.weights not in await placer.failures()
    # Nor does its base's success say that it would start.
    await report(placer, name, None)
    with pytest.raises(EngineStartFailed, match="broken"):
        await placer.place(TUNED.model_dump_json())
    assert await placer.failures() == {TUNED.weights: "broken"}


async def test_what_the_environment_lacks_concerns_the_base_whichever_model_finds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_gpus(monkeypatch)
    applications = Applications()
    applications.broken = EngineStartFailed("vLLM cannot start: no vLLM.", cause="no_environment")
    placer = await started(applications)
    for model in (TUNED, MODEL):
        with pytest.raises(EngineStartFailed, match="no vLLM"):
            await placer.place(model.model_dump_json())
    assert applications.checks == 1
    assert await placer.failures() == {MODEL.weights: "vLLM cannot start: no vLLM."}


async def test_old_failures_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpus(monkeypatch)
    monkeypatch.setattr("cluster.serving.deployment.placement.placer._REPORTED_SECONDS", -121.0)
    placer = await started(Applications())
    name = await placer.place(TUNED.model_dump_json())
    await report(placer, name, EngineStartFailed("broken", cause="crashed"), model=TUNED)
    assert await placer.failures() == {}
    await placer._look_again()
    assert placer._failures == {}


async def test_a_new_placer_knows_which_gpus_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpus(monkeypatch)
    taken = f"model-0123{Reservation('serving', 2).suffix}"
    placer = await started(Applications([taken]))
    with pytest.raises(Unavailable, match="other models are using them"):
        await placer.place(MODEL.model_dump_json())


async def claim(placer: Placer, devices: int, *, idle_seconds: float = 0.0, **labels: str) -> ClaimAnswer:
    asked = TrainingClaim(devices=devices, idle_seconds=idle_seconds, labels=labels or None)
    return await placer.claim(asked.model_dump_json())


async def is_granted(placer: Placer, devices: int, *, idle_seconds: float = 0.0) -> bool:
    return (await claim(placer, devices, idle_seconds=idle_seconds)).is_granted


async def test_training_and_models_take_turns_on_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpus(monkeypatch, 1)
    applications = Applications()
    placer = await started(applications)
    await placer.place(MODEL.model_dump_json())
    # Not before the replica has gone.
    assert not await is_granted(placer, 1)
    assert not await is_granted(placer, 1)
    await asyncio.gather(*placer._leaving.values())
    assert applications.names == set()
    assert await is_granted(placer, 1)
    with pytest.raises(Unavailable, match="Training has 1 of the 1 GPUs") as refused:
        await placer.place(MODEL.model_dump_json())
    assert (refused.value.code, refused.value.retry_after_seconds) == ("gpu_in_use", 60.0)
    assert await is_granted(placer, 0)
    await placer.place(MODEL.model_dump_json())


async def test_a_warm_base_makes_room_for_training_only_and_then_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_gpus(monkeypatch, 1)
    monkeypatch.setenv("TUNERY_WARM_BASES", f"{BASE.alias},not-in-the-catalogue")
    catalogue = {BASE.alias: BASE}
    monkeypatch.setattr("cluster.serving.deployment.placement.placer.load_catalogue", lambda: catalogue)
    applications = Applications()
    placer = await started(applications)
    await placer._place_warm()
    (name,) = applications.names
    placer._used[name] -= 1000
    with pytest.raises(Unavailable, match="other models are using them"):
        await placer.place(named(1).model_dump_json())
    await forget(placer._used, placer._locks, 600.0, placer._remove, kept=placer._warm)
    assert applications.names == {name}
    # Training may have it. Nobody has asked for it, so it takes no job's turn.
    placer._claims._refused.clear()
    assert not await is_granted(placer, 1)
    await asyncio.gather(*placer._leaving.values())
    assert await is_granted(placer, 1)
    await placer._place_warm()
    assert applications.names == set()
    assert (await claim(placer, 0)).needed == 0
    await placer._place_warm()
    assert applications.names == {name}


@pytest.fixture
def draining(monkeypatch: pytest.MonkeyPatch) -> Applications:
    """Applications whose streams go on after they have been deleted, on one GPU."""
    on_gpus(monkeypatch, 1)
    monkeypatch.setattr("cluster.serving.deployment.placement.placer._POLL_SECONDS", 0.01)
    applications = Applications()
    applications.drains = True
    return applications


async def test_training_gets_no_gpu_before_the_last_stream_on_it_has_ended(draining: Applications) -> None:
    placer = await started(draining)
    name = await placer.place(MODEL.model_dump_json())
    assert not await is_granted(placer, 1)
    await asyncio.sleep(0.1)
    assert draining.draining == {name}
    assert not await is_granted(placer, 1)
    draining.draining.clear()
    await asyncio.gather(*placer._leaving.values())
    assert await is_granted(placer, 1)


async def test_a_model_that_leaves_goes_on_leaving_when_nobody_waits_for_its_gpus(
    draining: Applications,
) -> None:
    placer = await started(draining)
    name = await placer.place(MODEL.model_dump_json())
    placer._used[name] -= 1000
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await placer.place(named(1).model_dump_json())
    assert not await is_granted(placer, 1)
    draining.draining.clear()
    await asyncio.gather(*placer._leaving.values())
    assert await is_granted(placer, 1)


async def test_a_model_that_does_not_leave_keeps_its_gpus_until_it_is_removed_again(
    draining: Applications, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.serving.deployment.placement.placer._LEAVE_SECONDS", 0.05)
    monkeypatch.setenv("TUNERY_ENGINE_DRAIN_SECONDS", "0.05")
    placer = await started(draining)
    name = await placer.place(MODEL.model_dump_json())
    placer._used[name] -= 1000
    with pytest.raises(Unavailable, match="has not yet left the GPUs") as refused:
        await placer.place(named(1).model_dump_json())
    assert refused.value.code == "model_not_ready"
    assert not await is_granted(placer, 1)
    draining.drains = False
    draining.draining.clear()
    await claim(placer, 0)
    await placer.place(named(1).model_dump_json())


async def test_a_model_that_is_asked_for_while_it_leaves_starts_again_afterwards(
    draining: Applications,
) -> None:
    placer = await started(draining)
    name = await placer.place(MODEL.model_dump_json())
    assert not await is_granted(placer, 1)
    assert not await is_granted(placer, 0)
    placing = asyncio.create_task(placer.place(MODEL.model_dump_json()))
    await asyncio.sleep(0.1)
    assert draining.made == [name]
    draining.draining.clear()
    await placing
    assert draining.made == [name, name]
    assert placer._leaving == {}


async def test_with_serving_first_training_gets_only_idle_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpus(monkeypatch, 1)
    applications = Applications()
    placer = await started(applications)
    name = await placer.place(MODEL.model_dump_json())
    assert not await is_granted(placer, 1, idle_seconds=120.0)
    assert applications.names == {name}
    placer._used[name] -= 121
    assert not await is_granted(placer, 1, idle_seconds=120.0)
    await asyncio.gather(*placer._leaving.values())
    assert await is_granted(placer, 1, idle_seconds=120.0)


async def test_a_claim_of_a_scheduler_that_is_gone_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpus(monkeypatch, 1)
    placer = await started(Applications())
    assert await is_granted(placer, 1)
    placer._claims._claimed["serving"] = (1, time.monotonic() - 61)
    await placer.place(MODEL.model_dump_json())


async def test_serving_keeps_its_floor_and_says_what_models_need(monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpus(monkeypatch, 2, floor=1)
    placer = await started(Applications())
    answer = await claim(placer, 2)
    assert (answer.is_granted, answer.floor, answer.needed) == (False, 1, 0)
    assert await is_granted(placer, 1)
    name = await placer.place(MODEL.model_dump_json())
    assert (await claim(placer, 1)).needed == 1
    with pytest.raises(Unavailable, match="other models are using"):
        await placer.place(TUNED.model_dump_json())
    assert (await claim(placer, 1)).needed == 2
    # Training gives its GPU back, and the model that was refused has it.
    assert await is_granted(placer, 0)
    other = await placer.place(TUNED.model_dump_json())
    assert (await claim(placer, 0)).needed == 2
    placer._used |= {name: time.monotonic() - 121, other: time.monotonic() - 121}
    assert (await claim(placer, 0)).needed == 0
    elsewhere = await claim(placer, 9, pool="other")
    assert (elsewhere.is_granted, elsewhere.needed) == (True, 0)
