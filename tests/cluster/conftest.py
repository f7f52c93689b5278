"""A tiny base, a folder store, and specifications of jobs on them."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.contracts.bases import BaseSpec
from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import JobSpec
from cluster.storage.keys import file_key
from cluster.storage.local import LocalStore

Rows = list[dict[str, Any]]

KNOWN_ROWS: Rows = [
    {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    for question, answer in [("Hello!", "Hello."), ("1 + 1?", "2"), ("Sky?", "Blue."), ("Bye!", "Goodbye.")]
]
"""What a job of `make_spec` may forget."""

PACKAGED: dict[str, Any] = {"general_key": None, "general_sha256": None}
"""Makes a specification measure what is forgotten on the packaged general set."""


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseSpec:
    # Here, so that tests which need no torch do not wait for it.
    from tests.tiny_base import make_tiny_base

    return make_tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def put_rows(store: LocalStore) -> Callable[[str, Rows], tuple[str, str]]:
    """Stores rows as a file; returns its key and SHA-256."""

    def put(name: str, rows: Rows) -> tuple[str, str]:
        body = "\n".join(json.dumps(row) for row in rows).encode()
        store.put(file_key(name), body)
        return file_key(name), hashlib.sha256(body).hexdigest()

    return put


@pytest.fixture
def chat_rows() -> Rows:
    """21 chats of unequal lengths and numbers of learned tokens."""
    return [
        {
            "messages": [
                {"role": "user", "content": "message " * (1 + number % 5)},
                {"role": "assistant", "content": "the invoice " * (1 + number % 7) + str(number)},
            ]
        }
        for number in range(21)
    ]


@pytest.fixture
def make_config() -> Callable[..., TrainingConfig]:
    def make(**changes: Any) -> TrainingConfig:
        settings: dict[str, Any] = {
            "type": "lora",
            "r": 4,
            "alpha": 8.0,
            "dropout": 0.0,
            "target_modules": "all-linear",
            "on_overlength": "error",
            "num_workers": 1,
            "n_epochs": 2,
            "batch_size": 4,
            "learning_rate": 5e-3,
            "max_length": 256,
            "seed": 7,
        }
        return TrainingConfig(**{**settings, **changes})

    return make


@pytest.fixture
def make_spec(
    base: BaseSpec,
    put_rows: Callable[[str, Rows], tuple[str, str]],
    chat_rows: Rows,
    make_config: Callable[..., TrainingConfig],
) -> Callable[..., JobSpec]:
    """A job on `chat_rows` with the first four as its validation file; keywords change its configuration.
    What it forgets is measured on four rows: the packaged set would take half of the time of a tiny job."""

    def make(spec: dict[str, Any] | None = None, **config: Any) -> JobSpec:
        training_key, training_sha256 = put_rows("file-training", chat_rows)
        validation_key, validation_sha256 = put_rows("file-validation", chat_rows[:4])
        general_key, general_sha256 = put_rows("file-known", KNOWN_ROWS)
        settings: dict[str, Any] = {
            "job_id": "ftjob-test",
            "attempt": 1,
            "attempt_token": "token",
            "service_url": "http://127.0.0.1:1",
            "device": "cpu",
            "base": base,
            "config": make_config(**config),
            "training_key": training_key,
            "training_sha256": training_sha256,
            "validation_key": validation_key,
            "validation_sha256": validation_sha256,
            "general_key": general_key,
            "general_sha256": general_sha256,
        }
        return JobSpec(**{**settings, **(spec or {})})

    return make
