import pytest

from cluster.contracts.bases import BaseSpec, BuiltinSource
from cluster.contracts.errors import InvalidRequest
from cluster.contracts.hyperparameters import (
    Hyperparameters,
    Method,
    TrainingOptions,
    base_rate,
    check_options,
    held_out_count,
    parallelisms,
    resolve,
    unplanned,
)
from cluster.contracts.plan import Plan

BASE = BaseSpec(
    alias="base",
    source=BuiltinSource(name="tiny"),
    context_length=512,
    learning_rates={"lora": 1e-3, "full": 1e-4},
)


@pytest.mark.parametrize(
    ("n_examples", "n_epochs", "batch_size"),
    [
        (1, 25, 4),
        (4, 25, 4),
        (10, 10, 4),
        (33, 3, 4),
        (34, 3, 4),
        (2_000, 3, 4),
        (2_500, 3, 5),
        (8_333, 3, 16),
        (8_334, 2, 16),
        (25_000, 1, 50),
        (128_000, 1, 256),
        (1_000_000, 1, 256),
    ],
)
def test_auto_follows_openais_recipe(n_examples: int, n_epochs: int, batch_size: int) -> None:
    found, config = resolve(Hyperparameters(), TrainingOptions(), BASE, n_examples=n_examples, seed=3)
    assert (found.n_epochs, found.batch_size) == (n_epochs, batch_size)
    assert (config.n_epochs, config.batch_size) == (n_epochs, batch_size)
    assert (found.learning_rate_multiplier, found.beta) == (1.0, None)
    assert (config.seed, config.max_length, config.learning_rate) == (3, 512, 1e-3)


@pytest.mark.parametrize(
    ("n_examples", "n_tokens", "plan", "batch_size"),
    [
        (1000, 0, Plan(num_workers=32), 32),  # One example for each worker.
        (1000, 100_000, Plan(step_tokens=2048), 21),
        (100, 10_000, Plan(step_tokens=2048), 10),  # Ten steps in an epoch.
        (1000, 10_000_000, Plan(step_tokens=2048), 4),
        (100_000, 100_000, Plan(step_tokens=2048), 256),
    ],
)
def test_an_automatic_batch_gives_every_device_work(
    n_examples: int, n_tokens: int, plan: Plan, batch_size: int
) -> None:
    found, config = resolve(
        Hyperparameters(),
        TrainingOptions(),
        BASE,
        n_examples=n_examples,
        seed=3,
        n_tokens=n_tokens,
        plan=plan,
    )
    assert found.batch_size == config.batch_size == batch_size
    assert config.num_workers == plan.num_workers


def test_the_longest_example_is_as_long_as_requested() -> None:
    training = TrainingOptions(max_seq_length=128)
    _, config = resolve(Hyperparameters(), training, BASE, n_examples=100, seed=0)
    assert config.max_length == 128


def test_explicit_numbers_are_kept() -> None:
    requested = Hyperparameters(n_epochs=7, batch_size=9, learning_rate_multiplier=0.5, beta=0.3)
    found, config = resolve(requested, TrainingOptions(), BASE, n_examples=100, seed=0, method="dpo")
    assert found == requested
    assert (config.n_epochs, config.batch_size, config.beta) == (7, 9, 0.3)
    assert config.learning_rate == pytest.approx(0.5 * 0.1 * 1e-3)


@pytest.mark.parametrize(("method", "beta"), [("supervised", None), ("dpo", 0.1)])
def test_beta_belongs_to_dpo(method: Method, beta: float | None) -> None:
    found, config = resolve(Hyperparameters(), TrainingOptions(), BASE, n_examples=50, seed=0, method=method)
    assert found.beta == config.beta == beta


@pytest.mark.parametrize(
    ("options", "method", "rate"),
    [
        ({}, "supervised", 1e-3),
        ({}, "dpo", 1e-4),
        ({"type": "qlora"}, "supervised", 1e-3),
        ({"type": "full"}, "supervised", 1e-4),
        ({"type": "full"}, "dpo", 1e-5),
        ({"type": "peft", "peft_config": {"peft_type": "LOHA"}}, "supervised", 1e-3),
        ({"type": "peft", "peft_config": {"peft_type": "IA3"}}, "supervised", 1e-2),
        ({"type": "peft", "peft_config": {"peft_type": "IA3"}}, "dpo", 1e-3),
    ],
)
def test_the_rate_is_the_catalogues_for_the_type(
    options: dict[str, object], method: Method, rate: float
) -> None:
    assert base_rate(TrainingOptions.model_validate(options), BASE, method) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("type_", "num_workers", "requested", "expected"),
    [
        ("full", 1, "auto", ("single",)),
        ("full", 1, "fsdp", ("single",)),
        ("full", 2, "auto", ("fsdp",)),
        ("full", 2, "ddp", ("ddp",)),
        ("full", 16, "auto", ("hsdp", "fsdp")),
        ("lora", 2, "auto", ("ddp", "fsdp")),
        ("lora", 2, "fsdp", ("fsdp",)),
        ("lora", 16, "auto", ("ddp", "hsdp", "fsdp")),
        ("qlora", 16, "auto", ("ddp",)),
    ],
)
def test_several_workers_share_a_full_model(
    type_: str, num_workers: int, requested: str, expected: tuple[str, ...]
) -> None:
    options = {"type": type_, "num_workers": num_workers, "parallelism": requested}
    training = TrainingOptions.model_validate(options)
    assert parallelisms(training, num_workers, nodes=-(-num_workers // 8)) == expected
    assert unplanned(training).parallelism in expected


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.001, 1), (0.1, 10), (0.5, 50)])
def test_a_split_holds_out_its_share_and_at_least_one(share: float, count: int) -> None:
    assert held_out_count(100, share) == count


@pytest.mark.parametrize(("last", "is_refused"), [(14, False), (15, True)])
def test_ada_lora_needs_steps_between_its_first_and_its_last(last: int, is_refused: bool) -> None:
    options = {
        "type": "peft",
        "peft_config": {"peft_type": "ADALORA", "target_r": 4, "init_r": 8, "tinit": 5, "tfinal": last},
    }
    requested = Hyperparameters(n_epochs=2, batch_size=10)  # 2 · 10 steps
    training = TrainingOptions.model_validate(options)
    if not is_refused:
        resolve(requested, training, BASE, n_examples=100, seed=0)
        return
    with pytest.raises(InvalidRequest, match="the job has 20 steps") as refused:
        resolve(requested, training, BASE, n_examples=100, seed=0)
    assert refused.value.param == "training.peft_config.tinit"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"type": "peft", "peft_config": {"peft_type": "LOHO"}}, "training.peft_config.peft_type"),
        (
            {
                "type": "peft",
                "peft_config": {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 8},
                "activation_checkpointing": "full",
            },
            "training.activation_checkpointing",
        ),
        (
            {"type": "peft", "peft_config": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 512}},
            "training.peft_config.num_virtual_tokens",
        ),
        ({"type": "qlora", "use_dora": True}, "training.use_dora"),
        ({"num_workers": 2, "parallelism": "single"}, "training.parallelism"),
        ({"num_workers": {"min": 1, "max": 2}, "parallelism": "single"}, "training.parallelism"),
        ({"max_seq_length": 513}, "training.max_seq_length"),
    ],
)
def test_what_can_never_run_is_refused_with_its_parameter(options: dict[str, object], param: str) -> None:
    training = TrainingOptions.model_validate(options)
    with pytest.raises(InvalidRequest) as refused:
        resolve(Hyperparameters(), training, BASE, n_examples=100, seed=0)
    assert refused.value.param == param


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"type": "qlora"}, "weights in 4 bits (training.type 'qlora')"),
        ({"type": "full", "optimizer": "adamw_8bit"}, "moments in 8 bits (training.optimizer 'adamw_8bit')"),
        ({"optimizer": "adamw_8bit"}, "moments in 8 bits (training.optimizer 'adamw_8bit')"),
        ({"use_dora": True}, "a model with other adapters than plain LoRA (training.use_dora)"),
        (
            {"type": "peft", "peft_config": {"peft_type": "IA3"}},
            "a model with other adapters than plain LoRA (training.type 'peft')",
        ),
    ],
)
def test_a_model_that_workers_cannot_share_is_refused_with_the_reason_and_else_copied(
    options: dict[str, object], reason: str
) -> None:
    for parallelism in ("fsdp", "hsdp"):
        training = TrainingOptions.model_validate({**options, "num_workers": 2, "parallelism": parallelism})
        with pytest.raises(InvalidRequest) as refused:
            check_options(training, BASE, "supervised")
        assert refused.value.param == "training.parallelism"
        assert refused.value.message == (
            f"training.parallelism is '{parallelism}', but workers cannot share {reason}. "
            "Use 'ddp' or 'auto'."
        )
    _, config = resolve(
        Hyperparameters(),
        TrainingOptions.model_validate({**options, "num_workers": 2}),
        BASE,
        n_examples=100,
        seed=0,
    )
    assert config.parallelism == "ddp"


def test_a_type_without_a_rate_is_refused() -> None:
    lora_only = BASE.model_copy(update={"learning_rates": {"lora": 1e-3}})
    with pytest.raises(InvalidRequest, match="allowed: lora, peft, qlora") as refused:
        resolve(Hyperparameters(), TrainingOptions(type="full"), lora_only, n_examples=100, seed=0)
    assert refused.value.param == "training.type"


@pytest.mark.parametrize(
    ("options", "method", "param"),
    [
        ({}, "dpo", "method.type"),
        ({"type": "qlora"}, "supervised", "training.type"),
        (
            {"type": "peft", "peft_config": {"peft_type": "P_TUNING", "num_virtual_tokens": 4}},
            "supervised",
            "training.type",
        ),
        ({"max_regression": 1.0}, "supervised", "training.max_regression"),
        ({"general_file": "file-1"}, "supervised", "training.general_file"),
    ],
)
def test_encoders_have_no_such_training(options: dict[str, object], method: Method, param: str) -> None:
    encoder = BASE.model_copy(update={"architecture": "encoder"})
    training = TrainingOptions.model_validate(options)
    with pytest.raises(InvalidRequest, match="an encoder") as refused:
        resolve(Hyperparameters(), training, encoder, n_examples=100, seed=0, method=method)
    assert refused.value.param == param
