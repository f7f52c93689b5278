"""Reading a base's folder."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.bases.pretrained import read_tokenizer, stop_tokens
from tests.chat_templates import CHATML, PLAIN_LINES, chat_tokenizer
from tests.cluster.serving.tool_templates import LIST_WITH_IDS

pytestmark = pytest.mark.slow

THREADS = """
import threading
from pathlib import Path
import sys
{imports}
folder, barrier, failed = Path(sys.argv[1]), threading.Barrier(8), []

def read():
    barrier.wait()
    try:
        {call}
    except BaseException as error:
        failed.append(error)

threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failed, failed
"""


@pytest.mark.parametrize(
    ("imports", "call"),
    [
        ("from cluster.bases.pretrained import read_tokenizer", "read_tokenizer(folder)"),
        ("from cluster.bases.pretrained import read_config", "read_config(folder)"),
        (
            "import torch\nfrom cluster.serving.embedded.model import load_model",
            "load_model(folder, dtype='float32', device=torch.device('cpu'))",
        ),
    ],
)
def test_threads_that_read_first_at_the_same_time_all_succeed(imports: str, call: str) -> None:
    from cluster.bases.tiny.recipe.export import WEIGHTS

    program = THREADS.format(imports=imports, call=call)
    subprocess.run([sys.executable, "-c", program, str(WEIGHTS)], check=True, timeout=300)


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
