"""A job is started by a yes, and by nothing else."""

import io

import pytest

from service.cli.failures import CommandFailed
from service.cli.jobs.starting import confirm


@pytest.mark.parametrize(
    ("typed", "starts"),
    [("\n", True), ("y\n", True), ("Yes\n", True), ("n\n", False), ("yep\n", False), ("", False)],
)
def test_enter_means_yes_and_the_end_of_the_input_does_not(
    monkeypatch: pytest.MonkeyPatch, typed: str, starts: bool
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    if starts:
        confirm("file-1")
        return
    with pytest.raises(CommandFailed, match=r"Nothing was started. The file stays: file-1\."):
        confirm("file-1")
