"""The demo's files match the generator of the built-in model."""

import json
from importlib import resources

import pytest

from cluster.bases.tiny.recipe.heldout import rewriting_examples

Messages = list[dict[str, str]]


def demo_rows(name: str) -> list[Messages]:
    """The expected content of `service/cli/data/orders.<name>.jsonl`. Run as a program, this file writes
    both."""
    if name == "train":
        return rewriting_examples(250, 1, "train")
    return rewriting_examples(20, 1, "unseen") + rewriting_examples(20, 1, "test")


@pytest.mark.parametrize("name", ["train", "heldout"])
def test_shipped_files_match_the_generator(name: str) -> None:
    shipped = (resources.files("service.cli") / "data" / f"orders.{name}.jsonl").read_text().splitlines()
    assert [json.loads(line)["messages"] for line in shipped] == demo_rows(name)


def test_no_demo_question_is_in_the_training_file() -> None:
    trained = {row[0]["content"] for row in demo_rows("train")}
    assert trained.isdisjoint(row[0]["content"] for row in demo_rows("heldout"))


if __name__ == "__main__":
    for name in ("train", "heldout"):
        with open(f"service/cli/data/orders.{name}.jsonl", "w") as file:  # noqa: PTH123
            file.writelines(json.dumps({"messages": row}) + "\n" for row in demo_rows(name))
