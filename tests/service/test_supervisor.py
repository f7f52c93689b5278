"""The supervisor runs in a process of its own, because it takes over signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.slow

SUPERVISE = """
import os, sys
from pathlib import Path
from service.supervisor import Program, Supervisor
with Supervisor(Path(sys.argv[1])) as supervisor:
    supervisor.start(Program("child", [sys.executable, "-c", sys.argv[2]], os.environ))
    print("started", flush=True)
    supervisor.run()
"""
SLEEPS = "import time; time.sleep(600)"
LEAVES_AN_ORPHAN = f"""
import subprocess, sys, time
middle = '''
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {SLEEPS!r}], start_new_session=True)
'''
subprocess.run([sys.executable, "-c", middle])
time.sleep(600)
"""
IGNORES_SIGTERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[[str], psutil.Process]]:
    started: list[subprocess.Popen[str]] = []

    def start(child: str) -> psutil.Process:
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISE, str(tmp_path), child], stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        return psutil.Process(process.pid)

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=20)


def until(holds: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_killed_child_is_started_again(supervise: Callable[[str], psutil.Process]) -> None:
    supervisor = supervise(SLEEPS)
    (first,) = supervisor.children()
    first.kill()
    until(lambda: [child.pid for child in supervisor.children()] not in ([], [first.pid]))


@pytest.mark.parametrize(
    ("child", "processes"), [(SLEEPS, 1), (LEAVES_AN_ORPHAN, 2)], ids=["child", "orphan"]
)
def test_sigterm_ends_all_descendants(
    supervise: Callable[[str], psutil.Process], child: str, processes: int
) -> None:
    supervisor = supervise(child)
    if child == LEAVES_AN_ORPHAN:
        # The supervisor has inherited the orphan, so that it has two children.
        until(lambda: len(supervisor.children()) == processes)
    descendants = supervisor.children(recursive=True)
    supervisor.terminate()
    _, alive = psutil.wait_procs([supervisor, *descendants], timeout=14)
    assert alive == []


def test_many_ending_children_do_not_keep_the_supervisor_from_ending(
    supervise: Callable[[str], psutil.Process],
) -> None:
    supervisor = supervise(SLEEPS)
    for _ in range(1_000_000):
        # The kernel sends SIGCHLD for each process that ends.
        os.kill(supervisor.pid, signal.SIGCHLD)
    supervisor.terminate()
    _, alive = psutil.wait_procs([supervisor], timeout=14)
    assert alive == []


def test_child_that_ignores_sigterm_is_killed_within_fifteen_seconds(
    supervise: Callable[[str], psutil.Process],
) -> None:
    supervisor = supervise(IGNORES_SIGTERM)
    descendants = supervisor.children(recursive=True)
    supervisor.terminate()
    _, alive = psutil.wait_procs([supervisor, *descendants], timeout=14.5)
    assert alive == []


def test_children_end_with_a_supervisor_that_was_killed(supervise: Callable[[str], psutil.Process]) -> None:
    supervisor = supervise(SLEEPS)
    descendants = supervisor.children(recursive=True)
    os.kill(supervisor.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(descendants, timeout=10)
    assert alive == []
