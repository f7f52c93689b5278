"""Our runs give the same losses and final weights as HF Trainer's and TRL's."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from cluster.contracts.hyperparameters import TrainingConfig
from cluster.contracts.jobs import Finished, JobSpec
from cluster.storage.local import LocalStore
from cluster.training.checkpoints.checkpoint import download
from cluster.training.data.batches import Schedule
from tests.cluster.training.oracles import Rows, Trained, hf_trainer, trl_dpo, trl_sft
from tests.cluster.training.recording import record

# Other libraries raise warnings that we cannot fix.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

Oracle = Callable[[Path, TrainingConfig, Rows, Path], Trained]
MakeSpec = Callable[..., JobSpec]
PutRows = Callable[[str, Rows], tuple[str, str]]


@pytest.fixture
def preference_rows() -> Rows:
    """20 pairs of answers of unequal lengths."""
    return [
        {
            "input": {"messages": [{"role": "user", "content": "message " * (1 + number % 5)}]},
            "preferred_output": [{"role": "assistant", "content": "the invoice " * (1 + number % 4)}],
            "non_preferred_output": [{"role": "assistant", "content": f"{number} fox " * (1 + number % 3)}],
        }
        for number in range(20)
    ]


def in_order(rows: Rows, config: TrainingConfig) -> Rows:
    """The rows in the order in which our run takes them, over all epochs."""
    assert len(rows) % config.batch_size == 0, "a smaller batch in the middle would shift what follows it"
    schedule = Schedule(len(rows), batch_size=config.batch_size, n_epochs=config.n_epochs, seed=config.seed)
    return [rows[index] for step in schedule.steps() for index in step.examples]


def final_folder(spec: JobSpec, store: LocalStore, tmp_path: Path) -> tuple[list[float], Path]:
    """The losses of our run, and the folder of its final checkpoint."""
    recording = record(spec, store)
    assert isinstance(recording.result, Finished)
    folder = tmp_path / "final"
    folder.mkdir()
    download(store, recording.result.manifest_key, folder)
    return recording.losses, folder


def weights_in(folder: Path) -> dict[str, Tensor]:
    adapter = folder / "adapter_model.safetensors"
    return load_file(adapter if adapter.exists() else folder / "model.safetensors")


def assert_same_training(
    spec: JobSpec, store: LocalStore, rows: Rows, oracle: Oracle, tmp_path: Path
) -> list[float]:
    losses, folder = final_folder(spec, store, tmp_path)
    theirs = oracle(
        Path(spec.base.source.path), spec.config, in_order(rows, spec.config), tmp_path / "oracle"
    )
    assert losses == pytest.approx(theirs.losses, abs=1e-4)
    ours = weights_in(folder)
    assert ours.keys() == theirs.weights.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs.weights[name], atol=1e-4, rtol=0)
    return losses


@pytest.mark.parametrize("oracle", [hf_trainer, trl_sft])
@pytest.mark.parametrize(("type_", "rate"), [("lora", 5e-3), ("full", 1e-3)])
def test_supervised_training_equals_that_of(
    make_spec: MakeSpec,
    put_rows: PutRows,
    store: LocalStore,
    chat_rows: Rows,
    tmp_path: Path,
    oracle: Oracle,
    type_: str,
    rate: float,
) -> None:
    rows = chat_rows[:20]
    key, sha256 = put_rows("file-parity", rows)
    spec = make_spec(
        {"training_key": key, "training_sha256": sha256}, type=type_, learning_rate=rate, n_epochs=3
    )
    losses = assert_same_training(spec, store, rows, oracle, tmp_path)
    assert len(losses) == 15
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.parametrize(("type_", "rate"), [("lora", 5e-3), ("full", 1e-3)])
def test_preference_training_equals_trl(
    make_spec: MakeSpec,
    put_rows: PutRows,
    store: LocalStore,
    preference_rows: Rows,
    tmp_path: Path,
    type_: str,
    rate: float,
) -> None:
    key, sha256 = put_rows("file-pairs", preference_rows)
    spec = make_spec(
        {"training_key": key, "training_sha256": sha256, "validation_key": None, "validation_sha256": None},
        method="dpo",
        beta=0.1,
        type=type_,
        learning_rate=rate,
        n_epochs=3,
    )
    losses = assert_same_training(spec, store, preference_rows, trl_dpo, tmp_path)
    assert losses[0] == pytest.approx(0.6931, abs=1e-4)
    assert losses[-1] < losses[0] - 0.05
