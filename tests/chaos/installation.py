"""The installation for chaos: `tunery up` on PostgreSQL and S3, each behind a proxy that can fail, two more
Ray nodes, and a second scheduler. A killed part is restarted by whatever keeps it up: by the supervisor, or
by this module in place of the operator who runs the nodes and the supervisor."""

import os
import random
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psutil
from openai import OpenAI
from sqlalchemy import make_url

from service.ports import free_ports
from tests.chaos.tcp_proxy import TcpProxy, tcp_proxy
from tests.databases import migrated_database, postgres_server
from tests.e2e.server import READY_SECONDS, TUNERY, await_true
from tests.faulty_proxy import Answer, CutAfter, Fault, FaultyProxy, faulty_proxy
from tests.ray_head import start_node
from tests.s3_servers import S3Endpoint, rclone_server

HEARTBEAT_SECONDS, GRACE_SECONDS, LEADER_SECONDS = 8, 4, 3
_WHOLE_SECONDS = 2 * READY_SECONDS
NODES = 2
"""Number of nodes in addition to the head. Each has room for one worker, and so does the head."""
SETTINGS = {
    "TUNERY_TRAINING_SLOTS": str(NODES + 1),
    "TUNERY_TRAINING_DEVICE": "cpu",
    "TUNERY_TRAINING_POOLS": (
        f'[{{"name": "cpu", "kind": "cpu", "nodes": {NODES + 1}, "devices": 1, "host_bytes": "8GB"}}]'
    ),
    "TUNERY_WORKER_CPUS": "1",
    "TUNERY_HEARTBEAT_TIMEOUT_SECONDS": str(HEARTBEAT_SECONDS),
    "TUNERY_HEARTBEAT_GRACE_SECONDS": str(GRACE_SECONDS),
    "TUNERY_LEADER_LEASE_SECONDS": str(LEADER_SECONDS),
    "TUNERY_STOP_GRACE_SECONDS": "1",
    # The test is whether jobs survive, not when they are given up.
    "TUNERY_MAX_ATTEMPTS": "1000",
    "TUNERY_RETRY_SECONDS": "0.5",
    "TUNERY_MAX_RETRY_SECONDS": "3",
    "TUNERY_MAX_PUBLISH_RETRY_SECONDS": "3",
    # Unneeded objects are deleted at once, while everything is running.
    "TUNERY_SWEEP_INTERVAL_SECONDS": "20",
    "TUNERY_SWEEP_GRACE_SECONDS": "0",
    "TUNERY_SUPERSEDED_SECONDS": "0",
    "TUNERY_RESUME_STATE_SECONDS": "0",
    "TUNERY_DASHBOARD": "false",
    # `tunery up` has only one node, unless Ray is told that there may be others.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
}


@dataclass
class ShakyStore:
    """How the proxy in front of the store treats requests."""

    rng: random.Random
    error_share: float = 0.0
    cut_share: float = 0.0
    seconds: float = 0.0
    """The highest latency in seconds."""
    is_full: bool = False

    def fault(self, method: str, _path: str) -> Fault:
        time.sleep(self.rng.random() * self.seconds)
        if self.is_full and method in ("PUT", "POST"):
            return Answer(507)
        drawn = self.rng.random()
        if drawn < self.error_share:
            return Answer(503)
        return CutAfter(self.rng.randrange(100)) if drawn < self.error_share + self.cut_share else None


@dataclass(frozen=True)
class Node:
    """A Ray node other than the head."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    @property
    def has_joined(self) -> bool:
        return "Ray runtime started" in self.log.read_text()


@dataclass
class Installation:
    folder: Path
    port: int
    key: str
    database_url: str
    """URL of the database server itself, bypassing the proxy, for the auditor."""
    environment: Mapping[str, str]
    database: TcpProxy
    endpoint: S3Endpoint
    """The S3 server itself, bypassing the proxy, for the auditor."""
    store: ShakyStore
    process: subprocess.Popen[bytes] | None = None
    second_scheduler: subprocess.Popen[bytes] | None = None
    ray_url: str = ""
    """URL of the Ray that the second scheduler uses."""
    nodes: list[Node] = field(default_factory=list)
    num_nodes: int = 0
    """Number of nodes that have been started."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: object) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=self.key, **{"max_retries": 0, **options})

    def start(self) -> None:
        """Starts every process that is not running."""
        self._start_services()
        # The processes may be about to end or to start.
        with suppress(psutil.NoSuchProcess, StopIteration):
            self._start_second_scheduler()
        with suppress(psutil.NoSuchProcess, ValueError):
            self._start_nodes()

    def start_whole(self) -> None:
        """Starts everything and waits for it. Nodes that look for a head too early would only use up its CPU
        time."""
        self._start_services()
        await_true(self._is_ready, _WHOLE_SECONDS, "the API is ready")

        def is_whole() -> bool:
            self.start()
            return self.is_whole()

        await_true(is_whole, _WHOLE_SECONDS, "all nodes stand")

    def processes(self) -> list[psutil.Process]:
        """All processes that run for the installation."""
        found = []
        for root in self._roots():
            with suppress(psutil.NoSuchProcess):
                if root.poll() is None:
                    top = psutil.Process(root.pid)
                    found += [top, *top.children(recursive=True)]
        return found

    def find(self, name: str) -> list[psutil.Process]:
        """Processes with `name` in their command line."""
        found = []
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if name in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def is_whole(self) -> bool:
        """Whether the API is ready and all nodes are alive."""
        joined = [node for node in self.nodes if node.runs and node.has_joined]
        return len(joined) == NODES and self._is_ready()

    def _start_services(self) -> None:
        if self.process is None or self.process.poll() is not None:
            command = [str(TUNERY), "up", "--data", str(self.folder / "data"), "--port", str(self.port)]
            self.process = self._run(command, self.environment, "up")

    def _is_ready(self) -> bool:
        with suppress(httpx2.TransportError):
            return httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        return False

    def stop(self) -> list[str]:
        """Ends everything in order. Returns the command lines of processes that were left behind."""
        running = self.processes()
        for root in self._roots():
            root.terminate()
            with suppress(subprocess.TimeoutExpired):
                root.wait(30)
        _, alive = psutil.wait_procs(running, timeout=5)
        left = set(alive) | set(self._marked())
        lines = []
        for process in left:
            with suppress(psutil.NoSuchProcess):
                lines.append(" ".join(process.cmdline())[:200])
                process.kill()
        return lines

    def _roots(self) -> list[subprocess.Popen[bytes]]:
        """Processes that were started here, in the order in which they can end."""
        roots = (self.second_scheduler, *(node.process for node in self.nodes), self.process)
        return [root for root in roots if root is not None]

    def _marked(self) -> Iterator[psutil.Process]:
        """Processes of this installation, whatever their parent is now."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("CHAOS_FOLDER") == str(self.folder):
                    yield process

    def _start_second_scheduler(self) -> None:
        """Starts a scheduler like the first one. After a restart of everything, that one has another Ray."""
        second = self.second_scheduler
        first = next(
            one for one in self.find("service.scheduling") if second is None or one.pid != second.pid
        )
        environment = first.environ()
        is_up = second is not None and second.poll() is None
        if second is not None and is_up and self.ray_url != environment["TUNERY_RAY_URL"]:
            second.kill()
            second.wait()
            is_up = False
        if not is_up:
            self.ray_url = environment["TUNERY_RAY_URL"]
            self.second_scheduler = self._run(first.cmdline(), environment, "scheduler-2")

    def _start_nodes(self) -> None:
        """Starts the nodes one after the other: nodes on one machine that start at the same time choose the
        same sockets."""
        self.nodes = [node for node in self.nodes if node.runs]
        is_joining = not all(node.has_joined for node in self.nodes)
        if len(self.nodes) == NODES or is_joining or not self.find("gcs_server"):
            return
        (head, *_) = self.find("--head")
        command = head.cmdline()
        address = f"127.0.0.1:{command[command.index('--port') + 1]}"
        self.num_nodes += 1
        log = self.folder / f"node-{self.num_nodes}.log"
        self.nodes.append(Node(start_node(address, head.environ(), log, num_cpus=1), log))

    def _run(self, command: list[str], environment: Mapping[str, str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, env=dict(environment), stdout=log, stderr=log)


@contextmanager
def installed(folder: Path, seed: int) -> Iterator[Installation]:
    """Prepares the installation without starting it. The caller has to stop it after starting it."""
    with ExitStack() as stack:
        server = stack.enter_context(postgres_server())
        database_url = stack.enter_context(migrated_database(server))
        direct = make_url(database_url)
        socket = Path(str(direct.query["host"])) / ".s.PGSQL.5432"
        database = stack.enter_context(tcp_proxy(socket))
        endpoint = stack.enter_context(rclone_server(folder / "s3"))
        store = ShakyStore(random.Random(seed))
        proxy: FaultyProxy = stack.enter_context(faulty_proxy(endpoint.url))
        proxy.fault = store.fault
        key = secrets.token_hex(16)
        proxied = direct.set(host="127.0.0.1", port=database.port, query={})
        environment = {
            **os.environ,
            **endpoint.environment,
            **SETTINGS,
            "TUNERY_STORAGE_ENDPOINT": proxy.url,
            "TUNERY_STORAGE_URL": f"s3://{endpoint.bucket}/tunery",
            "TUNERY_DATABASE_URL": proxied.render_as_string(hide_password=False),
            "TUNERY_API_KEY": key,
            "CHAOS_FOLDER": str(folder),
        }
        yield Installation(
            folder, free_ports(1)[0], key, database_url, environment, database, endpoint, store
        )
