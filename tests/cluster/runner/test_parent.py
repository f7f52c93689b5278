"""A runner does not outlive the process that started it."""

import os
import subprocess
import sys

_CHILD = """
import signal
import sys
from cluster.runner.parent import end_with_parent

def end(number, _frame):
    print("told to end", flush=True)
    raise SystemExit(128 + number)

signal.signal(signal.SIGTERM, end)
end_with_parent()
print("runs", flush=True)
signal.pause()
"""
_PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"


def test_a_runner_is_told_to_end_when_its_parent_is_killed() -> None:
    command = [sys.executable, "-c", _PARENT, _CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "runs\n"
        parent.kill()
        # Only the child still holds the other end of the pipe.
        assert parent.stdout.read() == "told to end\n"
