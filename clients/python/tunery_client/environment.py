"""Reads from environment variables which server a client talks to, and with which key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from tunery_client.errors import MissingApiKey

DEFAULT_BASE_URL = "http://127.0.0.1:8000"


def is_local(url: str) -> bool:
    """Whether the URL is of this machine, to which no proxy leads."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def find_target(
    base_url: str | None, api_key: str | None, environment: Mapping[str, str] = os.environ
) -> tuple[str, str]:
    """The server's root URL, without `/v1`, and the key.

    `base_url` falls back on TUNERY_BASE_URL, on OPENAI_BASE_URL, and on this machine's port 8000. `api_key`
    falls back on TUNERY_API_KEY, and on OPENAI_API_KEY if the URL is OPENAI_BASE_URL's: a key for OpenAI is
    sent nowhere else. Raises MissingApiKey if there is none."""
    openai_url = environment.get("OPENAI_BASE_URL")
    url = base_url or environment.get("TUNERY_BASE_URL") or openai_url or DEFAULT_BASE_URL
    key = api_key or environment.get("TUNERY_API_KEY")
    if not key and openai_url and url == openai_url:
        key = environment.get("OPENAI_API_KEY")
    if not key:
        raise MissingApiKey(
            f"There is no API key for {url}. Pass api_key, or set TUNERY_API_KEY, or both OPENAI_BASE_URL "
            "and OPENAI_API_KEY."
        )
    return url.rstrip("/").removesuffix("/v1"), key
