"""What commands call the API with: which API, which key, and how a refusal ends the command.

A key goes only to the API that it is for. TUNERY_API_KEY goes to any base URL; OPENAI_API_KEY only to
OPENAI_BASE_URL, with which it is set; `admin.key` of the data folder only to this machine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

DEFAULT_BASE_URL = "http://127.0.0.1:8000/v1"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_PAGE = 100
"""Items in a request. Every list of the API allows as many."""

FAILED, USAGE, AUTH, NOT_FOUND = 1, 2, 3, 4
"""Exit codes of commands; 0 is success."""


class CommandFailed(Exception):
    """Ends a command with a message for its user on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Target:
    """An API and the key for it."""

    base_url: str
    """Ends in /v1 as a rule, without a slash at the end."""
    key: str

    @property
    def is_local(self) -> bool:
        return _is_local(self.base_url)


def find_target(base_url: str | None, data: Path, environment: Mapping[str, str]) -> Target:
    """`base_url` is what the command line says, if anything. Raises CommandFailed if there is no key for the
    API, or its URL is none."""
    openai_url = environment.get("OPENAI_BASE_URL")
    own_url = base_url or environment.get("TUNERY_BASE_URL")
    url = (own_url or openai_url or DEFAULT_BASE_URL).rstrip("/")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise CommandFailed(f"The base URL '{url}' must begin with http:// or https://.", USAGE)
    key = environment.get("TUNERY_API_KEY")
    if not key and not own_url and openai_url:
        key = environment.get("OPENAI_API_KEY")
    if not key and _is_local(url) and (file := data / "admin.key").is_file():
        key = file.read_text().strip()
    if not key:
        raise CommandFailed(
            f"No API key for {url}. Set TUNERY_API_KEY, or both OPENAI_BASE_URL and OPENAI_API_KEY"
            + (f"; there is no admin.key in {data} either." if _is_local(url) else "."),
            AUTH,
        )
    return Target(url, key)


class Api:
    """Calls to the API. Paths begin after /v1, with a slash. Raises CommandFailed if a call fails."""

    def __init__(self, target: Target, *, transport: httpx2.BaseTransport | None = None) -> None:
        self._target = target
        self._http = httpx2.Client(
            base_url=target.base_url,
            headers={"authorization": f"Bearer {target.key}"},
            timeout=httpx2.Timeout(60, connect=10),
            # Proxies of the environment are not for this machine.
            trust_env=not target.is_local,
            transport=transport,
        )

    def get(self, path: str, **query: object) -> Any:
        return self._call("GET", path, query=query)

    def post(self, path: str, body: object = None) -> Any:
        return self._call("POST", path, body=body)

    def delete(self, path: str) -> Any:
        return self._call("DELETE", path)

    def list(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """All items of a list, page after page."""
        after: dict[str, object] = {}
        while True:
            page = self.get(path, **query, limit=_PAGE, **after)
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            after = {"after": page["data"][-1]["id"]}

    def send(self, request: httpx2.Request) -> httpx2.Response:
        """Sends what `request` has built, and returns its answer unread, to be streamed and closed."""
        return self._sent(request)

    def request(self, method: str, path: str, **options: Any) -> httpx2.Request:
        """A request with this API's address and key, for `send`. Takes httpx2's options."""
        return self._http.build_request(method, path, **options)

    def close(self) -> None:
        self._http.close()

    def _call(self, method: str, path: str, *, query: Mapping[str, object] = {}, body: object = None) -> Any:
        given: Any = {name: value for name, value in query.items() if value is not None}
        response = self._sent(self.request(method, path, params=given, json=body))
        try:
            response.read()
            return response.json() if response.content else None
        except (httpx2.TransportError, ValueError) as error:
            raise CommandFailed(f"{self._target.base_url} gave no JSON answer: {error}") from error
        finally:
            response.close()

    def _sent(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = self._http.send(request, stream=True)
            if not response.is_success:
                response.read()
        except httpx2.TransportError as error:
            raise CommandFailed(f"Cannot reach {self._target.base_url}: {error}") from error
        if not response.is_success:
            raise _refusal(response)
        return response


def _refusal(response: httpx2.Response) -> CommandFailed:
    exit_code = {401: AUTH, 403: AUTH, 404: NOT_FOUND}.get(response.status_code, FAILED)
    try:
        error = response.json()["error"]
        message, code = error["message"], error.get("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        return CommandFailed(f"HTTP {response.status_code} from {response.url.host}.", exit_code)
    return CommandFailed(f"{message} ({code})" if code else str(message), exit_code)


def _is_local(url: str) -> bool:
    return urlsplit(url).hostname in _LOOPBACK
