"""Reading a base's folder."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.bases.pretrained import read_config, read_tokenizer, stop_tokens
from cluster.contracts.errors import InvalidConfiguration
from tests.chat_templates import CHATML, PLAIN_LINES, chat_tokenizer
from tests.cluster.serving.tool_templates import LIST_WITH_IDS
from tests.documents import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.thorough
def test_threads_that_read_first_at_the_same_time_all_succeed() -> None:
    from cluster.bases.tiny.recipe.export import WEIGHTS

    command = [sys.executable, "-m", "tests.cluster.bases.first_reads", str(WEIGHTS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


WITH_CODE = json.dumps({"model_type": "unheard_of", "auto_map": {"AutoConfig": "code.Config"}})
"""transformers refuses it with the folder's absolute path."""


@pytest.mark.parametrize(
    "source", ["secret/models/small", "secret/link/small", "./secret/../secret/link/small"]
)
def test_no_error_tells_where_the_operator_keeps_a_base(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret/models/small").mkdir(parents=True)
    (tmp_path / "secret/models/small/config.json").write_text(WITH_CODE)
    (tmp_path / "secret/link").symlink_to("models")
    for folder in (Path(source), Path(source).absolute(), Path(source).resolve()):
        with pytest.raises(InvalidConfiguration, match="small") as refused:
            read_config(folder)
        assert "secret" not in refused.value.message
        assert str(tmp_path) not in refused.value.message


def _folder(folder: Path, template: str | None, *, named: Any = None, **options: Any) -> Path:
    chat_tokenizer(template, **options).save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": 0}))
    if named is not None:
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": named}))
    return folder


def _stops(folder: Path) -> set[str]:
    tokenizer = read_tokenizer(folder)
    return {tokenizer.convert_ids_to_tokens(token) for token in stop_tokens(folder, tokenizer)}


def test_the_end_of_a_turn_stops_where_it_is_not_the_end_of_text(tmp_path: Path) -> None:
    assert _stops(_folder(tmp_path, CHATML)) == {"<|endoftext|>", "<|im_end|>"}


def test_everything_that_the_generation_configuration_names_stops(tmp_path: Path) -> None:
    folder = _folder(tmp_path, PLAIN_LINES, named=[0, 5])
    tokenizer = read_tokenizer(folder)
    assert stop_tokens(folder, tokenizer) == {0, 5}


def test_calls_that_end_differently_from_texts_stop_too(tmp_path: Path) -> None:
    template = LIST_WITH_IDS.replace("{{- '<|end|>\\n' -}}", "{{- '<|im_end|>' -}}").replace(
        "{{- ']' -}}", "{{- ']<|im_start|>' -}}{%- continue -%}"
    )
    ends_calls = template.replace("{%- continue -%}", "")
    assert "<|im_end|>" in _stops(_folder(tmp_path, ends_calls))


@pytest.mark.parametrize("template", [None, "{{ raise_exception('never') }}"])
def test_without_a_template_that_renders_the_end_of_text_stops(tmp_path: Path, template: str | None) -> None:
    assert _stops(_folder(tmp_path, template)) == {"<|endoftext|>"}
