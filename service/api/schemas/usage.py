"""`GET /v1/usage`: the answer."""

from typing import Literal

from service.api.schemas.base import Answer


class KeyUsage(Answer):
    """What one key used of one model on one day."""

    object: Literal["usage"] = "usage"
    date: str
    """YYYY-MM-DD, in UTC."""
    api_key_id: str
    """The public part of the key."""
    model: str
    """The name that was asked for."""
    requests: int
    """That the model server accepted; those that broke off too."""
    prompt_tokens: int
    completion_tokens: int
    """Of a request that broke off, about what was generated until then."""


class UsageList(Answer):
    object: Literal["list"] = "list"
    data: list[KeyUsage]
