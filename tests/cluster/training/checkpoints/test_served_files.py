"""A whole model is written in several files, one of them while the next one is gathered."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from cluster.training.checkpoints import served_files
from cluster.training.checkpoints.served_files import write_index, write_sharded


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(served_files, "SERVED_FILE_BYTES", 10_000)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config)


def test_files_are_written_while_the_next_ones_are_gathered(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first write ends only when a tensor of the second file has been gathered."""
    is_writing, is_gathered = threading.Event(), threading.Event()

    def save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        is_writing.set()
        assert is_gathered.wait(60)
        save_file(tensors, path, metadata=metadata)

    def beat() -> None:
        if is_writing.is_set():
            is_gathered.set()

    monkeypatch.setattr(served_files, "save_file", save)
    share = write_sharded(model, "float32", tmp_path, heartbeat=beat)
    assert write_index([share], tmp_path) is not None
    paths = list(tmp_path.glob("*.safetensors"))
    assert len(paths) > 2
    loaded = {name: value for path in paths for name, value in load_file(path).items()}
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def test_a_file_that_cannot_be_written_ends_the_checkpoint(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(served_files, "save_file", fail)
    with pytest.raises(OSError, match="no space left"):
        write_sharded(model, "float32", tmp_path)
