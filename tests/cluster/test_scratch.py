"""Scratch folders are removed by their process, or by the next one."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cluster.scratch import scratch_folder

KILLED = """
import os, signal
from cluster.scratch import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a process that was killed."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    ran = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    folder = Path(ran.stdout.strip())
    assert folder.is_dir()
    return folder


def test_folders_of_killed_processes_are_removed_and_those_of_live_ones_kept(
    left: Path, tmp_path: Path
) -> None:
    with scratch_folder() as mine:
        assert mine.parent == tmp_path
        assert not left.exists()
        with scratch_folder():
            assert mine.is_dir()
    assert list(tmp_path.iterdir()) == []
