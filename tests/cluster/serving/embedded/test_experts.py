"""LoRA on experts and routers, whose input has no row structure, is refused consistently."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from cluster.bases.layer_kinds import layer_kinds
from cluster.bases.lora_form import served_form
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import InvalidRequest
from cluster.storage.local import LocalStore
from tests.cluster.serving.conftest import Serve
from tests.cluster.serving.published import publish_lora
from tests.families import make_family

# PEFT names the experts' weights in its own rank pattern and then warns that they are no modules.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys:RuntimeWarning"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseSpec:
    return make_family("qwen3_moe", tmp_path_factory.mktemp("experts"))


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj"], "target_parameters": ["mlp.experts.down_proj"]},
        {"target_modules": ["q_proj"], "target_parameters": ["mlp.gate.weight"]},
    ],
)
def test_experts_and_routers_are_served_merged_only(
    serve: Serve, tmp_path: Path, base: BaseSpec, options: dict[str, Any]
) -> None:
    store = LocalStore(tmp_path / "store")
    ref = publish_lora(store, base, tmp_path / "lora", seed=1, **options)
    fields = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    assert served_form(fields, {}) == "full"
    served = serve(base=base, store=store)
    with pytest.raises(InvalidRequest, match=r"target_parameters.*it can be served merged"):
        served.ask(served.request(ref))
    assert served.ask(served.request()).finishes


def test_attention_beside_experts_is_served_as_it_is(tmp_path: Path, base: BaseSpec) -> None:
    publish_lora(LocalStore(tmp_path / "store"), base, tmp_path / "lora", seed=1, target_modules=["q_proj"])
    fields = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())
    kinds = layer_kinds(AutoModelForCausalLM.from_pretrained(base.source.path))
    adapted = {name: kind for name, kind in kinds.items() if name.endswith("q_proj")}
    assert served_form(fields, adapted) == "lora"
    routers = {name: kind for name, kind in kinds.items() if name.endswith("mlp.gate")}
    assert routers
    assert served_form(fields, adapted | routers) == "full"
