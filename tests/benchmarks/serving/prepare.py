"""Saves a random Llama and the task's random adapters where every system finds them."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from cluster.contracts.bases import BaseSpec, FolderSource
from cluster.contracts.weights import WeightsRef
from cluster.storage.local import LocalStore
from tests.benchmarks.serving.task import FIRST_WORD, Task
from tests.benchmarks.training.shapes import Shape, make_base
from tests.cluster.serving.published import publish_lora
from tests.tiny_base import CHAT_TEMPLATE

_SCALE = 0.05
"""Scale of the adapters' weights. Their updates are then about as large as the base layers' outputs."""


def prepare(task: Task, shape: Shape) -> None:
    folder = Path(task.folder)
    make_base(folder / "base", shape, context=task.context, dtype=torch.float32, device=torch.device("cpu"))
    _tokenizer(task.vocab).save_pretrained(folder / "base")
    spec, store = base_of(task), LocalStore(folder / "store")
    options: dict[str, Any] = {"r": task.rank, "lora_alpha": 2 * task.rank, "target_modules": "all-linear"}
    refs = [
        publish_lora(store, spec, adapter_folder(task, number), seed=number, scale=_SCALE, **options)
        for number in range(task.n_adapters)
    ]
    (folder / "refs.json").write_text(json.dumps([ref.model_dump() for ref in refs]))


def base_of(task: Task) -> BaseSpec:
    return BaseSpec(
        alias="bench",
        source=FolderSource(path=f"{task.folder}/base"),
        context_length=task.context,
        learning_rates={"lora": 1e-3},
        dtype="float32",
    )


def adapter_folder(task: Task, number: int) -> Path:
    """The adapter in PEFT's format."""
    return Path(task.folder) / f"adapter-{number}"


def adapters_of(task: Task) -> list[WeightsRef]:
    return [WeightsRef(**ref) for ref in json.loads((Path(task.folder) / "refs.json").read_text())]


def _tokenizer(vocab: int) -> PreTrainedTokenizerFast:
    """Each token's text is its id, so that answers can be compared token by token."""
    words = {f"Ġ{number}": number for number in range(FIRST_WORD, vocab)}
    tokenizer = Tokenizer(WordLevel({"<|pad|>": 0, "<|end|>": 1, **words}, unk_token="<|pad|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", eos_token="<|end|>", chat_template=CHAT_TEMPLATE
    )
