"""Trains the jobs of a plan again, and gives the old models' names to their replacements.

No local state is kept: the metadata of a new job names the job that it replaces, so a run that was
interrupted, or runs on another machine, finds what exists."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.cli.failures import CommandFailed, Refused, Unavailable
from service.cli.http.retrying import retried
from service.cli.import_openai.plan.checkpoints import matching_checkpoints
from service.cli.import_openai.plan.proposing import ORIGIN, Proposal
from service.cli.import_openai.plan.uploading import Uploads
from service.cli.lookups import quoted
from service.cli.remote import Api

_RETRY_SECONDS = 300.0
"""How long a server may be unreachable."""
_POLL_SECONDS = 5.0
_FAILED = frozenset({"failed", "cancelled"})


@dataclass
class Applied:
    """The result for one entry of a plan."""

    job: str
    replaces: str | None
    status: str = "waiting"
    """The new job's status; `skipped` if there is nothing to train, `uploaded` if only its files were
    uploaded, or `refused`."""
    new_job: str | None = None
    model: str | None = None
    """The new model."""
    is_named: bool = False
    """Whether the old name now names the new model."""
    checkpoints: dict[str, str] = field(default_factory=dict)
    """New checkpoints by the old checkpoints' names, which now name them."""
    problem: str | None = None

    @property
    def is_settled(self) -> bool:
        return self.status in _FAILED | {"succeeded", "skipped", "uploaded", "refused"}


def apply_plan(
    api: Api,
    uploads: Uploads,
    plan: Sequence[Proposal],
    *,
    old_checkpoints: Callable[[str], Sequence[Mapping[str, Any]]] = lambda job: (),
    is_retrained: bool,
    is_awaited: bool,
    remark: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
) -> list[Applied]:
    """Uploads the files, and with `is_retrained` creates the jobs that do not exist or have failed before. A
    job that continues from another job's model is created when that job has succeeded. With `is_awaited`,
    returns when all jobs have ended. `old_checkpoints` are listed by old job; their names are given last,
    because a project can have only a limited number of names, and those of models come first."""
    run = _Run(api, uploads, plan, is_retrained, remark)
    while True:
        run.advance()
        if not is_awaited or all(result.is_settled for result in run.results.values()):
            run.name_checkpoints(old_checkpoints)
            return list(run.results.values())
        wait(_POLL_SECONDS)


def replacements(api: Api) -> dict[str, dict[str, Any]]:
    """New jobs by the old jobs' ids: one that succeeded if there is one, otherwise the newest."""
    found: dict[str, dict[str, Any]] = {}
    for job in api.list("/fine_tuning/jobs"):
        origin = (job.get("metadata") or {}).get(ORIGIN)
        if origin and (origin not in found or _rank(job) > _rank(found[origin])):
            found[origin] = job
    return found


class _Run:
    def __init__(
        self,
        api: Api,
        uploads: Uploads,
        plan: Sequence[Proposal],
        is_retrained: bool,
        remark: Callable[[str], None],
    ) -> None:
        self._api = api
        self._uploads = uploads
        self._plan = plan
        self._is_retrained = is_retrained
        self._remark = remark
        self._created: set[str] = set()
        self._is_full = False
        self._aliases = {alias["id"]: alias["model"] for alias in api.get("/aliases")["data"]}
        self.results = {entry.job: Applied(entry.job, entry.replaces) for entry in plan}
        self._by_name = {entry.replaces: self.results[entry.job] for entry in plan if entry.replaces}

    def advance(self) -> None:
        """Takes each entry one step further."""
        found = retried(lambda: replacements(self._api), within_seconds=_RETRY_SECONDS)
        self._is_full = False
        for entry in self._plan:
            result = self.results[entry.job]
            if result.is_settled:
                continue
            try:
                self._step(entry, result, found.get(entry.job))
            except CommandFailed as error:
                if _may_pass(error):
                    self._is_full = True
                    if result.problem != str(error):
                        self._remark(f"{entry.job} waits: {error}")
                elif not result.is_settled:
                    result.status = "refused"
                result.problem = str(error)
            if result.is_settled and result.problem:
                self._remark(f"{entry.job}: {result.problem}")

    def name_checkpoints(self, old: Callable[[str], Sequence[Mapping[str, Any]]]) -> None:
        for result in self.results.values():
            if result.is_named and (listed := old(result.job)):
                try:
                    new = list(self._api.list(f"/fine_tuning/jobs/{result.new_job}/checkpoints"))
                    for name, checkpoint in matching_checkpoints(listed, new).items():
                        self._point(name, checkpoint)
                        result.checkpoints[name] = self._aliases[name]
                except CommandFailed as error:
                    result.problem = f"Not all of its checkpoints have their old names: {error}"
                    self._remark(f"{result.job}: {result.problem}")

    def _point(self, name: str, model: str) -> None:
        """Leaves a name that already names something: its owner may have moved it on purpose."""
        if name not in self._aliases:
            self._api.post(f"/models/{quoted(model)}/aliases", {"alias": name, "version": 0})
            self._aliases[name] = model
            self._remark(f"{name} means {model} now.")

    def _step(self, entry: Proposal, result: Applied, new: Mapping[str, Any] | None) -> None:
        if entry.request is None:
            result.status = "skipped"
        elif new is None or (
            new["status"] in _FAILED and self._is_retrained and entry.job not in self._created
        ):
            self._create(entry.request, entry.job, result, "" if new is None else new["id"])
        else:
            result.new_job, result.status, result.model = new["id"], new["status"], new["fine_tuned_model"]
            if result.status == "succeeded":
                self._name(result)
            elif result.status in _FAILED:
                result.problem = (new.get("error") or {}).get("message") or f"{new['id']} is {new['status']}."

    def _create(self, request: Mapping[str, Any], job: str, result: Applied, failed: str) -> None:
        parent = self._by_name.get(request["model"])
        if self._is_full or (parent is not None and not parent.is_settled):
            return
        body = dict(request)
        for name in ("training_file", "validation_file"):
            if body.get(name):
                body[name] = self._uploads.id_of(body[name])
        if not self._is_retrained:
            result.status = "uploaded"
            return
        # The name may name another model on purpose; the child then continues from that one.
        if parent is not None and not parent.is_named and request["model"] not in self._aliases:
            raise CommandFailed(f"It continues from {request['model']}, which has no new model.")
        # Two concurrent runs create only one job, and one more after a job that `failed`.
        digest = hashlib.sha256(json.dumps([body, failed], sort_keys=True).encode()).hexdigest()
        key = f"import-{job}-{digest[:16]}"
        new = self._api.post("/fine_tuning/jobs", body, idempotency_key=key)
        result.new_job, result.status, result.problem = new["id"], new["status"], None
        self._created.add(job)
        self._remark(f"{job} is trained again as {result.new_job}.")

    def _name(self, result: Applied) -> None:
        name, model = result.replaces, result.model
        if name is None or model is None:
            return
        self._point(name, model)
        result.is_named = self._aliases[name] == model
        if not result.is_named:
            result.problem = (
                f"{name} means {self._aliases[name]} already. `tunery models alias {model} {name}` moves it."
            )


def _may_pass(error: CommandFailed) -> bool:
    """Whether the request may succeed later: a limit on jobs, for example, allows it once others have
    ended."""
    is_limit = isinstance(error, Refused) and error.code == "rate_limit_exceeded"
    return is_limit or isinstance(error, Unavailable)


def _rank(job: Mapping[str, Any]) -> tuple[bool, int]:
    return job["status"] == "succeeded", job["created_at"]
