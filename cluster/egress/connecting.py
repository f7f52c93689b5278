"""Requests to users' URLs: one connection each, to an address that was checked."""

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpcore2

from cluster.contracts.errors import InvalidRequest
from cluster.egress.destinations import EgressPolicy

Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host, for a port."""
_MAX_ADDRESSES = 3
"""Number of a host's addresses that are tried."""


class Unreachable(InvalidRequest):
    """No answer came. The message says why, to whoever supplied the URL."""

    default_code = "url_unreachable"


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    """Body of the answer, up to the requested size."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Resolves a host through the operating system. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True)
class Network:
    """How connections are made."""

    resolve: Resolve = resolve
    sockets: httpcore2.NetworkBackend = field(default_factory=httpcore2.SyncBackend)
    tls: ssl.SSLContext | None = None
    """None trusts the system's certificates."""


def post(
    url: str,
    *,
    policy: EgressPolicy,
    content: bytes,
    headers: Mapping[str, str],
    timeout_seconds: float,
    max_body_bytes: int = 4096,
    network: Network | None = None,
) -> Response:
    """Posts `content` and reads the start of the answer. Follows no redirect and uses no proxy. Every address
    of the host is checked, and the connection goes to a checked one, so that a second look-up cannot lead
    elsewhere; certificate and Host are those of the name.

    Takes at most `timeout_seconds` in total, however slowly the answer arrives, except for the system's own
    time-out of a look-up. Raises UrlNotAllowed and Unreachable."""
    headers = {**headers, "Content-Length": str(len(content))}
    return _request("POST", url, policy, content, headers, timeout_seconds, max_body_bytes, network)


def get(
    url: str,
    *,
    policy: EgressPolicy,
    headers: Mapping[str, str],
    timeout_seconds: float,
    max_body_bytes: int,
    network: Network | None = None,
) -> Response:
    """Gets the start of what is at `url`, with the guarantees of `post`."""
    return _request("GET", url, policy, None, headers, timeout_seconds, max_body_bytes, network)


def _request(
    method: str,
    url: str,
    policy: EgressPolicy,
    content: bytes | None,
    headers: Mapping[str, str],
    timeout_seconds: float,
    max_body_bytes: int,
    network: Network | None,
) -> Response:
    destination = policy.check_url(url)
    deadline = time.monotonic() + timeout_seconds
    network = network or Network()
    backend = _CheckedBackend(policy, network, deadline)
    with httpcore2.ConnectionPool(network.tls or _tls(), network_backend=backend, max_connections=1) as pool:
        target = httpcore2.URL(
            scheme=destination.scheme.encode(),
            host=destination.host.encode(),
            port=destination.port,
            target=destination.target.encode(),
        )
        sent = {"Host": destination.host_header, **headers}
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_seconds)
        try:
            with pool.stream(
                method, target, headers=list(sent.items()), content=content, extensions={"timeout": timeouts}
            ) as response:
                return Response(response.status, _start(response, max_body_bytes))
        except httpcore2.TimeoutException as error:
            raise Unreachable(f"No answer within {timeout_seconds:g} seconds.") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError, ValueError) as error:
            raise Unreachable(_reason(error)) from error


def _start(response: httpcore2.Response, max_bytes: int) -> bytes:
    body = b""
    for chunk in response.iter_stream():
        body += chunk
        if len(body) >= max_bytes:
            break
    return body[:max_bytes]


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error.__context__ or error
    if isinstance(cause, ssl.SSLError):
        return f"The TLS handshake failed: {getattr(cause, 'verify_message', '') or cause.reason}."
    if isinstance(cause, socket.gaierror):
        return "The host name has no address."
    if isinstance(error, httpcore2.ConnectError):
        return f"No connection: {getattr(cause, 'strerror', None) or cause}."
    if isinstance(error, httpcore2.ProtocolError):
        return "The answer is not valid HTTP."
    return "The connection broke off."


@cache
def _tls() -> ssl.SSLContext:
    return httpcore2.default_ssl_context()


class _CheckedBackend(httpcore2.NetworkBackend):
    """Connects to checked addresses only, until `deadline` on the monotonic clock."""

    def __init__(self, policy: EgressPolicy, network: Network, deadline: float) -> None:
        self._policy = policy
        self._network = network
        self._deadline = deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            addresses = self._network.resolve(host, port)
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        for address in addresses:
            self._policy.check_address(host, address)
        failure: Exception = httpcore2.ConnectError("no address")
        for address in addresses[:_MAX_ADDRESSES]:
            try:
                stream = self._network.sockets.connect_tcp(
                    address, port, _remaining(self._deadline), socket_options=socket_options or []
                )
                return _TimedStream(stream, self._deadline)
            except httpcore2.ConnectError as error:
                failure = error
        raise failure


class _TimedStream(httpcore2.NetworkStream):
    """A stream with a single deadline for all its time-outs."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _remaining(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _remaining(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _remaining(self._deadline))
        return _TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore2.ReadTimeout("too late")
    return left
