"""Starts a Ray cluster for a test, with its own ports, token and folder, and removes all of it afterwards."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil

from service.ports import free_ports

_START_SECONDS = 240


@dataclass(frozen=True)
class RayHead:
    dashboard_url: str
    address: str
    """Address of the GCS, for `ray.init`."""
    token: str
    log: Path
    pid: int
    """Process id of `ray start`. All other processes of the cluster are its descendants."""

    def http(self) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx2.Client(base_url=self.dashboard_url, headers=headers, timeout=60, trust_env=False)

    def deploy(self, config: dict[str, Any], *, timeout_seconds: float = 300) -> None:
        """Deploys Serve applications and waits until all are running. Raises AssertionError otherwise."""
        names = [application["name"] for application in config["applications"]]
        with self.http() as http:
            http.put("/api/serve/applications/", json=config).raise_for_status()
            deadline = time.monotonic() + timeout_seconds
            while True:
                applications = http.get("/api/serve/applications/").json()["applications"]
                states = {name: applications.get(name, {}).get("status") for name in names}
                if set(states.values()) == {"RUNNING"}:
                    return
                if "DEPLOY_FAILED" in states.values() or time.monotonic() > deadline:
                    raise AssertionError([applications.get(name, {}).get("deployments") for name in names])
                time.sleep(0.2)  # Serve sends no notification.


@contextmanager
def ray_head(folder: Path, environment: Mapping[str, str], *, num_cpus: int = 4) -> Iterator[RayHead]:
    """Runs `ray start --head`, then ends all its processes. Workers inherit `environment`."""
    gcs, dashboard, agent, runtime_agent, metrics, client = free_ports(6)
    token = secrets.token_hex(32)
    # A short path, because Ray puts Unix sockets in it, and their paths are limited to 107 bytes.
    sessions = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
        *("--disable-usage-stats", "--node-ip-address", "127.0.0.1", "--dashboard-host", "127.0.0.1"),
        *("--port", str(gcs), "--dashboard-port", str(dashboard), "--temp-dir", str(sessions)),
        *("--dashboard-agent-listen-port", str(agent), "--runtime-env-agent-port", str(runtime_agent)),
        *("--metrics-export-port", str(metrics), "--ray-client-server-port", str(client)),
        *("--min-worker-port", "0", "--max-worker-port", "0"),
        *("--num-cpus", str(num_cpus), "--object-store-memory", str(100 * 2**20)),
    ]
    log = folder / "ray.log"
    process = _start(command, token, environment, log)
    head = RayHead(f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{gcs}", token, log, process.pid)
    try:
        _wait_for_dashboard(head, process)
        yield head
    finally:
        _end(process)
        shutil.rmtree(sessions, ignore_errors=True)


@contextmanager
def ray_node(head: RayHead, *, num_cpus: int, num_gpus: int = 0) -> Iterator[None]:
    """Adds one node to the cluster of `head`, then ends all the node's processes. Ray believes `num_gpus`."""
    agent, runtime_agent, metrics = free_ports(3)
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--address", head.address, "--block"),
        *("--disable-usage-stats", "--node-ip-address", "127.0.0.1"),
        *("--dashboard-agent-listen-port", str(agent), "--runtime-env-agent-port", str(runtime_agent)),
        *("--metrics-export-port", str(metrics), "--min-worker-port", "0", "--max-worker-port", "0"),
        *("--num-cpus", str(num_cpus), "--num-gpus", str(num_gpus)),
        *("--object-store-memory", str(100 * 2**20)),
    ]
    process = _start(command, head.token, {}, head.log.with_name("node.log"))
    try:
        _wait_for_nodes(head, 2)
        yield
    finally:
        _end(process)


def _start(
    command: list[str], token: str, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env={
                **os.environ,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": token,
                "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
                # The same value as in `tunery up`.
                "RAY_worker_niceness": "0",
                **environment,
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_for_nodes(head: RayHead, count: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with head.http() as http:
        while True:
            nodes = http.get("/api/v0/nodes").json()["data"]["result"]["result"]
            if sum(node["state"] == "ALIVE" for node in nodes) == count:
                return
            assert time.monotonic() < deadline, nodes
            time.sleep(0.2)  # The dashboard sends no notification.


def _wait_for_dashboard(head: RayHead, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with head.http() as http:
        while True:
            assert process.poll() is None, head.log.read_text()
            assert time.monotonic() < deadline, head.log.read_text()
            try:
                if http.get("/api/serve/applications/").is_success:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.2)  # The dashboard signals readiness only by answering.


def _end(process: subprocess.Popen[bytes]) -> None:
    processes = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=10)
    for survivor in alive:
        survivor.kill()
    psutil.wait_procs(alive, timeout=5)
    process.wait()
