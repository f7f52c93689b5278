"""The gateway's client for the serving engines: HTTP to Ray Serve, one JSON event per line."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

import aiohttp

from cluster.contracts import errors
from cluster.contracts.bases import BasesAnswer, BaseSpec, BasesRequest
from cluster.contracts.classification import ClassificationAnswer, ClassificationRequest
from cluster.contracts.data_report import DataReport, DataReportRequest
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.generation import (
    LOAD_TIMEOUT_HEADER,
    MODEL_HEADER,
    PROJECT_HEADER,
    REPLICA_HEADER,
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
)
from cluster.contracts.previews import Preview, PreviewRequest
from cluster.tracing import traceparent
from cluster.wire.codec import Answer, decode_answer, decode_event, decode_refusal

DATASET_SECONDS = 20.0
"""How long a request waits for the cluster to read a file."""
_DATASET_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=DATASET_SECONDS + 10.0)
_REPORT_SECONDS = 2.0
"""How long a request waits for a data report, so that reports of small files arrive at once."""
_HEALTH_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=5.0)


class Generator(Protocol):
    """Generates text."""

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        """Yields the request's events, in the order that the contract defines. Closing the generator cancels
        the request.

        Raises the TuneryError with which the engine refused the request, or Unavailable if it does not answer
        or breaks off."""
        ...


class Engine(Generator, Protocol):
    """What the gateway needs from the serving side."""

    async def classify(self, request: ClassificationRequest) -> ClassificationAnswer:
        """Raises what `generate` raises."""
        ...

    async def embed(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        """Raises what `generate` raises."""
        ...

    async def check_health(self) -> None:
        """Raises Unavailable unless the engine answers."""
        ...

    async def bases(self, bases: list[BaseSpec]) -> BasesAnswer:
        """Returns what the cluster knows about these bases. Raises Unavailable if it does not answer."""
        ...

    async def check_dataset(self, request: DatasetCheckRequest, *, project_id: str) -> DatasetCheck:
        """Raises the error of the check, Overloaded if too much is being read for the project, and
        Unavailable if it takes longer than DATASET_SECONDS, or if the cluster does not answer. The check then
        continues, and the same request later finds its result."""
        ...

    async def preview_dataset(self, request: PreviewRequest, *, project_id: str) -> Preview:
        """Raises what `check_dataset` raises."""
        ...

    async def data_report(self, request: DataReportRequest, *, project_id: str) -> DataReport:
        """Waits only for reports that are ready or small. Raises what `check_dataset` raises; Unavailable has
        the code `dataset_not_ready` while the report is being made."""
        ...

    async def close(self) -> None: ...


class ServeEngine:
    """The engine application behind Ray Serve's proxy at `url`.

    If the application has a single replica that has announced its own address, requests go there directly.
    Must be created in the event loop that uses it."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        load_seconds: float = 300.0,
        begin_seconds: float = 600.0,
        idle_seconds: float = 600.0,
    ) -> None:
        """`load_seconds`: how long a request waits for its model to load, enforced by the replica.
        `begin_seconds`: how long it waits for its first event, whatever causes the delay. `idle_seconds`: the
        longest silence before the engine counts as gone."""
        self._url = url.rstrip("/")
        self._load_seconds = load_seconds
        self._begin_seconds = begin_seconds
        # Serve may have to choose a replica and start it. A listening replica accepts at once, or is gone.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=idle_seconds)
        self._replica_timeout = aiohttp.ClientTimeout(total=None, connect=1.0, sock_read=idle_seconds)
        self._replica: str | None = None
        """The replica's own address."""
        self._lost: set[str] = set()
        """Addresses that could not be reached. A new replica has a new port."""
        self._http = aiohttp.ClientSession(
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=self._timeout,
            # One connection per stream. The engine limits how many run at once.
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        finished = 0
        async with self._open("/engine/generate", request) as response:
            async for line in _lines(response):
                event = decode_event(line)
                finished += isinstance(event, FinishEvent)
                yield event
        if finished < request.sampling.n:
            raise errors.Unavailable("The model server broke off its answer.")

    async def classify(self, request: ClassificationRequest) -> ClassificationAnswer:
        return await self._once("/engine/classify", request, ClassificationAnswer)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        return await self._once("/engine/embed", request, EmbeddingAnswer)

    async def check_health(self) -> None:
        with _transport_is_unavailable():
            # Does not check the engines themselves: they may be scaled to zero, and a check would wake them
            # up.
            async with self._http.get(f"{self._url}/datasets/ready", timeout=_HEALTH_TIMEOUT) as response:
                if response.status != 200:
                    raise await _refusal(response)

    async def bases(self, bases: list[BaseSpec]) -> BasesAnswer:
        content = BasesRequest(bases=bases).model_dump_json().encode()
        with _transport_is_unavailable():
            response = await self._post(
                f"{self._url}/datasets/bases", content, {"content-type": "application/json"}, _HEALTH_TIMEOUT
            )
            async with response:
                if response.status != 200:
                    raise await _refusal(response)
                return decode_answer(BasesAnswer, await response.read())

    async def check_dataset(self, request: DatasetCheckRequest, *, project_id: str) -> DatasetCheck:
        return await self._read_dataset("estimate", request, DatasetCheck, project_id=project_id)

    async def preview_dataset(self, request: PreviewRequest, *, project_id: str) -> Preview:
        return await self._read_dataset("preview", request, Preview, project_id=project_id)

    async def data_report(self, request: DataReportRequest, *, project_id: str) -> DataReport:
        return await self._read_dataset(
            "report", request, DataReport, project_id=project_id, seconds=_REPORT_SECONDS
        )

    async def close(self) -> None:
        await self._http.close()

    async def _read_dataset(
        self,
        action: str,
        request: DatasetCheckRequest | PreviewRequest | DataReportRequest,
        kind: type[Answer],
        *,
        project_id: str = "",
        seconds: float = DATASET_SECONDS,
    ) -> Answer:
        headers = {
            "content-type": "application/json",
            LOAD_TIMEOUT_HEADER: str(seconds),
            PROJECT_HEADER: project_id,
        }
        content = request.model_dump_json().encode()
        with _transport_is_unavailable():
            response = await self._post(f"{self._url}/datasets/{action}", content, headers, _DATASET_TIMEOUT)
            async with response:
                if response.status != 200:
                    raise await _refusal(response)
                return decode_answer(kind, await response.read())

    async def _once(
        self, path: str, request: ClassificationRequest | EmbeddingRequest, kind: type[Answer]
    ) -> Answer:
        async with self._open(path, request) as response:
            return decode_answer(kind, await response.read())

    @asynccontextmanager
    async def _open(
        self, path: str, request: GenerationRequest | ClassificationRequest | EmbeddingRequest
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yields the response once it has begun. Leaving the block early closes the connection. Raises the
        engine's error if the response is one."""
        content = request.model_dump_json().encode()
        headers = self._headers(request.model)
        with _transport_is_unavailable():
            async with self._beginning():
                response = await self._sent(path, content, headers)
            async with response:
                if response.status != 200:
                    raise await _refusal(response)
                yield response

    async def _sent(self, path: str, content: bytes, headers: dict[str, str]) -> aiohttp.ClientResponse:
        if (replica := self._replica) is not None:
            try:
                return await self._post(replica + path, content, headers, self._replica_timeout)
            except aiohttp.SocketTimeoutError:
                raise
            except (aiohttp.ClientConnectionError, aiohttp.ClientResponseError):
                # The replica is gone or shutting down. No part of a response has arrived, so Serve can choose
                # another.
                self._lost.add(replica)
                self._replica = None
        response = await self._post(self._url + path, content, headers, self._timeout)
        replica = response.headers.get(REPLICA_HEADER)
        self._replica = None if replica in self._lost else replica
        return response

    async def _post(
        self, url: str, content: bytes, headers: dict[str, str], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        parent = traceparent()
        traced = headers if parent is None else {**headers, "traceparent": parent}
        return await self._http.post(
            url, data=content, headers=traced, timeout=timeout, allow_redirects=False
        )

    def _headers(self, model: ModelRef) -> dict[str, str]:
        return {
            "content-type": "application/json",
            MODEL_HEADER: model.name,
            LOAD_TIMEOUT_HEADER: str(self._load_seconds),
        }

    @asynccontextmanager
    async def _beginning(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._begin_seconds):
                yield
        except TimeoutError as error:
            raise errors.Unavailable(
                f"The model server has not started on the request within {self._begin_seconds:g} s: it is "
                "starting a replica, or is busy. Try again later.",
                retry_after_seconds=30.0,
                code="model_not_ready",
            ) from error


@contextmanager
def _transport_is_unavailable() -> Iterator[None]:
    """Turns every transport error into Unavailable."""
    try:
        yield
    except aiohttp.ClientError as error:
        raise errors.Unavailable("The model server does not answer.", retry_after_seconds=2.0) from error


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """Yields lines of any length as they arrive."""
    parts: list[bytes] = []
    """Pieces of the unfinished line. They are joined once, because a line may have megabytes."""
    async for chunk in response.content.iter_any():
        first, *others = chunk.split(b"\n")
        parts.append(first)
        for other in others:
            if line := b"".join(parts):
                yield line
            parts = [other]
    if line := b"".join(parts):
        yield line


async def _refusal(response: aiohttp.ClientResponse) -> errors.TuneryError:
    return decode_refusal(response.status, response.headers.get("retry-after"), await response.read())
