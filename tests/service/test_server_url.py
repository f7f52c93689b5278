"""Commands find the server of a data folder, and send no key to another machine."""

import stat
from pathlib import Path

import pytest

from service.server_url import find_url, is_same_server, published_url

URL = "http://127.0.0.1:8123/v1"


def test_the_url_is_there_as_long_as_the_server_runs_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    assert find_url(tmp_path) is None
    with published_url(tmp_path, URL):
        assert find_url(tmp_path) == URL
        assert stat.S_IMODE((tmp_path / "server.url").stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_server_has_left_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "server.url").write_text(f"{URL}\n")
    assert find_url(tmp_path) is None


def test_only_the_same_address_is_the_same_server() -> None:
    assert is_same_server("http://127.0.0.1:8123/v1", URL)
    for other in ("http://127.0.0.1:8124/v1", "http://localhost:8123/v1", "http://[::1]:8123/v1", "http://["):
        assert not is_same_server(other, URL), other


@pytest.mark.parametrize(
    "content",
    [
        b"http://tunery.example/v1",
        b"http://127.0.0.1.example/v1",
        b"http://127.0.0.1@tunery.example/v1",
        b"file://127.0.0.1/etc",
        b"http://[",
        b"\xff",
        b"",
    ],
)
def test_a_file_that_names_another_machine_or_nothing_is_not_followed(tmp_path: Path, content: bytes) -> None:
    with published_url(tmp_path, URL), (tmp_path / "server.url").open("r+b") as file:
        file.write(content.ljust(100))
        file.flush()
        assert find_url(tmp_path) is None
