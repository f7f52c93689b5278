"""`GET /v1/usage`: the response."""

from typing import Literal

from service.api.schemas.base import Answer


class KeyUsage(Answer):
    """Usage of one model by one API key on one day."""

    object: Literal["usage"] = "usage"
    date: str
    """YYYY-MM-DD, in UTC."""
    api_key_id: str
    """The public part of the key."""
    model: str
    """The model name in the requests."""
    requests: int
    """Requests that the model server accepted, including interrupted ones."""
    prompt_tokens: int
    completion_tokens: int
    """Completion tokens. For an interrupted request, they are approximately the tokens generated until
    then."""


class UsageList(Answer):
    object: Literal["list"] = "list"
    data: list[KeyUsage]
