"""Ray's jobs API over HTTP (`/api/jobs/` of its dashboard)."""

import re
from typing import Any, cast

import httpx2

from cluster.contracts.errors import Unavailable
from service.scheduling.interfaces import RayStatus

ENTRYPOINT = "python -m cluster.runner"
"""The same for every job, because Ray runs it through a shell. `python` is the first one on the PATH of the
cluster's nodes."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_STATES = {"PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"}


class HttpRayJobs:
    """Thread-safe. Close it after use."""

    def __init__(self, url: str, token: str | None, *, timeout_seconds: float = 10.0) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # No proxy from the environment: the cluster is local, and only it may see the token.
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False)

    def submit(self, submission_id: str, spec_key: str) -> None:
        """Ray answers a repeated submission with 500 and no error code. After any answer but success, this
        asks Ray whether it has the job."""
        job = {
            "entrypoint": ENTRYPOINT,
            "submission_id": _checked(submission_id),
            # Contains no secrets: anyone who may list jobs sees it. The specification is in our own storage.
            "runtime_env": {"env_vars": {"TUNERY_JOB_SPEC": spec_key}},
        }
        try:
            response = self._http.post("/api/jobs/", json=job)
            if response.is_success:
                return
            problem = f"Ray answered {response.status_code} to a job's submission."
        except httpx2.TransportError as error:
            problem = f"Ray did not answer a job's submission: {error!r}."
        if self.status(submission_id) == "absent":
            raise Unavailable(problem, code="ray_unavailable")

    def status(self, submission_id: str) -> RayStatus:
        response = self._request("GET", f"/api/jobs/{_checked(submission_id)}")
        if response.status_code == 404:
            return "absent"
        return _status(_json(response))

    def list_jobs(self) -> dict[str, RayStatus]:
        listed = _decoded(self._request("GET", "/api/jobs/"))
        jobs = [job for job in listed if isinstance(job, dict)] if isinstance(listed, list) else []
        # A driver that was not submitted has no such id.
        return {job["submission_id"]: _status(job) for job in jobs if job.get("submission_id")}

    def stop(self, submission_id: str) -> None:
        self._request("POST", f"/api/jobs/{_checked(submission_id)}/stop")

    def close(self) -> None:
        self._http.close()

    def _request(self, method: str, path: str) -> httpx2.Response:
        try:
            response = self._http.request(method, path)
        except httpx2.TransportError as error:
            raise Unavailable(f"Ray does not answer: {error!r}.", code="ray_unavailable") from error
        if response.is_success or response.status_code == 404:
            return response
        raise Unavailable(f"Ray answered {response.status_code} to {method} {path}.", code="ray_unavailable")


def _checked(submission_id: str) -> str:
    assert _ID.fullmatch(submission_id), submission_id
    return submission_id


def _status(job: dict[str, Any]) -> RayStatus:
    state = job.get("status")
    if state not in _STATES:
        raise Unavailable(f"Ray reports an unknown job status: {state!r}.", code="ray_unavailable")
    return cast(RayStatus, state.lower())


def _json(response: httpx2.Response) -> dict[str, Any]:
    body = _decoded(response)
    return body if isinstance(body, dict) else {}


def _decoded(response: httpx2.Response) -> Any:
    try:
        return response.json()
    except ValueError as error:
        raise Unavailable("Ray's answer is not JSON.", code="ray_unavailable") from error
