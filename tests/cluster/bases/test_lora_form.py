from typing import Any

import pytest
from peft import LoraConfig

from cluster.bases.lora_form import served_form

PLAIN = {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "bias": "none", "target_modules": ["q_proj"]}
LINEAR = {"layers.0.q_proj": "Linear"}


def test_plain_lora_on_layers_that_see_rows_is_served_as_it_is() -> None:
    assert served_form(PLAIN, LINEAR) == "lora"
    assert served_form(PLAIN | {"use_rslora": True, "rank_pattern": {"q": 2}}, LINEAR) == "lora"
    assert served_form(PLAIN, {"h.0.attn.c_attn": "Conv1D"}) == "lora"
    assert served_form(LoraConfig(r=4, target_modules=["q_proj"]).to_dict(), LINEAR) == "lora"


@pytest.mark.parametrize("kind", ["Unordered", "Embedding", "Qwen3MoeTopKRouter"])
def test_one_layer_that_does_not_see_rows_has_the_whole_adapter_merged(kind: str) -> None:
    assert served_form(PLAIN, LINEAR | {"layers.0.gate": kind}) == "full"


@pytest.mark.parametrize(
    "fields",
    [
        {"use_dora": True},
        {"bias": "all"},
        {"modules_to_save": ["score"]},
        {"init_lora_weights": "pissa"},
        {"init_lora_weights": "olora"},
        {"target_parameters": ["mlp.experts.gate_up_proj"]},
        {"some_option_of_tomorrow": 1},
        {"peft_type": "IA3"},
        {"peft_type": "ADALORA"},
    ],
)
def test_what_is_more_than_lora_is_merged(fields: dict[str, Any]) -> None:
    assert served_form(PLAIN | fields, LINEAR) == "full"


@pytest.mark.parametrize("peft_type", ["PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING"])
def test_virtual_tokens_become_a_prefix(peft_type: str) -> None:
    assert served_form({"peft_type": peft_type, "num_virtual_tokens": 4}, {}) == "prefix"
