"""Sends requests to one server, for the API and for the account that `import-openai` reads.

A server's responses are not trusted: the size of JSON is limited, redirects, which would carry the key
elsewhere, are refused, and a key that an error message repeats is removed."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from service.cli.failures import CommandFailed, Refused, Unavailable
from service.cli.http.connections import Connections
from service.cli.http.events import Event, read_events
from service.server_url import is_loopback

MAX_JSON_BYTES = 64 * 2**20
_MAX_ERROR_BYTES = 2**20
_SCOPE = ("openai-organization", "openai-project")
"""Headers that say where a key acts. They are no secrets."""
_MAX_MESSAGE_CHARACTERS = 2000


class HttpClient:
    """Safe to use from many threads. Paths are relative to `base_url`; options are httpx2's. Methods raise
    Refused if the server answers with an error. They raise Unavailable if it cannot be reached, breaks off
    its answer, or asks for a retry with `x-should-retry`; if that header is absent, also if `may_repeat`
    returns true for the request's method and the error's status and code."""

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        may_repeat: Callable[[str, int, str | None], bool],
        query: Mapping[str, str] = {},
        names_host: bool = False,
        is_patient: bool = False,
        timeout: httpx2.Timeout | float = httpx2.Timeout(60, connect=10),
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """`query` is added to every request. With `names_host`, messages name the server. A client with
        `is_patient` also retries requests that should not be retried, if the server says when: to SDKs, which
        do not wait for more than a minute, that does not count as a retry."""
        self.base_url = base_url
        self._may_repeat = may_repeat
        self._is_patient = is_patient
        self._secrets = [
            value.removeprefix("Bearer ") for name, value in headers.items() if name not in _SCOPE
        ]
        self._http = httpx2.Client(
            base_url=base_url,
            headers=dict(headers),
            params=dict(query),
            timeout=timeout,
            follow_redirects=False,
            # Proxies from the environment must not be used for this machine.
            trust_env=not is_loopback(base_url),
            transport=transport,
        )
        self._connections = Connections()
        self._prefix = f"{self._http.base_url.host}: " if names_host else ""

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Returns the response's JSON; None if the response is empty."""
        with self.open(method, path, **options) as response:
            content = _read(response, MAX_JSON_BYTES)
        try:
            return json.loads(content) if content else None
        except (ValueError, RecursionError) as error:
            raise CommandFailed(f"{self.base_url} gave no JSON answer for {path}: {error}") from error

    def events(self, method: str, path: str, **options: Any) -> Iterator[Event]:
        """Yields server-sent events as they come. Raises CommandFailed for an error among them."""
        with self.open(method, path, **options) as response:
            yield from read_events(response.iter_lines())

    @contextmanager
    def open(self, method: str, path: str, **options: Any) -> Iterator[httpx2.Response]:
        """A successful response, unread. A connection that breaks within the context raises Unavailable
        too."""
        request = self._request(method, path, options)
        try:
            response = self._http.send(request, stream=True)
        except httpx2.TransportError as error:
            raise Unavailable(f"Cannot reach {self.base_url}: {error}") from error
        try:
            if not response.is_success:
                raise self._failure(response)
            yield response
        except httpx2.TransportError as error:
            raise Unavailable(f"{self.base_url} broke off its answer: {error}") from error
        except httpx2.DecodingError as error:
            raise CommandFailed(f"{self.base_url} gave an answer that cannot be decoded.") from error
        finally:
            response.close()

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Returns the response, read, whatever its status."""
        try:
            return self._http.send(self._request(method, path, options))
        except httpx2.TransportError as error:
            raise Unavailable(f"Cannot reach {self.base_url}: {error}") from error

    def break_off(self) -> None:
        """Makes the current requests of other threads fail with Unavailable. Later requests are not
        affected."""
        self._connections.break_off()

    def close(self) -> None:
        self._http.close()

    def _request(self, method: str, path: str, options: dict[str, Any]) -> httpx2.Request:
        try:
            trace = {"trace": self._connections.note}
            return self._http.build_request(method, path, extensions=trace, **options)
        except ValueError as error:
            # Excludes lone surrogates and NaN, which Python's JSON allows.
            raise Refused(f"The request cannot be sent: {error}", status=400) from error

    def _failure(self, response: httpx2.Response) -> CommandFailed:
        status, host = response.status_code, self._http.base_url.host
        if response.is_redirect:
            path = response.url.path
            return Refused(
                f"{host} redirects {path}, which is not followed: the key is for {host}.", status=status
            )
        said, code = _error(response)
        message = self._prefix + self._without_secrets(said or f"HTTP {status} from {host}.")
        seconds, should_retry = _retry_after(response), _should_retry(response)
        if should_retry is None or (self._is_patient and not should_retry and seconds is not None):
            should_retry = self._may_repeat(response.request.method, status, code)
        if should_retry:
            return Unavailable(message, retry_after_seconds=seconds)
        return Refused(message, status=status, code=code)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            if secret:
                text = text.replace(secret, "[key]")
        return text[:_MAX_MESSAGE_CHARACTERS]


def _read(response: httpx2.Response, limit: int) -> bytes:
    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > limit:
            raise CommandFailed(f"{response.url.path} answers with more than {limit:,} bytes.")
    return bytes(content)


def _error(response: httpx2.Response) -> tuple[str | None, str | None]:
    """The message and the code of OpenAI's error object. (None, None) for other responses."""
    try:
        error = json.loads(_read(response, _MAX_ERROR_BYTES))["error"]
        message, code = error["message"], error.get("code")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, CommandFailed):
        return None, None
    return (f"{message} ({code})" if code else str(message)), (code if isinstance(code, str) else None)


def _retry_after(response: httpx2.Response) -> float | None:
    for header, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(response.headers[header]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None


def _should_retry(response: httpx2.Response) -> bool | None:
    """None if the server leaves the decision to its clients."""
    return {"true": True, "false": False}.get(response.headers.get("x-should-retry", "").lower())
