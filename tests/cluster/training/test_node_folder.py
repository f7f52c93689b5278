import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.training.node_folder import made_once, node_folder

HOLDER = """
import sys
from cluster.training.node_folder import node_folder
with node_folder(sys.argv[1]) as folder:
    (folder / "left").write_text("1")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def holder(name: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_folder_is_shared_by_name_and_goes_with_its_last_user(tmp_path: Path) -> None:
    other, folder = holder("a")
    with node_folder("b") as own:
        assert own != folder
    with node_folder("a") as same:
        assert same == folder
        assert (same / "left").exists()
    assert folder.exists()
    other.communicate("")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_user_left_is_removed_by_a_later_one(tmp_path: Path) -> None:
    other, folder = holder("a")
    other.send_signal(signal.SIGKILL)
    other.communicate()
    assert folder.exists()
    with node_folder("b"):
        assert not folder.exists()
    assert list(tmp_path.iterdir()) == []


def test_of_many_one_makes_a_file_and_the_others_wait_for_it(tmp_path: Path) -> None:
    path, makers, beats = tmp_path / "x" / "file", [], []
    release = threading.Event()

    def heartbeat() -> None:
        beats.append(1)
        release.set()

    def fetch(number: int) -> str:
        with made_once(path, heartbeat) as is_ours:
            if is_ours:
                makers.append(number)
                assert release.wait(300)
                arriving = path.with_name("arriving")
                arriving.write_text("whole")
                arriving.rename(path)
        return path.read_text()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(fetch, range(4))) == ["whole"] * 4
    assert len(makers) == 1
    assert beats


def test_after_a_failure_the_next_one_makes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def fail() -> None:
        with made_once(path, lambda: None) as is_ours:
            assert is_ours
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()
    with made_once(path, lambda: None) as is_ours:
        assert is_ours
