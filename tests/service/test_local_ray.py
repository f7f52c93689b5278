from pathlib import Path

from service.local_ray import temporary_ray_folder


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


def test_a_recorded_folder_that_is_a_link_is_left_alone(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.mkdir()
    link.symlink_to(target)
    (tmp_path / "ray.folder").write_text(f"{link}\n")
    with temporary_ray_folder(tmp_path):
        assert target.is_dir()


def write_log(ray: Path) -> None:
    logs = ray / "session_1" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.out").write_text("a line\n")
