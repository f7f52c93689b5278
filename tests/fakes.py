"""Fakes of interfaces, shared by all tests."""

import asyncio
import base64
import math
import struct
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from cluster.contracts.bases import BasesAnswer, BaseSpec
from cluster.contracts.classification import (
    ClassificationAnswer,
    ClassificationRequest,
    ClassificationResult,
    WordsInput,
)
from cluster.contracts.data_report import DataReport, DataReportRequest
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.devices import ClaimAnswer, TrainingClaim
from cluster.contracts.embedding import EmbeddingAnswer, EmbeddingRequest
from cluster.contracts.errors import ContextLengthExceeded, TuneryError, Unavailable
from cluster.contracts.exports import ExportAnswer, ExportProgress, ExportRequest
from cluster.contracts.generation import (
    FinishEvent,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    PromptEvent,
    ReasoningEvent,
    TextEvent,
    TextPrompt,
    TokenLogprob,
    TokenPrompt,
    ToolCallEvent,
)
from cluster.contracts.hyperparameters import TrainingOptions
from cluster.contracts.imports import ImportedAdapter, ImportRequest
from cluster.contracts.manifest import ProbeScores
from cluster.contracts.previews import Preview, PreviewRequest, PreviewRow, PreviewSequence, PreviewToken
from cluster.contracts.weights import WeightsRef
from cluster.storage.keys import import_manifest_key
from service.db.database import Database
from service.scheduling.interfaces import RayStatus


def token(text: str, logprob: float | None = -0.5, *, top: int = 0) -> TokenLogprob:
    others = [
        TokenLogprob(token=f"<{rank}>", bytes=[60, 48 + rank, 62], token_id=rank, logprob=-1.0 - rank)
        for rank in range(top)
    ]
    return TokenLogprob(
        token=text, bytes=list(text.encode()), token_id=len(text), logprob=logprob, top=others
    )


CHECK = DatasetCheck(n_examples=12, n_tokens=120, n_supervised_tokens=60, longest=10)
PREVIEW = Preview(
    format="chat",
    max_length=512,
    rows=[
        PreviewRow(
            line=1,
            outcome="whole",
            problem=None,
            full_length=2,
            truncated_at=None,
            sequences=[
                PreviewSequence(
                    role="example",
                    tokens=[
                        PreviewToken(id=7, token="bytes:\\xc3", bytes=[0xC3], learned=False),
                        PreviewToken(id=8, token="a", bytes=[97], learned=True),
                    ],
                )
            ],
        )
    ],
    has_more=False,
)


@dataclass
class FakeEngine:
    """An Engine that answers every choice with `pieces`, one token each."""

    pieces: list[str] = field(default_factory=lambda: ["Hel", "lo", " wörld"])
    reasoning: str = ""
    """Precedes the pieces, as part of the first token."""
    calls: list[tuple[str, list[str]]] = field(default_factory=list)
    """Calls after the pieces: a name and pieces of arguments, one token each. Only made if the request has
    tools."""
    refusal: TuneryError | None = None
    """Raised instead of the first event."""
    room: int | None = None
    """The number of tokens that the context leaves for an answer; None for as many as are requested."""
    fault: Exception | None = None
    """Raised instead of the last piece."""
    reason: FinishReason = "stop"
    """The finish reason of a choice without calls."""
    stalls: bool = False
    """Whether the engine hangs after the last piece, or while reading a file, so that only cancelling the
    request ends it."""
    has_stalled: threading.Event = field(default_factory=threading.Event)
    """Set when the engine hangs while reading a file."""
    is_healthy: bool = True
    requests: list[GenerationRequest] = field(default_factory=list)
    class_scores: dict[str, float] = field(default_factory=lambda: {"polite": 0.25, "rude": 0.75})
    """The probabilities of the classes, for every text and word."""
    classified: list[ClassificationRequest] = field(default_factory=list)
    vector: list[float] = field(default_factory=lambda: [0.6, -0.8, 0.0])
    """The vector of every input; `dimensions` truncates it."""
    embedded: list[EmbeddingRequest] = field(default_factory=list)
    check: DatasetCheck = field(default_factory=lambda: CHECK)
    """The result of checking every file."""
    checked: list[DatasetCheckRequest] = field(default_factory=list)
    read_for: list[str] = field(default_factory=list)
    """The project of each request for a check."""
    preview: Preview = field(default_factory=lambda: PREVIEW)
    previewed: list[PreviewRequest] = field(default_factory=list)
    report: DataReport = field(
        default_factory=lambda: DataReport(rules_version=1, format="chat", n_lines=12, n_examples=12)
    )
    reported: list[DataReportRequest] = field(default_factory=list)
    was_cancelled: threading.Event = field(default_factory=threading.Event)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        self.requests.append(request)
        try:
            if self.refusal is not None:
                raise self.refusal
            if self.room is not None and (request.sampling.max_tokens or 1) > self.room:
                raise ContextLengthExceeded("The context is too short.", param=request.prompt.param)
            yield self._prompt(request)
            for index in range(request.sampling.n):
                num_tokens = 0 if request.sampling.max_tokens == 0 else len(self.pieces)
                if self.reasoning:
                    yield ReasoningEvent(index=index, text=self.reasoning, completion_tokens=0)
                for place, piece in enumerate(self.pieces[:num_tokens]):
                    if self.fault is not None and piece is self.pieces[-1]:
                        raise self.fault
                    yield self._text(request, index, piece, place + 1)
                if self.stalls:
                    await asyncio.Event().wait()
                reason: FinishReason = self.reason if num_tokens else "length"
                for event in self._called(request, index, num_tokens):
                    num_tokens, reason = event.completion_tokens, "tool_calls"
                    yield event
                yield FinishEvent(index=index, reason=reason, completion_tokens=num_tokens)
        except (asyncio.CancelledError, GeneratorExit):
            self.was_cancelled.set()
            raise

    async def classify(self, request: ClassificationRequest) -> ClassificationAnswer:
        self.classified.append(request)
        if self.refusal is not None:
            raise self.refusal
        row = [math.log(score) for score in self.class_scores.values()]
        rows = [len(given.words) if isinstance(given, WordsInput) else 1 for given in request.inputs]
        results = [ClassificationResult(logprobs=[row] * n, prompt_tokens=n + 2) for n in rows]
        return ClassificationAnswer(classes=list(self.class_scores), results=results)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingAnswer:
        self.embedded.append(request)
        if self.refusal is not None:
            raise self.refusal
        numbers = self.vector[: request.dimensions]
        vector = base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
        return EmbeddingAnswer(
            embeddings=[vector] * len(request.inputs), prompt_tokens=3 * len(request.inputs)
        )

    async def data_report(self, request: DataReportRequest, *, project_id: str) -> DataReport:
        self.reported.append(request)
        self.read_for.append(project_id)
        await self._read()
        return self.report

    async def check_health(self) -> None:
        if not self.is_healthy:
            raise Unavailable("The model server does not answer.")

    async def bases(self, bases: list[BaseSpec]) -> BasesAnswer:
        return BasesAnswer()

    async def check_dataset(self, request: DatasetCheckRequest, *, project_id: str) -> DatasetCheck:
        self.checked.append(request)
        self.read_for.append(project_id)
        await self._read()
        return self.check

    async def preview_dataset(self, request: PreviewRequest, *, project_id: str) -> Preview:
        self.previewed.append(request)
        await self._read()
        return self.preview

    async def close(self) -> None: ...

    async def _read(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        if self.stalls:
            self.has_stalled.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.was_cancelled.set()

    def _prompt(self, request: GenerationRequest) -> PromptEvent:
        prompt, sampling = request.prompt, request.sampling
        words = prompt.text.split(" ") if isinstance(prompt, TextPrompt) else ["tokens"]
        count = len(prompt.token_ids) if isinstance(prompt, TokenPrompt) else len(words)
        if not sampling.echo:
            return PromptEvent(prompt_tokens=count)
        parts = [word if place == 0 else f" {word}" for place, word in enumerate(words)]
        tokens = [
            token(part, -0.5 if place else None, top=sampling.logprobs or 0)
            for place, part in enumerate(parts)
        ]
        return PromptEvent(
            prompt_tokens=count, text="".join(parts), tokens=[] if sampling.logprobs is None else tokens
        )

    def _text(self, request: GenerationRequest, index: int, piece: str, completion_tokens: int) -> TextEvent:
        wanted = request.sampling.logprobs
        tokens = [] if wanted is None else [token(piece, top=wanted)]
        return TextEvent(index=index, text=piece, tokens=tokens, completion_tokens=completion_tokens)

    def _called(self, request: GenerationRequest, index: int, num_tokens: int) -> Iterator[ToolCallEvent]:
        calls = self.calls if request.sampling.tool_use is not None else []
        for call, (name, arguments) in enumerate(calls):
            for piece in ["", *arguments]:
                num_tokens += 1
                yield ToolCallEvent(
                    index=index,
                    call=call,
                    name="" if piece else name,
                    arguments=piece,
                    completion_tokens=num_tokens,
                    tokens=[] if request.sampling.logprobs is None else [token(piece or name)],
                )


class Killed(BaseException):
    """Ends the process here, without running any error handler."""


@dataclass
class Fuse:
    """Kills the process at the n-th point that it passes, or never."""

    at: int | None = None
    passed: int = 0

    def burn(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Killed


@dataclass
class FakeRayJobs:
    """A RayJobs that records calls, and lets a test decide the state of each process."""

    statuses: dict[str, RayStatus] = field(default_factory=dict)
    specs: dict[str, str] = field(default_factory=dict)
    """Key of the specification by submission id."""
    fuse: Fuse = field(default_factory=Fuse)
    fault: TuneryError | None = None
    """Raised by every call."""
    submissions: list[str] = field(default_factory=list)
    """Every submission that has started a process."""
    num_calls: int = 0
    stopped: list[str] = field(default_factory=list)

    def submit(self, submission_id: str, spec_key: str) -> None:
        with self._call():
            if submission_id not in self.statuses:
                self.statuses[submission_id], self.specs[submission_id] = "running", spec_key
                self.submissions.append(submission_id)

    def status(self, submission_id: str) -> RayStatus:
        with self._call():
            return self.statuses.get(submission_id, "absent")

    def list_jobs(self) -> dict[str, RayStatus]:
        with self._call():
            return dict(self.statuses)

    def stop(self, submission_id: str) -> None:
        with self._call():
            self.stopped.append(submission_id)
            self.statuses[submission_id] = "stopped"

    @contextmanager
    def _call(self) -> Iterator[None]:
        self.num_calls += 1
        self.fuse.burn()
        if self.fault is not None:
            raise self.fault
        yield
        self.fuse.burn()


def _still_exporting(request: ExportRequest) -> ExportAnswer:
    return ExportAnswer(progress=ExportProgress(done_bytes=0, total_bytes=None))


@dataclass
class FakeServing:
    """A serving client that returns `answer` for every file, and `logprobs` or `class_logprobs` as the scores
    of each row."""

    answer: DatasetCheck
    logprobs: Callable[[Sequence[int]], list[float]] = lambda row: [-1.0] * (len(row) - 1)
    class_logprobs: Callable[[Sequence[int]], list[float]] = lambda row: [-1.0, -1.0]
    fault: Exception | None = None
    """Raised by every call."""
    fuse: Fuse = field(default_factory=Fuse)
    checked: list[DatasetCheckRequest] = field(default_factory=list)
    checked_for: list[str] = field(default_factory=list)
    """The project of each request for a check."""
    scored: list[ModelRef] = field(default_factory=list)
    reason: FinishReason = "stop"
    """The finish reason of every answer."""
    generated: list[tuple[list[int], int]] = field(default_factory=list)
    """Prompts, each with the maximum number of tokens of its answer."""
    classified: list[ModelRef] = field(default_factory=list)
    claims: list[TrainingClaim] = field(default_factory=list)
    is_granted: bool = True
    """Whether models release GPUs that jobs claim."""
    serving_floor: int = 0
    needed_devices: int = 0
    """Devices of models that are in use or requested."""
    imported: list[ImportRequest] = field(default_factory=list)
    refusal: TuneryError | None = None
    """Raised by imports and exports."""
    exported: list[ExportRequest] = field(default_factory=list)
    export: Callable[[ExportRequest], ExportAnswer] = _still_exporting

    def import_adapter(self, request: ImportRequest) -> ImportedAdapter:
        self._call()
        self.imported.append(request)
        if self.refusal is not None:
            raise self.refusal
        key = import_manifest_key(request.import_id)
        return ImportedAdapter(
            weights=WeightsRef(digest="1" * 64, manifest_key=key),
            training=TrainingOptions(r=4, alpha=8, target_modules=["q_proj"]),
            rows=[[1, 2, 3]],
        )

    def export_weights(self, request: ExportRequest) -> ExportAnswer:
        self._call()
        self.exported.append(request)
        if self.refusal is not None:
            raise self.refusal
        return self.export(request)

    def check_dataset(self, request: DatasetCheckRequest, *, project_id: str) -> DatasetCheck:
        self._call()
        self.checked.append(request)
        self.checked_for.append(project_id)
        return self.answer

    def score(self, model: ModelRef, rows: Sequence[Sequence[int]]) -> ProbeScores:
        self._call()
        self.scored.append(model)
        return ProbeScores(logprobs=[self.logprobs(row) for row in rows])

    def finish_reason(self, model: ModelRef, prompt: Sequence[int], max_tokens: int) -> FinishReason:
        self._call()
        self.generated.append((list(prompt), max_tokens))
        return self.reason

    def claim_devices(self, claim: TrainingClaim) -> ClaimAnswer:
        self._call()
        self.claims.append(claim)
        return ClaimAnswer(is_granted=self.is_granted, floor=self.serving_floor, needed=self.needed_devices)

    def classify_scores(self, model: ModelRef, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        self._call()
        self.classified.append(model)
        return [self.class_logprobs(row) for row in rows]

    def _call(self) -> None:
        self.fuse.burn()
        if self.fault is not None:
            raise self.fault


class FusedDatabase:
    """A real database that can seem to be down, and that kills its user before a transaction or right after a
    commit."""

    def __init__(self, database: Database, fuse: Fuse) -> None:
        self._database = database
        self._fuse = fuse
        self.is_down = False

    @contextmanager
    def read(self) -> Iterator[Session]:
        self._begin()
        with self._database.read() as session:
            yield session

    @contextmanager
    def write(self, *, frees_space: bool = False) -> Iterator[Session]:
        self._begin()
        with self._database.write(frees_space=frees_space) as session:
            yield session
        self._fuse.burn()

    def _begin(self) -> None:
        self._fuse.burn()
        if self.is_down:
            raise Unavailable("The database does not answer.")


class InlineExecutor(Executor):
    """Runs everything at once in the caller's thread; if the function is killed, so is the caller."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future
