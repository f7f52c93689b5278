"""A complete Tunery, started the way users start it."""

import json
import os
import secrets
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
from openai import OpenAI

from service.ports import free_ports

BASE = "tunery-tiny-1"
ENCODER = "bert"
ABSENT = "absent"
"""Model that exists only in the catalogue."""
READY_SECONDS = 600
TUNERY = Path(sys.executable).with_name("tunery")


@dataclass(frozen=True)
class Tunery:
    """A running `tunery up`."""

    folder: Path
    port: int
    key: str
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options: object) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=self.key, **{"max_retries": 8, **options})

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def find(self, module: str) -> psutil.Process | None:
        """The process that runs `python -m <module>`; None if there is none."""
        for process in self.descendants():
            with suppress(psutil.NoSuchProcess):
                command = process.cmdline()
                if "-m" in command and module in command and "python" in Path(command[0]).name:
                    return process
        return None

    def wait_ready(self) -> None:
        await_true(
            lambda: self.process.poll() is not None or self._is_ready(), READY_SECONDS, "readyz is 200"
        )
        assert self.process.poll() is None, f"{self.process.communicate()[0]}\nLogs: {self.folder / 'logs'}"

    def _is_ready(self) -> bool:
        with suppress(httpx2.TransportError):
            return httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        return False


def up(folder: Path, port: int) -> list[str]:
    """The README's command, with this folder and port."""
    return [str(TUNERY), "up", "--data", str(folder), "--port", str(port)]


@contextmanager
def running(
    folder: Path, *, port: int | None = None, key: str | None = None, **environment: str
) -> Iterator[Tunery]:
    """Starts `tunery up`, waits until it is ready, stops it, and checks that it leaves nothing behind. A test
    may kill it before that."""
    key = key or secrets.token_hex(16)
    port = port or free_ports(1)[0]
    with started(up(folder, port), {**os.environ, **environment, "TUNERY_API_KEY": key}) as process:
        tunery = Tunery(folder, port, key, process)
        tunery.wait_ready()
        yield tunery
    if process.returncode == 0:
        check_kept_logs(folder, key)


@contextmanager
def running_with_its_own_key(command: list[str], **environment: str) -> Iterator[Tunery]:
    """The same with a command like the README's, without a key: Tunery generates one, prints it once, and
    stores it in a private file."""
    folder = Path(command[command.index("--data") + 1])
    port = int(command[command.index("--port") + 1])
    inherited = {name: value for name, value in os.environ.items() if name != "TUNERY_API_KEY"}
    with started(command, {**inherited, **environment}) as process:
        assert process.stdout
        said = process.stdout.readline()
        path = folder / "admin.key"
        key = path.read_text().strip()
        assert key in said
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        tunery = Tunery(folder, port, key, process)
        tunery.wait_ready()
        yield tunery
    check_kept_logs(folder, key)


@contextmanager
def started(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Runs a process. At the end, SIGTERM must end it successfully within 15 seconds, with all its
    descendants, unless the test has killed it."""
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        is_up = process.poll() is None
        descendants = psutil.Process(process.pid).children(recursive=True) if is_up else []
        began = time.monotonic()
        process.terminate()
        if is_up:
            process.communicate(timeout=30)
        seconds = time.monotonic() - began
        _, alive = psutil.wait_procs(descendants, timeout=0.5)
        for left in alive:
            left.kill()
    assert not alive, alive
    assert seconds < 15
    assert process.returncode == (0 if is_up else -signal.SIGKILL)


def check_kept_logs(folder: Path, key: str) -> None:
    """Checks that Ray's logs are kept and contain no secret, and that its temporary folder is gone."""
    kept = list((folder / "logs" / "ray").glob("session_*/**/*"))
    names = {path.name for path in kept}
    assert any(name.startswith("replica_engine") for name in names), names
    assert any(name.startswith("worker-") for name in names), names
    assert not (folder / "ray.folder").exists()
    secret_values = [key, *(path.read_text().strip() for path in folder.glob("*.token"))]
    for path in [*kept, *(folder / "logs").glob("*.log")]:
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secret_values), path


def await_true(holds: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def jsonl(count: int, *, first: int = 0) -> bytes:
    """Short chats that follow a rule to learn: an order number becomes a sentence."""
    lines = []
    for number in range(first, first + count):
        messages = [
            {"role": "user", "content": f"order {number} qty {number % 7 + 1}"},
            {"role": "assistant", "content": f"Order {number} holds {number % 7 + 1} pieces."},
        ]
        lines.append(json.dumps({"messages": messages}))
    return "\n".join(lines).encode() + b"\n"
