"""Runs the examples in `clients/examples`, each as a user starts it."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from openai import OpenAI

from tests.conformance.surface.sdks import CLIENTS
from tests.documents import ROOT
from tests.e2e.server import BASE, Tunery, jsonl

_HERE = Path(__file__).parent
_EXAMPLES = ROOT / "clients" / "examples"
_NODE = str(CLIENTS / "bin" / "node")
_PYTHON = str(CLIENTS / "bin" / "python")
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
_TOKENIZER = ROOT / "cluster" / "bases" / "tiny" / "weights"
_PROMPT = "order 3 qty 4"
_CHOICES = [" Order 3 holds 4 pieces.", " Order 3 is not known here."]


def check_examples(tunery: Tunery, folder: Path) -> None:
    if not (CLIENTS / "installed").exists() and not os.environ.get("CI"):
        pytest.skip("`make .clients/installed` installs the programs")
    rows = folder / "rows.jsonl"
    rows.write_bytes(jsonl(40))
    named = ("--rows", str(rows), "--base", BASE, "--prompt", _PROMPT)
    in_order = (str(rows), BASE, _PROMPT)
    # Node looks for packages next to the program.
    program = Path(shutil.copy(_EXAMPLES / "openai_node.mjs", folder))
    (folder / "node_modules").symlink_to(CLIENTS / "node" / "node_modules")
    trained = [
        (_PYTHON, str(_EXAMPLES / "litellm_fine_tune.py"), *named),
        (sys.executable, str(_EXAMPLES / "openai_python.py"), *named),
        (_NODE, str(program), *in_order),
        ("bash", str(_EXAMPLES / "curl.sh"), *in_order),
    ]
    with ThreadPoolExecutor(len(trained)) as pool:
        results = [pool.submit(_run, tunery, *command) for command in trained]
    client = tunery.client()
    # LiteLLM's example asks for fewer tokens.
    for result in results[1:]:
        model, answer = _told(result.result())
        assert answer == _answer(client, model), model

    model, answer = _told(results[0].result())
    expected = _answer(client, model, max_tokens=16)
    assert answer == expected, (answer, expected)
    *asked, order = _run(tunery, _PYTHON, str(_EXAMPLES / "langchain_chat.py"), model, _PROMPT)
    assert [line.strip() for line in asked if line] == expected.splitlines() * 3
    assert isinstance(json.loads(order)["number"], int)

    task = folder / "task.jsonl"
    task.write_text(json.dumps({"question": _PROMPT, "choices": _CHOICES, "label": 0}) + "\n")
    scored = json.loads(
        _run(tunery, _PYTHON, str(_EXAMPLES / "lm_eval_task.py"), model, str(_TOKENIZER), str(task))[-1]
    )
    assert scored["accuracy"] == 1
    assert scored["logprobs"] == [[pytest.approx(_score(client, model, one), abs=1e-3) for one in _CHOICES]]

    proxy = (str(_HERE / "litellm_router.py"), str(_EXAMPLES / "litellm_proxy.yaml"))
    assert "\n".join(_run(tunery, _PYTHON, *proxy, model, _PROMPT)).strip() == expected

    notebook = (str(_HERE / "notebook.py"), str(_EXAMPLES / "data_to_model.ipynb"))
    shown = json.loads(_run(tunery, sys.executable, *notebook)[-1])
    before, after = shown["evaluation"].values()
    assert before < 0.1 < after


def _run(tunery: Tunery, *command: str) -> list[str]:
    """The lines that a program prints."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={
            **os.environ,
            **_OFFLINE,
            "OPENAI_BASE_URL": f"{tunery.url}/v1",
            "OPENAI_API_KEY": tunery.key,
        },
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.splitlines()


def _told(lines: list[str]) -> tuple[str, str]:
    """The model's name and its answer, which may have several lines: the last one that an example prints."""
    start = next(index for index, line in enumerate(lines) if line.startswith("ft:"))
    return lines[start], "\n".join(lines[start + 1 :]).strip()


def _answer(client: OpenAI, model: str, **options: int) -> str:
    messages = [{"role": "user", "content": _PROMPT}]
    answer = client.chat.completions.create(model=model, messages=messages, temperature=0, **options)  # type: ignore[call-overload]
    return str(answer.choices[0].message.content).strip()


def _score(client: OpenAI, model: str, continuation: str) -> float:
    """Log-probability of the continuation after the prompt."""
    answer = client.completions.create(
        model=model, prompt=_PROMPT + continuation, max_tokens=0, echo=True, logprobs=0
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs
    assert logprobs.token_logprobs
    assert logprobs.text_offset
    pairs = zip(logprobs.text_offset, logprobs.token_logprobs, strict=True)
    return sum(logprob for offset, logprob in pairs if offset >= len(_PROMPT))
