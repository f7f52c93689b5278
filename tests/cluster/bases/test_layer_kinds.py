from collections import Counter
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from cluster.bases.layer_kinds import UNORDERED, layer_kinds
from tests.families import make_family


class _Flattening(nn.Module):
    """Has a layer that sees rows, one that sees them flattened, one that sees tokens in another order, one
    that sees some of them, and one that is never called."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(32, 4)
        self.rows, self.flat, self.shuffled, self.some, self.unused = (nn.Linear(4, 4) for _ in range(5))

    def forward(self, *, input_ids: Tensor, use_cache: bool) -> None:
        flat = self.rows(self.embed(input_ids)).flatten(0, 1)
        self.flat(flat)
        self.shuffled(flat.flip(0))
        self.some(flat[1:])


def test_layers_are_distinguished_by_the_tokens_they_see() -> None:
    model = _Flattening()
    kinds = layer_kinds(model)
    assert kinds == {
        "embed": "Embedding",
        "rows": "Linear",
        "flat": "Linear",
        "shuffled": UNORDERED,
        "some": UNORDERED,
        "unused": UNORDERED,
    }
    assert model.training


def test_subclasses_and_flattened_layers_of_the_families_are_known(tmp_path: Path) -> None:
    """GPT-2's Conv1D, OPT's feed-forward layer and Falcon's own linear class; experts that are not layers."""
    found = {}
    for name in ("gpt2", "opt", "falcon", "qwen3_moe"):
        make_family(name, tmp_path / name)
        kinds = layer_kinds(AutoModelForCausalLM.from_pretrained(tmp_path / name))
        found[name] = Counter(kind for kind in kinds.values() if kind in ("Linear", "Conv1D", UNORDERED))
    assert found == {
        "gpt2": {"Conv1D": 8, "Linear": 1},
        "opt": {"Linear": 13},
        "falcon": {"Linear": 9},
        "qwen3_moe": {"Linear": 9},
    }
