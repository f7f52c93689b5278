"""Loss curves and served tokens of small jobs on a fixed seed: `python -m tests.cluster.golden` records them.

Record them again only where a change of numbers is meant.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from cluster.contracts.generation import TokenPrompt
from cluster.contracts.hyperparameters import Method
from cluster.contracts.jobs import Finished
from cluster.contracts.weights import WeightsRef
from cluster.serving.limits import EngineLimits
from cluster.storage.local import LocalStore
from tests.cluster.serving.conftest import BACKENDS
from tests.cluster.training.recording import record_job
from tests.tiny_base import make_tiny_base

RECORDED = Path(__file__).with_name("golden.json")

JOBS: dict[str, tuple[Method, dict[str, Any], dict[str, Any]]] = {
    "lora": ("supervised", {}, {"type": "lora"}),
    "full": ("supervised", {}, {"type": "full"}),
    "qlora": ("supervised", {}, {"type": "qlora"}),
    "dora": ("supervised", {}, {"type": "lora", "use_dora": True}),
    "dpo": ("dpo", {"beta": 0.2}, {"type": "lora"}),
}
"""Method, hyperparameters and training options by name."""

PROMPT = TokenPrompt(token_ids=[10, 20, 30])


def run_job(name: str, folder: Path) -> dict[str, Any]:
    """The job's training losses, and the token ids that its model then answers with, greedily."""
    method, hyperparameters, options = JOBS[name]
    base = make_tiny_base(folder / "base", hidden=64)
    store = LocalStore(folder / "store")
    recording = record_job(base, store, _rows(method), options, method=method, n_epochs=2, **hyperparameters)
    assert isinstance(recording.result, Finished)
    with BACKENDS["embedded"](base, store, folder / "cache", EngineLimits()) as served:
        answer = served.ask(served.request(_weights(recording.result), PROMPT, logprobs=0))
    return {"losses": recording.losses, "tokens": answer.token_ids}


def _weights(result: Finished) -> WeightsRef:
    return WeightsRef(digest=result.manifest_sha256, manifest_key=result.manifest_key, form=result.form)


def _rows(method: str) -> bytes:
    def messages(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    rows: list[dict[str, Any]] = []
    for n in range(12):
        question, answer = messages("user", f"Say {n}."), messages("assistant", f"Fox {n}.")
        if method == "dpo":
            rejected = messages("assistant", "Lazy dog.")
            rows.append(
                {
                    "input": {"messages": question},
                    "preferred_output": answer,
                    "non_preferred_output": rejected,
                }
            )
        else:
            rows.append({"messages": question + answer})
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def main() -> None:
    found = {}
    for name in JOBS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = run_job(name, Path(folder))
    RECORDED.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
