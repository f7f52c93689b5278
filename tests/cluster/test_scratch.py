"""Scratch folders are removed by their process, or by the next one."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cluster.scratch import process_folder, scratch_folder

KILLED = """
import os, signal
from cluster.scratch import process_folder, scratch_folder
with scratch_folder() as folder:
    print(folder, process_folder("adapters"), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of a process that was killed: one for training, one for adapters."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    ran = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    folders = [Path(name) for name in ran.stdout.split()]
    assert [folder.is_dir() for folder in folders] == [True, True]
    return folders


def test_folders_of_killed_processes_are_removed_and_those_of_live_ones_kept(
    left: list[Path], tmp_path: Path
) -> None:
    with scratch_folder() as mine:
        assert mine.parent == tmp_path
        assert not left[0].exists()
        with scratch_folder():
            assert mine.is_dir()
    assert list(tmp_path.iterdir()) == left[1:]


def test_a_folder_that_a_killed_process_has_left_goes_with_the_next_one_of_its_kind(left: list[Path]) -> None:
    mine = process_folder("adapters")
    assert process_folder("adapters") != mine
    assert [mine.is_dir(), *(folder.is_dir() for folder in left)] == [True, True, False]
