"""Queries an old model while it still answers, and keeps its answers for comparison with a replacement."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from service.cli.failures import CommandFailed, Refused
from service.cli.import_openai.archive.archive import is_id
from service.cli.import_openai.harvest.answers_file import AnswersFile, Row, Task
from service.cli.import_openai.harvest.asking import ask, digest_of, request_of
from service.cli.import_openai.harvest.prompts import Prompt, text_of
from service.cli.import_openai.source.client import Source

_STORED_OPTIONS = ("temperature", "top_p", "tools", "tool_choice", "response_format", "seed")


def harvest(
    source: Source,
    model: str,
    prompts: Iterable[Prompt],
    file: AnswersFile,
    *,
    max_tokens: int,
    max_requests: int | None,
    max_total_tokens: int | None,
    workers: int,
    advance: Callable[[], None],
) -> None:
    """Budgets apply to the whole file, including earlier runs. Up to `workers` answers more may arrive than
    the token budget allows, because the tokens of an answer are known only when it arrives. Raises
    CommandFailed if the model no longer answers."""
    begun = set(file.rows)

    def tasks() -> Iterable[Task]:
        for prompt in prompts:
            request = request_of(prompt, model, max_tokens)
            id = digest_of(model, request)
            if id not in begun:
                if max_requests is not None and len(begun) >= max_requests:
                    return
                begun.add(id)
            yield id, partial(_answered, source, model, request, prompt.reference)

    def may_ask() -> bool:
        return max_total_tokens is None or spent_tokens(file) < max_total_tokens

    file.fill(tasks(), workers=workers, may_ask=may_ask, advance=advance)


def keep_stored(source: Source, model: str, file: AnswersFile, *, workers: int) -> None:
    """Keeps the stored completions of a model, which does not cost tokens."""
    listed = source.list("/chat/completions", model=model, order="asc")
    tasks = ((item["id"], partial(_stored, source, model, item)) for item in listed if is_id(item.get("id")))
    file.fill(tasks, workers=workers)


def spent_tokens(file: AnswersFile) -> int:
    usages = (row.get("usage") for row in file.rows.values())
    counts = (usage.get("total_tokens") for usage in usages if isinstance(usage, dict))
    return sum(count for count in counts if isinstance(count, int))


def _answered(source: Source, model: str, request: Mapping[str, Any], reference: str | None) -> Row:
    row = {"model": model, "created_at": int(time.time()), "request": request, "reference": reference}
    try:
        return row | ask(source, model, request)
    except Refused as error:
        if error.status in (404, 410):
            raise CommandFailed(f"{model} stopped answering: {error}", error.exit_code) from error
        if not error.is_about_the_request:
            raise
        return row | {"error": {"status": error.status, "message": str(error)}}


def _stored(source: Source, model: str, item: Mapping[str, Any]) -> Row:
    asked = [_message(each) for each in source.list(f"/chat/completions/{item['id']}/messages")]
    options = {name: item[name] for name in _STORED_OPTIONS if item.get(name) is not None}
    choices = item.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    return {
        "model": model,
        "created_at": item.get("created"),
        "request": {"messages": asked, **options},
        "reference": None,
        "answer": text_of(first.get("message")),
        "message": first.get("message"),
        "finish_reason": first.get("finish_reason"),
        "answered_by": item.get("model"),
        "usage": item.get("usage"),
    }


def _message(stored: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in stored.items() if name != "id" and value is not None}
    parts = kept.pop("content_parts", None)
    return {**kept, "content": kept.get("content", parts)}
