"""Jobs that continue from tuned models and checkpoints, through the unmodified openai SDK."""

from typing import Any

import openai
import pytest
from openai import OpenAI
from sqlalchemy import update

from service.db import tables
from tests.api import LiveApi, add_encoder, add_project, add_tuned_model, preferences


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


@pytest.fixture
def file(live: LiveApi) -> str:
    return live.upload()


def tuned(live: LiveApi, **training: Any) -> tuple[str, str]:
    """Returns a tuned model and one of its checkpoints."""
    client = live.openai()
    job = client.fine_tuning.jobs.create(
        model="base-1", training_file=live.upload(), extra_body={"training": training}
    )
    return add_tuned_model(live.state.database, job.id)


def stranger(live: LiveApi) -> OpenAI:
    """Another project's client."""
    return live.openai().with_options(api_key=add_project(live.state.database).key)


def start_of(live: LiveApi, job_id: str) -> str | None:
    with live.state.database.read() as session:
        return session.get_one(tables.Job, job_id).start_from


def continued(client: OpenAI, file: str, start: str, **training: Any) -> Any:
    return client.fine_tuning.jobs.create(
        model="base-1",
        training_file=file,
        extra_body={"training": {"from_checkpoint": start} | training},
    )


def test_a_tuned_models_name_as_the_model_continues_it(live: LiveApi, client: OpenAI, file: str) -> None:
    model, checkpoint = tuned(live)
    for name, step in ((model, 9), (checkpoint, 7)):
        job = client.fine_tuning.jobs.create(model=name, training_file=file, suffix="more")
        assert job.model == "base-1"
        extension: Any = job.to_dict()["tunery"]
        assert extension["training"]["from_checkpoint"] == name
        assert (start_of(live, job.id) or "").endswith(f"/step-{step:08d}/manifest.json")


def test_from_checkpoint_continues_a_model_or_a_checkpoint_with_any_method(
    live: LiveApi, client: OpenAI, file: str
) -> None:
    model, checkpoint = tuned(live)
    job = continued(client, file, checkpoint, restore_optimizer=True)
    assert (start_of(live, job.id) or "").endswith("/step-00000007/manifest.json")
    job = client.fine_tuning.jobs.create(
        model=model,
        training_file=live.upload(preferences()),
        method={"type": "dpo"},
        extra_body={"training": {"from_checkpoint": model}},
    )
    assert (start_of(live, job.id) or "").endswith("/step-00000009/manifest.json")
    assert start_of(live, client.fine_tuning.jobs.create(model="base-1", training_file=file).id) is None


def test_a_continued_adapter_keeps_its_shape(live: LiveApi, client: OpenAI, file: str) -> None:
    shape = {"r": 8, "alpha": 4.0, "target_modules": ["q_proj"], "use_rslora": True, "dropout": 0.25}
    model, _ = tuned(live, **shape)
    job = continued(client, file, model)
    assert job.to_dict()["tunery"]["training"].items() >= shape.items()
    job = continued(client, file, model, r=8, dropout=0.0)
    assert job.to_dict()["tunery"]["training"].items() >= (shape | {"dropout": 0.0}).items()


@pytest.mark.parametrize(
    ("field", "value"),
    [("r", 16), ("alpha", 32.0), ("target_modules", "all-linear"), ("use_rslora", False), ("use_dora", True)],
)
def test_a_continued_adapter_cannot_change_its_shape(
    live: LiveApi, client: OpenAI, file: str, field: str, value: object
) -> None:
    model, _ = tuned(live, r=8, alpha=4.0, target_modules=["q_proj"], use_rslora=True)
    with pytest.raises(openai.BadRequestError, match="keeps its shape") as error:
        continued(client, file, model, **{field: value})
    assert error.value.param == f"training.{field}"


def test_a_continued_adapter_cannot_change_its_type(live: LiveApi, client: OpenAI, file: str) -> None:
    model, _ = tuned(live, r=8)
    rank = {"peft_type": "LOHA", "r": 4}
    with pytest.raises(openai.BadRequestError, match="continues as one") as error:
        continued(client, file, model, type="peft", peft_config=rank)
    assert error.value.param == "training.type"
    prefix = {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 4}
    model, _ = tuned(live, type="peft", peft_config=prefix)
    with pytest.raises(openai.BadRequestError, match="continues as one"):
        continued(client, file, model, type="full")


def test_full_weights_can_be_continued_with_an_adapter_of_any_shape(
    live: LiveApi, client: OpenAI, file: str
) -> None:
    model, _ = tuned(live, r=8, use_dora=True)
    with live.state.database.write() as session:
        session.get_one(tables.Model, model).form = "full"
    training: Any = continued(client, file, model, r=4).to_dict()["tunery"]["training"]
    assert (training["r"], training["use_dora"]) == (4, True)


def test_a_continued_job_keeps_its_options_unless_it_overrides_them(
    live: LiveApi, client: OpenAI, file: str
) -> None:
    rank = {"peft_type": "LOHA", "r": 4}
    model, _ = tuned(live, type="peft", peft_config=rank)
    training: Any = continued(client, file, model).to_dict()["tunery"]["training"]
    assert (training["type"], training["peft_config"]) == ("peft", rank)
    with pytest.raises(openai.BadRequestError) as error:
        continued(client, file, model, type="peft", peft_config={"peft_type": "LOHA", "r": 8})
    assert error.value.param == "training.peft_config"
    model, _ = tuned(live, type="qlora", r=8)
    assert continued(client, file, model).to_dict()["tunery"]["training"]["type"] == "qlora"
    as_lora: Any = continued(client, file, model, type="lora").to_dict()["tunery"]["training"]
    assert (as_lora["type"], as_lora["r"]) == ("lora", 8)


def test_what_cannot_be_continued_is_refused(
    live: LiveApi, client: OpenAI, file: str, subtests: pytest.Subtests
) -> None:
    add_encoder(live.state)
    model, checkpoint = tuned(live)
    gone, _ = tuned(live)
    client.models.delete(gone)
    other, param = stranger(live), "training.from_checkpoint"
    theirs = other.files.create(file=("a.jsonl", b""), purpose="user_data").id
    for asking, changes, where, code in (
        (client, {"model": "ft:base-1:tunery::absent00"}, "model", "model_not_found"),
        (client, {"model": f"{model}:ckpt-step-8"}, "model", "model_not_found"),
        (client, {"model": gone}, "model", "model_not_found"),
        (client, from_checkpoint(gone), param, "model_not_found"),
        (client, from_checkpoint("base-1"), param, "model_not_found"),
        (other, {"model": model, "training_file": theirs}, "model", "model_not_found"),
        (other, from_checkpoint(model) | {"training_file": theirs}, param, "model_not_found"),
        (other, from_checkpoint(checkpoint) | {"training_file": theirs}, param, "model_not_found"),
        (client, from_checkpoint(model) | {"model": "encoder-1"}, param, "invalid_value"),
        (client, from_checkpoint(model) | {"model": checkpoint}, param, "invalid_value"),
    ):
        with subtests.test(changes=changes):
            with pytest.raises(openai.BadRequestError) as error:
                asking.fine_tuning.jobs.create(**{"model": "base-1", "training_file": file} | changes)
            assert (error.value.param, error.value.code) == (where, code)


def test_another_tenants_model_looks_like_one_that_never_existed(live: LiveApi, file: str) -> None:
    model, _ = tuned(live)
    other = stranger(live)
    answers = []
    for name in (model, "ft:base-1:tunery::absent00"):
        with pytest.raises(openai.BadRequestError) as error:
            other.fine_tuning.jobs.create(model=name, training_file=file)
        answers.append(error.value.response.text.replace(name, "NAME"))
    assert answers[0] == answers[1]


def from_checkpoint(name: str) -> dict[str, Any]:
    return {"extra_body": {"training": {"from_checkpoint": name}}}


def test_a_repeated_create_finds_its_job_after_its_source_was_deleted(
    live: LiveApi, client: OpenAI, file: str
) -> None:
    model, _ = tuned(live)
    job = client.fine_tuning.jobs.create(model=model, training_file=file)
    client.models.delete(model)
    retry = {"x-stainless-retry-count": "1"}
    again = client.fine_tuning.jobs.create(model=model, training_file=file, extra_headers=retry)
    assert again.id == job.id


def test_optimizer_state_can_be_restored_until_it_is_deleted(
    live: LiveApi, client: OpenAI, file: str
) -> None:
    model, _ = tuned(live)
    assert continued(client, file, model, restore_optimizer=True).status == "validating_files"
    with live.state.database.write() as session:
        session.execute(update(tables.Job).values(resume_state_gone_at=1))
    with pytest.raises(openai.BadRequestError, match="is not kept") as refused:
        continued(client, file, model, restore_optimizer=True)
    assert (refused.value.code, refused.value.param) == (
        "optimizer_state_gone",
        "training.restore_optimizer",
    )
    assert continued(client, file, model).status == "validating_files"
