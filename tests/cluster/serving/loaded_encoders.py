"""Tiny random encoders, tuned versions of them in storage, and an EncoderPool."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.generation import ModelRef
from cluster.contracts.weights import WeightsRef
from cluster.serving.encoders.pool import EncoderPool
from cluster.serving.residency.shared_cache import shared_cache
from cluster.serving.weights.folder import WeightsFolder
from cluster.storage.local import LocalStore
from tests.cluster.serving.published import publish_folder
from tests.families import make_family

CLASSES = ["billing", "other", "praise"]
KINDS = {"texts": AutoModelForSequenceClassification, "words": AutoModelForTokenClassification}


@dataclass(frozen=True)
class Encoders:
    base: BaseSpec
    store: LocalStore
    folder: Path
    refs: dict[str, WeightsRef]

    def model(self, name: str) -> ModelRef:
        return ModelRef(base=self.base, adapter=self.refs[name])

    def reference(self, name: str, **inputs: Any) -> torch.Tensor:
        """transformers' log-probabilities for one input."""
        model = KINDS[name].from_pretrained(self.folder / name, dtype=torch.float32).eval()
        with torch.no_grad():
            return model(**inputs).logits[0].log_softmax(-1)

    def encoded(self, *text: Any, **options: Any) -> Any:
        tokenizer = AutoTokenizer.from_pretrained(base_folder(self.base))
        return tokenizer(*text, return_tensors="pt", return_token_type_ids=False, **options)


@pytest.fixture(scope="module", params=["bert", "modernbert"])
def encoders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoders:
    folder = tmp_path_factory.mktemp(request.param)
    base = make_family(request.param, folder / "base")
    store = LocalStore(folder / "store")
    refs = {}
    for name, kind in KINDS.items():
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = kind.from_pretrained(
                base_folder(base), dtype=torch.float32, num_labels=3, id2label=dict(enumerate(CLASSES))
            )
        model.save_pretrained(folder / name)
        refs[name] = publish_folder(store, base, folder / name, job_id=f"ftjob-{name}", form="full")
    return Encoders(base, store, folder, refs)


@pytest.fixture
def pooled(encoders: Encoders, tmp_path: Path) -> Callable[..., Any]:
    """Runs `work(pool)` in an event loop."""

    def run(
        work: Callable[[EncoderPool], Coroutine[Any, Any, Any]], *, capacity: int = 2, **limits: int
    ) -> Any:
        async def main() -> Any:
            weights = WeightsFolder(tmp_path / "cache", encoders.store)
            pool = EncoderPool(weights, shared_cache(capacity=capacity), **limits)
            try:
                return await work(pool)
            finally:
                await pool.close()

        return asyncio.run(main())

    return run
