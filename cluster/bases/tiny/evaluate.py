"""Measure the tiny model's bar: `python -m cluster.bases.tiny.evaluate --seeds 3`.

For each seed, LoRA on 250 examples of each held-out task, then exact match of greedy answers: sorting and
rewriting on new combinations of seen values, rewriting on values never seen; also the base itself, and the
same shape at random.
"""

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from cluster.bases.tiny.export import WEIGHTS, llama_config
from cluster.bases.tiny.finetune import LoraRecipe, exact_match, finetune
from cluster.bases.tiny.heldout import Split, rewriting_examples, sorting_examples

EXAMPLES = 250
TESTS = 200
TEST_SEED = 1000


def evaluate(
    weights: Path, seeds: list[int], recipe: LoraRecipe, shows_misses: bool = False
) -> dict[str, Any]:
    """All scores of the model in `weights`, every seed's and the two comparisons'."""
    tokenizer = AutoTokenizer.from_pretrained(weights)
    runs = []
    for seed in seeds:
        scores: dict[str, float] = {"seed": seed}
        scores |= _one_task("sorting", _load(weights), tokenizer, recipe, seed, shows_misses)
        scores |= _one_task("rewriting", _load(weights), tokenizer, recipe, seed, shows_misses)
        print(json.dumps(scores), flush=True)  # noqa: T201 - a command reports as it goes
        runs.append(scores)
    return {
        "weights_sha256": hashlib.sha256((weights / "model.safetensors").read_bytes()).hexdigest(),
        "recipe": asdict(recipe),
        "examples": EXAMPLES,
        "tests_per_split": TESTS,
        "threads": torch.get_num_threads(),
        "base": _base_scores(weights, tokenizer),
        "random": _one_task("rewriting", _random(), tokenizer, recipe, seeds[0], shows_misses=False),
        "runs": runs,
    }


def _one_task(
    task: str, base: Any, tokenizer: Any, recipe: LoraRecipe, seed: int, shows_misses: bool
) -> dict[str, float]:
    """Fine-tune on one task and test it."""
    examples = sorting_examples if task == "sorting" else rewriting_examples
    model, seconds = finetune(base, tokenizer, examples(EXAMPLES, seed, "train"), recipe, seed)
    scores = {f"{task}_seconds": round(seconds, 1)}
    splits: list[Split] = ["test"] if task == "sorting" else ["test", "unseen"]
    for split in splits:
        share, misses = exact_match(model, tokenizer, examples(TESTS, TEST_SEED, split))
        scores[f"{task}_{split}"] = round(share, 4)
        for wanted, given in misses[:12] if shows_misses else []:
            print(f"  {split}: wanted {wanted!r}\n  {' ' * len(split)}   given {given!r}")  # noqa: T201
    return scores


def _base_scores(weights: Path, tokenizer: Any) -> dict[str, float]:
    """The base without fine-tuning."""
    base = _load(weights)
    return {
        "sorting_test": exact_match(base, tokenizer, sorting_examples(TESTS, TEST_SEED, "test"))[0],
        "rewriting_test": exact_match(base, tokenizer, rewriting_examples(TESTS, TEST_SEED, "test"))[0],
        "rewriting_unseen": exact_match(base, tokenizer, rewriting_examples(TESTS, TEST_SEED, "unseen"))[0],
    }


def _load(weights: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32)


def _random() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(llama_config()).float()


def main() -> None:
    """Read the command line, measure, write scores.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--seeds", type=int, default=3, help="how many fine-tuning seeds")
    parser.add_argument("--out", type=Path, default=WEIGHTS / "scores.json")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--learning-rate", type=float, default=LoraRecipe.learning_rate)
    parser.add_argument("--epochs", type=int, default=LoraRecipe.epochs)
    parser.add_argument("--batch-size", type=int, default=LoraRecipe.batch_size)
    parser.add_argument("--show-misses", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe = LoraRecipe(arguments.learning_rate, arguments.epochs, arguments.batch_size)
    scores = evaluate(arguments.weights, list(range(arguments.seeds)), recipe, arguments.show_misses)
    arguments.out.write_text(json.dumps(scores, indent=2) + "\n")


if __name__ == "__main__":
    main()
