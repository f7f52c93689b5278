"""What is proposed for an old job: bases, hyperparameters, and what is left alone."""

from typing import Any

import pytest

from service.cli.import_openai.plan.proposing import ORIGIN, propose, propose_base
from tests.service.cli.import_openai.old_account import OldAccount

BASES = ["qwen3-8b", "llama-3.1-70b", "qwen3-0.6b"]


def proposed(**changes: Any) -> Any:
    return propose([OldAccount().add_job(1, **changes)], BASES)[0]


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("gpt-4.1-nano-2025-04-14", "qwen3-0.6b"),
        ("gpt-4o-mini-2024-07-18", "qwen3-8b"),
        ("gpt-35-turbo-0613", "qwen3-8b"),
        ("gpt-4o-2024-08-06", "llama-3.1-70b"),
        ("ft:gpt-4.1-2025-04-14:acme::AbCd1234", "llama-3.1-70b"),
        ("gpt-4o-mini-2024-07-18.ft-0e208cf33a6a", "qwen3-8b"),
        ("davinci-002", "llama-3.1-70b"),
        ("something-else", "qwen3-8b"),
        ("qwen3-0.6b", "qwen3-0.6b"),
    ],
)
def test_a_base_is_as_large_among_its_own_as_the_old_one(model: str, base: str) -> None:
    assert propose_base(model, BASES) == base


def test_the_demonstration_is_proposed_only_where_it_is_the_only_base() -> None:
    assert propose_base("gpt-4o-mini-2024-07-18", ["tunery-tiny-1", "llama-3.1-8b-instruct"]) == (
        "llama-3.1-8b-instruct"
    )
    assert propose_base("gpt-4.1-nano", ["tunery-tiny-1", "our-model"]) == "our-model"
    assert propose_base("gpt-4o", ["tunery-tiny-1"]) == "tunery-tiny-1"
    assert propose_base("tunery-tiny-1", ["tunery-tiny-1", "our-model"]) == "tunery-tiny-1"


@pytest.mark.parametrize(
    ("model", "base"),
    [
        ("gpt-4o-2024-08-06", "llama-3.1-70b"),
        ("gpt-4o", "llama-3.1-70b"),
        ("gpt-4o-mini-2024-07-18", "qwen3-8b"),
        ("ft:gpt-3.5-turbo-0125:acme::AbCd1234", "qwen3-0.6b"),
        ("gpt-3.5-turbo-1106", "llama-3.1-70b"),
    ],
)
def test_a_choice_is_for_one_model_whatever_its_date(model: str, base: str) -> None:
    chosen = {"gpt-4o": "llama-3.1-70b", "gpt-3.5-turbo": "qwen3-0.6b", "gpt-3.5-turbo-1106": "llama-3.1-70b"}
    assert propose_base(model, BASES, chosen) == base


def test_a_base_that_has_the_old_models_name_replaces_it() -> None:
    assert propose_base("gpt-4o-mini-2024-07-18", [*BASES, "gpt-4o-mini"]) == "gpt-4o-mini"
    assert propose_base("gpt-4o-2024-08-06", [*BASES, "gpt-4o-mini"]) == "llama-3.1-70b"


def test_a_choice_comes_before_the_default_and_both_before_a_proposal() -> None:
    chosen = {"gpt-4o": "llama-3.1-70b"}
    assert propose_base("gpt-4o-2024-08-06", BASES, chosen, "qwen3-8b") == "llama-3.1-70b"
    assert propose_base("gpt-4.1", BASES, chosen, "qwen3-8b") == "qwen3-8b"
    assert propose_base("gpt-4.1", []) is None


def test_what_means_the_same_is_kept_and_the_learning_rate_is_not() -> None:
    found = proposed(validation_file="file-valid", user_provided_suffix="My Bot!")
    assert found.replaces == "ft:gpt-4o-mini-2024-07-18:acme:support:00000001"
    assert found.request == {
        "model": "qwen3-8b",
        "training_file": "file-train1",
        "validation_file": "file-valid",
        "suffix": "My-Bot",
        "seed": 42,
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 4}}},
        "metadata": {"team": "care", ORIGIN: "ftjob-000001"},
    }
    assert "learning_rate_multiplier was 1.8" in found.notes[0]


def test_older_jobs_have_their_hyperparameters_at_the_top_and_their_suffix_in_the_name() -> None:
    found = proposed(
        method=..., user_provided_suffix=..., hyperparameters={"n_epochs": 4, "batch_size": "auto"}
    )
    assert found.request["method"]["supervised"]["hyperparameters"] == {"n_epochs": 4}
    assert found.request["suffix"] == "support"


def test_preferences_keep_their_beta() -> None:
    method = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": 2}}}
    found = proposed(method=method, hyperparameters=None)
    assert found.request["method"] == {
        "type": "dpo",
        "dpo": {"hyperparameters": {"n_epochs": 2, "beta": 0.2}},
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "failed"},
        {"status": ...},
        {"training_file": "../evil"},
        {"training_file": None},
        {"model": {"id": "x"}},
        {"method": {"type": "reinforcement"}},
        {"method": {"type": ["supervised"]}},
    ],
)
def test_what_cannot_be_trained_again_says_why(changes: dict[str, Any]) -> None:
    found = proposed(**changes)
    assert (found.request, len(found.notes)) == (None, 1)


def test_values_of_any_type_are_survived() -> None:
    wild = {
        "hyperparameters": {"n_epochs": True, "batch_size": 1e9, "learning_rate_multiplier": []},
        "method": {"type": "supervised", "supervised": "yes"}, "seed": -1, "suffix": 7, "metadata": [1],
        "validation_file": 3, "user_provided_suffix": "!!!", "integrations": "wandb", "fine_tuned_model": 5,
    }  # fmt: skip
    found = proposed(**wild)
    assert found.request == {
        "model": "qwen3-8b",
        "training_file": "file-train1",
        "method": {"type": "supervised", "supervised": {"hyperparameters": {}}},
        "metadata": {ORIGIN: "ftjob-000001"},
    }


def test_what_the_archive_does_not_have_is_no_part_of_a_request() -> None:
    account = OldAccount()
    jobs = [account.add_job(1, validation_file="file-gone"), account.add_job(2)]
    jobs.append(account.add_job(3, model=jobs[1]["fine_tuned_model"]))
    first, second, third = propose(jobs, BASES, has_content=lambda id: id not in ("file-gone", "file-train2"))
    assert "validation_file" not in first.request
    assert "its validation file is not in the archive" in first.notes
    assert (second.request, second.notes) == (None, ["its training file is not in the archive"])
    # Its parent will have no replacement.
    assert third.request["model"] == "qwen3-8b"


def test_metadata_keeps_its_limits() -> None:
    pairs = {f"key-{number}": "x" for number in range(16)} | {
        "long": "x" * 513,
        ORIGIN: "mine",
        "n": 1,
        "half": "\ud800",
    }
    found = proposed(metadata=pairs).request["metadata"]
    assert (len(found), found[ORIGIN]) == (16, "ftjob-000001")


def test_a_job_continues_from_what_replaces_its_parent() -> None:
    account = OldAccount()
    first = account.add_job(1)
    second = account.add_job(2, model=first["fine_tuned_model"])
    third = account.add_job(3, model="ft:gpt-4o-2024-08-06:acme::elsewher")
    failed = account.add_job(4, status="failed")
    fifth = account.add_job(5, model=failed["fine_tuned_model"])
    found = propose([first, second, third, failed, fifth], BASES)
    models = [each.request and each.request["model"] for each in found]
    assert models == ["qwen3-8b", first["fine_tuned_model"], "llama-3.1-70b", None, "qwen3-8b"]
