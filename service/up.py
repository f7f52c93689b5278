"""All of Tunery on one machine: database, storage, local Ray, scheduler and API under one supervisor.

`up(folder, host, port)` returns when SIGTERM or SIGINT asked it to, after every process it started has
ended. A child that dies is started again. Everything that must survive is in the data folder:

    DIR/tunery.lock    held while `up` runs: one supervisor a folder
    DIR/tunery.db      SQLite, unless TUNERY_DATABASE_URL names another database
    DIR/objects/       files and checkpoints, unless TUNERY_STORAGE_URL names another store
    DIR/admin.key      the first admin key, mode 600, unless TUNERY_API_KEY gave one
    DIR/*.token        secrets between Tunery's own processes, mode 600
    DIR/logs/          one file a process, which is rotated
    DIR/logs/ray/      logs of Ray: job drivers, training workers and serving replicas. `now` leads to those
                       of this run, and a folder for each of the last runs holds theirs
    DIR/ray.folder     where Ray's own files are, while `up` runs
    DIR/cache/         adapters that serving has fetched; may be deleted

All of it is for its owner alone: folders have mode 700, files 600, and so has what Ray keeps in /tmp.
"""

import fcntl
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from service.data_folder import database_url, storage_url
from service.db.api_keys import ApiKeys
from service.db.database import Database
from service.log_rotation import BACKUP_COUNT, MAX_LOG_BYTES, archive_ray_logs
from service.permissions import UMASK, make_private_folder
from service.ports import free_ports
from service.settings import Settings
from service.supervisor import Program, Supervisor


class AlreadyRunning(RuntimeError):
    """Another supervisor holds the data folder."""


class PortTaken(RuntimeError):
    """Another process listens where the API should."""


def up(folder: Path, host: str, port: int, *, say: Callable[[str], None] = print) -> None:
    """Runs Tunery until SIGTERM or SIGINT. Raises AlreadyRunning or PortTaken before anything is started."""
    folder = folder.absolute()
    os.umask(UMASK)
    make_private_folder(folder)
    with _locked(folder), _ray_folder(folder) as ray_folder:
        _check_free(host, port)
        plan = _Plan.make(folder, host, port, ray_folder)
        key_place = _prepare_database(folder, plan.service_environment["TUNERY_DATABASE_URL"])
        say(f"Tunery {plan.base_url}/v1   API key: {key_place}   logs: {folder / 'logs'}")
        with Supervisor(folder / "logs") as supervisor:
            for program in plan.programs(host, port):
                supervisor.start(program)
            supervisor.in_background(lambda: _announce(plan, supervisor, say))
            supervisor.run()
            say("Stopping …")


@dataclass(frozen=True)
class _Plan:
    """What to run and where everything listens; made once, so that a restarted part is found again."""

    base_url: str
    ray_url: str
    ray_token: str
    serving_host: str
    serving_port: int
    internal_port: int
    """Of the API, for runners."""
    ray_argv: list[str]
    ray_environment: dict[str, str]
    service_environment: dict[str, str]

    @staticmethod
    def make(folder: Path, host: str, port: int, ray_folder: Path) -> "_Plan":
        gcs, dashboard, agent, runtime_agent, metrics, client, serving, internal = free_ports(8)
        reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
        base_url = f"http://{reachable}:{port}"
        ray_token = _secret(folder / "ray.token")
        outside = {name: value for name, value in os.environ.items() if name != "TUNERY_API_KEY"}
        shared = {
            "TUNERY_STORAGE_URL": storage_url(folder, outside),
            "TUNERY_CLUSTER_TOKEN": _secret(folder / "cluster.token"),
            "TUNERY_CACHE_DIR": str(folder / "cache"),
            "TUNERY_WARM_BASES": outside.get("TUNERY_WARM_BASES", "tunery-tiny-1"),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": ray_token,
            "PYTHONUNBUFFERED": "1",
        }
        cores = os.cpu_count() or 1
        return _Plan(
            base_url=base_url,
            ray_url=f"http://127.0.0.1:{dashboard}",
            ray_token=ray_token,
            serving_host="127.0.0.1",
            serving_port=serving,
            internal_port=internal,
            ray_argv=[
                str(Path(sys.executable).with_name("ray")),
                *("start", "--head", "--block", "--disable-usage-stats"),
                *("--node-ip-address", "127.0.0.1", "--dashboard-host", "127.0.0.1"),
                *("--port", str(gcs), "--dashboard-port", str(dashboard)),
                *(
                    "--dashboard-agent-listen-port",
                    str(agent),
                    "--runtime-env-agent-port",
                    str(runtime_agent),
                ),
                *("--metrics-export-port", str(metrics), "--ray-client-server-port", str(client)),
                *("--min-worker-port", "0", "--max-worker-port", "0"),
                # Logical CPUs: the training workers and the serving replicas share the real ones.
                *("--num-cpus", str(cores + 2), "--object-store-memory", str(256 * 2**20)),
                *("--temp-dir", str(ray_folder)),
            ],
            ray_environment={
                **{name: value for name, value in outside.items() if name != "TUNERY_DATABASE_URL"},
                **shared,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{outside.get('PATH', '')}",
                # One job trains at a time, with all cores; what waits leaves them to serving.
                "TUNERY_WORKER_CPUS": outside.get("TUNERY_WORKER_CPUS", str(cores)),
                "OMP_WAIT_POLICY": "PASSIVE",
                # What is told of one file, in bytes, and how many older ones beside it.
                "RAY_ROTATION_MAX_BYTES": outside.get("RAY_ROTATION_MAX_BYTES", str(MAX_LOG_BYTES)),
                "RAY_ROTATION_BACKUP_COUNT": outside.get("RAY_ROTATION_BACKUP_COUNT", str(BACKUP_COUNT)),
                # Beside what computes, and makes itself nice, a runner must be heard of.
                "RAY_worker_niceness": "0",
                "TUNERY_ENGINE_LISTEN_HOST": outside.get("TUNERY_ENGINE_LISTEN_HOST", _listen_host(outside)),
                # Half of what Ray's object store costs between Serve's proxy and a replica.
                "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
                # Ray takes 127.0.0.1 for the machine's own address, and listens everywhere, unless told that
                # this is no machine for a cluster of several.
                "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
                # Nobody collects them, and their ports would answer anybody who reaches them.
                "RAY_enable_metrics_collection": "0",
                # The only node: nothing could take over what it would drain for 30 s.
                "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
            },
            service_environment={
                **outside,
                **shared,
                "TUNERY_DATABASE_URL": database_url(folder, outside),
                "TUNERY_RAY_URL": f"http://127.0.0.1:{dashboard}",
                "TUNERY_SERVING_URL": f"http://127.0.0.1:{serving}",
                "TUNERY_SERVICE_URL": f"http://127.0.0.1:{internal}",
            },
        )

    def programs(self, host: str, port: int) -> list[Program]:
        listening = ("--host", host, "--port", str(port), "--internal-port", str(self.internal_port))
        api = _python("service.api", *listening)
        return [
            Program("ray", self.ray_argv, self.ray_environment, after_start=self.deploy_serving),
            Program("scheduler", _python("service.scheduling"), self.service_environment),
            Program("api", api, self.service_environment),
        ]

    def deploy_serving(self, ended: threading.Event) -> None:
        """Declares the Serve applications to Ray, as soon as its dashboard answers."""
        config: dict[str, Any] = {
            "proxy_location": "HeadOnly",
            "http_options": {"host": self.serving_host, "port": self.serving_port},
            "applications": [
                {
                    "name": name,
                    "route_prefix": f"/{name}",
                    "import_path": f"cluster.serving.deployment:{name}_app",
                }
                for name in ("engine", "datasets")
            ],
        }
        headers = {"Authorization": f"Bearer {self.ray_token}"}
        with httpx2.Client(base_url=self.ray_url, headers=headers, timeout=60, trust_env=False) as http:
            while not ended.is_set():
                with suppress(httpx2.TransportError):
                    if http.put("/api/serve/applications/", json=config).is_success:
                        return
                ended.wait(0.3)


def _listen_host(environment: Mapping[str, str]) -> str:
    """A lone replica of engines may be asked itself; which it is, unless the environment has other plans."""
    plans = ("TUNERY_ENGINE_MIN_REPLICAS", "TUNERY_ENGINE_MAX_REPLICAS", "TUNERY_ENGINE_PLACEMENT")
    return "" if any(map(environment.get, plans)) else "127.0.0.1"


def _announce(plan: _Plan, supervisor: Supervisor, say: Callable[[str], None]) -> None:
    with httpx2.Client(timeout=5, trust_env=False) as http:
        while not supervisor.stopping.is_set():
            with suppress(httpx2.TransportError):
                if http.get(f"{plan.base_url}/readyz").status_code == 200:
                    say("Ready.")
                    return
            supervisor.stopping.wait(0.3)


def _prepare_database(folder: Path, database_url: str) -> str:
    """Migrates the database and makes sure of an admin key; returns where its owner finds it."""
    organization = Settings().organization
    database = Database(database_url)
    try:
        database.migrate()
        given = os.environ.get("TUNERY_API_KEY")
        path = folder / "admin.key"
        with database.write() as session:
            if given or path.exists():
                ApiKeys(session).ensure_admin(given or path.read_text().strip(), organization=organization)
                if given and path.exists():
                    return f"as given by TUNERY_API_KEY, in the place of {path}"
                return "as given by TUNERY_API_KEY" if given else str(path)
            key = ApiKeys(session).ensure_admin(None, organization=organization)
            _write_secret(path, key)
        return f"{key} (also in {path})"
    finally:
        database.close()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "tunery.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise AlreadyRunning(
                f"{folder} is in use by another `tunery up` (process {holder}). "
                "Stop it, or give another --data."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def _ray_folder(folder: Path) -> Iterator[Path]:
    """Ray's temporary folder, whose logs are kept when it goes. One that a killed `up` left behind goes
    first.

    Its path is short: Ray puts Unix sockets under it, whose names may have 107 bytes. Ray opens it to
    everybody, but not the folder around it.
    """
    note, logs = folder / "ray.folder", folder / "logs" / "ray"
    if note.exists():
        _remove_ray_folder(Path(note.read_text().strip()), logs)
    around = Path(tempfile.mkdtemp(prefix="tunery-ray-", dir="/tmp"))
    note.write_text(f"{around}\n")
    logs.mkdir(parents=True, exist_ok=True)
    now = logs / "now"
    now.unlink(missing_ok=True)
    now.symlink_to(around / "ray" / "session_latest" / "logs")
    try:
        yield around / "ray"
    finally:
        now.unlink(missing_ok=True)
        _remove_ray_folder(around, logs)
        note.unlink(missing_ok=True)


def _remove_ray_folder(around: Path, logs: Path) -> None:
    # After a restart of the machine the name may be another user's.
    if around.is_symlink() or not around.is_dir() or around.stat().st_uid != os.getuid():
        return
    archive_ray_logs(around / "ray", logs)
    shutil.rmtree(around, ignore_errors=True)


def _secret(path: Path) -> str:
    if not path.exists():
        _write_secret(path, secrets.token_hex(32))
    return path.read_text().strip()


def _write_secret(path: Path, value: str) -> None:
    """Whole or not at all, and readable by its owner alone from the first byte on."""
    partial = path.with_suffix(path.suffix + ".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(value + "\n")
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"cannot listen on {host}:{port}: {error.strerror}. Give another --port."
            ) from error


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]
