"""The runner's side of a tracker's process."""

import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from cluster.contracts.integrations import TrackerReport, TrackerType
from cluster.tracking.messages import Ended, Message, Problem, Started, TrackedRun, reply_adapter

MOST_WAITING = 20_000
"""Number of messages that may wait for a slow tracker before it is given up. They amount to minutes of very
short steps."""
COMMAND = (sys.executable, "-m", "cluster.tracking")
_SHARED_VARIABLES = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "LD_LIBRARY_PATH"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
_OWN_PREFIXES: dict[TrackerType, tuple[str, ...]] = {
    "wandb": ("WANDB_",),
    "mlflow": ("MLFLOW_",),
    "trackio": ("TRACKIO_", "HF_"),
}


class TrackerProcess:
    """Feeds one tracker. Only `wait` waits for it, and no method raises because of it."""

    def __init__(
        self,
        run: TrackedRun,
        scratch: Path,
        environment: Mapping[str, str],
        *,
        command: Sequence[str] = COMMAND,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """`scratch` is a folder for temporary files. `environment` contains the keys."""
        self.tracker = run.tracker.type
        self._reports: queue.SimpleQueue[TrackerReport] = queue.SimpleQueue()
        self._waiting: queue.Queue[str] = queue.Queue(most_waiting)
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=tracker_environment(run.tracker.type, environment) | {"TMPDIR": str(scratch)},
            )
        except OSError as error:
            self._give_up(f"Its process cannot be started ({error.strerror}).")
            return
        self._waiting.put(run.model_dump_json())
        for work in (self._write, self._read):
            threading.Thread(target=work, args=(self._process,), daemon=True).start()

    def send(self, message: Message) -> None:
        """Never waits: a tracker that takes messages too slowly is given up."""
        if self._over.is_set():
            return
        try:
            self._waiting.put_nowait(message.model_dump_json())
        except queue.Full:
            self._give_up("It takes the metrics too slowly.")

    def reports(self) -> list[TrackerReport]:
        """Returns the reports since the last call."""
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._reports.get_nowait())
        return found

    def wait(self, seconds: float) -> bool:
        """Returns whether, within that time, the tracker has received everything or was given up."""
        return self._over.wait(seconds)

    def stop(self, reason: str | None = None) -> None:
        """Ends the process at once. If it had not finished, `reason` is reported as its problem."""
        if reason is not None:
            self._give_up(reason)
        self._over.set()
        self._kill()

    def _give_up(self, reason: str) -> None:
        if not self._over.is_set():
            self._reports.put(TrackerReport(tracker=self.tracker, problem=reason))
            self._over.set()
            self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _write(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        with suppress(OSError, ValueError):
            while True:
                process.stdin.write(self._waiting.get().encode() + b"\n")
                if self._waiting.empty():
                    process.stdin.flush()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            match reply_adapter.validate_json(line):
                case Started(url=url):
                    self._reports.put(TrackerReport(tracker=self.tracker, url=url))
                case Problem(reason=reason):
                    self._give_up(reason)
                case Ended():
                    self._over.set()
        self._give_up(f"Its process ended unexpectedly (code {process.wait()}).")


def tracker_environment(tracker: TrackerType, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment of a tracker's process: its own keys and options, and no others."""
    return {
        name: value
        for name, value in environment.items()
        if name in _SHARED_VARIABLES or name.startswith(_OWN_PREFIXES[tracker])
    }
