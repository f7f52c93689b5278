"""The general set, on which forgetting is measured."""

import json
import os
import subprocess
import sys

import pytest

from cluster.bases.general import GENERAL_SET
from cluster.bases.tiny.recipe.general import FAMILIES, N_ROWS, general_rows
from cluster.bases.tiny.recipe.heldout import RESERVED
from cluster.bases.tiny.recipe.tasks import pretraining_chats
from cluster.contracts.jsonl import check_jsonl

pytestmark = pytest.mark.slow


def test_the_file_is_what_the_function_makes() -> None:
    assert [json.loads(line) for line in GENERAL_SET.read_text("utf-8").splitlines()] == general_rows()
    assert len(general_rows()) == N_ROWS == 64


def test_the_set_does_not_depend_on_the_order_of_hashes() -> None:
    code = (
        "import json; from cluster.bases.tiny.recipe.general import general_rows; "
        "print(json.dumps(general_rows()))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert json.loads(made.stdout) == general_rows()


def test_the_set_is_a_training_file() -> None:
    with GENERAL_SET.open("rb") as stream:
        report = check_jsonl(stream)
    assert (report.format, report.n_examples, report.problems) == ("chat", 64, [])


def test_every_family_is_in_the_set() -> None:
    assert len(FAMILIES) * 3 <= N_ROWS
    rows = general_rows()
    assert any("tools" in row for row in rows)
    assert len({json.dumps(row) for row in rows}) > 60


def test_the_set_is_neither_pretraining_nor_the_held_out_tasks() -> None:
    """Greetings are few and the same everywhere. No other row occurs in pre-training."""
    pretrained = {json.dumps(chat.messages[-2:]) for chat in pretraining_chats(2000, 1)}
    shared = [row for row in general_rows() if json.dumps(row["messages"][-2:]) in pretrained]
    assert all(len(row["messages"][0]["content"]) < 40 for row in shared)
    assert len(shared) <= 6
    words = {word for row in general_rows() for m in row["messages"] for word in m["content"].split()}
    assert words.isdisjoint(value for value in RESERVED if value.isalpha() and value[0].isupper())


def test_the_built_in_model_can_do_it_before_it_is_tuned(tiny_losses: list[float]) -> None:
    assert sum(tiny_losses) / len(tiny_losses) < 1.0


@pytest.fixture(scope="module")
def tiny_losses() -> list[float]:
    """Returns the nats per learned token of every row, under the built-in model."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from cluster.bases.text.chat_template import chat_template
    from cluster.bases.tiny.recipe.export import WEIGHTS
    from cluster.contracts.jsonl import parse_row
    from cluster.training.data.template import render_row

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(WEIGHTS)
    model = AutoModelForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32)
    losses = []
    template = chat_template(tokenizer)
    for line in GENERAL_SET.read_bytes().splitlines():
        (sequence,) = render_row(template, parse_row(line))
        token_ids, mask = map(torch.tensor, sequence)
        with torch.no_grad():
            logprobs = model(token_ids[None]).logits[0, :-1].log_softmax(-1)
        chosen = logprobs.gather(-1, token_ids[1:, None])[:, 0]
        losses.append(-float(chosen[mask[1:]].mean()))
    return losses
