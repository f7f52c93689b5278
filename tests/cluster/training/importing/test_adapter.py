"""Imports of adapter folders, good ones and hostile ones."""

import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load, load_file, save
from transformers import AutoModelForCausalLM

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec
from cluster.contracts.data_report import StoredFile
from cluster.contracts.errors import CorruptArtefact, InvalidRequest
from cluster.contracts.imports import CONFIG_FILE, MAX_BYTES, WEIGHTS_FILE, ImportedAdapter, ImportRequest
from cluster.contracts.manifest import Manifest
from cluster.storage.keys import sibling_key
from cluster.storage.local import LocalStore
from cluster.storage.store import ObjectInfo, unobserved
from cluster.training.importing.adapter import import_adapter
from cluster.training.importing.config import AdapterConfig
from tests.tiny_base import make_tiny_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseSpec:
    return make_tiny_base(tmp_path_factory.mktemp("base"))


def make_adapter(base: BaseSpec, folder: Path, **options: Any) -> PeftModel:
    """A random adapter, saved by PEFT."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base_folder(base))
    adapted = get_peft_model(
        model,
        LoraConfig(**{"r": 4, "target_modules": ["q_proj", "up_proj"], "task_type": "CAUSAL_LM"} | options),
    )
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(folder)
    return adapted


@pytest.fixture(scope="module")
def good(base: BaseSpec, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """The configuration and the weights of an adapter."""
    folder = tmp_path_factory.mktemp("good")
    make_adapter(base, folder)
    return (folder / CONFIG_FILE).read_bytes(), (folder / WEIGHTS_FILE).read_bytes()


def run(base: BaseSpec, store: LocalStore, config: bytes, weights: bytes) -> ImportedAdapter:
    files = []
    for number, content in enumerate((config, weights)):
        info = store.put(f"files/file-{number}", content)
        files.append(StoredFile(key=info.key, sha256=hashlib.sha256(content).hexdigest()))
    request = ImportRequest(import_id="modelimport-1", base=base, config=files[0], weights=files[1])
    return import_adapter(request, store)


def folder_of(imported: ImportedAdapter, store: LocalStore, folder: Path) -> Path:
    folder.mkdir()
    manifest = Manifest.model_validate_json(store.get(imported.weights.manifest_key))
    for file in manifest.files:
        assert store.download(
            sibling_key(imported.weights.manifest_key, file.name), folder / file.name
        ).sha256
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target_modules": "all-linear", "use_rslora": True, "lora_alpha": 3},
        {"target_modules": r".*\.(k_proj|down_proj)"},
        {"layers_to_transform": [1]},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"up_proj": 5}},
        {"init_lora_weights": "gaussian"},
    ],
)
def test_an_imported_adapter_computes_what_it_did(
    base: BaseSpec, store: LocalStore, tmp_path: Path, options: dict[str, Any]
) -> None:
    adapted = make_adapter(base, tmp_path / "mine", **options)
    given = tmp_path / "mine"
    imported = run(base, store, (given / CONFIG_FILE).read_bytes(), (given / WEIGHTS_FILE).read_bytes())
    folder = folder_of(imported, store, tmp_path / "imported")
    ours = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_folder(base)), folder)
    row = torch.tensor(imported.rows)
    with torch.inference_mode():
        found, expected = (model.eval()(input_ids=row).logits for model in (ours, adapted))
    torch.testing.assert_close(found, expected)
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG_FILE, WEIGHTS_FILE]
    assert imported.weights.form == "lora"


def test_the_options_continue_an_adapter_of_one_rank_as_lora_and_any_other_as_pefts_own(
    base: BaseSpec, store: LocalStore, good: tuple[bytes, bytes], tmp_path: Path
) -> None:
    plain = run(base, store, *good).training
    assert (plain.type, plain.r, plain.alpha, len(plain.target_modules)) == ("lora", 4, 8.0, 4)
    make_adapter(base, tmp_path, rank_pattern={"q_proj": 2})
    files = [(tmp_path / name).read_bytes() for name in (CONFIG_FILE, WEIGHTS_FILE)]
    mixed = run(base, store, *files).training
    assert mixed.peft_config is not None
    assert set(mixed.peft_config["rank_pattern"].values()) == {2}


def test_an_import_can_be_repeated_and_stores_the_same_bytes(
    base: BaseSpec, store: LocalStore, good: tuple[bytes, bytes]
) -> None:
    assert run(base, store, *good) == run(base, store, *good)


def test_nothing_of_the_files_but_their_tensors_is_kept(
    base: BaseSpec, store: LocalStore, good: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """Neither comments in the header nor paths, names of modules or code in the configuration."""
    hostile = {
        "base_model_name_or_path": "/etc/passwd",
        "auto_mapping": {"base_model_class": "X", "parent_library": "os"},
        "revision": "canary",
        "peft_version": "canary",
        "lora_dropout": "canary",
        "exclude_modules": "(a+)+$canary",
        "layers_pattern": "canary",
        "megatron_core": "canary.module",
    }
    weights = save(load(good[1]), metadata={"note": "canary"})
    imported = run(base, store, json.dumps(json.loads(good[0]) | hostile).encode(), weights)
    folder = folder_of(imported, store, tmp_path / "imported")
    for path in folder.iterdir():
        content = path.read_bytes()
        assert b"canary" not in content
        assert b"passwd" not in content
        assert b"parent_library" not in content


CONFIGS: dict[str, Any] = {
    "not JSON": b"\x80\x04",
    "not UTF-8": b'{"r": "\xff"}',
    "a list": b"[]",
    "too deep": b"[" * 200_000,
    "too large": b'{"a": "' + b"x" * 2**20 + b'"}',
    "empty": b"",
    "a number of many digits": b'{"peft_type": "LORA", "r": ' + b"9" * 5000 + b"}",
    "no method": {"peft_type": None},
    "another method": {"peft_type": "LOHA"},
    "DoRA": {"use_dora": True},
    "biases": {"bias": "all"},
    "saved modules": {"modules_to_save": ["lm_head"]},
    "new tokens": {"trainable_token_indices": [1]},
    "a base changed by the initialisation": {"init_lora_weights": "pissa"},
    "repeated layers": {"layer_replication": [[0, 1]]},
    "a field from the future": {"execute": "import os"},
    "rank 0": {"r": 0},
    "rank as text": {"r": "4"},
    "rank true": {"r": True},
    "a rank that differs": {"r": 8},
    "an endless scale": {"lora_alpha": float("inf")},
    "no number as scale": {"lora_alpha": float("nan")},
    "a negative scale": {"lora_alpha": -1},
    "a regular expression": {"rank_pattern": {"(.*)*q_proj$": 4}},
    "a path as layer": {"alpha_pattern": {"../../q_proj": 4}},
    "a rank that another layer has": {"rank_pattern": {"q_proj": 2}},
}


@pytest.mark.parametrize("change", CONFIGS.values(), ids=CONFIGS.keys())
def test_a_hostile_or_foreign_configuration_is_refused(
    base: BaseSpec, store: LocalStore, good: tuple[bytes, bytes], change: Any
) -> None:
    config = change if isinstance(change, bytes) else json.dumps(json.loads(good[0]) | change).encode()
    _refused(base, store, config, good[1])


@pytest.mark.parametrize("name", MAX_BYTES)
def test_what_is_too_large_is_not_downloaded(
    base: BaseSpec, tmp_path: Path, good: tuple[bytes, bytes], name: str
) -> None:
    large = f"files/file-{list(MAX_BYTES).index(name)}"

    class Store(LocalStore):
        def stat(self, key: str) -> ObjectInfo:
            info = super().stat(key)
            return replace(info, bytes=MAX_BYTES[name] + 1) if key == large else info

        def download(
            self, key: str, path: Path, *, on_progress: Callable[[], None] = unobserved
        ) -> ObjectInfo:
            raise AssertionError(key)

    _refused(base, Store(tmp_path / "store"), *good)


def test_many_patterns_and_layers_take_little_time() -> None:
    """The key that comes first in the file counts, as in PEFT."""
    layers = [f"model.layers.{number}.q_proj" for number in range(10_000)]
    ranks = {
        "layers.7.q_proj": 3,
        **{f"absent.{number}": 2 for number in range(9_000)},
        "q_proj": 5,
        layers[8]: 6,
    }
    config = AdapterConfig(r=4, lora_alpha=8, rank_pattern=ranks)
    found = [config.rank_of(layer) for layer in layers]
    assert (found[7], found[8], set(found)) == (3, 5, {3, 5})
    assert config.rank_of("model.layers.1.xq_proj") == 4


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("/tmp/tunery-an-import-ran-this",)


def _header(entries: Any, size: int | None = None) -> bytes:
    content = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(content) if size is None else size) + content


WEIGHTS: dict[str, Callable[[bytes], bytes]] = {
    "a pickle": lambda _: pickle.dumps(_Bomb()),
    "a zip": lambda _: b"PK\x03\x04../../../../tmp/x",
    "empty": lambda _: b"",
    "cut off": lambda good: good[:-1],
    "longer": lambda good: good + b"x",
    "a huge header": lambda _: _header(b"{}", size=2**62),
    "a header that is no object": lambda _: _header([]),
    "offsets outside": lambda _: _header(
        {"base_model.model.a.lora_A.weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 10**12]}}
    ),
    "no tensors": lambda _: save({}),
    "another name": lambda good: save(load(good) | {"model.norm.weight": torch.ones(2)}),
    "a path": lambda good: save(load(good) | {"base_model.model.../x.lora_A.weight": torch.ones(4, 2)}),
    "half a layer": lambda good: save({n: t for n, t in load(good).items() if "lora_A" in n}),
    "a layer that the base lacks": lambda good: save(
        {n.replace("q_proj", "z_proj"): t for n, t in load(good).items()}
    ),
    "the head": lambda good: save(
        load(good)
        | {
            "base_model.model.lm_head.lora_A.weight": torch.ones(4, 32),
            "base_model.model.lm_head.lora_B.weight": torch.ones(352, 4),
        }
    ),
    "another shape": lambda good: save(
        {n: torch.cat([t, t], -1) if "lora_A" in n else t for n, t in load(good).items()}
    ),
    "three dimensions": lambda good: save({n: t[None] for n, t in load(good).items()}),
    "integers": lambda good: save({n: t.to(torch.int8) for n, t in load(good).items()}),
    "double precision": lambda good: save({n: t.double() for n, t in load(good).items()}),
    "no numbers": lambda good: save({n: t * float("nan") for n, t in load(good).items()}),
    "infinity": lambda good: save(
        {n: t.index_fill(0, torch.tensor(0), torch.inf) for n, t in load(good).items()}
    ),
}


@pytest.mark.parametrize("change", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_hostile_or_foreign_weights_are_refused(
    base: BaseSpec, store: LocalStore, good: tuple[bytes, bytes], change: Callable[[bytes], bytes]
) -> None:
    _refused(base, store, good[0], change(good[1]))
    assert not Path("/tmp/tunery-an-import-ran-this").exists()


def _refused(base: BaseSpec, store: LocalStore, config: bytes, weights: bytes) -> None:
    with pytest.raises(InvalidRequest) as error:
        run(base, store, config, weights)
    assert error.value.code in ("invalid_adapter", "unsupported_adapter")
    assert len(error.value.message) < 2000
    assert list(store.list("imports/")) == []


def test_half_precision_stays(
    base: BaseSpec, store: LocalStore, good: tuple[bytes, bytes], tmp_path: Path
) -> None:
    weights = save({name: tensor.bfloat16() for name, tensor in load(good[1]).items()})
    folder = folder_of(run(base, store, good[0], weights), store, tmp_path / "imported")
    assert {tensor.dtype for tensor in load_file(folder / WEIGHTS_FILE).values()} == {torch.bfloat16}


def test_changed_bytes_in_storage_are_noticed(
    base: BaseSpec, store: LocalStore, good: tuple[bytes, bytes]
) -> None:
    for number, content in enumerate(good):
        store.put(f"files/file-{number}", content)
    config, weights = (StoredFile(key=f"files/file-{number}", sha256="0" * 64) for number in (0, 1))
    with pytest.raises(CorruptArtefact):
        import_adapter(ImportRequest(import_id="i", base=base, config=config, weights=weights), store)


def test_encoders_are_refused(base: BaseSpec, store: LocalStore, good: tuple[bytes, bytes]) -> None:
    with pytest.raises(InvalidRequest, match="encoder"):
        run(base.model_copy(update={"architecture": "encoder"}), store, *good)
