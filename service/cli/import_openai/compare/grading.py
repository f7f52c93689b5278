"""Grades an answer: whether it is identical to another text, and how similar a grader finds the two."""

from typing import Any

from cluster.grading.templates import MAX_TEXT
from service.cli.import_openai.source.client import Source

METRICS = ("fuzzy_match", "bleu", "gleu", "meteor", "cosine", "rouge_1", "rouge_2", "rouge_l")


def grade(source: Source, text: str, reference: str, metric: str) -> dict[str, float] | None:
    """Returns `exact`, 1 or 0, and `similarity` from 0 to 1, both ignoring the spaces around the texts. The
    similarity is that of their first MAX_TEXT characters, with question marks for lone surrogates. None if
    the server cannot grade the texts, for example because one is too long for the model of `cosine`. Raises
    what `Source` raises."""
    answer = source.post(
        "/fine_tuning/alpha/graders/run",
        {
            "grader": {
                "type": "text_similarity",
                "name": "similarity",
                "input": "{{sample.output_text}}",
                "reference": "{{item.reference}}",
                "evaluation_metric": metric,
            },
            "item": {"reference": _sendable(reference)},
            "model_sample": _sendable(text),
        },
    )
    if _has_errors(answer):
        return None
    return {
        "exact": float(text.strip() == reference.strip()),
        "similarity": float(answer.get("reward") or 0),
    }


def _sendable(text: str) -> str:
    # JSON can contain lone surrogates, for example in an answer that was cut off, and UTF-8 cannot.
    return text.strip()[:MAX_TEXT].encode("utf-8", "replace").decode()


def _has_errors(answer: dict[str, Any]) -> bool:
    """Whether grading had errors: the reward is then 0, whatever the texts are."""
    return any((answer.get("metadata") or {}).get("errors", {}).values())
