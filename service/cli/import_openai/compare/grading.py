"""Grades answers with the graders of the server: the same text, and how alike two texts are."""

from collections.abc import Mapping
from typing import Any

from service.cli.import_openai.source.client import Source

METRICS = ("fuzzy_match", "bleu", "gleu", "meteor", "cosine", "rouge_1", "rouge_2", "rouge_l")
_LONGEST = 100_000
"""Characters that the server grades."""


def grade(source: Source, text: str, reference: str, metric: str) -> dict[str, float]:
    """`exact`, 1 or 0, and `similarity` from 0 to 1. Texts are graded up to a limit, and with question marks
    for halves of characters. Raises what `Source` raises."""
    wanted, model_sample = _sendable(reference), _sendable(text)
    answer = source.post(
        "/fine_tuning/alpha/graders/run",
        {"grader": _grader(metric), "item": {"reference": wanted}, "model_sample": model_sample},
    )
    scores: Mapping[str, Any] = answer.get("sub_rewards") or {}
    return {name: float(scores.get(name) or 0) for name in ("exact", "similarity")}


def _sendable(text: str) -> str:
    # JSON can have halves of characters, as in an answer that was cut off, and UTF-8 cannot.
    return text[:_LONGEST].encode("utf-8", "replace").decode().strip()


def _grader(metric: str) -> dict[str, Any]:
    texts = {"input": "{{sample.output_text}}", "reference": "{{item.reference}}"}
    return {
        "type": "multi",
        "name": "replacement",
        "graders": {
            "exact": {"type": "string_check", "name": "exact", "operation": "eq", **texts},
            "similarity": {
                "type": "text_similarity",
                "name": "similarity",
                "evaluation_metric": metric,
                **texts,
            },
        },
        "calculate_output": "similarity",
    }
