"""Jobs that repeat a former one, through the unmodified openai SDK."""

from typing import Any

import openai
import pytest
from openai import OpenAI

from cluster.contracts.hyperparameters import resolve
from service.db import tables
from service.db.jobs.jobs import job_of
from tests.api import BASE, LiveApi, add_project, preferences

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

TRAINING = {"r": 4, "dropout": 0.25, "on_overlength": "drop"}


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


def former(live: LiveApi, **options: Any) -> Any:
    """A job whose files have been validated."""
    job = live.openai().fine_tuning.jobs.create(
        **{
            "model": "base-1",
            "training_file": live.upload(),
            "validation_file": live.upload(),
            "seed": 5,
            "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
            "extra_body": {"training": TRAINING},
        }
        | options
    )
    with live.state.database.write() as session:
        row = session.get_one(tables.Job, job.id)
        seen = job_of(row)
        resolved = resolve(
            seen.hyperparameters, seen.training, BASE, n_examples=12, seed=seen.seed, method=seen.method
        )
        row.hyperparameters, row.config = (each.model_dump(mode="json") for each in resolved)
    return live.openai().fine_tuning.jobs.retrieve(job.id)


def replay(client: OpenAI, source: Any, **options: Any) -> Any:
    training = {"source_job": source.id} | options.pop("training", {})
    return client.fine_tuning.jobs.create(
        **{"model": source.model, "training_file": source.training_file} | options,
        extra_body={"training": training},
    )


def training_of(job: Any) -> dict[str, Any]:
    training: dict[str, Any] = job.to_dict()["tunery"]["training"]
    return training


def test_what_the_request_leaves_out_is_taken_from_the_former_job(live: LiveApi, client: OpenAI) -> None:
    source = former(live)
    again = replay(client, source)
    assert again.id != source.id
    assert (again.seed, again.validation_file) == (5, source.validation_file)
    assert again.method == source.method
    assert again.hyperparameters.n_epochs == 2
    assert again.hyperparameters.batch_size == source.hyperparameters.batch_size == 4
    assert training_of(again) == training_of(source) | {"source_job": source.id}


def test_what_the_request_gives_counts(live: LiveApi, client: OpenAI) -> None:
    source = former(live)
    again = replay(
        client,
        source,
        seed=9,
        training={"r": 8, "validation_split": 0.25},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
    )
    assert (again.seed, again.validation_file) == (9, None)
    assert (again.hyperparameters.n_epochs, again.hyperparameters.batch_size) == (3, 4)
    assert training_of(again).items() >= (TRAINING | {"r": 8, "validation_split": 0.25}).items()


def test_another_method_has_hyperparameters_of_its_own(live: LiveApi, client: OpenAI) -> None:
    source = former(live, validation_file=None)
    again = replay(
        client, source, training_file=live.upload(preferences()), method={"type": "dpo", "dpo": {}}
    )
    assert again.method.dpo.hyperparameters.n_epochs == "auto"
    assert (again.seed, training_of(again)["r"]) == (5, 4)


def refusal(client: OpenAI, source: Any, **options: Any) -> openai.BadRequestError:
    with pytest.raises(openai.BadRequestError) as refused:
        replay(client, source, **options)
    return refused.value


def test_only_a_job_of_the_project_whose_files_were_validated_is_repeated(
    live: LiveApi, client: OpenAI
) -> None:
    source = former(live)
    stranger = client.with_options(api_key=add_project(live.state.database).key)
    error = refusal(stranger, source)
    assert (error.code, error.param) == ("fine_tune_not_found", "training.source_job")
    new = client.fine_tuning.jobs.create(model="base-1", training_file=source.training_file)
    error = refusal(client, new)
    assert (error.code, error.param) == ("source_job_not_resolved", "training.source_job")


def test_a_job_whose_file_is_gone_is_refused_by_the_file(live: LiveApi, client: OpenAI) -> None:
    source = former(live)
    with live.state.database.write() as session:
        session.get_one(tables.Job, source.id).status = "cancelled"
    client.files.delete(source.validation_file)
    error = refusal(client, source)
    assert (error.code, error.param) == ("invalid_validation_file", "validation_file")
    client.files.delete(source.training_file)
    assert refusal(client, source).param == "training_file"
    other = replay(client, source, training_file=live.upload(), validation_file=live.upload())
    assert other.seed == 5


def test_what_does_not_go_together_is_refused_by_name(live: LiveApi, client: OpenAI) -> None:
    source = former(live)
    error = refusal(client, source, validation_file=live.upload(), training={"validation_split": 0.5})
    assert error.param == "training.validation_split"
    error = refusal(client, source, training={"type": "peft"})
    assert error.param == "training"
