import json
from pathlib import Path
from typing import Any

import pytest

from cluster.bases.suggest import suggest_base
from cluster.contracts.bases import FolderSource, HubSource
from cluster.contracts.errors import InvalidConfiguration

HUB = HubSource(repository="Owner/Some_Model 8B", revision="0" * 40)
LLAMA = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 8192, "torch_dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LLAMA, ("decoder", 8192, "bfloat16")),
        ({**LLAMA, "torch_dtype": "float32"}, ("decoder", 8192, "float32")),
        ({"model_type": "gpt2", "n_positions": 1024}, ("decoder", 1024, "float32")),
        (
            {"model_type": "x", "text_config": {"max_position_embeddings": 99, "dtype": "float16"}},
            ("decoder", 99, "bfloat16"),
        ),
        ({"architectures": ["BertForMaskedLM"], "max_position_embeddings": 512}, ("encoder", 512, "float32")),
        (
            {"model_type": "roberta", "architectures": ["RobertaModel"], "max_position_embeddings": 514},
            ("encoder", 512, "float32"),
        ),
        (
            {"model_type": "xlm-roberta", "max_position_embeddings": 8194, "pad_token_id": 1},
            ("encoder", 8192, "float32"),
        ),
        (
            {"model_type": "mpnet", "architectures": ["MPNetModel"], "max_position_embeddings": 514},
            ("encoder", 512, "float32"),
        ),
        ({"model_type": "bert", "max_position_embeddings": 512}, ("encoder", 512, "float32")),
        ({"architectures": ["BertLMHeadModel"], "max_position_embeddings": 512}, ("decoder", 512, "float32")),
    ],
)
def test_the_configuration_says_what_a_model_is(
    tmp_path: Path, config: dict[str, Any], expected: tuple[str, int, str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = suggest_base(HUB, tmp_path, 8 * 10**9)
    assert (found.architecture, found.context_length, found.dtype) == expected
    assert (found.alias, found.owned_by) == ("some_model-8b", "Owner")


def test_larger_models_learn_at_smaller_rates(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    rates = [suggest_base(HUB, tmp_path, int(size)).learning_rates for size in (1e9, 8e9, 70e9)]
    assert [rate["lora"] for rate in rates] == [4e-4, 2e-4, 1e-4]
    assert [rate["full"] for rate in rates] == [4e-5, 2e-5, 1e-5]


def test_a_model_that_does_not_say_its_context_needs_it_given(tmp_path: Path) -> None:
    source = FolderSource(path=str(tmp_path))
    with pytest.raises(InvalidConfiguration, match="cannot be read: FileNotFoundError"):
        suggest_base(source, tmp_path, 1)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InvalidConfiguration, match="Give --context"):
        suggest_base(source, tmp_path, 1)
    found = suggest_base(source, tmp_path, 1, alias="ours", context_length=128)
    assert (found.alias, found.context_length) == ("ours", 128)


def test_positions_that_no_token_uses_are_no_context(tmp_path: Path) -> None:
    config = {"model_type": "camembert", "max_position_embeddings": 514, "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidConfiguration, match="the model has 512 positions"):
        suggest_base(HUB, tmp_path, 10**8, context_length=514)
