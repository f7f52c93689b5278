import os
import secrets
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from service.local_ray import RayPorts, ray_command, ray_environment, temporary_ray_folder


def test_rays_folder_is_private_and_its_logs_outlive_it(tmp_path: Path) -> None:
    with temporary_ray_folder(tmp_path) as ray:
        private = ray.parent
        write_log(ray)
        assert private.stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "logs/ray/now").readlink() == ray / "session_latest" / "logs"
    assert not private.exists()
    assert not (tmp_path / "ray.folder").exists()
    assert (tmp_path / "logs/ray/session_1/raylet.out").read_text() == "a line\n"


def test_a_folder_that_a_killed_process_left_behind_is_removed_and_its_logs_kept(tmp_path: Path) -> None:
    killed = temporary_ray_folder(tmp_path)
    left = killed.__enter__()
    write_log(left)
    with temporary_ray_folder(tmp_path) as ray:
        assert ray != left
        assert not left.parent.exists()
        assert (tmp_path / "logs/ray/session_1/raylet.out").exists()


def test_a_process_of_ray_that_a_killed_process_left_behind_is_ended_and_no_other(tmp_path: Path) -> None:
    killed = temporary_ray_folder(tmp_path)
    left = killed.__enter__()
    waits = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen([*waits, f"--logs-dir={left}/logs"], stdin=subprocess.PIPE) as rays,
        subprocess.Popen([*waits, f"{left.parent}-other/ray"], stdin=subprocess.PIPE) as other,
    ):
        with temporary_ray_folder(tmp_path):
            rays.wait(60)
            assert other.poll() is None
        other.communicate(b"\n", timeout=60)


def test_what_a_worker_of_ray_has_started_is_ended_whatever_its_title_is(tmp_path: Path) -> None:
    killed = temporary_ray_folder(tmp_path)
    left = killed.__enter__()
    # As vLLM does, and as its environment may be overwritten by.
    renamed = (
        "import ray; ray._raylet.setproctitle('VLLM::EngineCore'); print('renamed', flush=True); input()"
    )
    environment = ray_environment(os.environ, {}, left, training_slots=1)
    other = ray_environment(os.environ, {}, Path(f"{left.parent}-other/ray"), training_slots=1)
    with ExitStack() as started:
        orphan, of_other = (
            started.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", renamed], env=each, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            for each in (environment, other)
        )
        for process in (orphan, of_other):
            assert process.stdout is not None
            assert process.stdout.readline() == b"renamed\n"
        assert psutil.Process(orphan.pid).cmdline()[0] == "VLLM::EngineCore"
        with temporary_ray_folder(tmp_path):
            orphan.wait(60)
            assert of_other.poll() is None
        of_other.communicate(b"\n", timeout=60)


def test_nothing_reports_its_use_unless_the_operator_wants_it(tmp_path: Path) -> None:
    found = ray_environment({"VLLM_NO_USAGE_STATS": "0"}, {}, tmp_path, training_slots=1)
    names = ("VLLM_NO_USAGE_STATS", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    assert [found[name] for name in names] == ["0", "1", "1"]


@pytest.mark.parametrize("record", ["", ".", "/", "/tmp", "tunery-ray-x", "/tmp/tunery-ray-x/.."])
def test_a_damaged_record_removes_nothing_and_ends_nothing(
    record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    (here / "tunery-ray-x").mkdir(parents=True)
    monkeypatch.chdir(here)
    (tmp_path / "ray.folder").write_text(record)
    waits = [sys.executable, "-c", "input()", "./run", "/tmp/x", "tunery-ray-x/ray"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as other:
        with temporary_ray_folder(tmp_path):
            assert (here / "tunery-ray-x").is_dir()
        assert other.poll() is None
        other.communicate(b"\n", timeout=60)


def test_a_recorded_folder_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    target, link = tmp_path / "target", Path(f"/tmp/tunery-ray-{secrets.token_hex(8)}")
    target.mkdir()
    link.symlink_to(target)
    try:
        (tmp_path / "ray.folder").write_text(f"{link}\n")
        with temporary_ray_folder(tmp_path):
            assert target.is_dir()
    finally:
        link.unlink()


def write_log(ray: Path) -> None:
    logs = ray / "session_1" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.out").write_text("a line\n")


def test_ray_has_to_wait_for_no_agent_to_choose_a_port(tmp_path: Path) -> None:
    ports = range(20_001, 20_008)
    command = ray_command(RayPorts(*ports), tmp_path)
    options = {command[command.index(str(port)) - 1] for port in ports}
    assert len(options) == len(ports)
    # Ray asks its dashboard's agent for each of these that it is not given.
    assert options >= {
        "--dashboard-agent-listen-port",
        "--dashboard-agent-grpc-port",
        "--metrics-export-port",
        "--runtime-env-agent-port",
    }
