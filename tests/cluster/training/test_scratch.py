"""Scratch folders are removed by their process, or by the next one."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cluster.training.scratch import scratch_folder

KILLED = """
import os, signal
from cluster.training.scratch import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_folders_of_killed_processes_are_removed_and_those_of_live_ones_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    ran = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    left = Path(ran.stdout.strip())
    assert left.is_dir()
    with scratch_folder() as mine:
        assert mine.parent == tmp_path
        assert not left.exists()
        with scratch_folder():
            assert mine.is_dir()
    assert not list(tmp_path.iterdir())
