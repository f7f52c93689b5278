"""`tunery_client` against the API."""

import json
import threading
from pathlib import Path

import pytest
import tunery_client
from tunery_client import (
    AuthenticationFailed,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    Overloaded,
    ServerError,
    Tunery,
    WaitTimeout,
)

from cluster.contracts import errors
from cluster.contracts.jobs import JobStatus
from service.api.app import create_app
from service.api.state import AppState
from service.db import tables
from service.db.jobs.jobs import Jobs, NewJob
from service.db.transitions import transition
from tests.api import (
    REPORT,
    LiveApi,
    Project,
    add_encoder,
    add_tuned_model,
    jsonl,
    labels,
    listening,
    preferences,
)
from tests.clients.blocking import COLOURS, Colour, Connect
from tests.service.db.rows import refuse, train

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    pytest.mark.parametrize("colour", COLOURS),
]


@pytest.fixture
def training(tmp_path: Path) -> Path:
    path = tmp_path / "orders.jsonl"
    path.write_bytes(jsonl())
    return path


def test_the_exported_names_are_these(database_url: str, colour: Colour) -> None:
    assert tunery_client.__all__ == [
        "ApiError",
        "AsyncTunery",
        "AuthenticationFailed",
        "Conflict",
        "ConnectionFailed",
        "CorruptDownload",
        "ExportFailed",
        "InvalidRequest",
        "MissingApiKey",
        "NotFound",
        "Overloaded",
        "PermissionDenied",
        "ServerError",
        "TargetExists",
        "Tunery",
        "TuneryError",
        "UploadInterrupted",
        "UploadProgress",
        "WaitTimeout",
    ]
    assert all(hasattr(tunery_client, name) for name in tunery_client.__all__)


def test_an_uploaded_file_can_be_downloaded(tunery: Tunery, training: Path) -> None:
    # The file contains the boundary that the generated code would put between the parts.
    training.write_bytes(jsonl() + b'{"prompt": "--+++", "completion": "x"}\n\r\n--+++--\r\n')
    made = tunery.files.upload(training)
    assert (made.filename, made.status, made.bytes_) == ("orders.jsonl", "error", training.stat().st_size)
    assert tunery.files.content(made.id) == training.read_bytes()
    assert tunery.files.retrieve(made.id) == made
    assert [file.id for file in tunery.files.list(purpose="fine-tune")] == [made.id]
    tunery.files.delete(made.id)
    assert list(tunery.files.list()) == []


def test_a_job_is_created_listed_and_cancelled(tunery: Tunery, training: Path) -> None:
    file = tunery.files.upload(training)
    job = tunery.jobs.create(
        model="base-1",
        training_file=file.id,
        metadata={"team": "shop"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
        training={"r": 8, "target_modules": ["q_proj"]},
    )
    assert (job.status, job.hyperparameters.n_epochs, job.tunery.training.r) == ("validating_files", 2, 8)
    assert job.tunery.training.target_modules == ["q_proj"]
    assert [one.id for one in tunery.jobs.list(metadata={"team": "shop"})] == [job.id]
    assert list(tunery.jobs.list(metadata={"team": "other"})) == []
    assert tunery.jobs.cancel(job.id).status == "cancelled"
    assert [event.message for event in tunery.jobs.events(job.id)][-1] == f"Created fine-tuning job: {job.id}"
    with pytest.raises(Conflict):
        tunery.jobs.cancel(job.id)


def test_a_job_is_paused_and_resumed(live: LiveApi, tunery: Tunery, training: Path) -> None:
    job = tunery.jobs.create(model="base-1", training_file=tunery.files.upload(training).id)
    with live.state.database.write() as session:
        transition(session, session.get_one(tables.Job, job.id), JobStatus.QUEUED, at=0)
    assert tunery.jobs.pause(job.id).status == "paused"
    assert tunery.jobs.resume(job.id).status == "queued"


def test_a_trained_job_is_published_again(live: LiveApi, tunery: Tunery, training: Path) -> None:
    job = tunery.jobs.create(model="base-1", training_file=tunery.files.upload(training).id)
    with pytest.raises(Conflict, match="nothing to publish"):
        tunery.jobs.republish(job.id)
    train(live.state.database, job.id)
    refuse(live.state.database, job.id)
    failed = tunery.jobs.retrieve(job.id)
    assert (failed.status, failed.error.code) == ("failed", "serving_mismatch")
    again = tunery.jobs.republish(job.id, gate="skip", regression="allow")
    assert (again.status, again.tunery.state) == ("running", "publishing")
    assert again.tunery.publishing.weights == failed.tunery.publishing.weights


def test_a_preference_job_shows_its_method(tunery: Tunery, training: Path) -> None:
    training.write_bytes(preferences())
    job = tunery.jobs.create(
        model="base-1",
        training_file=tunery.files.upload(training).id,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.5}}},
        training={"validation_split": 0.25, "early_stopping": {"patience": 2}},
    )
    assert (job.method.type_, job.hyperparameters.beta) == ("dpo", 0.5)
    assert job.tunery.training.early_stopping.patience == 2


def test_a_tuned_model_is_continued_and_shows_its_evaluation(
    live: LiveApi, tunery: Tunery, training: Path
) -> None:
    file = tunery.files.upload(training).id
    job = tunery.jobs.create(model="base-1", training_file=file, training={"r": 8})
    assert job.tunery.evaluation is None
    model, _ = add_tuned_model(live.state.database, job.id)
    evaluation = tunery.jobs.retrieve(job.id).tunery.evaluation
    assert evaluation.to_dict() == REPORT.model_dump()
    assert tunery.models.retrieve(model).tunery.evaluation == evaluation
    more = tunery.jobs.create(model=model, training_file=file)
    assert (more.tunery.training.from_checkpoint, more.tunery.training.r) == (model, 8)


def test_lists_fetch_every_page(live: LiveApi, tunery: Tunery, training: Path) -> None:
    file = tunery.files.upload(training)
    with live.state.database.write() as session:
        jobs = Jobs(session, live.project.tenant)
        made = [jobs.create(NewJob(model="base-1", training_file=file.id)).id for _ in range(103)]
    assert [job.id for job in tunery.jobs.list()] == made[::-1]


def test_wait_reports_every_event_once_and_returns_the_ended_job(
    live: LiveApi, tunery: Tunery, training: Path
) -> None:
    job = tunery.jobs.create(model="base-1", training_file=tunery.files.upload(training).id)
    heard: list[str] = []
    has_begun = threading.Event()

    def hear(event: object) -> None:
        heard.append(event.message)  # type: ignore[attr-defined]
        has_begun.set()

    def cancel_later() -> None:
        assert has_begun.wait(300)
        with live.state.database.write() as session:
            Jobs(session, live.project.tenant).cancel(job.id)

    thread = threading.Thread(target=cancel_later)
    thread.start()
    ended = tunery.jobs.wait(job.id, on_event=hear, timeout_seconds=30)
    thread.join()
    assert ended.status == "cancelled"
    assert heard == [event.message for event in tunery.jobs.events(job.id)][::-1]


def test_wait_times_out_and_leaves_the_job_running(tunery: Tunery, training: Path) -> None:
    job = tunery.jobs.create(model="base-1", training_file=tunery.files.upload(training).id)
    with pytest.raises(WaitTimeout, match=job.id):
        tunery.jobs.wait(job.id, timeout_seconds=0.5)
    assert tunery.jobs.retrieve(job.id).status == "validating_files"


def test_wait_survives_a_restart_of_the_server(
    state: AppState, project: Project, training: Path, connect: Connect
) -> None:
    """The first server ends in the middle of the stream; a second one replaces it on another port."""

    def app() -> object:
        return create_app(state.settings, open_state=lambda _: state)

    heard: list[str] = []
    with listening(app()) as first:  # type: ignore[arg-type]
        tunery = connect(first, project.key)
        job = tunery.jobs.create(model="base-1", training_file=tunery.files.upload(training).id)
        events = tunery.jobs.stream_events(job.id, timeout_seconds=60)
        heard += [next(events).message for _ in range(2)]
    with listening(app()) as second:  # type: ignore[arg-type]
        client = tunery._client
        for http in (client._client, client._async_client):
            if http is not None:
                http.base_url = second
        with state.database.write() as session:
            Jobs(session, project.tenant).cancel(job.id)
        heard += [event.message for event in events]
        assert heard == [event.message for event in tunery.jobs.events(job.id)][::-1]


def test_a_model_generates_until_it_is_deleted(live: LiveApi, tunery: Tunery, training: Path) -> None:
    job = tunery.jobs.create(model="base-1", training_file=tunery.files.upload(training).id)
    model, checkpoint = add_tuned_model(live.state.database, job.id)
    assert [one.id for one in tunery.models.list()] == ["base-1", model]
    assert [one.fine_tuned_model_checkpoint for one in tunery.jobs.checkpoints(job.id)] == [checkpoint]
    assert tunery.models.retrieve(model).id == model
    messages = [{"role": "user", "content": "hi"}]
    answer = tunery.chat.create(model=model, messages=messages, temperature=0)
    assert (answer.choices[0].message.content, answer.usage.completion_tokens) == ("Hello wörld", 3)
    chunks = list(tunery.chat.stream(model=model, messages=messages))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Hello wörld"
    text = tunery.completions.create(model=checkpoint, prompt="hi", n=2)
    assert [choice.text for choice in text.choices] == ["Hello wörld"] * 2
    pieces = list(tunery.completions.stream(model=checkpoint, prompt="hi"))
    assert "".join(piece.choices[0].text for piece in pieces) == "Hello wörld"
    tunery.models.delete(model)
    with pytest.raises(NotFound) as error:
        tunery.models.retrieve(model)
    assert error.value.code == "model_not_found"


def test_a_tuned_encoder_classifies(live: LiveApi, tunery: Tunery, training: Path) -> None:
    training.write_bytes(labels())
    job = tunery.jobs.create(model=add_encoder(live.state), training_file=tunery.files.upload(training).id)
    model, _ = add_tuned_model(live.state.database, job.id)
    (text,) = tunery.classifications.create(model=model, input="hello").data
    assert (text.label, text.scores["rude"]) == ("rude", pytest.approx(0.75))
    words = tunery.classifications.create(model=model, input=[["Ada", "sang"], ["yes"]]).data
    assert [[token.word for token in one.tokens] for one in words] == [["Ada", "sang"], ["yes"]]


def test_an_encoder_embeds(live: LiveApi, tunery: Tunery) -> None:
    answer = tunery.embeddings.create(model=add_encoder(live.state), input=["a", "b"], dimensions=2)
    assert [one.embedding for one in answer.data] == [pytest.approx([0.6, -0.8])] * 2
    assert answer.usage.prompt_tokens == 6


def test_closing_a_stream_cancels_its_generation(live: LiveApi, tunery: Tunery) -> None:
    live.engine.stalls = True
    stream = tunery.completions.stream(model="base-1", prompt="hi")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert live.engine.was_cancelled.wait(300)


def test_errors_have_types_and_the_servers_message(live: LiveApi, connect: Connect) -> None:
    tunery = connect(live.url, live.project.key, max_retries=0)
    with pytest.raises(InvalidRequest) as invalid:
        tunery.jobs.create(model="base-1", training_file="file-1", sufix="x")
    assert (invalid.value.status, invalid.value.code, invalid.value.param) == (
        400,
        "unknown_parameter",
        "sufix",
    )
    assert (invalid.value.request_id or "").startswith("req_")
    with pytest.raises(AuthenticationFailed):
        connect(live.url, "wrong").models.list()
    live.engine.refusal = errors.Overloaded("busy")
    with pytest.raises(Overloaded):
        tunery.completions.create(model="base-1", prompt="x")
    live.engine.refusal = errors.Unavailable("away")
    with pytest.raises(ServerError, match="away"):
        next(tunery.completions.stream(model="base-1", prompt="x"))
    live.engine.refusal, live.engine.fault = None, errors.Unavailable("broke off")
    with pytest.raises(ServerError, match="broke off"):
        list(tunery.completions.stream(model="base-1", prompt="x"))


def test_an_absent_server_is_a_failed_connection(database_url: str, connect: Connect) -> None:
    with pytest.raises(ConnectionFailed):
        connect("http://127.0.0.1:1/v1", "key", max_retries=0).models.list()


def test_another_servers_error_page_is_an_error_too(database_url: str, connect: Connect) -> None:
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse

    async def page(scope: object, receive: object, send: object) -> None:
        await HTMLResponse("<h1>Bad Gateway</h1>", 502)(scope, receive, send)  # type: ignore[arg-type]

    app = Starlette()
    app.mount("/", page)
    with listening(app) as url, pytest.raises(ServerError, match="502"):
        connect(url, "key", max_retries=0).models.list()


def test_objects_keep_what_newer_servers_add(database_url: str, colour: Colour) -> None:
    from tunery_client._generated.models.model_object import ModelObject

    named = ("job_id", "import_id", "alias_of", "provenance", "evaluation", "parity", "unavailable")
    names = ("architecture", "context_length", "full_context_length", *named)
    extension = {"base": "m", **dict.fromkeys(names)}
    payload = {"id": "m", "object": "model", "created": 1, "owned_by": "me", "tunery": extension, "new": [1]}
    assert json.dumps(ModelObject.from_dict(payload).to_dict(), sort_keys=True) == json.dumps(
        payload, sort_keys=True
    )
