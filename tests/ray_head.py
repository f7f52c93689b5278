"""Starts a Ray cluster for a test, with its own ports, token and folder, and removes all of it afterwards."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import psutil

from service.ports import free_ports

Process = subprocess.Popen[bytes]

_START_SECONDS = 600
_PATIENCE = {"RAY_gcs_rpc_server_connect_timeout_s": "120", "RAY_gcs_server_request_timeout_seconds": "300"}
"""On a busy machine, a starting node would otherwise give up waiting for the head."""


@dataclass(frozen=True)
class RayHead:
    dashboard_url: str
    address: str
    """Address of the GCS, for `ray.init`."""
    token: str
    metrics_url: str
    """Where the head's node serves metrics to Prometheus."""
    log: Path
    pid: int
    """Process id of `ray start`. All other processes of the cluster are its descendants."""

    @property
    def node_id(self) -> str:
        """The id of the head itself."""
        (node_id,) = _nodes(self, is_head=True)
        return node_id

    @contextmanager
    def draining(self) -> Iterator[Callable[[str], None]]:
        """A function that tells Ray that a node is about to be taken away, like the agent of a spot instance.
        It acts at once, in a process that has already loaded Ray."""
        command, environment = [sys.executable, "-c", _DRAIN, self.address], _environment(self.token)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            stdin, stdout = process.stdin, process.stdout

            def drain(node_id: str) -> None:
                stdin.write(f"{node_id}\n")
                stdin.flush()
                assert stdout.readline() == "True\n"

            yield drain

    def run(self, script: str) -> str:
        """Runs a Python script with the cluster's address as its argument. Returns what it prints."""
        command, environment = [sys.executable, "-c", script, self.address], _environment(self.token)
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout

    def wait_for_loss(self, node_id: str) -> None:
        """Waits until Ray knows that the node is lost: Ray asks several more times before it believes that.
        Meanwhile, it may send an actor there."""
        deadline = time.monotonic() + _START_SECONDS
        while node_id in _nodes(self):
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.5)  # The dashboard sends no notification.

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
def ray_head(
    folder: Path,
    environment: Mapping[str, str],
    *,
    num_cpus: int = 4,
    num_gpus: int = 0,
    autoscaled: Mapping[str, Any] | None = None,
) -> Iterator[RayHead]:
    """Runs `ray start --head`, then ends all its processes. Workers inherit `environment`. Ray assumes
    `num_gpus` GPUs without checking. An autoscaler adds nodes of the type `autoscaled`, which are processes
    here too."""
    gcs, dashboard, agent, agent_grpc, runtime_agent, metrics, client = free_ports(7)
    token = secrets.token_hex(32)
    # A short path, because Ray puts Unix sockets in it, and their paths are limited to 107 bytes.
    sessions = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
        *("--disable-usage-stats", "--node-ip-address", "127.0.0.1", "--dashboard-host", "127.0.0.1"),
        *("--port", str(gcs), "--dashboard-port", str(dashboard), "--temp-dir", str(sessions)),
        *("--dashboard-agent-listen-port", str(agent), "--dashboard-agent-grpc-port", str(agent_grpc)),
        *("--runtime-env-agent-port", str(runtime_agent)),
        *("--metrics-export-port", str(metrics), "--ray-client-server-port", str(client)),
        *("--min-worker-port", "0", "--max-worker-port", "0"),
        *("--num-cpus", str(num_cpus), "--num-gpus", str(num_gpus)),
        *("--object-store-memory", str(100 * 2**20)),
    ]
    log = folder / "ray.log"
    if autoscaled is not None:
        config = _autoscaling(autoscaled, f"127.0.0.1:{gcs}")
        (folder / "autoscaling.json").write_text(json.dumps(config))
        command.append(f"--autoscaling-config={folder / 'autoscaling.json'}")
        environment = {**environment, **_AUTOSCALER}
    start = partial(_start, command, {**_environment(token), **environment}, log)
    process = start()
    head = RayHead(
        f"http://127.0.0.1:{dashboard}",
        f"127.0.0.1:{gcs}",
        token,
        f"http://127.0.0.1:{metrics}/metrics",
        log,
        process.pid,
    )
    try:
        process = _with_dashboard(head, process, start)
        yield replace(head, pid=process.pid)
    finally:
        _end(process)
        shutil.rmtree(sessions, ignore_errors=True)


@dataclass(frozen=True)
class AddedNode:
    node_id: str
    process: subprocess.Popen[bytes]

    def lose(self) -> None:
        """Kills all processes of the node at once."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        for one in [*family, psutil.Process(self.process.pid)]:
            one.kill()
        psutil.wait_procs(family, timeout=10)


@contextmanager
def ray_node(head: RayHead, *, num_cpus: int, num_gpus: int = 0, labels: str = "") -> Iterator[AddedNode]:
    """Adds one node to the cluster of `head`, then ends all the node's processes. Ray assumes `num_gpus` GPUs
    without checking."""
    known = _nodes(head)
    log = head.log.with_name(f"node-{len(known)}.log")
    start = partial(
        start_node,
        head.address,
        _environment(head.token),
        log,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        labels=labels,
    )
    process, deadline = start(), time.monotonic() + _START_SECONDS
    try:
        while not (added := _nodes(head) - known):
            process = _started_again(process, start, deadline, log)
            time.sleep(0.2)  # The dashboard sends no notification.
        yield AddedNode(added.pop(), process)
    finally:
        _end(process)


def start_node(
    address: str,
    environment: Mapping[str, str],
    log: Path,
    *,
    num_cpus: int,
    num_gpus: int = 0,
    labels: str = "",
) -> subprocess.Popen[bytes]:
    """A node that joins the cluster at the GCS's `address`. Its workers inherit `environment`."""
    agent, agent_grpc, runtime_agent, metrics = free_ports(4)
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--address", address, "--block"),
        *("--disable-usage-stats", "--node-ip-address", "127.0.0.1"),
        *("--dashboard-agent-listen-port", str(agent), "--dashboard-agent-grpc-port", str(agent_grpc)),
        *("--runtime-env-agent-port", str(runtime_agent)),
        *("--metrics-export-port", str(metrics), "--min-worker-port", "0", "--max-worker-port", "0"),
        *("--num-cpus", str(num_cpus), "--num-gpus", str(num_gpus)),
        *("--object-store-memory", str(100 * 2**20)),
        *(("--labels", labels) if labels else ()),
    ]
    return _start(command, environment, log)


_HEAD_ID = "fffffffffffffffffffffffffffffffffffffffffffffffffff00000"
_AUTOSCALER = {
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": _HEAD_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD_ID,
}
"""Settings of Ray's own tests for its autoscaler (version 2) and its provider of nodes that are processes."""


def _autoscaling(node_type: Mapping[str, Any], gcs_address: str) -> dict[str, Any]:
    lists = ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")
    lists += ("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files")
    lists += ("rsync_exclude", "rsync_filter")
    return {
        "cluster_name": "test",
        "max_workers": 8,
        "idle_timeout_minutes": 0.05,
        "upscaling_speed": 10.0,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "disable_launch_config_check": True,
            "disable_node_updaters": True,
            "launch_multiple": True,
            "head_node_id": _HEAD_ID,
            "gcs_address": gcs_address,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {}, "node_config": {}, "max_workers": 0},
            "worker": {"node_config": {}, "min_workers": 0, "max_workers": 8, **node_type},
        },
        "head_node_type": "ray.head.default",
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        **{name: [] for name in lists},
        "file_mounts_sync_continuously": False,
    }


def _start(command: list[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env={
                "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
                # The same values as in `tunery up`.
                "RAY_worker_niceness": "0",
                "RAY_process_group_cleanup_enabled": "1",
                **environment,
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


_DRAIN = """
import sys, time
from ray._raylet import GcsClient
from ray.core.generated.autoscaler_pb2 import DrainNodeReason
gcs = GcsClient(address=sys.argv[1])
for line in sys.stdin:
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline = int(1000 * (time.time() + 600))
    print(gcs.drain_node(line.strip(), reason, "spot", deadline)[0], flush=True)
"""


def _environment(token: str) -> dict[str, str]:
    return {**os.environ, **_PATIENCE, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


def _started_again(process: Process, start: Callable[[], Process], deadline: float, log: Path) -> Process:
    """Starts another process if this one has ended: Ray gives a node half a minute to start, which may be too
    little on a busy machine."""
    assert time.monotonic() < deadline, log.read_text()
    return process if process.poll() is None else start()


def _nodes(head: RayHead, *, is_head: bool = False) -> set[str]:
    """Ids of the nodes that are alive, or of the head alone."""
    with head.http() as http:
        found = http.get("/api/v0/nodes").json()["data"]["result"]["result"]
    alive = [node for node in found if node["state"] == "ALIVE"]
    return {node["node_id"] for node in alive if node["is_head_node"] or not is_head}


def _with_dashboard(head: RayHead, process: Process, start: Callable[[], Process]) -> Process:
    deadline = time.monotonic() + _START_SECONDS
    with head.http() as http:
        while True:
            process = _started_again(process, start, deadline, head.log)
            try:
                if http.get("/api/serve/applications/").is_success:
                    return process
            except httpx2.TransportError:
                pass
            time.sleep(0.2)  # The dashboard signals readiness only by answering.


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:  # `ray start --block` ends the others before it ends itself.
        return
    processes = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=10)
    for survivor in alive:
        survivor.kill()
    psutil.wait_procs(alive, timeout=5)
    process.wait()
