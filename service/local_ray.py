"""The Ray that `tunery up` starts on this machine: its command, its environment and its temporary folder."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from service.log_rotation import BACKUP_COUNT, MAX_LOG_BYTES, archive_ray_logs

_FOLDERS = Path("/tmp")  # noqa: S108 - sockets below it need short paths
_PREFIX = "tunery-ray-"
_KILL_SECONDS = 3.0
_FOLDER_VARIABLE = "TUNERY_RAY_FOLDER"
_NO_REPORTS = ("VLLM_NO_USAGE_STATS", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK")


@dataclass(frozen=True, slots=True)
class RayPorts:
    gcs: int
    dashboard: int
    dashboard_agent: int
    dashboard_agent_grpc: int
    runtime_env_agent: int
    metrics: int
    client: int


def ray_command(ports: RayPorts, folder: Path) -> list[str]:
    """Starts a head node that runs in the foreground and listens on loopback only."""
    return [
        str(Path(sys.executable).with_name("ray")),
        *("start", "--head", "--block", "--disable-usage-stats"),
        # The monitor is the autoscaler, and there are no nodes to add. The log monitor would copy the logs of
        # workers into those of their drivers.
        *("--no-monitor", "--include-log-monitor", "false"),
        *("--node-ip-address", "127.0.0.1", "--dashboard-host", "127.0.0.1"),
        *("--port", str(ports.gcs), "--dashboard-port", str(ports.dashboard)),
        *("--dashboard-agent-listen-port", str(ports.dashboard_agent)),
        # A node stops if an agent that must report its port does not start within 15 seconds.
        *("--dashboard-agent-grpc-port", str(ports.dashboard_agent_grpc)),
        *("--runtime-env-agent-port", str(ports.runtime_env_agent)),
        *("--metrics-export-port", str(ports.metrics), "--ray-client-server-port", str(ports.client)),
        *("--min-worker-port", "0", "--max-worker-port", "0"),
        # Logical CPUs: training workers and serving replicas share the real ones.
        *("--num-cpus", str(_cores() + 2), "--object-store-memory", str(256 * 2**20)),
        *("--temp-dir", str(folder)),
    ]


def ray_environment(
    inherited: Mapping[str, str], shared: Mapping[str, str], folder: Path, *, training_slots: int
) -> dict[str, str]:
    """Returns `inherited`, overridden by `shared`, with what Ray, its workers and its replicas need. `folder`
    is Ray's temporary folder. The database's URL is left out, because the cluster must not reach the
    database."""
    return {
        **{name: value for name, value in inherited.items() if name != "TUNERY_DATABASE_URL"},
        **shared,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}",
        # Training processes that run at the same time share the cores; idle threads yield them to serving.
        "TUNERY_WORKER_CPUS": inherited.get("TUNERY_WORKER_CPUS", str(max(1, _cores() // training_slots))),
        "OMP_WAIT_POLICY": "PASSIVE",
        # The size of one of Ray's log files, in bytes, and how many older ones are kept.
        "RAY_ROTATION_MAX_BYTES": inherited.get("RAY_ROTATION_MAX_BYTES", str(MAX_LOG_BYTES)),
        "RAY_ROTATION_BACKUP_COUNT": inherited.get("RAY_ROTATION_BACKUP_COUNT", str(BACKUP_COUNT)),
        # Compute processes lower their own priority, because a runner's heartbeats must still get through.
        "RAY_worker_niceness": "0",
        # A worker's own processes end with it, even if it is killed: those of vLLM hold its GPUs.
        "RAY_process_group_cleanup_enabled": "1",
        "TUNERY_ENGINE_LISTEN_HOST": inherited.get("TUNERY_ENGINE_LISTEN_HOST", _listen_host(inherited)),
        # Halves the cost of Ray's object store between Serve's proxy and a replica.
        "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
        # Otherwise Ray replaces 127.0.0.1 by the machine's address and listens on all interfaces, to be ready
        # for a cluster of several machines. Only then can other nodes join this one.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": inherited.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0"),
        # In seconds. On a busy machine, the dashboard may need longer than Ray waits by default.
        "RAY_DASHBOARD_STARTUP_TIMEOUT_S": inherited.get("RAY_DASHBOARD_STARTUP_TIMEOUT_S", "300"),
        # Nothing collects the metrics, and their ports would answer anyone who reaches them.
        "RAY_enable_metrics_collection": "0",
        # Stops vLLM, the hub's client and others from reporting their use.
        **{name: inherited.get(name, "1") for name in _NO_REPORTS},
        # Names the folder in the environment of every process, where it stays even if the process changes its
        # title.
        _FOLDER_VARIABLE: str(folder),
        "SPT_NOENV": "1",
        # There is no other node that could take over during the 30 s of draining.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    }


@contextmanager
def temporary_ray_folder(data: Path) -> Iterator[Path]:
    """Creates Ray's temporary folder. When it is removed, its logs are kept in the data folder. The remains
    of a killed `tunery up` are removed first, including processes: Ray's do not always notice that their
    parent is gone.

    The path is short because Ray puts Unix sockets under it, whose paths may have at most 107 bytes. Ray
    makes the folder readable by everybody, so it is placed inside a private one."""
    record, logs = data / "ray.folder", data / "logs" / "ray"
    if record.exists():
        left = Path(record.read_text().strip())
        if _is_ours(left):
            _end_processes(left)
            _remove(left, logs)
    private = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_FOLDERS))
    record.write_text(f"{private}\n")
    logs.mkdir(parents=True, exist_ok=True)
    now = logs / "now"
    now.unlink(missing_ok=True)
    now.symlink_to(private / "ray" / "session_latest" / "logs")
    try:
        yield private / "ray"
    finally:
        now.unlink(missing_ok=True)
        _remove(private, logs)
        record.unlink(missing_ok=True)


def _is_ours(private: Path) -> bool:
    """Checks the recorded folder: the record may have been cut short, and after a reboot another user may own
    the folder."""
    is_named = private.parent == _FOLDERS and private.name.startswith(_PREFIX)
    return is_named and not private.is_symlink() and private.is_dir() and private.stat().st_uid == os.getuid()


def _end_processes(private: Path) -> None:
    """Ends the processes that have the folder in their command line, as all of Ray's own do, or in their
    environment, as processes started by workers do, whatever their titles."""
    left = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            places = [*process.cmdline(), process.environ().get(_FOLDER_VARIABLE, "")]
            if any(f"{private}/" in place for place in places):
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=_KILL_SECONDS)


def _remove(private: Path, logs: Path) -> None:
    archive_ray_logs(private / "ray", logs)
    shutil.rmtree(private, ignore_errors=True)


def _listen_host(environment: Mapping[str, str]) -> str:
    """The host on which the engine listens. A single replica may be called directly, without Serve's proxy.
    If the settings allow several replicas, none is."""
    several = ("TUNERY_ENGINE_MIN_REPLICAS", "TUNERY_ENGINE_MAX_REPLICAS", "TUNERY_ENGINE_PLACEMENT")
    return "" if any(map(environment.get, several)) else "127.0.0.1"


def _cores() -> int:
    return os.cpu_count() or 1
