"""Times are between what a cost per step and a cost per token would give."""

from typing import Any

import pytest

from cluster.contracts.costs import JobCost
from cluster.contracts.devices import Pool
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.plan import DeviceMemory, Footprint
from service.db.jobs.past_runs import PastRun
from service.run_times import NOISE, Seconds, Work, held_seconds, run_time, typical_seconds

CONFIG = TrainingConfig(
    type="lora",
    r=4,
    alpha=8.0,
    dropout=0.0,
    target_modules="all-linear",
    on_overlength="error",
    num_workers=1,
    n_epochs=2,
    batch_size=4,
    learning_rate=5e-3,
    max_length=256,
    seed=7,
)


def past(config: dict[str, Any] | None = None, method: Any = "supervised", **cost: Any) -> PastRun:
    measured: dict[str, Any] = {
        "device": "cpu",
        "steps": 100,
        "trained_tokens": 10_000,
        "held_out_tokens": 0,
        "general_tokens": 500,
        "training_seconds": 50.0,
        "evaluation_seconds": 4.0,
        "memory_bytes": 1000,
        "starting_seconds": 10.0,
        "publishing_seconds": 2.0,
    }
    return PastRun(method, CONFIG.model_copy(update=config or {}), JobCost.model_validate(measured | cost))


def work(steps: int = 100, tokens: int = 10_000, held_out: int = 0) -> Work:
    return Work("supervised", CONFIG, steps, tokens, held_out)


def about(seconds: Seconds) -> Any:
    """Without the allowance for noise."""
    return pytest.approx(seconds.low / (1 - NOISE)), pytest.approx(seconds.high / (1 + NOISE))


def test_the_same_run_takes_the_same_time() -> None:
    found = run_time(work(), [past()])
    assert found is not None
    assert about(found.starting) == (10, 10)
    assert about(found.training) == (50, 50)
    assert about(found.evaluation) == (4, 4)
    assert about(found.publishing) == (2, 2)
    assert about(found.total) == (66, 66)
    assert (found.device, found.memory_bytes, found.based_on) == ("cpu", 1000, 1)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.0), (0.0, 0.005), (0.2, 0.003)])
@pytest.mark.parametrize(("steps", "tokens"), [(300, 30_000), (100, 50_000), (20, 10_000), (400, 4_000)])
def test_the_range_holds_any_cost_per_step_and_per_token(a: float, b: float, steps: int, tokens: int) -> None:
    measured = past(training_seconds=a * 100 + b * 10_000)
    found = run_time(work(steps, tokens), [measured])
    assert found is not None
    assert found.training.low <= a * steps + b * tokens <= found.training.high


def test_runs_of_about_the_same_step_size_count_and_others_do_not() -> None:
    alike = [past(training_seconds=40.0 + number) for number in range(5)]
    other = [past(steps=2, training_seconds=900.0), past(steps=5000, training_seconds=0.1)]
    found = run_time(work(), [*other, *alike])
    assert found is not None
    assert about(found.training) == (40, 44)
    assert found.based_on == 5


@pytest.mark.parametrize(
    "other",
    [
        past({"type": "full"}),
        past({"num_workers": 2}),
        past({"type": "peft", "peft_config": {"peft_type": "LOHA"}}),
        past(method="dpo"),
    ],
)
def test_runs_of_another_kind_say_nothing(other: PastRun) -> None:
    assert run_time(work(), [other]) is None
    assert run_time(work(), []) is None


def test_held_out_examples_cost_time_in_training_and_evaluation() -> None:
    plain, validated = (run_time(work(held_out=tokens), [past()]) for tokens in (0, 3000))
    assert plain is not None
    assert validated is not None
    assert about(validated.training) == (50, pytest.approx(50 * 1.2))
    assert about(validated.evaluation) == (4, pytest.approx(4 * 7))
    assert about(plain.evaluation) == (4, 4)


def test_a_job_of_unknown_size_takes_what_jobs_of_its_kind_usually_take() -> None:
    runs = [past(training_seconds=seconds) for seconds in (10.0, 20.0, 90.0)]
    full = past({"type": "full"}, training_seconds=1000.0)
    assert typical_seconds("supervised", CONFIG, [*runs, full]) == 36
    assert typical_seconds("dpo", CONFIG, [full]) == 1016
    assert typical_seconds("supervised", None, runs) == 36
    assert typical_seconds("supervised", CONFIG, []) is None


def on(pool: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Changes to a configuration: planned for a pool."""
    device = DeviceMemory(
        weights=1, trained_weights=0, gradients=0, optimizer=0, gathered=0, activations=0, head=0, runtime=0
    )
    footprint = Footprint(
        pool=Pool.model_validate({"devices": 8, **pool}),
        form="lora",
        device=device,
        host_bytes=1,
        resume_state_bytes=1,
        served_bytes=1,
    )
    return {"footprint": footprint, **changes}


H100 = {"kind": "cuda", "device_bytes": 1, "accelerator_type": "H100"}


def test_on_another_gpu_a_run_takes_as_long_as_their_peaks_say() -> None:
    config = CONFIG.model_copy(update=on(H100))
    slower = past(on(H100), device="NVIDIA A100-SXM4-80GB", training_seconds=989.0, evaluation_seconds=0)
    asked = Work("supervised", config, 100, 10_000, 0)
    assert held_seconds(asked, [slower]) == pytest.approx(10 + 312)
    assert held_seconds(asked, [past()]) == held_seconds(asked, []) is None


def test_runs_of_another_kind_tell_the_time_in_proportion_to_the_work() -> None:
    """With half as many workers, and a third more passes for a full fine-tune."""
    other = past({"type": "full", "num_workers": 2})
    asked = work(steps=700, tokens=40_000)
    assert held_seconds(asked, [other]) == pytest.approx(10 + 50 * 4 * 2 * 2 / 3)


def test_a_base_that_was_never_trained_follows_the_newest_runs_of_others() -> None:
    config = CONFIG.model_copy(update=on({"kind": "cpu", "host_bytes": 1}))
    asked = Work("supervised", config, 100, 10_000, 0, forward_flops=6.0)
    runs = [past(forward_flops=3.0, training_seconds=50.0 * 2**place) for place in range(3)]
    found = held_seconds(asked, [], lambda: [*runs, past(forward_flops=None)])
    # The geometric mean of factors 1, 2 and 4, with the weights 1, 0.8 and 0.64.
    assert found == pytest.approx(10 + 50 * 2 * 2 ** ((0.8 + 2 * 0.64) / 2.44))
    assert held_seconds(asked, [], lambda: [past()]) is None


def test_on_a_known_gpu_a_first_run_is_expected_to_use_three_tenths_of_it() -> None:
    config = CONFIG.model_copy(update=on(H100, num_workers=2))
    asked = Work("supervised", config, 100, 10_000_000, 0, forward_flops=16e9)
    assert held_seconds(asked, []) == pytest.approx(60 + 2 * 16e9 * 1e7 / (0.3 * 989e12 * 2))
