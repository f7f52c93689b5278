"""Keeps child processes running until a signal, and leaves none behind."""

import ctypes
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from service.log_rotation import rotate

STOP_SECONDS = 8.0
"""How long children may take to end on their own before they are killed."""
_KILL_SECONDS = 3.0
_ROTATE_SECONDS = 60.0
"""Time between two checks of whether a log has grown too long."""
_RESTART_SECONDS = (0.2, 1.0, 3.0, 10.0)
_SIGNALS = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT})
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Program:
    """A child process to keep alive.

    `after_start` runs in a thread after each start, with an event that is set once the process has ended.
    """

    name: str
    argv: list[str]
    environment: Mapping[str, str]
    after_start: Callable[[threading.Event], None] | None = None


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    ended: threading.Event
    started_at: float
    failures: int


class Supervisor:
    """Keeps programs running until a signal, then ends them with all their descendants.

    The supervisor is a child subreaper: it inherits the orphans of its children (Ray's workers and job
    drivers), so that none can outlive it. Processes are started from the main thread only, because the death
    signal that ties them to the supervisor is bound to the thread that forked them.

    Signals are awaited instead of handled: a handler could run between any two steps of the main thread, and
    interrupt it while it holds the lock of what the handler would wake.
    """

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._logs.mkdir(parents=True, exist_ok=True)
        self._rotate_at = 0.0
        self._children: dict[str, _Child] = {}
        self._waiting: dict[str, tuple[float, Program, int]] = {}
        self.stopping = threading.Event()

    def __enter__(self) -> "Supervisor":
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopping.set()
        for child in self._children.values():
            child.ended.set()
            with suppress(ProcessLookupError):
                child.process.terminate()
        psutil.wait_procs(psutil.Process().children(recursive=True), timeout=STOP_SECONDS)
        give_up_at = time.monotonic() + _KILL_SECONDS
        # A process may start another one before it is killed.
        while (alive := psutil.Process().children(recursive=True)) and time.monotonic() < give_up_at:
            for process in alive:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(alive, timeout=1)

    def start(self, program: Program, failures: int = 0) -> None:
        with (self._logs / f"{program.name}.log").open("ab") as log:
            process = subprocess.Popen(
                program.argv,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_prepare_child,
                # Ctrl-C then reaches only the supervisor, which ends its children in order.
                start_new_session=True,
            )
        child = _Child(program, process, threading.Event(), time.monotonic(), failures)
        self._children[program.name] = child
        if program.after_start is not None:
            after_start = program.after_start
            self.in_background(lambda: after_start(child.ended))

    def in_background(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()

    def run(self) -> None:
        """Restarts programs that die, until SIGTERM or SIGINT."""
        while True:
            self._collect_dead()
            self._start_due()
            self._rotate_due()
            due = min((when for when, _, _ in self._waiting.values()), default=math.inf)
            due = min(due, self._rotate_at)
            if _await_signal(due - time.monotonic()) in (signal.SIGTERM, signal.SIGINT):
                return

    def _collect_dead(self) -> None:
        for name, child in list(self._children.items()):
            if child.process.poll() is None:
                continue
            child.ended.set()
            del self._children[name]
            # A long-lived process was healthy, so the delays start from the shortest again.
            failures = 0 if time.monotonic() - child.started_at > 60 else child.failures
            delay = _RESTART_SECONDS[min(failures, len(_RESTART_SECONDS) - 1)]
            self._waiting[name] = (time.monotonic() + delay, child.program, failures + 1)
        _reap_orphans({child.process.pid for child in self._children.values()})

    def _rotate_due(self) -> None:
        if time.monotonic() >= self._rotate_at:
            self._rotate_at = time.monotonic() + _ROTATE_SECONDS
            for log in self._logs.glob("*.log"):
                rotate(log)

    def _start_due(self) -> None:
        for name, (when, program, failures) in list(self._waiting.items()):
            if when <= time.monotonic():
                del self._waiting[name]
                self.start(program, failures)


def _await_signal(seconds: float) -> int | None:
    """Returns the next signal, or None after `seconds`."""
    information = signal.sigtimedwait(_SIGNALS, max(0.0, seconds))
    return information.si_signo if information else None


def _prepare_child() -> None:
    """Runs in the child before its program: ties the child's life to its parent's, and unblocks the signals
    that the parent blocks."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _reap_orphans(own: set[int]) -> None:
    for process in psutil.Process().children():
        if process.pid not in own and process.status() == psutil.STATUS_ZOMBIE:
            with suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)
