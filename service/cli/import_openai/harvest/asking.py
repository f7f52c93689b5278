"""Sends one prompt to a model, at the old account or at Tunery."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from service.cli.failures import CommandFailed, Refused
from service.cli.import_openai.harvest.prompts import Prompt, has_chat, text_of
from service.cli.import_openai.plan.proposing import original_base
from service.cli.import_openai.source.account import Account
from service.cli.import_openai.source.client import Source
from service.cli.remote import Target

DEFAULT_MAX_TOKENS = 1024
"""Maximum tokens of a harvested answer."""
_LIMITS = ("max_tokens", "max_completion_tokens")
_REASONING = re.compile(r"o\d")


def request_of(prompt: Prompt, model: str, max_tokens: int) -> dict[str, Any]:
    """A request without the model's name: whether it has `messages` or a `prompt` depends on the old model.
    The temperature is 0, if the model has one, so that answers can be compared."""
    if not has_chat(model) and prompt.text is not None:
        return {"prompt": prompt.text, "temperature": 0, "max_tokens": max_tokens}
    if _REASONING.match(original_base(model)):
        limits = {"max_completion_tokens": max_tokens}
    else:
        limits = {"temperature": 0, "max_tokens": max_tokens}
    return {"messages": list(prompt.messages), **limits, **prompt.options}


def digest_of(model: str, request: Mapping[str, Any]) -> str:
    """Identifies an answer: the same for the same model and request."""
    content = json.dumps([model, request], sort_keys=True)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def ask(source: Source, model: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `answer`, a text, and `message`, `finish_reason`, `answered_by` and `usage` as the API gave
    them. Raises what `Source` raises."""
    path = "/chat/completions" if "messages" in request else "/completions"
    if source.account.has_deployments:
        path = f"/deployments/{quote(model, safe='')}{path}"
    answer = source.post(path, {"model": model, **request})
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise CommandFailed(f"{model} gave an answer without a choice.")
    choice = choices[0]
    text = choice.get("text")
    return {
        "answer": text if isinstance(text, str) else text_of(choice.get("message")),
        "message": choice.get("message"),
        "finish_reason": choice.get("finish_reason"),
        "answered_by": answer.get("model"),
        "usage": answer.get("usage"),
    }


def ask_fitting(source: Source, model: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Like `ask`. If prompt and answer together would not fit into the model's context, limits the answer to
    the remaining length."""
    while True:
        try:
            return ask(source, model, request)
        except Refused as error:
            smaller = _smaller(request)
            if error.code != "context_length_exceeded" or smaller is None:
                raise
            request = smaller


def limited(request: Mapping[str, Any], max_tokens: int | None) -> dict[str, Any]:
    """The request with another limit for its answer; None keeps the request's own limit."""
    if max_tokens is None:
        return dict(request)
    unlimited = {name: value for name, value in request.items() if name not in _LIMITS}
    return unlimited | {"max_completion_tokens" if "messages" in request else "max_tokens": max_tokens}


def limit_of(request: Mapping[str, Any]) -> int | None:
    """The maximum length of the answer; None if the request does not say."""
    given = next((request[name] for name in _LIMITS if request.get(name)), None)
    return given if isinstance(given, int) else None


def _smaller(request: Mapping[str, Any]) -> dict[str, Any] | None:
    given = limit_of(request)
    if given is None or given == 1:
        return None
    if "messages" in request:
        # A chat without a limit may fill the context, which may leave less than the requested limit.
        return {name: value for name, value in request.items() if name not in _LIMITS}
    # Without a limit, a completion has 16 tokens.
    return limited(request, given // 2)


def tunery_source(target: Target) -> Source:
    """Tunery itself, used like the old account: many requests at a time, which are retried."""
    return Source(Account(target.base_url, {"authorization": f"Bearer {target.key}"}, {}))
