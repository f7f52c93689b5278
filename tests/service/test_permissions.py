import stat
from pathlib import Path

from service.permissions import make_private_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_new_folder_and_its_new_parents_are_private(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "a" / "data")
    make_private_folder(tmp_path / "a" / "data")
    assert mode(tmp_path / "a" / "data") & 0o077 == 0


def test_an_accessible_folder_becomes_private_with_its_content_but_nothing_outside(tmp_path: Path) -> None:
    """An earlier version left such folders."""
    data, outside = tmp_path / "data", tmp_path / "outside"
    outside.write_bytes(b"not ours")
    outside.chmod(0o644)
    deep = data / "objects" / "jobs" / "1"
    deep.mkdir(parents=True)
    spec = deep / "spec.json"
    spec.write_bytes(b"token")
    script = data / "script"
    script.write_bytes(b"")
    (data / "link").symlink_to(outside)
    for path, was in (
        (data, 0o755),
        (data / "objects", 0o777),
        (deep, 0o755),
        (spec, 0o644),
        (script, 0o755),
    ):
        path.chmod(was)
    make_private_folder(data)
    assert [mode(path) for path in (data, data / "objects", deep, spec, script)] == [
        *(0o700, 0o700, 0o700, 0o600, 0o700)
    ]
    assert mode(outside) == 0o644
