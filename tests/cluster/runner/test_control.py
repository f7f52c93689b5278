"""The actor between the workers of a gang and their driver, as a plain object."""

import pytest

from cluster.contracts.jobs import Placement, RunnerMessage, Running, Stopped, WorkersStarted
from cluster.runner.control import PLACING_SECONDS, ControlActor, why_give_up, why_leave
from tests.cluster.tracking.steps import step

pytestmark = pytest.mark.anyio

DRAINED = "a node is about to go."


async def trained() -> ControlActor:
    """That of a run which has taken a step."""
    control = ControlActor()
    await control.hold({"a": 1})
    await control.start()
    await control.push([step(1)])
    return control


async def test_a_gang_has_its_devices_as_soon_as_they_are_reserved_for_it() -> None:
    control = ControlActor()
    assert await control.take(0) == ([], Running())
    await control.hold({"a": 2, "b": 1})
    (started,), _ = await control.take(0)
    assert isinstance(started, WorkersStarted)
    assert started.nodes == {"a": 2, "b": 1}
    assert sorted(await control.nodes()) == ["a", "b"]
    assert await control.start()
    assert await control.take(0) == ([], Running())


async def test_a_run_that_has_taken_no_step_has_nothing_to_save_and_ends_at_once() -> None:
    """However long it takes to load its model."""
    for has_started in (False, True):
        control = ControlActor()
        await control.hold({"a": 1})
        if has_started:
            await control.start()
            await control.push([RunnerMessage(message="Loading the model: under way for 600 seconds")])
        await control.pause()
        assert (await control.take(0))[1] == Stopped()
        assert not await control.start()


async def test_a_run_that_has_taken_a_step_saves_its_state_first() -> None:
    control = await trained()
    await control.pause()
    assert (await control.take(0))[1] == Running()
    assert await control.push([]) == "pause"


async def test_a_run_that_leaves_its_nodes_is_paused_and_says_why() -> None:
    control = await trained()
    await control.leave(DRAINED)
    assert await control.push([]) == "leave"
    assert (await control.take(0))[1] == Running()
    await control.finish(Stopped())
    assert (await control.take(0))[1] == Stopped(reason=DRAINED)


async def test_a_run_that_its_owner_pauses_needs_no_reason() -> None:
    control = await trained()
    await control.pause()
    await control.leave(DRAINED)
    await control.finish(Stopped())
    assert (await control.take(0))[1] == Stopped()


async def test_a_run_that_leaves_its_nodes_does_not_take_the_time_of_a_pause_if_it_is_paused_too() -> None:
    control = await trained()
    await control.pause()
    assert await control.push([]) == "pause"
    await control.leave(DRAINED)
    await control.pause()
    assert await control.push([]) == "leave"


async def test_a_gang_that_does_not_get_its_devices_ends_at_once_and_starts_no_worker() -> None:
    control = ControlActor()
    await control.leave("the devices are held by something else.")
    assert (await control.take(0))[1] == Stopped(reason="the devices are held by something else.")
    assert not await control.start()


def test_only_a_gang_whose_nodes_were_chosen_goes_back_to_the_queue_after_a_while() -> None:
    chosen, anywhere = Placement(pool="gpu", nodes={"a": 1}), Placement(pool="gpu")
    assert why_give_up(chosen, PLACING_SECONDS - 1, {"a", "b"}) is None
    assert why_give_up(chosen, PLACING_SECONDS, {"a", "b"}) is not None
    assert why_give_up(anywhere, 1e9, {"b"}) is None
    assert why_give_up(None, 1e9, {"b"}) is None


def test_a_gang_goes_back_to_the_queue_at_once_if_a_node_that_was_chosen_is_gone() -> None:
    chosen = Placement(pool="gpu", nodes={"a": 1, "b": 2})
    assert why_give_up(chosen, 0.0, {"a", "b", "c"}) is None
    assert why_give_up(chosen, 0.0, {"a", "c"}) == "a node that it was to run on is gone."


def test_a_run_leaves_before_the_node_of_a_worker_or_that_of_its_driver_is_taken_away() -> None:
    assert why_leave([], ["a", "b"], driver="head") is None
    assert why_leave(["c"], ["a", "b"], driver="head") is None
    assert why_leave(["b", "c"], ["a", "b"], driver="head") == (
        "a node that it runs on is about to be taken away."
    )
    assert why_leave(["head"], ["a", "b"], driver="head") is not None


def test_a_gang_that_waits_for_its_devices_leaves_before_the_node_of_its_driver_is_taken_away() -> None:
    assert why_leave(["head"], [], driver="head") is not None
    assert why_leave(["a"], [], driver="head") is None
