"""Measure the tiny model's scores: `python -m tests.benchmarks.tiny_model --seeds 3 --out scores.json`."""

from cluster.bases.tiny.recipe.evaluate import main

if __name__ == "__main__":
    main()
