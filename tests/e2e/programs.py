"""Programs that are written for OpenAI's API, with a tuned model: LiteLLM, LangChain and lm-eval."""

import json
import os
import subprocess
from typing import Any

import pytest
from openai import OpenAI

from tests.conformance.surface.sdks import CLIENTS
from tests.documents import ROOT
from tests.e2e.server import BASE, Tunery, jsonl

_PROGRAMS = ROOT / "tests" / "conformance" / "programs"
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
_TOKENIZER = ROOT / "cluster" / "bases" / "tiny" / "weights"
_PROMPT = "order 3 qty 4"
_CHOICES = [" Order 3 holds 4 pieces.", " Order 3 is not known here."]


def check_programs(tunery: Tunery) -> None:
    if not (CLIENTS / "installed").exists() and not os.environ.get("CI"):
        pytest.skip("`make .clients/installed` installs the programs")
    given = {"base_url": f"{tunery.url}/v1", "api_key": tunery.key, "base": BASE, "prompt": _PROMPT}
    tuned = _run("with_litellm", tunery, given | {"training_lines": jsonl(40).decode()})
    assert tuned["whole"] == tuned["streamed"]
    given["model"] = tuned["model"]

    asked = _run("with_langchain", tunery, given)
    assert {asked["whole"], asked["streamed"], asked["by_responses"]} == {tuned["whole"]}
    assert isinstance(asked["number"], int)

    rows = [{"question": _PROMPT, "choices": _CHOICES, "label": 0}]
    scored = _run("with_lm_eval", tunery, given | {"rows": rows, "tokenizer": str(_TOKENIZER)})
    assert scored["accuracy"] == 1
    client = tunery.client()
    expected = [_score(client, given["model"], choice) for choice in _CHOICES]
    assert scored["logprobs"] == [pytest.approx(expected, abs=1e-3)]


def _run(program: str, tunery: Tunery, given: dict[str, Any]) -> Any:
    done = subprocess.run(
        [CLIENTS / "bin" / "python", _PROGRAMS / f"{program}.py"],
        input=json.dumps(given),
        env={**os.environ, **_OFFLINE, "OPENAI_API_KEY": tunery.key},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, f"{program}: {done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def _score(client: OpenAI, model: str, continuation: str) -> float:
    """Its log-probability after the prompt."""
    answer = client.completions.create(
        model=model, prompt=_PROMPT + continuation, max_tokens=0, echo=True, logprobs=0
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs
    assert logprobs.token_logprobs
    assert logprobs.text_offset
    pairs = zip(logprobs.text_offset, logprobs.token_logprobs, strict=True)
    return sum(logprob for offset, logprob in pairs if offset >= len(_PROMPT))
