"""Tuned encoders return the same classes as transformers' own classifiers."""

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
)

from cluster.contracts.bases import TrainingType
from cluster.contracts.classification import (
    ClassificationAnswer,
    ClassificationInput,
    ClassificationRequest,
    TextInput,
    TokensInput,
    WordsInput,
)
from cluster.contracts.errors import (
    ContextLengthExceeded,
    CorruptArtefact,
    InvalidRequest,
    NotFound,
    Overloaded,
    TuneryError,
)
from cluster.contracts.generation import ModelRef
from cluster.contracts.hyperparameters import Hyperparameters, TrainingOptions, resolve
from cluster.contracts.jobs import Finished, JobSpec
from cluster.contracts.manifest import Manifest
from cluster.contracts.weights import WeightsRef
from cluster.serving.encoders import encoder as module
from cluster.serving.encoders.pool import EncoderPool
from cluster.storage.keys import file_key
from tests.cluster.serving.loaded_encoders import CLASSES, Encoders
from tests.cluster.serving.published import publish_folder
from tests.cluster.training.recording import record

pytestmark = pytest.mark.slow

TEXTS = ["the invoice was charged twice", "hi", "thank you very much, it is sunny and warm today", "refund"]
WORDS = [["the", "invoice"], ["Thank", "you", "very", "much"], ["Zebra"]]


@pytest.fixture
def ask(pooled: Callable[..., Any]) -> Callable[..., ClassificationAnswer]:
    def ask(model: ModelRef, *inputs: ClassificationInput) -> ClassificationAnswer:
        request = ClassificationRequest(id="r", model=model, inputs=list(inputs))
        return pooled(lambda pool: pool.classify(request))

    return ask


Ask = Callable[..., ClassificationAnswer]


def test_texts_get_the_log_probabilities_of_their_classes_in_their_order(
    encoders: Encoders, ask: Ask
) -> None:
    answer = ask(encoders.model("texts"), *[TextInput(text=text) for text in TEXTS])
    assert answer.classes == CLASSES
    for text, result in zip(TEXTS, answer.results, strict=True):
        encoded = encoders.encoded(text)
        assert result.prompt_tokens == encoded["input_ids"].shape[1]
        expected = encoders.reference("texts", **encoded)
        torch.testing.assert_close(torch.tensor(result.logprobs), expected[None], atol=1e-5, rtol=1e-4)


def test_a_pair_is_read_as_the_tokenizer_joins_it(encoders: Encoders, ask: Ask) -> None:
    answer = ask(encoders.model("texts"), TextInput(text="hi", text_pair="there"))
    expected = encoders.reference("texts", **encoders.encoded("hi", "there"))
    torch.testing.assert_close(torch.tensor(answer.results[0].logprobs[0]), expected, atol=1e-5, rtol=1e-4)


def test_every_word_gets_the_classes_of_its_first_token(encoders: Encoders, ask: Ask) -> None:
    answer = ask(encoders.model("words"), *[WordsInput(words=words) for words in WORDS])
    for words, result in zip(WORDS, answer.results, strict=True):
        # How the tests' byte-level tokenizer splits words that are separated by spaces.
        encoded = encoders.encoded(" " + " ".join(words))
        lengths = [encoders.encoded(f" {word}")["input_ids"].shape[1] - 2 for word in words]
        starts = [1 + sum(lengths[:place]) for place in range(len(words))]
        assert encoded["input_ids"].shape[1] == 2 + sum(lengths) == result.prompt_tokens
        expected = encoders.reference("words", **encoded)[starts]
        assert len(result.logprobs) == len(words)
        torch.testing.assert_close(torch.tensor(result.logprobs), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "shape"), [("texts", (1, 3)), ("words", (5, 3))])
def test_token_ids_get_a_row_for_the_text_or_for_every_token(
    encoders: Encoders, ask: Ask, name: str, shape: tuple[int, int]
) -> None:
    token_ids = [7, 80, 81, 90, 8]
    found = torch.tensor(ask(encoders.model(name), TokensInput(token_ids=token_ids)).results[0].logprobs)
    assert found.shape == shape
    expected = encoders.reference(name, input_ids=torch.tensor([token_ids]))
    torch.testing.assert_close(found, expected.view(shape), atol=1e-5, rtol=1e-4)


def test_batching_changes_no_answer(encoders: Encoders, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [TextInput(text=text) for text in TEXTS * 3]
    whole = ask(encoders.model("texts"), *inputs)
    monkeypatch.setattr(module, "PASS_TOKENS", 1)
    alone = ask(encoders.model("texts"), *inputs)
    for one, other in zip(whole.results, alone.results, strict=True):
        torch.testing.assert_close(
            torch.tensor(one.logprobs), torch.tensor(other.logprobs), atol=1e-5, rtol=1e-4
        )


_TOO_LONG = "context_length_exceeded"


@pytest.mark.parametrize(
    ("name", "given", "kind", "code", "message"),
    [
        ("texts", WordsInput(words=["a"]), InvalidRequest, "wrong_input", "tuned on texts, and input 0"),
        ("words", TextInput(text="a"), InvalidRequest, "wrong_input", "tuned on lists of words, and input 0"),
        ("texts", TextInput(text="a " * 200), ContextLengthExceeded, _TOO_LONG, "128 tokens"),
        (
            "texts",
            TextInput(text="a", text_pair="b " * 2_000),
            ContextLengthExceeded,
            _TOO_LONG,
            "your prompt has more",
        ),
        ("words", WordsInput(words=["a"] * 2_000), ContextLengthExceeded, _TOO_LONG, "prompt has more"),
        ("texts", TokensInput(token_ids=[1, 99_999]), InvalidRequest, "invalid_value", "token 99999"),
        ("words", TokensInput(token_ids=[-1]), InvalidRequest, "invalid_value", "token -1"),
    ],
)
def test_invalid_inputs_are_refused_by_index(
    encoders: Encoders, ask: Ask, name: str, given: Any, kind: type[TuneryError], code: str, message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        ask(encoders.model(name), given)
    assert (caught.value.code, caught.value.param) == (code, "input")


def test_only_a_tuned_encoder_in_full_form_has_classes(encoders: Encoders, ask: Ask) -> None:
    decoder = encoders.base.model_copy(update={"architecture": "decoder"})
    lora = encoders.refs["texts"].model_copy(update={"form": "lora"})
    for model, message in (
        (ModelRef(base=decoder, adapter=encoders.refs["texts"]), "has no classes; use it at /v1/completions"),
        (ModelRef(base=encoders.base), "no classes before it is tuned"),
        (ModelRef(base=encoders.base, adapter=lora), "of form 'full'"),
    ):
        with pytest.raises(InvalidRequest, match=message):
            ask(model, TextInput(text="a"))


def test_missing_or_non_finite_weights_are_refused_and_unloaded(
    encoders: Encoders, pooled: Callable[..., Any], tmp_path: Path
) -> None:
    gone = encoders.refs["texts"].model_copy(
        update={"digest": "0" * 64, "manifest_key": "jobs/x/manifest.json"}
    )
    broken = AutoModelForSequenceClassification.from_pretrained(encoders.folder / "texts")
    with torch.no_grad():
        broken.classifier.weight[0, 0] = float("nan")
    broken.save_pretrained(tmp_path / "broken")
    spoiled = publish_folder(
        encoders.store, encoders.base, tmp_path / "broken", job_id="ftjob-nan", form="full"
    )

    async def work(pool: EncoderPool) -> None:
        for adapter, error in ((gone, NotFound), (spoiled, CorruptArtefact)):
            for _ in range(2):
                with pytest.raises(error):
                    await pool.ensure(ModelRef(base=encoders.base, adapter=adapter))
        await pool.ensure(encoders.model("texts"))

    pooled(work, capacity=1)


def test_concurrent_requests_share_one_model_and_too_many_are_refused(
    encoders: Encoders, pooled: Callable[..., Any]
) -> None:
    def request(name: str) -> ClassificationRequest:
        inputs = [TextInput(text="hi")] if name == "texts" else [WordsInput(words=["hi"])]
        return ClassificationRequest(id="r", model=encoders.model(name), inputs=inputs)

    async def work(pool: EncoderPool) -> list[Any]:
        await asyncio.gather(*[pool.classify(request(name)) for name in ("texts", "words") * 4])
        await pool.ensure(encoders.model("texts"))
        requests = [pool.classify(request("texts")) for _ in range(12)]
        return await asyncio.gather(*requests, return_exceptions=True)

    answers = pooled(work, capacity=1, max_waiting=9)
    assert sum(isinstance(answer, Overloaded) for answer in answers) == 3
    whole = [answer for answer in answers if isinstance(answer, ClassificationAnswer)]
    assert len(whole) == 9
    assert all(answer == whole[0] for answer in whole)


def test_a_cancelled_caller_does_not_affect_the_next(encoders: Encoders, pooled: Callable[..., Any]) -> None:
    request = ClassificationRequest(id="r", model=encoders.model("texts"), inputs=[TextInput(text="hi")])

    async def work(pool: EncoderPool) -> ClassificationAnswer:
        await pool.ensure(encoders.model("texts"))
        leaving = asyncio.create_task(pool.classify(request))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await pool.classify(request)

    assert len(pooled(work).results) == 1


class GatedThreads(ThreadPoolExecutor):
    """Starts no work before the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.num_begun = 0

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        self.num_begun += 1
        return super().submit(lambda: self.gate.wait(300) and work(*arguments, **options))


def test_a_caller_cancelled_twice_still_waits_for_the_encoder(
    encoders: Encoders, pooled: Callable[..., Any]
) -> None:
    request = ClassificationRequest(id="r", model=encoders.model("texts"), inputs=[TextInput(text="hi")])

    async def work(pool: EncoderPool) -> ClassificationAnswer:
        await pool.ensure(encoders.model("texts"))
        threads = GatedThreads()
        asyncio.get_running_loop().set_default_executor(threads)
        leaving = asyncio.create_task(pool.classify(request))
        for _ in range(2):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            leaving.cancel()
        following = asyncio.create_task(pool.classify(request))
        for _ in range(9):
            await asyncio.sleep(0)
        assert threads.num_begun == 1, "two in one encoder"
        threads.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await following

    assert len(pooled(work).results) == 1


def test_stats_report_loaded_encoders_and_running_requests(
    encoders: Encoders, pooled: Callable[..., Any]
) -> None:
    request = ClassificationRequest(id="r", model=encoders.model("texts"), inputs=[TextInput(text="hi")])

    async def work(pool: EncoderPool) -> None:
        assert pool.stats() == []
        await pool.ensure(ModelRef(base=encoders.base))
        await pool.ensure(encoders.model("texts"))
        threads = GatedThreads()
        asyncio.get_running_loop().set_default_executor(threads)
        requests = [asyncio.create_task(pool.classify(request)) for _ in range(3)]
        for _ in range(9):
            await asyncio.sleep(0)
        base, tuned = pool.stats()
        threads.gate.set()
        await asyncio.gather(*requests)
        assert [one.base for one in (base, tuned)] == [encoders.base.alias] * 2
        assert [one.adapters for one in (base, tuned)] == [[], [encoders.refs["texts"].digest]]
        assert [(one.running, one.waiting) for one in (base, tuned)] == [(0, 0), (1, 2)]
        assert all(one.reserved_bytes == one.weight_bytes > 0 < one.load_seconds for one in (base, tuned))
        assert [(one.running, one.waiting) for one in pool.stats()] == [(0, 0), (0, 0)]

    pooled(work)


LABELLED = {
    "texts": [
        {"text": f"{'refund' if n % 2 else 'thank you'} {n}", "label": CLASSES[n % 2]} for n in range(12)
    ],
    "words": [{"tokens": ["the", f"invoice{n}"], "labels": ["other", CLASSES[n % 2]]} for n in range(12)],
}


@pytest.mark.parametrize("type_", ["lora", "full"])
@pytest.mark.parametrize("name", ["texts", "words"])
def test_a_trained_encoder_is_served_with_the_trainers_own_probabilities(
    encoders: Encoders, ask: Ask, name: str, type_: TrainingType
) -> None:
    content = "\n".join(map(json.dumps, LABELLED[name])).encode()
    data = encoders.store.put(file_key(f"file-{name}-{type_}"), content)
    assert data.sha256 is not None
    _, config = resolve(
        Hyperparameters(n_epochs=1, batch_size=4),
        TrainingOptions(type=type_),
        encoders.base,
        n_examples=12,
        seed=1,
    )
    spec = JobSpec(
        job_id=f"ftjob-{name}-{type_}",
        attempt=1,
        attempt_token="t",
        service_url="",
        device="cpu",
        base=encoders.base,
        config=config,
        training_key=data.key,
        training_sha256=data.sha256,
    )
    end = record(spec, encoders.store).result
    assert isinstance(end, Finished)
    assert end.form == "full"
    probe = Manifest.model_validate_json(encoders.store.get(end.manifest_key)).probe
    adapter = WeightsRef(digest=end.manifest_sha256, manifest_key=end.manifest_key, form="full")
    inputs = [TokensInput(token_ids=row) for row in probe.token_ids]
    answer = ask(ModelRef(base=encoders.base, adapter=adapter), *inputs)
    assert answer.classes == sorted({"billing", "other"})
    assert len(answer.results) == len(probe.logprobs) > 0
    for result, expected in zip(answer.results, probe.logprobs, strict=True):
        assert [value for row in result.logprobs for value in row] == pytest.approx(expected, abs=1e-5)
