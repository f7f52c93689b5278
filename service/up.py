"""All of Tunery on one machine: database, storage, local Ray, scheduler and API under one supervisor.

`up(folder, host, port)` returns after SIGTERM or SIGINT, when every process that it started has ended. A
child that dies is restarted. Everything that must survive is in the data folder:

    DIR/tunery.lock    held while `up` runs, so that a folder has one supervisor
    DIR/tunery.db      SQLite, unless TUNERY_DATABASE_URL names another database
    DIR/catalogue.toml the base models on offer, unless TUNERY_CATALOGUE names another file
    DIR/objects/       files and checkpoints, unless TUNERY_STORAGE_URL names another store
    DIR/admin.key      the operator's key, mode 600, unless TUNERY_API_KEY is set
    DIR/server.url     the API's base URL, while `up` runs, for commands with `--data DIR`
    DIR/*.token        secrets that Tunery's own processes share, mode 600
    DIR/logs/          one log file for each process, with rotation
    DIR/logs/ray/      Ray's logs: job drivers, training workers and serving replicas. `now` links to those of
                       the current run; each of the last runs has a folder
    DIR/ray.folder     path of Ray's temporary folder, while `up` runs
    DIR/cache/         adapters that serving has downloaded; may be deleted
    DIR/vllm/          the environment of vLLM, which `tunery vllm install` makes, unless TUNERY_VLLM_PYTHON
                       names another interpreter

Only its owner can read any of it: folders have mode 700 and files 600, as do Ray's in /tmp.
"""

import fcntl
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from pydantic import TypeAdapter

from cluster.bases.catalogue import load_catalogue
from cluster.contracts.errors import Unavailable
from cluster.contracts.serving_plan import ServingPool
from cluster.nvidia_driver import cuda_of_torch, least_driver
from cluster.planning.serving_settings import ServingSettings
from service.data_folder import catalogue_path, create_catalogue, database_url, storage_url
from service.db.database import Database
from service.db.organization.api_keys import ApiKeys
from service.db.scheduler.attempts import put_back_all
from service.local_devices import LocalDevices, divide_devices, driver_version, gpu_bytes
from service.local_ray import RayPorts, ray_command, ray_environment, temporary_ray_folder
from service.permissions import UMASK, make_private_folder, write_private_file
from service.ports import free_ports
from service.server_url import published_url
from service.settings import Settings, checked_settings
from service.supervisor import Program, Supervisor
from service.vllm_environment import vllm_python

_POOLS = TypeAdapter(tuple[ServingPool, ...])
_PACKAGED_BASE = "tunery-tiny-1"
_JOBS_API_VARIABLE = "RAY_AUTH_TOKEN"
_VLLM_SERVICE = {"TUNERY_MAX_RUNNING_CHOICES": "512"}
"""The service's defaults if vLLM serves, which runs many more sequences at once."""


class AlreadyRunning(RuntimeError):
    """Another supervisor uses the data folder."""


class PortTaken(RuntimeError):
    """Another process listens on the API's port."""


def up(folder: Path, host: str, port: int, *, say: Callable[[str], None] = print) -> None:
    """Runs Tunery until SIGTERM or SIGINT. Before starting anything, raises InvalidConfiguration for settings
    with which no process could start, AlreadyRunning or PortTaken."""
    settings = checked_settings()
    ServingSettings.read()
    folder = folder.absolute()
    os.umask(UMASK)
    make_private_folder(folder)
    if "TUNERY_CATALOGUE" not in os.environ:
        create_catalogue(catalogue_path(folder))
        load_catalogue(catalogue_path(folder))
    with _locked(folder), temporary_ray_folder(folder) as ray_folder:
        _check_free(host, port)
        plan = _Plan.make(folder, host, port, ray_folder)
        key_place = _prepare_database(folder, plan.service_environment["TUNERY_DATABASE_URL"])
        say(f"Tunery {plan.base_url}/v1   API key: {key_place}   logs: {folder / 'logs'}")
        if settings.dashboard:
            say(f"Dashboard {plan.base_url}/")
        for line in plan.remarks(folder):
            say(line)
        with published_url(folder, f"{plan.base_url}/v1"), Supervisor(folder / "logs") as supervisor:
            for program in plan.programs(host, port):
                supervisor.start(program)
            supervisor.in_background(lambda: _announce(plan, supervisor, say))
            supervisor.run()
            say("Stopping …")
        # Nothing is running any more, and a requested stop is not a fault of the jobs that were running.
        _put_back_jobs(plan.service_environment["TUNERY_DATABASE_URL"])


@dataclass(frozen=True)
class _Plan:
    """The programs to run and the addresses on which they listen. Made once, so that restarted programs keep
    them."""

    base_url: str
    ray_url: str
    ray_token: str
    devices: LocalDevices
    serving_host: str
    serving_port: int
    internal_port: int
    """The API's port for runners."""
    ray_argv: list[str]
    ray_environment: dict[str, str]
    service_environment: dict[str, str]

    @staticmethod
    def make(folder: Path, host: str, port: int, ray_folder: Path) -> "_Plan":
        serving, internal, *of_ray = free_ports(9)
        ray_ports = RayPorts(*of_ray)
        reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
        ray_token = _secret(folder / "ray.token")
        inherited = {name: value for name, value in os.environ.items() if name != "TUNERY_API_KEY"}
        shared = {
            "TUNERY_STORAGE_URL": storage_url(folder, inherited),
            "TUNERY_CLUSTER_TOKEN": _secret(folder / "cluster.token"),
            "TUNERY_CATALOGUE": str(catalogue_path(folder, inherited)),
            "TUNERY_CACHE_DIR": str(folder / "cache"),
            "TUNERY_WARM_BASES": inherited.get("TUNERY_WARM_BASES", _warm_bases(folder, inherited)),
            "RAY_AUTH_MODE": "token",
            _JOBS_API_VARIABLE: ray_token,
            "PYTHONUNBUFFERED": "1",
        }
        ray_url = f"http://127.0.0.1:{ray_ports.dashboard}"
        devices = divide_devices(inherited, gpu_bytes(inherited), workers=Settings().training_slots)
        if devices.serving:
            shared |= {
                "TUNERY_SERVING_POOLS": _POOLS.dump_json(devices.serving).decode(),
                "TUNERY_VLLM_PYTHON": inherited.get("TUNERY_VLLM_PYTHON") or str(vllm_python(folder)),
            }
        return _Plan(
            base_url=f"http://{reachable}:{port}",
            ray_url=ray_url,
            ray_token=ray_token,
            devices=devices,
            serving_host="127.0.0.1",
            serving_port=serving,
            internal_port=internal,
            ray_argv=ray_command(ray_ports, ray_folder),
            ray_environment=ray_environment(
                inherited, shared, ray_folder, training_slots=int(devices.training["TUNERY_TRAINING_SLOTS"])
            ),
            service_environment={
                **(_VLLM_SERVICE if devices.serving else {}),
                **inherited,
                **shared,
                "TUNERY_DATABASE_URL": database_url(folder, inherited),
                **devices.training,
                "TUNERY_GPU_SHARING": devices.sharing,
                "TUNERY_RAY_URL": ray_url,
                "TUNERY_SERVING_URL": f"http://127.0.0.1:{serving}",
                "TUNERY_SERVICE_URL": f"http://127.0.0.1:{internal}",
            },
        )

    def programs(self, host: str, port: int) -> list[Program]:
        listening = ("--host", host, "--port", str(port), "--internal-port", str(self.internal_port))
        api = _python("service.api", *listening)
        # Whoever has Ray's token can run any command; the API does not need it.
        of_api = {
            name: value for name, value in self.service_environment.items() if name != _JOBS_API_VARIABLE
        }
        return [
            Program("ray", self.ray_argv, self.ray_environment, after_start=self.deploy_serving),
            Program("scheduler", _python("service.scheduling"), self.service_environment),
            Program("api", api, of_api),
        ]

    def deploy_serving(self, ended: threading.Event) -> None:
        """Declares the Serve applications to Ray as soon as its dashboard answers."""
        config: dict[str, Any] = {
            "proxy_location": "HeadOnly",
            "http_options": {"host": self.serving_host, "port": self.serving_port},
            "applications": [
                {
                    "name": name,
                    "route_prefix": f"/{name}",
                    "import_path": f"cluster.serving.deployment:{name}_app",
                    **({"deployments": [self._engine()]} if name == "engine" else {}),
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

    def _engine(self) -> dict[str, Any]:
        options = {"num_cpus": 0.5, "num_gpus": self.devices.engine_gpus}
        return {"name": "engine", "ray_actor_options": options}

    def remarks(self, folder: Path) -> Iterator[str]:
        """Remarks about this machine's GPUs that a person should know."""
        if self.devices.serving or self.service_environment["TUNERY_TRAINING_DEVICE"] == "cuda":
            yield from driver_remarks(driver_version(), cuda_of_torch())
        if not self.devices.serving:
            return
        count = sum(pool.all_devices for pool in self.devices.serving if pool.kind == "cuda")
        python = Path(self.ray_environment["TUNERY_VLLM_PYTHON"])
        trains_on = self.service_environment["TUNERY_TRAINING_SLOTS"]
        if self.devices.sharing == "off":
            yield f"GPUs: {count} for serving; training slots: {trains_on}."
        else:
            yield f"GPUs: {count}, which jobs and models use in turn ({self.devices.sharing})."
        if not python.exists():
            yield (
                "vLLM is not installed, so that models of more than 1 GB cannot be served: run "
                f"`tunery vllm install --data {folder}`."
            )


def driver_remarks(driver: int | None, cuda: str | None) -> Iterator[str]:
    """`driver` is the major version of NVIDIA's driver, and `cuda` the version for which torch is built."""
    least = least_driver(cuda) if cuda else None
    if driver and least and driver < least:
        yield (
            f"NVIDIA's driver is too old for torch: it is version {driver}, and CUDA {cuda} needs {least} or "
            "newer. Until it is updated, every job and every model on GPUs fails."
        )


def _announce(plan: _Plan, supervisor: Supervisor, say: Callable[[str], None]) -> None:
    with httpx2.Client(timeout=5, trust_env=False) as http:
        while not supervisor.stopping.is_set():
            with suppress(httpx2.TransportError):
                if http.get(f"{plan.base_url}/readyz").status_code == 200:
                    say("Ready.")
                    return
            supervisor.stopping.wait(0.3)


def _prepare_database(folder: Path, database_url: str) -> str:
    """Migrates the database and ensures an admin key. Returns where the operator finds the key."""
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
            write_private_file(path, key)
        return f"{key} (also in {path})"
    finally:
        database.close()


def _put_back_jobs(database_url: str) -> None:
    """Puts all running jobs back into the queue. If the database does not answer, their attempts will seem
    lost at the next start."""
    database = Database(database_url)
    try:
        with suppress(Unavailable), database.write() as session:
            put_back_all(session)
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


def _warm_bases(folder: Path, environment: Mapping[str, str]) -> str:
    """The packaged base, unless it was removed from the catalogue: no replica starts with a base that is not
    offered."""
    path = catalogue_path(folder, environment)
    return _PACKAGED_BASE if not path.exists() or _PACKAGED_BASE in load_catalogue(path) else ""


def _secret(path: Path) -> str:
    if not path.exists():
        write_private_file(path, secrets.token_hex(32))
    return path.read_text().strip()


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
