"""The application at /datasets: compiles datasets for jobs that are being validated, previews rows, makes
data reports, imports adapters, and exports tuned models.

It always runs, so it also reports whether the engines run."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TypeVar
from weakref import WeakValueDictionary

from pydantic import BaseModel
from ray import serve
from ray.serve import Application
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cluster.bases.configs import config_here
from cluster.bases.resolve import tokenizer_folder, why_unavailable
from cluster.contracts.bases import BasesAnswer, BaseSpec, BasesRequest, HubSource
from cluster.contracts.data_report import DataReportRequest
from cluster.contracts.datasets import DatasetCheckRequest
from cluster.contracts.errors import CHECK_QUEUED, Unavailable
from cluster.contracts.exports import Export, ExportAnswer, ExportProgress, ExportRequest
from cluster.contracts.generation import PROJECT_HEADER, ModelRef
from cluster.contracts.imports import ImportRequest
from cluster.contracts.previews import PreviewRequest
from cluster.niceness import yield_to_others
from cluster.planning.shapes import shape_of
from cluster.serving.deployment.fair_places import FairPlaces
from cluster.serving.deployment.gate import Gate, json_answer, load_timeout, parse_body
from cluster.serving.deployment.lease import Lease
from cluster.serving.deployment.loopback import listen_where_the_node_is
from cluster.serving.deployment.placement.plans import planned_context, why_not_served
from cluster.serving.deployment.readiness import check_engines
from cluster.serving.deployment.reserved_gpus import hide_unreserved_gpus
from cluster.serving.deployment.scaling import without_gpus
from cluster.serving.deployment.settings import EngineSettings
from cluster.serving.deployment.single_flight import SingleFlight
from cluster.serving.deployment.vllm_starts import VllmStarts, vllm_starts
from cluster.storage.absence import check_absence
from cluster.storage.location import store_from_environment
from cluster.storage.store import ObjectStore

Asked = TypeVar("Asked", DatasetCheckRequest, PreviewRequest, ImportRequest)

CHECKS = 4
"""Number of files of new jobs that are checked concurrently, each in its own thread."""
CHECKS_PER_PROJECT = CHECKS - 1
"""Number of them that may be of one project: one place is free for another project at once."""

CHECK_LEASE_SECONDS = 60.0
"""Time after which a queued check is abandoned if nobody has asked about it: its job was cancelled."""

QUEUED_SECONDS = 1.0
"""How long a request waits for a queued check. This is shorter than for a running one, because the scheduler
has few threads for the steps of all jobs."""

CLIENTS_READS = 2
"""Number of files that are read concurrently for clients' estimates and previews, one per project. They never
delay a job's check."""

MAX_READS_PER_PROJECT = 4
"""Maximum number of estimates and previews of one project that are running or queued."""

IMPORTS = 1
"""Number of adapters that are imported concurrently. Each may take gigabytes of memory and of scratch
space."""

EXPORTS = 2
"""Number of models that are exported concurrently, one per project. Each takes the memory of a few copies of
its largest tensor."""

MAX_EXPORTS_PER_PROJECT = 8
"""Maximum number of exports of one project that are running or queued. The service allows fewer."""

EXPORT_LEASE_SECONDS = 60.0
"""Time after which an export is abandoned if nobody has asked about it. If it is requested again, it
continues with the next file."""

MAX_REPORTS_PER_PROJECT = 8
"""Maximum number of data reports of one project that are running or queued."""

FETCHES = 4
"""Number of base models that are downloaded concurrently."""


class DatasetsApp:
    def __init__(
        self,
        store: ObjectStore | None = None,
        *,
        vllm_starts: Callable[[], Awaitable[VllmStarts]] = vllm_starts,
    ) -> None:
        """`store` defaults to the one in the environment."""
        hide_unreserved_gpus()
        listen_where_the_node_is()
        yield_to_others()
        self._gate = Gate(
            {
                ("POST", "check"): self._check,
                ("POST", "estimate"): self._estimate,
                ("POST", "preview"): self._preview,
                ("POST", "report"): self._report,
                ("POST", "import"): self._import,
                ("POST", "export"): self._export,
                ("POST", "bases"): self._bases,
                ("GET", "ready"): self._ready,
            }
        )
        self._store = store or store_from_environment()
        self._tells_absence = False
        """Whether this cluster's access policy for the store is known to let it report that objects are
        absent."""
        self._vllm_starts = vllm_starts
        # The scheduler limits how many checks are queued. A refusal would count as a wait of the job.
        self._checks = FairPlaces(CHECKS, most_per_project=None, at_once_per_project=CHECKS_PER_PROJECT)
        self._checking: WeakValueDictionary[tuple[str, str, str], _Checking] = WeakValueDictionary()
        """Checks that are running or queued, by flight."""
        self._clients_reads = FairPlaces(CLIENTS_READS, most_per_project=MAX_READS_PER_PROJECT)
        self._imports = asyncio.Semaphore(IMPORTS)
        self._exports = FairPlaces(EXPORTS, most_per_project=MAX_EXPORTS_PER_PROJECT)
        self._exporting: WeakValueDictionary[str, _Exporting] = WeakValueDictionary()
        """Exports that are running or queued, by id."""
        # Imported here, because building the application imports this module too.
        from cluster.serving.deployment import dataset_work

        self._work = dataset_work
        at_once = dataset_work.reports_at_once(os.cpu_count() or 1, dataset_work.free_host_bytes())
        self._reports = FairPlaces(at_once, most_per_project=MAX_REPORTS_PER_PROJECT)
        self._single_flight = SingleFlight()
        # Separate pools: neither a hub that does not answer nor a large model may block other work.
        self._fetchers = ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")
        self._exporters = ThreadPoolExecutor(EXPORTS, thread_name_prefix="export")

    async def __call__(self, request: Request) -> Response:
        return await self._gate.answer(request)

    async def _check(self, request: Request) -> Response:
        """Checks a file within the caller's load timeout, which begins when the check starts. While it is
        queued, a request waits for `QUEUED_SECONDS`. The work continues after it, so a retry finds the
        result."""
        body = await parse_body(DatasetCheckRequest, request)
        timeout_seconds = load_timeout(request)
        await self._fetched(body.base, timeout_seconds)
        flight = _flight(request, body)
        checking = self._checking.setdefault(flight, _Checking())
        checking.lease.renew()
        check = partial(self._make_check, body, _project(request), checking)
        run = self._single_flight.run
        try:
            found = await run(flight, check, timeout_seconds=QUEUED_SECONDS, why=_Queued)
        except _Queued:
            if not checking.is_running:
                raise
            found = await run(flight, check, timeout_seconds=timeout_seconds, why=_reading)
        return json_answer(found)

    async def _make_check(self, body: DatasetCheckRequest, project: str, checking: "_Checking") -> BaseModel:
        async with checking.lease.wait_for(self._checks.place(project)):
            checking.is_running = True
            try:
                return await asyncio.to_thread(self._work.check_servable_dataset, body, self._store)
            finally:
                checking.is_running = False

    async def _estimate(self, request: Request) -> Response:
        """Estimates a job that is not created yet, by checking its file."""
        body = await parse_body(DatasetCheckRequest, request)
        place = self._clients_reads.place(_project(request))
        return await self._read(request, body, self._work.check_servable_dataset, place)

    async def _preview(self, request: Request) -> Response:
        """Previews rows within the caller's load timeout."""
        body = await parse_body(PreviewRequest, request)
        place = self._clients_reads.place(_project(request))
        return await self._read(request, body, self._work.preview_rows, place)

    async def _import(self, request: Request) -> Response:
        """Imports an adapter within the caller's load timeout. An import never delays a check."""
        body = await parse_body(ImportRequest, request)
        return await self._read(request, body, self._work.import_adapter, self._imports)

    async def _export(self, request: Request) -> Response:
        """Exports a model. Answers with the progress if the export has not ended within the caller's load
        timeout."""
        body = await parse_body(ExportRequest, request)
        timeout_seconds = load_timeout(request)
        await self._fetched(body.base, timeout_seconds)
        exporting = self._exporting.setdefault(body.export_id, _Exporting())
        exporting.lease.renew()
        try:
            result = await self._single_flight.run(
                _flight(request, body),
                partial(self._make_export, body, exporting),
                timeout_seconds=timeout_seconds,
                why=_StillExporting,
            )
        except _StillExporting:
            return json_answer(ExportAnswer(progress=exporting.progress))
        done = ExportProgress(done_bytes=result.bytes, total_bytes=result.bytes)
        return json_answer(ExportAnswer(progress=done, result=result))

    async def _make_export(self, body: ExportRequest, exporting: "_Exporting") -> Export:
        async with exporting.lease.wait_for(self._exports.place(body.project_id)):
            export = partial(self._work.export_weights, body, self._store, exporting.report)
            return await asyncio.get_running_loop().run_in_executor(self._exporters, export)

    async def _read(
        self,
        request: Request,
        body: Asked,
        read: Callable[[Asked, ObjectStore], BaseModel],
        place: AbstractAsyncContextManager[None],
    ) -> Response:
        timeout_seconds = load_timeout(request)
        await self._fetched(body.base, timeout_seconds)

        async def read_file() -> BaseModel:
            async with place:
                return await asyncio.to_thread(read, body, self._store)

        found = await self._single_flight.run(
            _flight(request, body),
            read_file,
            timeout_seconds=timeout_seconds,
            why=_reading,
        )
        return json_answer(found)

    async def _report(self, request: Request) -> Response:
        """Makes a data report within the caller's load timeout. A report never delays a check."""
        body = await parse_body(DataReportRequest, request)
        timeout_seconds = load_timeout(request)
        if body.base is not None:
            await self._fetched(body.base, timeout_seconds)
        found = await self._single_flight.run(
            _flight(request, body),
            partial(self._make_report, body, _project(request)),
            timeout_seconds=timeout_seconds,
            why=_reporting,
        )
        return json_answer(found)

    async def _make_report(self, body: DataReportRequest, project: str) -> BaseModel:
        if (kept := await asyncio.to_thread(self._work.kept_report, body, self._store)) is not None:
            return kept
        async with self._reports.place(project):
            return await asyncio.to_thread(self._work.make_report, body, self._store)

    async def _fetched(self, base: BaseSpec, timeout_seconds: float | None) -> None:
        if isinstance(base.source, HubSource):
            await self._single_flight.run(
                base.model_dump_json(),
                partial(self._fetch, base),
                timeout_seconds=timeout_seconds,
                why=partial(_fetching, base),
            )

    async def _fetch(self, base: BaseSpec) -> None:
        await asyncio.get_running_loop().run_in_executor(self._fetchers, tokenizer_folder, base)

    async def _bases(self, request: Request) -> Response:
        body = await parse_body(BasesRequest, request)
        starts = await self._vllm_starts()
        return json_answer(await asyncio.to_thread(_bases, body.bases, EngineSettings.read(), starts))

    async def _ready(self, request: Request) -> Response:
        await check_engines()
        if not self._tells_absence:
            await asyncio.to_thread(check_absence, self._store)
            self._tells_absence = True
        return JSONResponse({})


def _bases(bases: list[BaseSpec], settings: EngineSettings, starts: VllmStarts) -> BasesAnswer:
    """Describes the bases. Starts of fine-tunes among `starts` say nothing about their bases."""
    # Imported here, because it needs transformers, which would slow down building the application.
    from cluster.bases.fit import why_unusable_here

    reasons = {
        base.alias: why_unavailable(base)
        or why_unusable_here(base)
        or why_not_served(base, settings)
        or starts.failures.get(ModelRef(base=base).weights)
        for base in bases
    }
    contexts = {base.alias: _context(base, settings, starts) for base in bases if not reasons[base.alias]}
    shapes = {base.alias: shape_of(config_here(base) or {}) for base in bases}
    return BasesAnswer(
        unavailable={name: why for name, why in reasons.items() if why},
        shapes={name: shape for name, shape in shapes.items() if shape is not None},
        contexts={name: context for name, context in contexts.items() if context is not None},
    )


def _context(base: BaseSpec, settings: EngineSettings, starts: VllmStarts) -> int | None:
    """Returns the context with which vLLM has started, or would start by its plan. None if that is the whole
    context of the base."""
    served = starts.contexts.get(ModelRef(base=base).weights) or planned_context(base, settings)
    return served if served is not None and served < base.context_length else None


class _Checking:
    """Whether a check is running, and whether anyone still wants it."""

    def __init__(self) -> None:
        self.lease = Lease(CHECK_LEASE_SECONDS, over="Nobody waits for this check any more.")
        self.is_running = False


class _Queued(Unavailable):
    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"Other files are checked first; this one has waited for {seconds:.0f} seconds.",
            code=CHECK_QUEUED,
        )


class _Exporting:
    """The progress of an export, and whether anyone still wants it."""

    def __init__(self) -> None:
        self.progress = ExportProgress(done_bytes=0, total_bytes=None)
        self.lease = Lease(EXPORT_LEASE_SECONDS, over="Nobody waits for this export any more.")

    def report(self, progress: ExportProgress) -> None:
        """Records progress. Raises Abandoned, which ends the export, if nobody has asked for it lately: it
        was deleted."""
        self.lease.check()
        self.progress = progress


class _StillExporting(Unavailable):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"The model is being exported, for {seconds:.0f} seconds so far.")


def _project(request: Request) -> str:
    """Returns the project that the work is for; empty for the service's own work."""
    return request.headers.get(PROJECT_HEADER, "")


def _flight(request: Request, body: BaseModel) -> tuple[str, str, str]:
    """Returns the key of the work, which includes the project: a project with too much waiting must not cause
    another project's request to be refused."""
    return request.url.path, _project(request), body.model_dump_json()


def _fetching(base: BaseSpec, seconds: float) -> Unavailable:
    return Unavailable(
        f"The tokenizer of the base model '{base.alias}' is being downloaded, for {seconds:.0f} seconds "
        "so far.",
        code="model_not_ready",
    )


def _reading(seconds: float) -> Unavailable:
    return Unavailable(
        f"The file is being read and compiled, for {seconds:.0f} seconds so far.", code="dataset_not_ready"
    )


def _reporting(seconds: float) -> Unavailable:
    return Unavailable(
        f"The data report is being made, for {seconds:.0f} seconds so far.", code="dataset_not_ready"
    )


def _application() -> Application:
    return serve.deployment(
        DatasetsApp,
        name="datasets",
        # Readiness requests must not wait behind checks: a few large files would make the cluster look
        # unresponsive.
        max_ongoing_requests=16 * CHECKS,
        graceful_shutdown_timeout_s=60,
        ray_actor_options=without_gpus(EngineSettings.read(), 0),
    ).bind()


app = _application()
