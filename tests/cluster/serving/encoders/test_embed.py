"""Encoders, tuned or not, return the same vectors as transformers' model with manual pooling."""

import asyncio
import base64
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel

from cluster.bases.resolve import base_folder
from cluster.contracts import embedding
from cluster.contracts.bases import BaseSpec, FolderSource
from cluster.contracts.classification import ClassificationRequest, TextInput, TokensInput
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingInput, EmbeddingRequest
from cluster.contracts.errors import (
    CorruptArtefact,
    InvalidConfiguration,
    InvalidRequest,
)
from cluster.contracts.generation import ModelRef
from cluster.serving.encoders import encoder as module
from cluster.serving.encoders import pool as pool_module
from cluster.serving.encoders.pool import EncoderPool
from tests.cluster.serving.loaded_encoders import Encoders
from tests.cluster.serving.published import publish_folder
from tests.families import make_family

pytestmark = pytest.mark.slow

TEXTS = ["the invoice was charged twice", "hi", "thank you very much, it is sunny and warm today", "refund"]
MODELS = ["base", "texts", "words"]

Embed = Callable[..., EmbeddingAnswer]


@pytest.fixture
def embed(pooled: Callable[..., Any]) -> Embed:
    def embed(model: ModelRef, *inputs: EmbeddingInput, **options: Any) -> EmbeddingAnswer:
        request = EmbeddingRequest(id="r", model=model, inputs=list(inputs), **options)
        answer: EmbeddingAnswer = pooled(lambda pool: pool.embed(request))
        return answer

    return embed


def model_of(encoders: Encoders, name: str) -> ModelRef:
    return ModelRef(base=encoders.base) if name == "base" else encoders.model(name)


def vectors(answer: EmbeddingAnswer) -> Tensor:
    rows = [base64.b64decode(text) for text in answer.embeddings]
    return torch.tensor([struct.unpack(f"<{len(row) // 4}f", row) for row in rows])


def reference(folder: Path, token_ids: list[int], *, pooling: str = "mean", dimensions: int = 32) -> Tensor:
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        hidden = model(input_ids=torch.tensor([token_ids])).last_hidden_state[0]
    pooled = (hidden[0] if pooling == "cls" else hidden.sum(0) / len(token_ids))[:dimensions]
    return pooled / (pooled * pooled).sum().sqrt()


def folder_of(encoders: Encoders, name: str) -> Path:
    return base_folder(encoders.base) if name == "base" else encoders.folder / name


def change_weights(source: Path, target: Path, change: Callable[[Tensor], Tensor]) -> Path:
    """A copy of a model's folder with other weights."""
    shutil.copytree(source, target)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        weights = {name: change(tensor) for name, tensor in load_file(source / "model.safetensors").items()}
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def token_ids_of(encoders: Encoders, text: str) -> list[int]:
    return list(encoders.encoded(text)["input_ids"][0].tolist())


@pytest.mark.parametrize("name", MODELS)
def test_a_vector_is_the_mean_over_a_texts_tokens_scaled_to_length_one(
    encoders: Encoders, embed: Embed, name: str
) -> None:
    """The texts share a padded pass; the reference runs each alone."""
    answer = embed(model_of(encoders, name), *[TextInput(text=text) for text in TEXTS])
    read = [token_ids_of(encoders, text) for text in TEXTS]
    expected = torch.stack([reference(folder_of(encoders, name), token_ids) for token_ids in read])
    torch.testing.assert_close(vectors(answer), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(vectors(answer).norm(dim=-1), torch.ones(len(TEXTS)))
    assert answer.prompt_tokens == sum(map(len, read))


def test_a_tuned_encoders_vectors_differ_from_its_bases(
    encoders: Encoders, embed: Embed, tmp_path: Path
) -> None:
    change_weights(
        encoders.folder / "texts", tmp_path / "tuned", lambda tensor: tensor + 0.1 * torch.randn_like(tensor)
    )
    job = f"ftjob-changed-{encoders.base.alias}"
    tuned = publish_folder(encoders.store, encoders.base, tmp_path / "tuned", job_id=job, form="full")
    answer = embed(ModelRef(base=encoders.base, adapter=tuned), TextInput(text=TEXTS[0]))
    token_ids = token_ids_of(encoders, TEXTS[0])
    found = vectors(answer)[0]
    torch.testing.assert_close(found, reference(tmp_path / "tuned", token_ids), atol=1e-6, rtol=1e-5)
    assert float(found @ reference(base_folder(encoders.base), token_ids)) < 0.99


def test_token_ids_are_used_unchanged(encoders: Encoders, embed: Embed) -> None:
    token_ids = [7, 80, 81, 90, 8]
    answer = embed(model_of(encoders, "base"), TokensInput(token_ids=token_ids))
    expected = reference(base_folder(encoders.base), token_ids)
    torch.testing.assert_close(vectors(answer)[0], expected, atol=1e-6, rtol=1e-5)
    assert answer.prompt_tokens == 5


@pytest.mark.parametrize("dimensions", [1, 7, 32])
def test_fewer_dimensions_are_the_first_ones_at_length_one(
    encoders: Encoders, embed: Embed, dimensions: int
) -> None:
    token_ids = [7, 80, 81, 90, 8]
    answer = embed(model_of(encoders, "base"), TokensInput(token_ids=token_ids), dimensions=dimensions)
    expected = reference(base_folder(encoders.base), token_ids, dimensions=dimensions)
    torch.testing.assert_close(vectors(answer)[0], expected, atol=1e-6, rtol=1e-5)


def test_splitting_into_passes_changes_no_vector(
    encoders: Encoders, embed: Embed, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [TextInput(text=text) for text in TEXTS * 3]
    whole = vectors(embed(model_of(encoders, "base"), *inputs))
    monkeypatch.setattr(module, "PASS_TOKENS", 1)
    alone = vectors(embed(model_of(encoders, "base"), *inputs))
    torch.testing.assert_close(whole, alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "options", "code", "param", "message"),
    [
        (
            "a " * 200,
            {},
            "context_length_exceeded",
            "input[1]",
            "length is 128 tokens, however you requested [0-9]+ tokens",
        ),
        ("a b " * 2_000, {}, "context_length_exceeded", "input[1]", "your prompt has more than 256 tokens"),
        ([1, 99_999], {}, "invalid_value", "input[1]", "token 99999"),
        ("a", {"dimensions": 33}, "invalid_value", "dimensions", "32 dimensions; 33"),
    ],
)
def test_requests_beyond_the_models_limits_are_refused(
    encoders: Encoders, embed: Embed, given: Any, options: Any, code: str, param: str, message: str
) -> None:
    second = TextInput(text=given) if isinstance(given, str) else TokensInput(token_ids=given)
    with pytest.raises(InvalidRequest, match=message) as caught:
        embed(model_of(encoders, "base"), TextInput(text="fine"), second, **options)
    assert (caught.value.code, caught.value.param) == (code, param)


def test_a_request_has_a_limit_on_its_total_tokens(
    encoders: Encoders, embed: Embed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pool_module.MAX_TOKENS == embedding.MAX_TOKENS == 300_000
    monkeypatch.setattr(pool_module, "MAX_TOKENS", 9)
    inputs = [TokensInput(token_ids=[1, 2, 3, 4, 5])] * 2
    embed(model_of(encoders, "base"), *inputs[:1])
    with pytest.raises(InvalidRequest, match="10 tokens together; a request may have 9") as caught:
        embed(model_of(encoders, "base"), *inputs)
    assert (caught.value.code, caught.value.param) == ("max_tokens_per_request", "input")


def test_a_decoder_has_no_embeddings(encoders: Encoders, embed: Embed) -> None:
    decoder = encoders.base.model_copy(update={"architecture": "decoder"})
    with pytest.raises(InvalidRequest, match="makes no vectors") as caught:
        embed(ModelRef(base=decoder), TextInput(text="a"))
    assert (caught.value.code, caught.value.param) == ("not_an_encoder", "model")


def test_a_short_request_waits_for_a_pass_and_not_for_all_of_a_long_one(
    encoders: Encoders, pooled: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PASS_TOKENS", 1)
    model = model_of(encoders, "base")
    long = EmbeddingRequest(id="long", model=model, inputs=[TextInput(text="hi")] * 40)
    short = EmbeddingRequest(id="short", model=model, inputs=[TextInput(text="hi")])

    async def work(pool: EncoderPool) -> None:
        await pool.ensure(model)
        under_way = asyncio.create_task(pool.embed(long))
        await asyncio.sleep(0)
        await pool.embed(short)
        assert not under_way.done()
        assert len((await under_way).embeddings) == 40

    pooled(work)


def test_numbers_that_are_not_finite_fail_their_request(
    encoders: Encoders, pooled: Callable[..., Any], tmp_path: Path
) -> None:
    """Finite weights with non-finite results."""
    huge = change_weights(encoders.folder / "texts", tmp_path / "huge", lambda tensor: tensor * 1e37)
    job = f"ftjob-huge-{encoders.base.alias}"
    adapter = publish_folder(encoders.store, encoders.base, huge, job_id=job, form="full")
    model = ModelRef(base=encoders.base, adapter=adapter)

    async def work(pool: EncoderPool) -> None:
        for asked in (
            pool.embed(EmbeddingRequest(id="a", model=model, inputs=[TextInput(text="hi")])),
            pool.classify(ClassificationRequest(id="b", model=model, inputs=[TextInput(text="hi")])),
        ):
            with pytest.raises(CorruptArtefact, match="answer holds numbers that are not finite"):
                await asked

    pooled(work)


def test_a_base_that_lacks_weights_is_not_served_with_random_ones(
    encoders: Encoders, embed: Embed, tmp_path: Path
) -> None:
    base = make_family(encoders.base.alias, tmp_path / "base")
    weights = load_file(tmp_path / "base" / "model.safetensors")
    lost = next(name for name in sorted(weights) if "layers.1" in name or "layer.1" in name)
    del weights[lost]
    save_file(weights, tmp_path / "base" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CorruptArtefact, match="lack") as caught:
        embed(ModelRef(base=base), TextInput(text="a"))
    assert lost.partition(".")[2] in caught.value.message


def pooling_base(encoders: Encoders, folder: Path, modules: Any, config: Any) -> BaseSpec:
    """The base with sentence-transformers' files."""
    make_family(encoders.base.alias, folder)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    return encoders.base.model_copy(update={"source": FolderSource(path=str(folder))})


OLDER = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]
NEWER = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
    {
        "idx": 1,
        "name": "1",
        "path": "1_Pooling",
        "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    },
]


@pytest.mark.parametrize(
    ("modules", "config", "pooling"),
    [
        (OLDER, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        (OLDER, {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        (NEWER, {"embedding_dimension": 32, "pooling_mode": "cls", "include_prompt": True}, "cls"),
        (NEWER, {"pooling_mode": "mean"}, "mean"),
        (OLDER[:1], {"pooling_mode": "cls"}, "mean"),
    ],
)
def test_the_first_tokens_vector_is_used_if_the_base_pools_so(
    encoders: Encoders, embed: Embed, tmp_path: Path, modules: Any, config: Any, pooling: str
) -> None:
    base = pooling_base(encoders, tmp_path / "base", modules, config)
    answer = embed(ModelRef(base=base), TextInput(text=TEXTS[0]), TextInput(text=TEXTS[2]))
    token_ids = token_ids_of(encoders, TEXTS[0])
    expected = reference(tmp_path / "base", token_ids, pooling=pooling)
    torch.testing.assert_close(vectors(answer)[0], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    ("modules", "config", "message"),
    [
        (OLDER, {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}, "by \\['max'\\]"),
        (OLDER, {"pooling_mode_cls_token": True}, "by \\['cls', 'mean'\\]"),
        (NEWER, {"pooling_mode": "lasttoken"}, "by \\['lasttoken'\\]"),
        ([*OLDER, {"path": "3_Dense", "type": "sentence_transformers.models.Dense"}], {}, "names Dense"),
        ([{"path": "../../etc", "type": "x.Pooling"}], {}, "not a folder beside it"),
        ([{"path": "2_Pooling", "type": "x.Pooling"}], {}, "2_Pooling/config.json cannot be read"),
        ({"type": "x.Pooling"}, {}, "no list of modules"),
    ],
)
def test_a_base_with_unsupported_pooling_is_refused(
    encoders: Encoders, embed: Embed, tmp_path: Path, modules: Any, config: Any, message: str
) -> None:
    base = pooling_base(encoders, tmp_path / "base", modules, config)
    with pytest.raises(InvalidConfiguration, match=message) as caught:
        embed(ModelRef(base=base), TextInput(text="a"))
    assert caught.value.param == "TUNERY_CATALOGUE"
