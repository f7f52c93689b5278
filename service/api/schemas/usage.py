"""`GET /v1/usage`: the response."""

from typing import Literal

from service.api.schemas.base import Answer


class KeyUsage(Answer):
    """What one API key used of one model on one day."""

    object: Literal["usage"] = "usage"
    date: str
    """YYYY-MM-DD, in UTC."""
    api_key_id: str
    """The public part of the key."""
    model: str
    """The model name in the requests."""
    requests: int
    """Requests that the model server accepted, including those that broke off."""
    prompt_tokens: int
    completion_tokens: int
    """Completion tokens. A request that broke off counts approximately what was generated until then."""


class UsageList(Answer):
    object: Literal["list"] = "list"
    data: list[KeyUsage]
