"""Models, through the unmodified openai SDK."""

from pathlib import Path

import openai
import pytest

from service.db import tables
from tests.api import LiveApi, add_tuned_model
from tests.service.api.weights.stored import FILES, add_stored_model


def test_bases_and_tuned_models_are_listed_and_checkpoints_answer_to_their_names(live: LiveApi) -> None:
    client = live.openai()
    job = client.fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    assert [model.id for model in client.models.list()] == ["base-1"]
    model, checkpoint = add_tuned_model(live.state.database, job.id)
    assert [one.id for one in client.models.list()] == ["base-1", model]
    for name in ("base-1", model, checkpoint):
        found = client.models.retrieve(name)
        assert (found.id, found.object) == (name, "model")
    assert client.models.retrieve(model).owned_by == live.project.tenant.organization_id


def test_a_model_that_was_asked_for_too_early_answers_once_it_is_there(live: LiveApi) -> None:
    client = live.openai()
    job = client.fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    with live.state.database.read() as session:
        model = session.get_one(tables.Job, job.id).output_model
    for name in (model, f"{model}:ckpt-step-7"):
        with pytest.raises(openai.NotFoundError):
            client.completions.create(model=name, prompt="x")
    assert add_tuned_model(live.state.database, job.id) == (model, f"{model}:ckpt-step-7")
    for name in (model, f"{model}:ckpt-step-7"):
        assert client.completions.create(model=name, prompt="x").model == name
    assert [bool(request.model.adapter) for request in live.engine.requests] == [True, True]


def test_a_deleted_model_is_gone_with_its_checkpoints_and_a_base_stays(live: LiveApi) -> None:
    client = live.openai()
    job = client.fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    model, checkpoint = add_tuned_model(live.state.database, job.id)
    assert client.models.delete(model).deleted
    for name in (model, checkpoint):
        with pytest.raises(openai.NotFoundError) as error:
            client.models.retrieve(name)
        assert error.value.code == "model_not_found"
        with pytest.raises(openai.NotFoundError):
            client.completions.create(model=name, prompt="x")
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("base-1")
    assert client.models.retrieve("base-1").id == "base-1"


def test_weights_are_downloaded_through_the_clients_own_get(live: LiveApi, tmp_path: Path) -> None:
    client = live.openai()
    job = client.fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    for name in add_stored_model(live.state, job.id):
        url = f"/models/{name}/weights"
        listed = client.get(url, cast_to=object)
        assert isinstance(listed, dict)
        for file in listed["files"]:
            found = client.get(f"{url}/{file['filename']}", cast_to=openai.HttpxBinaryResponseContent)
            found.write_to_file(tmp_path / file["filename"])
        weights = tmp_path / "adapter_model.safetensors"
        assert weights.read_bytes() == FILES["adapter_model.safetensors"]


def test_an_alias_is_used_like_a_models_name(live: LiveApi) -> None:
    client = live.openai()
    job = client.fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    model, _ = add_tuned_model(live.state.database, job.id)
    client.post(f"/models/{model}/aliases", body={"alias": "support@prod"}, cast_to=object)
    assert client.models.retrieve("support@prod").id == "support@prod"
    assert "support@prod" in {one.id for one in client.models.list()}
    assert client.completions.create(model="support@prod", prompt="x").model == model
