"""`tunery_client` against the whole of Tunery."""

from pathlib import Path

import pytest
from tunery_client import NotFound
from tunery_client import Tunery as Client

from tests.e2e.server import BASE, Tunery, jsonl

pytestmark = pytest.mark.e2e


def test_our_own_client_takes_a_model_through_its_whole_life(embedded: Tunery, tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(jsonl(40))
    with Client(embedded.url, embedded.key) as tunery:
        file = tunery.files.upload(path)
        assert (file.status, tunery.files.content(file.id)) == ("processed", path.read_bytes())
        created = tunery.jobs.create(
            model=BASE, training_file=file.id, suffix="client", hyperparameters={"n_epochs": 1}
        )
        heard: list[str] = []
        job = tunery.jobs.wait(created.id, on_event=lambda event: heard.append(event.id), timeout_seconds=300)
        assert (job.id, job.status, job.error) == (created.id, "succeeded", None)
        assert heard == [event.id for event in tunery.jobs.events(job.id)][::-1]
        model = job.fine_tuned_model
        assert model
        assert {BASE, model} <= {one.id for one in tunery.models.list()}
        (checkpoint,) = tunery.jobs.checkpoints(job.id)
        asked = {
            "messages": [{"role": "user", "content": "order 3 qty 4"}],
            "max_tokens": 16,
            "temperature": 0,
        }
        for name in (BASE, model, checkpoint.fine_tuned_model_checkpoint):
            whole = tunery.chat.create(model=name, **asked).choices[0].message.content
            chunks = tunery.chat.stream(model=name, **asked)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
        scored = tunery.completions.create(model=model, prompt="order 3", max_tokens=0, echo=True, logprobs=0)
        assert scored.choices[0].text == "order 3"
        assert tunery.files.content(job.result_files[0]).startswith(b"step,train_loss,")
        tunery.models.delete(model)
        with pytest.raises(NotFound):
            tunery.models.retrieve(model)
        tunery.files.delete(file.id)
        assert job.id in [one.id for one in tunery.jobs.list()]
