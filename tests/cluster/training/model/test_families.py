"""Every family of the catalogue is trained, resumed, exported and served, with the same scores throughout."""

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from cluster.contracts.generation import TokenPrompt
from cluster.contracts.jobs import Finished, JobSpec, RunnerMessage
from cluster.contracts.manifest import Manifest
from cluster.serving.limits import EngineLimits
from cluster.storage.keys import file_key
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.checkpoint import download
from cluster.training.model import attention
from cluster.training.model.attention import Segments
from cluster.training.model.layout import check_layout
from tests.cluster.serving.conftest import BACKENDS
from tests.cluster.training.recording import Recording, record
from tests.families import make_family
from tests.family_support import DECODERS, ENCODERS, MERGED, PADDED, REPRESENTATIVES
from tests.tiers import sampled

pytestmark = pytest.mark.slow

MakeSpec = Callable[..., JobSpec]


def long_enough(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Longer than the families' sliding windows."""
    lead = {"role": "user", "content": "Sort this message: the quick brown fox"}
    answer = {"role": "assistant", "content": "Thank you"}
    return [{"messages": [lead, answer, *row["messages"]]} for row in rows[:12]]


@pytest.fixture
def chat_rows(chat_rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return long_enough(chat_rows)


@pytest.mark.parametrize("type_", ["lora", "full"])
@pytest.mark.parametrize("family", sampled(DECODERS, REPRESENTATIVES))
def test_a_family_goes_from_training_to_serving(
    family: str, type_: str, make_spec: MakeSpec, store: LocalStore, tmp_path: Path
) -> None:
    spec = make_spec({"base": make_family(family, tmp_path / "base")}, type=type_, max_length=128)
    whole = record(spec, store)
    assert whole.losses[-1] < whole.losses[0]
    assert_resumes(spec, whole, store)

    assert isinstance(whole.result, Finished)
    exported = tmp_path / "exported"
    exported.mkdir()
    manifest, _ = download(store, whole.result.manifest_key, exported)
    assert manifest.form == ("lora" if type_ == "lora" and family not in MERGED else "full")
    assert_scores(plain_model(manifest, spec, exported), manifest)
    assert_served(spec, whole.result, manifest, store, tmp_path)
    assert_told(family, manifest, type_, whole)


def assert_resumes(spec: JobSpec, whole: Recording, store: LocalStore) -> None:
    """Bit-identically, from the middle of an epoch."""
    stopped = record(spec.model_copy(update={"attempt": 2}), store, stop_after=4)
    resume_from = stopped.checkpoints[-1].manifest_key
    resumed = record(spec.model_copy(update={"attempt": 3, "resume_from": resume_from}), store)
    assert stopped.losses + resumed.losses == whole.losses
    assert [s.grad_norm for s in stopped.steps + resumed.steps] == [s.grad_norm for s in whole.steps]


def plain_model(manifest: Manifest, spec: JobSpec, exported: Path) -> Any:
    """Scores with transformers and PEFT alone, using the family's own attention."""
    folder = spec.base.source.path if manifest.form == "lora" else exported
    # Transformers' eager Falcon adds the position biases twice.
    attention = None if spec.base.alias == "falcon-alibi" else "eager"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)
    return (PeftModel.from_pretrained(model, exported) if manifest.form == "lora" else model).eval()


@torch.no_grad()
def assert_scores(model: Any, manifest: Manifest) -> None:
    assert manifest.probe.token_ids
    for row, expected in zip(manifest.probe.token_ids, manifest.probe.logprobs, strict=True):
        token_ids = torch.tensor([row])
        logprobs = (
            model(input_ids=token_ids).logits[0, :-1].log_softmax(-1).gather(-1, token_ids[0, 1:, None])
        )
        torch.testing.assert_close(logprobs[:, 0], torch.tensor(expected), atol=2e-4, rtol=1e-4)


def assert_served(
    spec: JobSpec, result: Finished, manifest: Manifest, store: LocalStore, tmp_path: Path
) -> None:
    tuned = result.weights
    with BACKENDS["embedded"](spec.base, store, tmp_path / "cache", EngineLimits()) as served:
        for row, expected in zip(manifest.probe.token_ids, manifest.probe.logprobs, strict=True):
            prompt = TokenPrompt(token_ids=row)
            answer = served.ask(served.request(tuned, prompt, echo=True, logprobs=0, max_tokens=0))
            assert answer.prompt is not None
            scores = [token.logprob for token in answer.prompt.tokens][1:]
            assert scores == pytest.approx(expected, abs=1e-3)


def assert_told(family: str, manifest: Manifest, type_: str, whole: Recording) -> None:
    """The job's events say what was done differently from the usual."""
    notes = " ".join(event.message for event in whole.events if isinstance(event, RunnerMessage))
    assert ("padded, not packed" in notes) == (family in PADDED)
    assert ("merged into the base" in notes) == (type_ == "lora" and manifest.form == "full")


CLASSIFIED = [
    {
        "text": ("the invoice " if number % 2 else "Thank you ") * (1 + number % 9),
        "label": f"kind {number % 2}",
    }
    for number in range(21)
]
TAGGED = [
    {"tokens": ["the", "invoice", str(number)], "labels": ["other", "paper", f"digit {number % 2}"]}
    for number in range(21)
]


ENCODED: dict[str, list[dict[str, Any]]] = {"texts": CLASSIFIED, "words": TAGGED}
PAIRED = (
    ("bert", "lora", "texts"),
    ("bert", "full", "words"),
    ("modernbert", "lora", "words"),
    ("modernbert", "full", "texts"),
)
"""Every pair of a family, a type and what is classified."""


@pytest.mark.parametrize(
    ("family", "type_", "kind"), sampled(itertools.product(ENCODERS, ("lora", "full"), ENCODED), PAIRED)
)
def test_an_encoder_learns_resumes_and_is_exported(
    family: str, type_: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """`test_classify.py` tests serving."""
    rows = ENCODED[kind]
    store = LocalStore(tmp_path / "store")
    files = {}
    for name, part in (("training", rows), ("validation", rows[:6])):
        body = "\n".join(map(json.dumps, part)).encode()
        store.put(file_key(f"file-{name}"), body)
        files |= {f"{name}_key": file_key(f"file-{name}"), f"{name}_sha256": hashlib.sha256(body).hexdigest()}
    make_config = request.getfixturevalue("make_config")
    rate = 1e-2 if type_ == "lora" else 3e-3
    config = make_config(type=type_, max_length=128, n_epochs=6, learning_rate=rate)
    spec = JobSpec(
        job_id="ftjob-test",
        attempt=1,
        attempt_token="token",
        service_url="http://127.0.0.1:1",
        device="cpu",
        base=make_family(family, tmp_path / "base"),
        config=config,
        **files,
    )
    whole = record(spec, store)
    last = whole.steps[-1]
    assert last.full_valid_loss is not None
    assert last.full_valid_loss < whole.losses[0]
    assert last.full_valid_f1 is not None
    assert last.full_valid_f1 > 0.5
    assert_resumes(spec, whole, store)

    assert isinstance(whole.result, Finished)
    exported = tmp_path / "exported"
    exported.mkdir()
    manifest, _ = download(store, whole.result.manifest_key, exported)
    assert manifest.form == "full"
    library = AutoModelForSequenceClassification if kind == "texts" else AutoModelForTokenClassification
    model = library.from_pretrained(exported, dtype=torch.float32)
    assert sorted(model.config.label2id) == sorted({label for row in rows for label in labels_of(row)})
    for row, expected in zip(manifest.probe.token_ids, manifest.probe.logprobs, strict=True):
        with torch.no_grad():
            logprobs = model(input_ids=torch.tensor([row])).logits.log_softmax(-1).flatten()
        torch.testing.assert_close(logprobs, torch.tensor(expected), atol=1e-4, rtol=1e-4)


def labels_of(row: dict[str, Any]) -> list[str]:
    return row["labels"] if "labels" in row else [row["label"]]


@pytest.mark.parametrize("family", DECODERS)
def test_packed_examples_give_the_logits_of_separate_ones_in_training_mode(
    family: str, tmp_path: Path
) -> None:
    """Packing is refused where they would not, as in linear attention."""
    base = make_family(family, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, **no_dropout(family))
    layout = check_layout(model, packing=True).layout
    assert layout == ("padded" if family in PADDED else "packed")
    if layout == "padded":
        return
    assert model.config._attn_implementation == attention.IMPLEMENTATION
    random = np.random.default_rng(0)
    examples = [torch.from_numpy(random.integers(0, 352, (1, length))) for length in (30, 3, 41, 1, 22)]
    lengths = [example.shape[1] for example in examples]
    model.train()
    packed = model(
        input_ids=torch.cat(examples, 1),
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        segments=Segments.of(lengths, torch.device("cpu")),
        use_cache=False,
    ).logits
    model.set_attn_implementation("eager")
    for example, found in zip(examples, packed.split(lengths, 1), strict=True):
        torch.testing.assert_close(found, model(input_ids=example).logits, atol=1e-4, rtol=1e-4)
    assert base.architecture == "decoder"


def no_dropout(family: str) -> dict[str, float]:
    """Turns off the dropout of GPT-2 and OPT, which would draw other numbers for other shapes."""
    return {
        "gpt2": {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0},
        "opt": {"dropout": 0.0, "attention_dropout": 0.0},
    }.get(family, {})


def test_a_mask_on_packed_positions_would_mix_examples_up(tmp_path: Path) -> None:
    """This is what packing guards against: transformers' own attention treats a packed row with a mask of
    ones, as trainers pass it, as one long text."""
    make_family("llama", tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="sdpa")
    token_ids = torch.arange(40)[None]
    places = torch.cat([torch.arange(20), torch.arange(20)])[None]
    mixed = model(input_ids=token_ids, position_ids=places, attention_mask=torch.ones_like(token_ids)).logits
    alone = model(input_ids=token_ids[:, 20:]).logits
    assert float((mixed[:, 20:] - alone).abs().max().detach()) > 0.05
