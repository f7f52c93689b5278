"""MLflow, through the REST API of its tracking server (version 2.0 of the API, which all servers have).

https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import httpx2

from cluster.contracts.integrations import MlflowTracker
from cluster.contracts.jobs import StepMetrics
from cluster.tracking.messages import Outcome, TrackedRun
from cluster.tracking.reasons import shortened
from cluster.tracking.run import TrackerError, metrics_of

_METRICS_PER_CALL = 900
_PARAMS_PER_CALL = 100
"""Maximum number of parameters per call. The server accepts at most 1000 metrics, parameters and tags in one
call, and 100 parameters."""
_LONGEST_VALUE = 5000
"""Maximum characters of a parameter or a tag."""
_TIMEOUT_SECONDS = 10.0
_PAUSES_SECONDS = (0.5, 2.0, 8.0)
_JOB = "tunery.job_id"
_STEP = "tunery.step"
"""Tag with the newest step. It is written in one call with the metrics of that step."""
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "cancelled": "KILLED", "interrupted": "SCHEDULED"}
T = TypeVar("T")


class MlflowRun:
    def __init__(
        self,
        run: TrackedRun,
        tracker: MlflowTracker,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = _Api(tracker.url, sleep)
        experiment = self._experiment(tracker.options.experiment)
        found = self._find(experiment, run.id)
        if found is None:
            self._id = self._create(experiment, run, tracker.options.name or run.id)
            self.last_step = 0
        else:
            self._id = found["info"]["run_id"]
            tags = {tag["key"]: tag["value"] for tag in found["data"].get("tags", [])}
            self.last_step = int(tags.get(_STEP, 0))
            self._update(status="RUNNING")
        self.url: str | None = f"{tracker.url}/#/experiments/{experiment}/runs/{self._id}"
        self._newest = self.last_step

    def log(self, steps: Sequence[StepMetrics]) -> None:
        for part in _batches(steps, _METRICS_PER_CALL // len(StepMetrics.model_fields)):
            metrics = [
                _metric(name, value, step.step, step.created_at)
                for step in part
                for name, value in metrics_of(step).items()
            ]
            self._newest = part[-1].step
            self._log(metrics=metrics, tags=[_tag(_STEP, str(self._newest))])

    def summarize(self, values: Mapping[str, float | str]) -> None:
        at = int(time.time())
        numbers = {name: value for name, value in values.items() if not isinstance(value, str)}
        texts = {name: value for name, value in values.items() if isinstance(value, str)}
        self._log(
            metrics=[_metric(name, value, self._newest, at) for name, value in numbers.items()],
            tags=[_tag(f"tunery.{name}", value) for name, value in texts.items()],
        )

    def end(self, outcome: Outcome) -> None:
        self._update(status=_STATUS[outcome], end_time=_milliseconds())

    def _experiment(self, name: str) -> str:
        found = self._api.get("experiments/get-by-name", experiment_name=name)
        if found is None:
            # If two jobs create it at once, one is refused and finds the other's.
            created = self._api.post("experiments/create", {"name": name}, accepts="RESOURCE_ALREADY_EXISTS")
            if created is not None:
                return str(created["experiment_id"])
            found = self._api.get("experiments/get-by-name", experiment_name=name)
        if found is None or found["experiment"].get("lifecycle_stage") == "deleted":
            raise TrackerError(f"The experiment '{name}' has been deleted.")
        return str(found["experiment"]["experiment_id"])

    def _find(self, experiment: str, job_id: str) -> dict[str, Any] | None:
        answer = self._api.post(
            "runs/search",
            {"experiment_ids": [experiment], "filter": f"tags.`{_JOB}` = '{job_id}'", "max_results": 1},
        )
        runs = (answer or {}).get("runs", [])
        return runs[0] if runs else None

    def _create(self, experiment: str, run: TrackedRun, name: str) -> str:
        created = self._api.post(
            "runs/create",
            {
                "experiment_id": experiment,
                "run_name": name,
                "start_time": _milliseconds(),
                "tags": [_tag(_JOB, run.id), _tag("mlflow.runName", name)],
            },
        )
        assert created is not None
        self._id = str(created["run"]["info"]["run_id"])
        for part in _batches(run.config.items(), _PARAMS_PER_CALL):
            self._log(params=[{"key": name, "value": str(value)[:_LONGEST_VALUE]} for name, value in part])
        return self._id

    def _log(self, **entries: list[dict[str, Any]]) -> None:
        self._api.post("runs/log-batch", {"run_id": self._id, **entries})

    def _update(self, **fields: Any) -> None:
        self._api.post("runs/update", {"run_id": self._id, **fields})


class _Api:
    """MLflow's API. Calls are repeated after faults of the server or the network. MLflow stores equal metrics
    only once."""

    def __init__(self, url: str, sleep: Callable[[float], None]) -> None:
        self._http = httpx2.Client(
            base_url=f"{url}/api/2.0/mlflow/", headers=_headers(), auth=_login(), timeout=_TIMEOUT_SECONDS
        )
        self._sleep = sleep

    def get(self, path: str, **query: str) -> dict[str, Any] | None:
        """Returns None if the resource does not exist."""
        return self._call("RESOURCE_DOES_NOT_EXIST", "GET", path, params=query)

    def post(self, path: str, body: Mapping[str, Any], *, accepts: str = "") -> dict[str, Any] | None:
        """Returns None if the server refuses with the code `accepts`."""
        return self._call(accepts, "POST", path, json=body)

    def _call(self, accepts: str, method: str, path: str, **content: Any) -> dict[str, Any] | None:
        response = self._answer(method, path, **content)
        try:
            answer = response.json()
        except ValueError:
            answer = {}
        if response.is_success and isinstance(answer, dict):
            return answer
        code = answer.get("error_code") if isinstance(answer, dict) else None
        if code is not None and code == accepts:
            return None
        if response.status_code in (401, 403):
            raise TrackerError(f"It refuses the server's key ({response.status_code}).")
        message = shortened(str(answer.get("message", ""))) if isinstance(answer, dict) else ""
        raise TrackerError(f"It answered {response.status_code} to {path}. {message}".strip())

    def _answer(self, method: str, path: str, **content: Any) -> httpx2.Response:
        for pause in (*_PAUSES_SECONDS, None):
            try:
                response = self._http.request(method, path, **content)
            except httpx2.TransportError as error:
                if pause is None:
                    raise TrackerError(f"It does not answer ({type(error).__name__}).") from error
            else:
                if pause is None or not (response.status_code == 429 or response.status_code >= 500):
                    return response
            self._sleep(pause)
        raise AssertionError("the last try returns or raises")


def _headers() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _login() -> tuple[str, str] | None:
    name, password = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    return (name, password) if name and password else None


def _metric(name: str, value: float, step: int, at: int) -> dict[str, Any]:
    # JSON has no such numbers; the server reads them from text.
    plain = value if math.isfinite(value) else {"inf": "Infinity", "-inf": "-Infinity"}.get(str(value), "NaN")
    return {"key": name, "value": plain, "timestamp": at * 1000, "step": step}


def _tag(key: str, value: str) -> dict[str, str]:
    return {"key": key, "value": value[:_LONGEST_VALUE]}


def _milliseconds() -> int:
    return int(time.time() * 1000)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
