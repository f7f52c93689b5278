"""Applications of models: created on demand, recreated if Serve gives up on them, removed when unused."""

import asyncio
import time
from collections.abc import Iterable

import pytest

from cluster.contracts.generation import ModelRef
from cluster.contracts.weights import WeightsRef
from cluster.serving.deployment.per_model import Placer, application_name, forget, unused
from cluster.serving.deployment.settings import EngineSettings
from tests.api import BASE

pytestmark = pytest.mark.anyio

MODEL = ModelRef(base=BASE)
TUNED = ModelRef(base=BASE, adapter=WeightsRef(digest="1" * 64, manifest_key="k", form="full"))


class Applications:
    def __init__(self, alive: Iterable[str] = ()) -> None:
        self.names = set(alive)
        self.made: list[str] = []

    def alive(self) -> set[str]:
        return set(self.names)

    def run(self, name: str, model: ModelRef, settings: EngineSettings, *, merges: bool) -> None:
        self.made.append(name)
        self.names.add(name)

    def delete(self, name: str) -> None:
        self.names.remove(name)


async def started(applications: Applications) -> Placer:
    placer = object.__new__(Placer)
    # As Serve does.
    await Placer.__init__(placer, applications)  # type: ignore[misc]
    return placer


def name_of(model: ModelRef) -> str:
    return application_name(model, EngineSettings.read(), merges=False)


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

    def delete(name: str) -> None:
        deleted.append(name)
        used["model-b"] = time.monotonic()
        if name == "model-a":
            raise RuntimeError("Serve is busy")

    asyncio.run(forget(used, {}, 600.0, delete))
    assert deleted == ["model-a", "model-c"]
    assert list(used) == ["model-b"]
