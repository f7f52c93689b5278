"""What serving has measured of a model is kept until its base has been measured too."""

from collections.abc import Sequence

import pytest

from cluster.contracts.errors import Unavailable
from cluster.contracts.generation import FinishReason, ModelRef
from cluster.contracts.jobs import JobStatus
from cluster.contracts.manifest import AnswerPrompt, ProbeScores
from service.db.jobs.jobs import Job, Jobs
from tests.fakes import FakeServing
from tests.service.db.rows import TENANT
from tests.service.scheduling.world import BASE, GOOD, World

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class RoomForOne(FakeServing):
    """Has room for one model, which leaves after a try in which nobody has asked for it."""

    loaded: str | None = None
    asked: frozenset[str] = frozenset()

    def score(self, model: ModelRef, rows: Sequence[Sequence[int]]) -> ProbeScores:
        self.take(model)
        return super().score(model, rows)

    def finish_reason(self, model: ModelRef, prompt: Sequence[int], max_tokens: int) -> FinishReason:
        self.take(model)
        return super().finish_reason(model, prompt, max_tokens)

    def take(self, model: ModelRef) -> None:
        self.asked |= {model.name}
        if self.loaded not in (None, model.name):
            raise Unavailable("Other models are using the GPUs.", code="model_not_ready")
        self.loaded = model.name

    def after_a_try(self) -> None:
        if self.loaded not in self.asked:
            self.loaded = None
        self.asked = frozenset()


@pytest.fixture
def serving(world: World) -> RoomForOne:
    world.base_scores = ProbeScores(logprobs=[[-1.0, -1.0]])
    world.answer_prompts = [AnswerPrompt(token_ids=[1, 2], answer_tokens=5)]
    world.serving = RoomForOne(GOOD)
    return world.serving


def trained(world: World) -> Job:
    job = world.job()
    for _ in range(2):
        world.scheduler().tick()
    world.train(job)
    return world.see(job)


def tries(world: World, serving: RoomForOne, count: int) -> None:
    for _ in range(count):
        world.scheduler().tick()  # another one each time, as after a restart
        serving.after_a_try()


def test_a_model_is_published_where_there_is_room_for_it_or_its_base_only(
    world: World, serving: RoomForOne
) -> None:
    job = trained(world)
    tries(world, serving, 3)
    assert world.status(job) is JobStatus.SUCCEEDED
    assert [model.adapter is None for model in serving.scored] == [False, True]
    assert len(serving.generated) == 1
    assert world.models()[0].parity["noise"]["max_abs"] == 0.0


def test_nothing_is_kept_of_what_serving_computed_with_another_base(
    world: World, serving: RoomForOne
) -> None:
    job = trained(world)
    tries(world, serving, 1)
    changed = BASE.model_copy(update={"context_length": 32})
    serving.loaded = None
    world.scheduler(bases={"tiny": changed}).tick()
    assert world.status(job) is JobStatus.PUBLISHING
    assert [(model.base, model.adapter is None) for model in serving.scored] == [
        (BASE, False),
        (changed, False),
    ]


def test_whoever_asks_for_publishing_again_has_all_of_it_measured_again(
    world: World, serving: RoomForOne
) -> None:
    job = trained(world)
    serving.logprobs = lambda row: [-1.0, -1.5]
    tries(world, serving, 1)
    with world.database.write() as session:
        Jobs(session, TENANT).republish(job.id)
    serving.logprobs = lambda row: [-1.0, -1.0]
    serving.loaded = None
    tries(world, serving, 3)
    assert world.status(job) is JobStatus.SUCCEEDED
    assert [model.adapter is None for model in serving.scored] == [False, False, True]
