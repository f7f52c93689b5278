"""Fine-tuning jobs, through the unmodified openai SDK."""

from functools import partial
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.jobs import JobStatus
from cluster.contracts.peft_options import _RULES, ALLOWED
from service.api.schemas.jobs import CreateJobBody
from service.db import tables
from service.db.transitions import NewEvent, add_events, transition
from tests.api import BASE, REPORT, LiveApi, add_encoder, add_tuned_model, jsonl, labels, preferences
from tests.databases import on_both_databases


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


@pytest.fixture
def file(live: LiveApi) -> str:
    return live.upload()


def test_a_new_job_is_openais_object(client: OpenAI, file: str) -> None:
    validation = client.files.create(file=("valid.jsonl", jsonl(3)), purpose="fine-tune").id
    job = client.fine_tuning.jobs.create(
        model="base-1",
        training_file=file,
        validation_file=validation,
        suffix="orders",
        seed=7,
        metadata={"team": "shop"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
    )
    assert job.id.startswith("ftjob-")
    assert job.to_dict() == {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": job.created_at,
        "error": None,
        "fine_tuned_model": None,
        "finished_at": None,
        "hyperparameters": {"batch_size": "auto", "learning_rate_multiplier": "auto", "n_epochs": 2},
        "model": "base-1",
        "organization_id": job.organization_id,
        "result_files": [],
        "status": "validating_files",
        "trained_tokens": None,
        "training_file": file,
        "validation_file": validation,
        "seed": 7,
        "estimated_finish": None,
        "integrations": [],
        "method": {
            "type": "supervised",
            "supervised": {
                "hyperparameters": {"batch_size": "auto", "learning_rate_multiplier": "auto", "n_epochs": 2}
            },
        },
        "metadata": {"team": "shop"},
        "user_provided_suffix": "orders",
        "tunery": {
            "state": "validating_files",
            "queue": None,
            "priority": "normal",
            "start_by": None,
            "progress": None,
            "publishing": None,
            "attempt": 0,
            "training": TrainingOptions().model_dump(),
            "plan": None,
            "workers": None,
            "evaluation": None,
            "provenance": None,
            "cost": None,
            "integrations": [],
        },
    }
    assert client.fine_tuning.jobs.retrieve(job.id) == job


def training(**options: Any) -> dict[str, Any]:
    """Returns Tunery's own options, as the SDK sends them."""
    return {"extra_body": {"training": options}}


def test_a_preference_job_is_openais_object(live: LiveApi, client: OpenAI) -> None:
    pairs = live.upload(preferences())
    job = client.fine_tuning.jobs.create(
        model="base-1",
        training_file=pairs,
        validation_file=pairs,
        method={"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.5, "n_epochs": 2}}},
    )
    hyperparameters = {
        "batch_size": "auto",
        "learning_rate_multiplier": "auto",
        "n_epochs": 2,
        "beta": 0.5,
    }
    shown = job.to_dict()
    assert shown["method"] == {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}
    assert shown["hyperparameters"] == hyperparameters
    assert job.method
    assert job.method.dpo
    assert job.method.dpo.hyperparameters
    assert job.method.dpo.hyperparameters.beta == 0.5
    assert client.fine_tuning.jobs.retrieve(job.id) == job


def test_all_options_of_a_preference_job_have_defaults(live: LiveApi, client: OpenAI) -> None:
    pairs = live.upload(preferences())
    job = client.fine_tuning.jobs.create(model="base-1", training_file=pairs, method={"type": "dpo"})
    assert set(job.hyperparameters.to_dict().values()) == {"auto"}
    assert "beta" in job.hyperparameters.to_dict()


def test_an_encoder_is_trained_on_labels(live: LiveApi, client: OpenAI, file: str) -> None:
    encoder, labelled = add_encoder(live.state), live.upload(labels())
    job = client.fine_tuning.jobs.create(model=encoder, training_file=labelled)
    assert job.model == encoder
    for changes, param, code in (
        ({"training_file": file}, "training_file", "wrong_format"),
        ({"method": {"type": "dpo"}}, "method.type", "invalid_value"),
        (training(max_regression=0.1), "training.max_regression", "invalid_value"),
        (training(general_file=file), "training.general_file", "invalid_value"),
    ):
        with pytest.raises(openai.BadRequestError) as error:
            client.fine_tuning.jobs.create(**{"model": encoder, "training_file": labelled} | changes)
        assert (error.value.param, error.value.code) == (param, code)


def test_a_job_that_ended_shows_its_evaluation(live: LiveApi, client: OpenAI, file: str) -> None:
    job = client.fine_tuning.jobs.create(model="base-1", training_file=file)
    model, checkpoint = add_tuned_model(live.state.database, job.id)
    evaluation = REPORT.model_dump()
    extension: Any = client.fine_tuning.jobs.retrieve(job.id).to_dict()["tunery"]
    assert extension["evaluation"] == evaluation
    extension = client.models.retrieve(model).to_dict()["tunery"]
    unmeasured = ("p99_abs", "same_top", "noise", "effect")
    parity = {"max_abs": 1e-5, "mean_abs": 1e-6} | dict.fromkeys(unmeasured)
    nothing = {
        "evaluation": None,
        "parity": None,
        "unavailable": None,
        "provenance": None,
        "alias_of": None,
        "import_id": None,
        "context_length": BASE.context_length,
        "full_context_length": None,
    }
    made = {"base": "base-1", "architecture": "decoder", "job_id": job.id}
    assert extension == nothing | made | {"evaluation": evaluation, "parity": parity}
    extension = client.models.retrieve(checkpoint).to_dict()["tunery"]
    assert extension == nothing | made
    assert client.models.retrieve("base-1").to_dict()["tunery"] == nothing | made | {"job_id": None}


def test_both_places_of_hyperparameters_are_equivalent(client: OpenAI, file: str) -> None:
    requested: Any = {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 0.5}
    older = client.fine_tuning.jobs.create(model="base-1", training_file=file, hyperparameters=requested)
    newer = client.fine_tuning.jobs.create(
        model="base-1",
        training_file=file,
        method={"type": "supervised", "supervised": {"hyperparameters": requested}},
    )
    assert older.hyperparameters == newer.hyperparameters
    assert older.method == newer.method
    assert older.seed != newer.seed
    assert older.seed >= 0


def test_the_training_extension_reaches_the_job(client: OpenAI, file: str) -> None:
    job = client.fine_tuning.jobs.create(
        model="base-1", training_file=file, extra_body={"training": {"r": 8, "on_overlength": "drop"}}
    )
    extension: Any = job.to_dict()["tunery"]
    assert (extension["training"]["r"], extension["training"]["on_overlength"]) == (8, "drop")


def test_an_invalid_job_is_refused(client: OpenAI, file: str, subtests: pytest.Subtests) -> None:
    notes = client.files.create(file=("notes.txt", b"words"), purpose="user_data").id
    broken = client.files.create(file=("bad.jsonl", b"{"), purpose="fine-tune").id
    pairs = client.files.create(file=("pairs.jsonl", preferences()), purpose="fine-tune").id
    for changes, param, code in (
        ({"model": "gpt-4o"}, "model", "model_not_found"),
        ({"training_file": "file-absent"}, "training_file", "invalid_training_file"),
        ({"training_file": notes}, "training_file", "invalid_training_file"),
        ({"training_file": broken}, "training_file", "invalid_training_file"),
        ({"validation_file": "file-absent"}, "validation_file", "invalid_validation_file"),
        ({"method": {"type": "dpo"}}, "training_file", "wrong_format"),
        ({"method": {"type": "reinforcement"}}, "method.type", "unsupported_method"),
        (
            {"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]},
            "integrations[0].type",
            "unsupported_integration",
        ),
        ({"extra_body": {"training": {"type": "full"}}}, "training.type", "invalid_value"),
        ({"extra_body": {"training": {"num_workers": 2}}}, "training.num_workers", "invalid_value"),
        (
            {"hyperparameters": {"n_epochs": 1}, "method": {"type": "supervised", "supervised": {}}},
            "hyperparameters",
            "invalid_value",
        ),
        (
            {"hyperparameters": {"n_epochs": 1}, "method": {"type": "dpo"}},
            "hyperparameters",
            "invalid_value",
        ),
        *(
            (
                {"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": beta}}}},
                "method.dpo.hyperparameters.beta",
                code,
            )
            for beta, code in (
                (0, "decimal_below_min_value"),
                (2.1, "decimal_above_max_value"),
                ("high", "invalid_type"),
            )
        ),
        (
            {"method": {"type": "supervised", "supervised": {"hyperparameters": {"beta": 0.1}}}},
            "method.supervised.hyperparameters.beta",
            "unknown_parameter",
        ),
        (training(peft_config={"peft_type": "IA3"}), "training", "invalid_value"),
        (training(restore_optimizer=True), "training", "invalid_value"),
        (
            training(type="peft", peft_config={"peft_type": "IA3", "auto_mapping": {}}),
            "training.peft_config.auto_mapping",
            "invalid_value",
        ),
        (training(type="qlora", use_dora=True), "training.use_dora", "invalid_value"),
        (training(validation_split=0.6), "training.validation_split", "decimal_above_max_value"),
        (
            training(validation_split=0.1) | {"validation_file": file},
            "training.validation_split",
            "invalid_value",
        ),
        (training(early_stopping={}), "training.early_stopping", "invalid_value"),
        (training(general_file="file-absent"), "training.general_file", "invalid_general_file"),
        (training(general_file=notes), "training.general_file", "invalid_general_file"),
        (training(general_file=pairs), "training.general_file", "wrong_format"),
        *(
            (training(target_modules=[name]), "training.target_modules", "invalid_value")
            for name in ("embed_tokens", "lm_head", "query")
        ),
        (training(type="qlora", target_modules=["query"]), "training.target_modules", "invalid_value"),
        (
            training(type="peft", peft_config={"peft_type": "IA3", "target_modules": ["query"]}),
            "training.peft_config.target_modules",
            "invalid_value",
        ),
        (
            training(type="peft", peft_config={"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 512}),
            "training.peft_config.num_virtual_tokens",
            "invalid_value",
        ),
        ({"training_file": pairs}, "training_file", "wrong_format"),
        ({"validation_file": pairs}, "validation_file", "wrong_format"),
    ):
        with subtests.test(changes=changes):
            with pytest.raises(openai.BadRequestError) as error:
                client.fine_tuning.jobs.create(**{"model": "base-1", "training_file": file, **changes})
            assert (error.value.param, error.value.code) == (param, code)
    assert client.fine_tuning.jobs.list().data == []


def test_a_layer_that_the_base_does_not_have_is_refused_with_those_that_it_has(
    client: OpenAI, file: str
) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.fine_tuning.jobs.create(model="base-1", training_file=file, **training(target_modules=["wq"]))
    assert "'wq'" in str(error.value)
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in str(error.value)


def test_a_number_beyond_its_limit_is_refused_with_the_limit(
    client: OpenAI, file: str, subtests: pytest.Subtests
) -> None:
    for changes, limit in (
        ({"hyperparameters": {"learning_rate_multiplier": 1e9}}, "100"),
        ({"method": _dpo(learning_rate_multiplier=100.1)}, "100"),
        ({"method": _dpo(beta=3)}, "2"),
        ({"hyperparameters": {"n_epochs": 51}}, "50"),
        (training(r=257), "256"),
        (training(alpha=1e9), "10000"),
        (training(early_stopping={"min_delta": 1e9}), "1000"),
        (training(max_regression=1e9), "1000"),
        (training(type="peft", peft_config={"peft_type": "LORA", "lora_alpha": 1e9}), "10000"),
        (training(type="peft", peft_config={"peft_type": "LORA", "alpha_pattern": {"q_proj": 1e9}}), "10000"),
        (training(type="peft", peft_config={"peft_type": "FOURIERFT", "scaling": 1e9}), "10000"),
    ):
        with subtests.test(changes=changes):
            with pytest.raises(openai.BadRequestError) as error:
                client.fine_tuning.jobs.create(**{"model": "base-1", "training_file": file, **changes})
            assert limit in str(error.value)


def _dpo(**hyperparameters: float) -> Any:
    return {"type": "dpo", "dpo": {"hyperparameters": hyperparameters}}


def test_every_number_of_a_job_has_limits() -> None:
    unlimited = []

    def look(schema: Any, place: str) -> None:
        if isinstance(schema, list):
            for item in schema:
                look(item, place)
        elif isinstance(schema, dict):
            if schema.get("type") in ("integer", "number"):
                has_least = "minimum" in schema or "exclusiveMinimum" in schema
                has_most = "maximum" in schema or "exclusiveMaximum" in schema
                if not (has_least and has_most):
                    unlimited.append(place)
            for key, value in schema.items():
                look(value, f"{place}.{key}")

    look(CreateJobBody.model_json_schema(), "")
    assert unlimited == []
    assert frozenset().union(*ALLOWED.values()) - set(_RULES) == {"init_lora_weights"}


@on_both_databases
def test_jobs_are_listed_by_page_and_metadata(client: OpenAI, file: str) -> None:
    made = [
        client.fine_tuning.jobs.create(model="base-1", training_file=file, metadata=metadata).id
        for metadata in ({"team": "shop", "run": "1"}, {"team": "shop"}, None)
    ]
    assert [job.id for job in client.fine_tuning.jobs.list(limit=1)] == made[::-1]
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"team": "shop"})] == [made[1], made[0]]
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"team": "shop", "run": "1"})] == [
        made[0]
    ]
    assert [job.id for job in client.fine_tuning.jobs.list(extra_query={"metadata": "null"})] == [made[2]]


def test_a_limit_beyond_the_longest_page_gets_the_longest_page(
    live: LiveApi, client: OpenAI, file: str
) -> None:
    job = client.fine_tuning.jobs.create(model="base-1", training_file=file)
    with live.state.database.write() as session:
        events = [NewEvent(f"Event {number}") for number in range(1001)]
        add_events(session, session.get_one(tables.Job, job.id), events, at=0)
    page = client.fine_tuning.jobs.list_events(job.id, limit=5000)
    assert (len(page.data), page.has_more) == (1000, True)
    assert len(list(client.fine_tuning.jobs.list_events(job.id, limit=5000))) > 1001
    assert not client.fine_tuning.jobs.list(limit=5000).has_more
    assert client.fine_tuning.jobs.checkpoints.list(job.id, limit=5000).data == []
    for many in (client.fine_tuning.jobs.list, partial(client.fine_tuning.jobs.list_events, job.id)):
        with pytest.raises(openai.BadRequestError) as refused:
            many(limit=0)
        assert refused.value.param == "limit"


def test_cancelling_ends_a_job_once(client: OpenAI, file: str) -> None:
    job = client.fine_tuning.jobs.create(model="base-1", training_file=file)
    cancelled = client.fine_tuning.jobs.cancel(job.id)
    assert cancelled.status == "cancelled"
    assert cancelled.finished_at
    retrying = client.with_options(max_retries=2)
    with pytest.raises(openai.ConflictError) as error:
        retrying.fine_tuning.jobs.cancel(job.id)
    assert error.value.response.headers["x-should-retry"] == "false"


def test_a_job_is_paused_and_resumed(live: LiveApi, client: OpenAI, file: str) -> None:
    job = client.fine_tuning.jobs.create(model="base-1", training_file=file)
    with pytest.raises(openai.ConflictError, match="validating") as refused:
        client.fine_tuning.jobs.pause(job.id)
    assert refused.value.response.headers["x-should-retry"] == "false"
    with live.state.database.write() as session:
        transition(session, session.get_one(tables.Job, job.id), JobStatus.QUEUED, at=0)
    for _ in range(2):
        assert client.fine_tuning.jobs.pause(job.id).status == "paused"
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    with pytest.raises(openai.ConflictError, match="not paused"):
        client.fine_tuning.jobs.resume(job.id)


@on_both_databases
def test_events_are_paged_newest_first(client: OpenAI, file: str) -> None:
    job = client.fine_tuning.jobs.create(model="base-1", training_file=file)
    client.fine_tuning.jobs.cancel(job.id)
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=1))
    assert len(events) >= 3
    assert events[-1].message == f"Created fine-tuning job: {job.id}"
    assert events[-2].message == f"Validating training file: {file}"
    assert all(event.id.startswith("ftevent-") and event.type == "message" for event in events)


def test_a_finished_job_shows_its_model_and_checkpoints(live: LiveApi, client: OpenAI, file: str) -> None:
    job = client.fine_tuning.jobs.create(model="base-1", training_file=file, suffix="shop")
    model, checkpoint = add_tuned_model(live.state.database, job.id)
    assert client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model == model
    assert model.startswith("ft:base-1:tunery:shop:") or model.count(":") == 4
    page = client.fine_tuning.jobs.checkpoints.list(job.id)
    assert [one.fine_tuned_model_checkpoint for one in page.data] == [checkpoint]
    assert (page.data[0].step_number, page.data[0].metrics.train_loss) == (7, 0.5)
    assert page.to_dict()["first_id"] == page.to_dict()["last_id"] == page.data[0].id


def test_the_sdks_retry_after_a_lost_answer_creates_no_second_job(live: LiveApi, file: str) -> None:
    """The first answer is lost on the way: the SDK sees a broken connection and retries."""
    answers = 0

    class LosesFirstAnswer(httpx2.BaseTransport):
        def __init__(self) -> None:
            self._real = httpx2.HTTPTransport()

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            nonlocal answers
            response = self._real.handle_request(request)
            answers += 1
            if answers == 1:
                response.read()
                raise httpx2.ReadError("connection lost")
            return response

    with httpx2.Client(transport=LosesFirstAnswer()) as http:
        client = live.openai(http_client=http, max_retries=1)
        first = client.fine_tuning.jobs.create(model="base-1", training_file=file)
        assert answers == 2
        assert [job.id for job in client.fine_tuning.jobs.list()] == [first.id]
        second = client.fine_tuning.jobs.create(model="base-1", training_file=file)
    assert second.id != first.id
