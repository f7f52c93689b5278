from pathlib import Path

from service.log_rotation import BACKUP_COUNT, MAX_LOG_BYTES, RAY_RUNS_KEPT, archive_ray_logs, rotate


def test_an_open_log_is_rotated_and_continues_at_its_new_beginning(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(BACKUP_COUNT + 2):
            writer.write(b"%d" % number * 101)
            rotate(log, longest=100)
            rotate(log, longest=100)
        writer.write(b"new")
    assert log.read_bytes() == b"new"
    older = [tmp_path / f"api.log.{age}" for age in range(1, BACKUP_COUNT + 1)]
    assert [path.read_bytes()[:1] for path in older] == [b"4", b"3", b"2"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100 * BACKUP_COUNT + 3


def session(ray: Path, name: str, content: bytes = b"worker") -> Path:
    logs = ray / f"session_{name}" / "logs"
    (logs / "serve").mkdir(parents=True)
    (logs / "worker-1.err").write_bytes(content)
    (logs / "serve" / "replica_engine.log").write_bytes(b"replica")
    (logs / "job-driver-ftjob-1-a1.log").write_bytes(b"driver")
    return logs


def test_the_ends_of_rays_logs_are_kept_for_the_last_runs(tmp_path: Path) -> None:
    ray, kept = tmp_path / "ray", tmp_path / "logs"
    for number in range(RAY_RUNS_KEPT + 2):
        logs = session(ray / str(number), f"2026-11-2{number}", b"x" * MAX_LOG_BYTES + b"the end")
        (logs / "elsewhere").symlink_to(tmp_path)
        (ray / str(number) / "session_latest").symlink_to(logs.parent)
        archive_ray_logs(ray / str(number), kept)
    runs = sorted(path.name for path in kept.iterdir())
    assert runs == [f"session_2026-11-2{number}" for number in range(2, RAY_RUNS_KEPT + 2)]
    newest = kept / runs[-1]
    files = sorted(path.relative_to(newest).as_posix() for path in newest.rglob("*") if path.is_file())
    assert files == ["job-driver-ftjob-1-a1.log", "serve/replica_engine.log", "worker-1.err"]
    content = (newest / "worker-1.err").read_bytes()
    assert len(content) == MAX_LOG_BYTES
    assert content.endswith(b"the end")


def test_nothing_is_lost_without_room_for_the_older_log(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_bytes(b"x" * 200)
    (tmp_path / "api.log.2").touch()
    (tmp_path / "api.log.3" / "in the way").mkdir(parents=True)
    rotate(log, longest=100)
    assert log.read_bytes() == b"x" * 200
