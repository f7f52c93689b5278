"""The files that start servers run in two lanes."""

from pathlib import Path

from tests.lanes import LANES, lane

ROOT = Path(__file__).parent.parent


def test_every_file_that_starts_a_ray_is_in_a_lane() -> None:
    marks = ("pytest.mark.ray", "pytest.mark.e2e")
    files = {
        path: path.read_text() for path in ROOT.joinpath("tests").rglob("test_*.py") if path != Path(__file__)
    }
    starting = {
        path.relative_to(ROOT).as_posix()
        for path, text in files.items()
        if any(mark in text for mark in marks)
    }
    assert starting == {path for files in LANES for path in files}
    assert all(lane(path) is not None for path in starting)
