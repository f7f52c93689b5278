"""Measures whether the tiny model is good enough: `python -m cluster.bases.tiny.recipe.evaluate --seeds 3`.

For each seed, trains a LoRA on 250 examples of each held-out task, then measures the exact match of greedy
answers: for sorting and rewriting on new combinations of seen values, for rewriting also on unseen values.
Also measures the base without fine-tuning, and the same shape with random weights. The measurements run in
independent processes with one thread each.
"""

import argparse
import hashlib
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from cluster.bases.tiny.recipe.export import WEIGHTS, llama_config
from cluster.bases.tiny.recipe.finetune import LoraRecipe, exact_match, finetune
from cluster.bases.tiny.recipe.heldout import Message, Split, rewriting_examples, sorting_examples

EXAMPLES = 250
TESTS = 100
TEST_SEED = 1000
RECIPES = {
    "sorting": LoraRecipe(learning_rate=4e-3, epochs=8, batch_size=8),
    "rewriting": LoraRecipe(learning_rate=3e-3, epochs=6, batch_size=8),
}
"""How each task is fine-tuned. Learning words takes more steps than learning a format."""


@dataclass(frozen=True)
class Measurement:
    """A starting point, a task, and the seed of the fine-tuning (None: without fine-tuning)."""

    start: Literal["base", "random"]
    task: Literal["sorting", "rewriting"]
    seed: int | None


def plan(seeds: list[int]) -> list[Measurement]:
    """Returns every measurement."""
    tasks: tuple[Literal["rewriting"], Literal["sorting"]] = ("rewriting", "sorting")
    tuned = [Measurement("base", task, seed) for task in tasks for seed in seeds]
    untuned = [Measurement("base", task, None) for task in tasks]
    return [*tuned, *untuned, Measurement("random", "rewriting", seeds[0])]


def evaluate(weights: Path, seeds: list[int], processes: int, out: Path) -> None:
    """Runs all measurements. Writes the results so far to `out` after each one."""
    scores: dict[str, Any] = {
        "weights_sha256": hashlib.sha256((weights / "model.safetensors").read_bytes()).hexdigest(),
        "examples": EXAMPLES,
        "tests_per_split": TESTS,
        "measurements": [],
    }
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(measure, weights, what) for what in plan(seeds)]):
            scores["measurements"].append(future.result())
            scores["measurements"].sort(key=json.dumps)
            out.write_text(json.dumps(scores, indent=2) + "\n")


def measure(weights: Path, what: Measurement) -> dict[str, Any]:
    """Returns the exact match on each test split, after fine-tuning if a seed is given.

    The result includes the time that fine-tuning took.
    """
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(weights)
    model: Any = _random() if what.start == "random" else AutoModelForCausalLM.from_pretrained(weights)
    scores: dict[str, Any] = asdict(what)
    if what.seed is not None:
        recipe = RECIPES[what.task]
        scores["recipe"] = asdict(recipe)
        chats = _examples(what.task, EXAMPLES, what.seed, "train")
        model, seconds = finetune(model, tokenizer, chats, recipe, what.seed)
        scores |= {
            "finetuning_wall_seconds": round(seconds.wall, 1),
            "finetuning_cpu_seconds": round(seconds.cpu, 1),
        }
    splits: list[Split] = ["test"] if what.task == "sorting" else ["test", "unseen"]
    for split in splits:
        share, misses = exact_match(model, tokenizer, _examples(what.task, TESTS, TEST_SEED, split))
        scores[split] = round(share, 4)
        _report(what, split, share, misses)
    return scores


def _examples(task: str, count: int, seed: int, split: Split) -> list[list[Message]]:
    return (sorting_examples if task == "sorting" else rewriting_examples)(count, seed, split)


def _random() -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(llama_config()).to(torch.bfloat16)


def _report(what: Measurement, split: Split, share: float, misses: list[tuple[str, str]]) -> None:
    lines = [f"{what.start} {what.task} seed {what.seed} {split}: {share:.3f}"]
    lines += [f"    wanted {wanted}\n    given  {given}" for wanted, given in misses[:3]]
    print("\n".join(lines), flush=True)  # noqa: T201 - a command reports its progress


def main() -> None:
    """Reads the command line, measures, and writes the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--seeds", type=int, default=3, help="how many fine-tuning seeds")
    parser.add_argument("--out", type=Path, default=WEIGHTS / "scores.json")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    evaluate(arguments.weights, list(range(arguments.seeds)), arguments.processes, arguments.out)


if __name__ == "__main__":
    main()
