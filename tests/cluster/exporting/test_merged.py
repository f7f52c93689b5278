"""Adapters merged into their base, against PEFT's own merge."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.errors import CorruptArtefact, InvalidRequest, Unavailable
from cluster.contracts.exports import ExportProgress
from cluster.exporting.shards import group, safetensors_files
from cluster.exporting.tensors import StoredTensors
from cluster.storage.keys import export_manifest_key, sibling_key
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo
from cluster.training.checkpoints.export import DTYPES
from cluster.training.model.pretrained import load_dequantized
from tests.cluster.exporting.models import adapted, export, logits, plain, stored_model
from tests.families import make_family
from tests.family_support import DECODERS, MERGED, excluded
from tests.tiny_base import make_tiny_base

TOKENS = list(range(1, 40))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target_modules": ["q_proj", "down_proj"], "lora_alpha": 3, "use_rslora": True},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"up_proj": 5}},
    ],
)
def test_a_merged_adapter_equals_pefts_merge(
    base: BaseSpec, store: LocalStore, tmp_path: Path, options: dict[str, Any]
) -> None:
    model = adapted(plain(base), **options)
    weights = stored_model(store, base, model, tmp_path / "mine")
    export(store, base, weights, tmp_path / "merged")
    expected = model.merge_and_unload()
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(found.state_dict(), expected.state_dict())
    torch.testing.assert_close(logits(found, TOKENS), logits(expected, TOKENS))


LLAMA_LIKE = {"llama", "qwen2", "mistral", "olmo", "granite", "gemma3", "falcon_new", "falcon_alibi"}


@pytest.mark.parametrize("family", sorted({*DECODERS} - LLAMA_LIKE))
def test_every_family_is_merged_by_the_names_of_its_own_layers(
    store: LocalStore, tmp_path: Path, family: str
) -> None:
    base = make_family(family, tmp_path / "base")
    # Adapters on experts are merged when they are trained.
    layers = ["q_b_proj", "kv_b_proj", "q_proj", "o_proj"] if family in MERGED else "all-linear"
    model = adapted(plain(base), target_modules=layers, exclude_modules=excluded(family))
    weights = stored_model(store, base, model, tmp_path / "mine")
    export(store, base, weights, tmp_path / "merged")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(found, TOKENS), logits(model.merge_and_unload(), TOKENS))


def test_the_sum_is_computed_in_float32_and_rounded_once(store: LocalStore, tmp_path: Path) -> None:
    base = make_tiny_base(tmp_path / "base", dtype="bfloat16")
    model = adapted(plain(base, dtype=torch.float32))
    weights = stored_model(store, base, model, tmp_path / "mine")
    export(store, base, weights, tmp_path / "merged")
    found = load_file(tmp_path / "merged" / "model.safetensors")
    for name, value in model.merge_and_unload().state_dict().items():
        assert found[name].dtype == torch.bfloat16
        assert torch.equal(found[name], value.bfloat16()), name


def test_the_type_is_the_one_in_which_the_base_is_trained_and_served(
    store: LocalStore, tmp_path: Path
) -> None:
    """Not the one in which its weights are stored, to which small updates would be lost."""
    stored = make_tiny_base(tmp_path / "base", dtype="bfloat16")
    base = stored.model_copy(update={"dtype": "float32"})
    model = adapted(plain(base, dtype=torch.float32))
    weights = stored_model(store, base, model, tmp_path / "mine")
    export(store, base, weights, tmp_path / "merged")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.state_dict(), model.merge_and_unload().state_dict())


def test_a_base_of_text_and_images_gives_the_files_that_programs_need_to_start_it(
    store: LocalStore, tmp_path: Path
) -> None:
    base = make_family("gemma3_images", tmp_path / "base")
    (tmp_path / "base" / "processor_config.json").write_text('{"processor_class": "Gemma3Processor"}')
    model = adapted(plain(base), exclude_modules=excluded("gemma3_images"))
    export(store, base, stored_model(store, base, model, tmp_path / "mine"), tmp_path / "merged")
    found = json.loads((tmp_path / "merged" / "processor_config.json").read_bytes())
    assert found == {"processor_class": "Gemma3Processor"}


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_qlora_adapter_is_merged_into_the_base_in_four_bits(
    store: LocalStore, tmp_path: Path, family: str
) -> None:
    base = make_family(family, tmp_path / "base")
    rounded = load_dequantized(
        AutoModelForCausalLM, base_folder(base), DTYPES[base.dtype], torch.device("cpu")
    )
    model = adapted(rounded.float())
    weights = stored_model(store, base, model, tmp_path / "mine", form="qlora")
    export(store, base, weights, tmp_path / "merged")
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    expected = logits(model.merge_and_unload(), TOKENS)
    torch.testing.assert_close(logits(found, TOKENS), expected)
    assert (logits(plain(base), TOKENS) - expected).abs().max() > 0.01


def test_the_folder_has_the_bases_tokenizer_and_template(
    base: BaseSpec, store: LocalStore, tmp_path: Path
) -> None:
    weights = stored_model(store, base, adapted(plain(base)), tmp_path / "mine")
    export(store, base, weights, tmp_path / "merged")
    ours, theirs = (
        AutoTokenizer.from_pretrained(folder) for folder in (tmp_path / "merged", base_folder(base))
    )
    assert ours("The quick brown fox") == theirs("The quick brown fox")
    assert ours.chat_template == theirs.chat_template
    assert (tmp_path / "merged" / "generation_config.json").is_file()


def test_large_models_are_divided_into_files_with_an_index(base: BaseSpec, tmp_path: Path) -> None:
    files = safetensors_files(StoredTensors(base_folder(base)), max_bytes=40_000)
    assert len(files) > 3
    for file in files:
        (tmp_path / file.name).write_bytes(file.open(lambda count: None).read())
        assert (tmp_path / file.name).stat().st_size == file.bytes
    (tmp_path / "config.json").write_bytes((base_folder(base) / "config.json").read_bytes())
    found = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(found.state_dict(), plain(base).state_dict())
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"].values()) == {file.name for file in files[:-1]}


def test_groups_are_as_large_as_allowed() -> None:
    assert group({"a": 3, "b": 4, "c": 9, "d": 1, "e": 6}, 7) == [["a", "b"], ["c"], ["d", "e"]]


def test_one_tensor_is_in_memory_at_a_time(base: BaseSpec) -> None:
    read: list[str] = []

    class Watched(StoredTensors):
        def read(self, name: str) -> torch.Tensor:
            read.append(name)
            return super().read(name)

    (file,) = safetensors_files(Watched(base_folder(base)))
    with file.open(lambda count: None) as content:
        content.read(file.bytes // 2)
        assert 0 < len(read) < len(Watched(base_folder(base)).infos)


class Interrupted(LocalStore):
    """Fails once, when the file `breaks_at` is stored."""

    breaks_at: str | None = "model.safetensors"
    stored: list[str]

    def put(self, key: str, source: Any) -> ObjectInfo:
        name = key.rpartition("/")[2]
        if name == self.breaks_at:
            self.breaks_at = None
            source.read(100)
            raise Unavailable("The store is gone.")
        self.stored.append(name)
        return super().put(key, source)


def test_an_interrupted_export_goes_on_with_the_next_file_and_ends_with_the_same_bytes(
    base: BaseSpec, store: LocalStore, tmp_path: Path
) -> None:
    weights = stored_model(store, base, adapted(plain(base)), tmp_path / "mine")
    whole = export(store, base, weights, tmp_path / "whole")
    for info in list(store.list("exports/")):
        store.delete(info.key)
    broken = Interrupted(tmp_path / "store")
    broken.stored = []
    with pytest.raises(Unavailable):
        export(broken, base, weights, tmp_path / "never")
    before = set(broken.stored)
    broken.stored = []
    seen: list[ExportProgress] = []
    assert export(broken, base, weights, tmp_path / "again", seen=seen) == whole
    assert set(broken.stored) == {"model.safetensors", "stored.json", "manifest.json"}
    assert "config.json" in before
    assert seen[-1].done_bytes == seen[-1].total_bytes == whole.bytes
    assert sibling_key(export_manifest_key("export-1"), "stored.json") not in {
        info.key for info in broken.list("exports/")
    }
    # And one that is complete is not made again.
    broken.stored = []
    assert export(broken, base, weights, tmp_path / "third") == whole
    assert broken.stored == []


def test_what_cannot_be_merged_is_refused_by_name(base: BaseSpec, store: LocalStore, tmp_path: Path) -> None:
    model = adapted(plain(base))
    prefix = stored_model(store, base, model, tmp_path / "prefix", form="prefix")
    with pytest.raises(InvalidRequest, match="prefix") as refused:
        export(store, base, prefix, tmp_path / "merged")
    assert refused.value.code == "format_not_available"
    weights = stored_model(store, base, model, tmp_path / "mine")
    other = make_tiny_base(tmp_path / "other", seed=1)
    with pytest.raises(InvalidRequest, match="other weights"):
        export(store, other, weights, tmp_path / "merged")
    with pytest.raises(CorruptArtefact):
        export(store, base, weights.model_copy(update={"digest": "0" * 64}), tmp_path / "merged")
