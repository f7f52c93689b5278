"""Jobs get as few devices as they need, and what fits nowhere is refused with what would."""

from typing import Any

import pytest

from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.devices import Pool
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.hyperparameters import (
    Hyperparameters,
    Method,
    TrainingConfig,
    TrainingOptions,
    resolve,
)
from cluster.contracts.plan import Plan
from cluster.planning.memory import Lengths, Task
from cluster.planning.planner import USABLE, dividing, find_plan, find_plans, task_of
from cluster.planning.refusals import plan_or_refuse
from cluster.planning.shapes import shape_of

GB = 10**9
SIZES = {"0.1B": (768, 3072, 8), "8B": (4096, 14336, 32), "70B": (8192, 28672, 80)}


def task(size: str, *, tokens: int = 8192, method: Method = "supervised", **options: Any) -> Task:
    hidden, feed_forward, layers = SIZES[size]
    shape = shape_of(
        {
            "model_type": "llama",
            "hidden_size": hidden,
            "intermediate_size": feed_forward,
            "num_hidden_layers": layers,
            "num_attention_heads": hidden // 128,
            "num_key_value_heads": 2 if size == "0.1B" else 8,
            "vocab_size": 128256,
            "tie_word_embeddings": False,
        }
    )
    assert shape is not None
    base = BaseSpec(
        alias=size,
        source=BuiltinSource(name="tiny"),
        context_length=131072,
        learning_rates={"lora": 1e-4, "full": 1e-5},
        dtype="bfloat16",
    )
    lengths = Lengths(tokens * (2 if method == "dpo" else 1), tokens)
    return task_of(shape, base, TrainingOptions.model_validate(options), method, lengths)


def gpus(devices: int, size: int = 80, *, nodes: int = 1, **more: Any) -> Pool:
    return Pool.model_validate(
        {"kind": "cuda", "devices": devices, "nodes": nodes, "device_bytes": size * GB, **more}
    )


def planned(wanted: Task, *pools: Pool, slots: int = 64) -> Plan | None:
    return find_plan(wanted, wanted.options, pools, slots=slots)


@pytest.mark.parametrize(
    ("wanted", "pool", "workers", "parallelism"),
    [
        (task("8B"), gpus(1), 1, "single"),
        (task("8B", type="qlora"), gpus(1, 24), 1, "single"),
        (task("8B", method="dpo"), gpus(1), 1, "single"),
        (task("8B", type="full"), gpus(8), 4, "fsdp"),
        (task("70B"), gpus(8), 4, "fsdp"),
        (task("70B", type="qlora"), gpus(1), 1, "single"),
        (task("70B", num_workers=32), gpus(8, nodes=4), 32, "hsdp"),
        (task("8B", type="full", num_workers=32), gpus(8, nodes=4), 32, "hsdp"),
        (task("8B", num_workers=8), gpus(8), 8, "ddp"),
        (task("70B", type="full"), gpus(8, nodes=8), 40, "fsdp"),
    ],
)
def test_a_job_takes_the_fewest_devices_that_it_fits_on(
    wanted: Task, pool: Pool, workers: int, parallelism: str
) -> None:
    plan = planned(wanted, pool)
    assert plan is not None
    assert plan.footprint is not None
    assert (plan.num_workers, plan.parallelism) == (workers, parallelism)
    assert plan.footprint.device.total <= USABLE * pool.bytes_per_worker
    assert plan.step_tokens == 2048 * workers


def test_full_fine_tuning_takes_sixteen_bytes_a_parameter_over_all_workers() -> None:
    for count in (4, 8):
        wanted = task("8B", type="full", num_workers=count)
        plan = planned(wanted, gpus(8))
        assert plan is not None
        assert plan.footprint is not None
        memory = plan.footprint.device
        state = count * (memory.weights + memory.gradients + memory.optimizer)
        assert state == pytest.approx(16 * wanted.shape.parameters)
    assert plan.footprint.resume_state_bytes == pytest.approx(12 * wanted.shape.parameters)
    assert plan.footprint.served_bytes == 2 * wanted.shape.parameters


def test_activations_are_computed_again_only_where_they_do_not_fit() -> None:
    kept = [planned(task("8B", tokens=tokens), gpus(1)) for tokens in (2048, 8192, 131072)]
    assert [plan and plan.activation_checkpointing for plan in kept] == ["none", "full", "offload"]
    assert [plan and plan.microbatch_tokens for plan in kept] == [4096, 8192, 8192]


def test_offloading_needs_the_hosts_memory() -> None:
    wanted = task("8B", tokens=131072)
    assert planned(wanted, gpus(1, host_bytes=64 * GB)) is not None
    assert planned(wanted, gpus(1, host_bytes=16 * GB)) is None


def test_offloaded_activations_take_page_locked_memory_of_a_power_of_two() -> None:
    """131,072 tokens of 4,096 numbers in bfloat16 are 1 GiB for each of 32 layers, and one token more takes
    as much as twice as many."""

    def host_bytes(tokens: int) -> int:
        plan = planned(task("8B", tokens=tokens), gpus(1, host_bytes=2000 * GB))
        assert plan is not None
        assert plan.footprint is not None
        assert plan.activation_checkpointing == "offload"
        return plan.footprint.host_bytes

    assert host_bytes(131073) - host_bytes(131072) == 32 * 2**30


def test_the_first_pool_that_fits_is_taken() -> None:
    small, large = gpus(1, 24, name="small"), gpus(8, name="large")
    for wanted, name in ((task("8B", type="qlora"), "small"), (task("8B", type="full"), "large")):
        plan = planned(wanted, small, large)
        assert plan is not None
        assert plan.footprint is not None
        assert plan.footprint.pool.name == name


def test_every_pool_that_fits_has_a_plan_and_the_cheapest_comes_first() -> None:
    wanted = task("8B", type="lora")
    dear = gpus(8, name="h100", accelerator_type="H100", price=3)
    cheap = gpus(8, name="a100", accelerator_type="A100", price=1.5)
    spot = gpus(8, name="spot", accelerator_type="A100", price=0.5)
    small = gpus(1, 1, name="small", price=0.01)

    def names(*pools: Pool) -> list[str]:
        plans = find_plans(wanted, wanted.options, pools, slots=64)
        return [plan.footprint.pool.name for plan in plans if plan.footprint is not None]

    # An H100 costs twice as much and does three times the work.
    assert names(small, cheap, dear, spot) == ["spot", "h100", "a100"]
    assert names(small) == []
    # At the same cost, the operator's order counts.
    assert names(cheap.model_copy(update={"name": "first"}), cheap) == ["first", "a100"]


def test_an_elastic_job_has_a_plan_for_each_number_of_workers_that_fits_most_workers_first() -> None:
    wanted = task("8B", type="full", num_workers={"min": 1, "max": 20})
    plans = find_plans(wanted, wanted.options, [gpus(8, nodes=2), gpus(4, 141, name="b", price=9)], slots=64)
    counts = [(plan.pool_name, plan.num_workers) for plan in plans]
    # On fewer devices it does not fit, and beyond a node it takes whole nodes.
    assert counts == [("training", n) for n in (16, 8, 7, 6, 5, 4, 3)] + [("b", n) for n in (4, 3, 2)]
    assert (plans[0].parallelism, plans[1].parallelism) == ("hsdp", "fsdp")
    assert len({plan.activation_checkpointing for plan in plans}) > 1

    # A step of eight has two or three examples for some of five, six or seven workers, as for four.
    counts = [(plan.pool_name, plan.num_workers) for plan in dividing(plans, 8)]
    assert counts == [("training", 8), ("training", 4), ("training", 3), ("b", 4), ("b", 3), ("b", 2)]
    assert dividing(plans, 1) == ()
    unknown = find_plans(None, wanted.options, [], slots=3)
    assert [plan.num_workers for plan in unknown] == [3, 2, 1]


def test_an_elastic_job_that_cannot_run_is_refused_with_numbers() -> None:
    for options, message in (
        ({"min": 3, "max": 4}, "num_workers is from 3 to 4, but this server trains on at most 2 devices"),
        ({"min": 1, "max": 2}, "needs 2 x "),
    ):
        wanted = task("8B", type="full", num_workers=options)
        with pytest.raises(InvalidRequest, match=message):
            plan_or_refuse(wanted, wanted.options, [gpus(2, 40)], slots=64)


def test_a_configuration_runs_as_any_of_its_plans_and_changes_nothing_that_is_learned() -> None:
    wanted = task("8B", type="full")
    plans = find_plans(wanted, wanted.options, [gpus(8, name="a"), gpus(4, 141, name="b", price=2)], slots=8)
    _, config = resolve(
        Hyperparameters(), wanted.options, wanted.base, n_examples=1000, seed=1, plan=plans[0]
    )
    stored = TrainingConfig.model_validate_json(
        config.model_copy(update={"alternatives": plans[1:]}).model_dump_json()
    )
    assert [plan.footprint for plan in stored.plans] == [plan.footprint for plan in plans]
    first, second = (stored.placed(plan) for plan in stored.plans)
    assert first == config
    assert (second.num_workers, second.footprint) == (plans[1].num_workers, plans[1].footprint)
    assert (second.batch_size, second.learning_rate) == (config.batch_size, config.learning_rate)
    # Where it has run once, it stays small if passes had to shrink there, and nowhere else.
    there = stored.preferring(stored.plans[1]).model_copy(update={"microbatch_tokens": 256})
    assert [plan.microbatch_tokens for plan in there.plans] == [256, plans[0].microbatch_tokens]
    again = there.plan_in("a")
    assert again is not None
    assert there.preferring(again).placed(again) == config


def test_on_a_cpu_a_job_runs_as_it_is_asked_for() -> None:
    pool = Pool.model_validate({"kind": "cpu", "devices": 4, "host_bytes": "64GiB"})
    for options, expected in (
        ({}, (1, "single")),
        ({"num_workers": 2}, (2, "ddp")),
        ({"num_workers": 2, "type": "full"}, (2, "fsdp")),
    ):
        plan = planned(task("0.1B", tokens=512, **options), pool)
        assert plan is not None
        assert (plan.num_workers, plan.parallelism) == expected
        assert (plan.activation_checkpointing, plan.microbatch_tokens, plan.step_tokens) == ("none", 8192, 0)


def test_what_the_allocator_of_a_cpu_keeps_is_planned() -> None:
    pool = Pool.model_validate({"kind": "cpu", "devices": 1, "host_bytes": "24GiB"})
    plan = planned(task("0.1B", tokens=512), pool)
    assert plan is not None
    assert plan.footprint is not None
    device = plan.footprint.device
    assert device.runtime == pytest.approx(380e6 + 0.9 * device.activations, rel=1e-6)


def test_nothing_is_refused_that_is_not_known() -> None:
    options = TrainingOptions(num_workers=2, type="full")
    wanted = task("70B", type="full", num_workers=2)
    for plan in (find_plan(None, options, [gpus(1)], slots=8), find_plan(wanted, options, [], slots=8)):
        assert plan is not None
        assert (plan.num_workers, plan.parallelism, plan.footprint) == (2, "fsdp", None)
        assert plan.activation_checkpointing == "auto"


@pytest.mark.parametrize(
    ("wanted", "pool", "said"),
    [
        (
            task("8B", type="full"),
            gpus(1),
            ["1 x 169 GB", "1 x 80 GB", "training.type 'lora'", "training.type 'qlora'", "4 devices"],
        ),
        (task("70B"), gpus(2), ["the largest pool has 2 x 80 GB", "training.type 'qlora'", "4 devices"]),
        (task("8B", tokens=131072, type="qlora"), gpus(1, 24), ["training.max_seq_length 32768 or less"]),
        (
            task("8B", activation_checkpointing="none"),
            gpus(1),
            ["training.activation_checkpointing 'auto'", "training.max_seq_length 4096 or less"],
        ),
        (task("70B", parallelism="ddp", num_workers=8), gpus(8), ["training.parallelism 'auto'"]),
        (task("70B", num_workers=1), gpus(8), ["training.num_workers 'auto'"]),
        (
            task("70B", type="qlora"),
            gpus(8, 24),
            ["needs 1 x", "More devices do not help: workers cannot share weights in 4 bits"],
        ),
        (
            task("8B", type="full", optimizer="adamw_8bit"),
            gpus(8),
            ["More devices do not help: workers cannot share moments in 8 bits", "type 'lora'"],
        ),
        (
            task("8B", tokens=131072, type="full"),
            gpus(1, 24),
            ["training.type 'qlora' and training.max_seq_length 32768 or less"],
        ),
        (
            task("70B", type="qlora"),
            Pool.model_validate({"kind": "cpu", "devices": 2, "host_bytes": "24GiB"}),
            ["of host memory", "the largest pool has 1 x 26 GB"],
        ),
    ],
)
def test_what_fits_nowhere_is_refused_with_the_numbers_and_with_what_would_fit(
    wanted: Task, pool: Pool, said: list[str]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        plan_or_refuse(wanted, wanted.options, [pool], slots=64)
    assert (refused.value.code, refused.value.param) == ("insufficient_memory", "training")
    for part in said:
        assert part in refused.value.message


def test_what_is_proposed_fits() -> None:
    wanted = task("8B", tokens=131072, type="qlora")
    short = task("8B", tokens=32768, type="qlora")
    assert planned(wanted, gpus(1, 24)) is None
    assert planned(short, gpus(1, 24)) is not None


def test_more_workers_than_there_are_devices_are_refused() -> None:
    wanted = task("8B", num_workers=16)
    with pytest.raises(InvalidRequest, match="at most 8 devices") as refused:
        plan_or_refuse(wanted, wanted.options, [gpus(8)], slots=64)
    assert refused.value.param == "training.num_workers"


def test_without_data_only_what_is_certain_is_expected() -> None:
    """The base's context is no claim about the data; a length that the request names is one."""
    known = task("8B", type="qlora")
    free = task_of(known.shape, known.base, known.options, "supervised")
    assert planned(free, gpus(1, 24)) is not None
    named = known.options.model_copy(update={"max_seq_length": 131072})
    long = task_of(known.shape, known.base, named, "supervised")
    assert find_plan(long, named, [gpus(1, 24)], slots=1) is None
