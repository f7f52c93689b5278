"""The dashboard's files need no key, and open nothing else."""

import gzip
import re
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.api.app import create_app
from service.api.state import AppState
from service.dashboard.static_files import CONTENT_SECURITY_POLICY, static_files
from tests.api import with_settings

NO_KEY = {"authorization": ""}
MOST_SCRIPT_BYTES = 120 * 1024


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Files come from no database: one kind is enough."""
    shutil.copyfile(sqlite_template, tmp_path / "tunery.db")
    return f"sqlite:///{tmp_path}/tunery.db"


def test_the_page_needs_no_key_and_all_that_it_names_is_served(http: TestClient) -> None:
    page = http.get("/", headers=NO_KEY)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    named = re.findall(r'(?:src|href)="\./([^"]+)"', page.text)
    assert len(named) >= 3
    for name in named:
        assert http.get(f"/{name}", headers=NO_KEY).status_code == 200, name


def test_the_page_has_no_inline_script_or_style_and_its_policy_allows_none(http: TestClient) -> None:
    page = http.get("/", headers=NO_KEY)
    assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert re.findall(r"<script[^>]*>[^<]", page.text) == []
    assert "<style" not in page.text
    assert " style=" not in page.text
    assert "http" not in page.text.replace("http-equiv", "")


def test_every_file_has_the_security_headers(http: TestClient) -> None:
    for path in static_files():
        headers = http.get(path, headers=NO_KEY).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert "set-cookie" not in headers


def test_hashed_files_are_kept_for_ever_and_the_page_is_asked_for_again(http: TestClient) -> None:
    for path in static_files():
        answer = http.get(path, headers=NO_KEY)
        is_hashed = path.startswith("/assets/")
        assert answer.headers["cache-control"] == (
            "public, max-age=31536000, immutable" if is_hashed else "no-cache"
        )
        for etag in (answer.headers["etag"], f"W/{answer.headers['etag']}", f'"x", {answer.headers["etag"]}'):
            same = http.get(path, headers={**NO_KEY, "if-none-match": etag})
            assert (same.status_code, same.content) == (304, b"")
        assert http.get(path, headers={**NO_KEY, "if-none-match": '"x"'}).status_code == 200


def test_files_are_compressed_for_whoever_can_read_that(http: TestClient) -> None:
    for path, file in static_files().items():
        assert gzip.decompress(file.zipped) == file.content
        for accepted, encoding in (("gzip, br", "gzip"), ("gzip;q=0", None), ("identity", None)):
            answer = http.get(path, headers={**NO_KEY, "accept-encoding": accepted})
            assert answer.headers.get("content-encoding") == encoding
            assert answer.content == file.content
            assert answer.headers["vary"] == "accept-encoding"


def test_head_has_the_headers_of_get(http: TestClient) -> None:
    got, head = http.get("/", headers=NO_KEY), http.head("/", headers=NO_KEY)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", got.headers["etag"])


def test_what_is_not_one_of_the_files_needs_a_key_as_before(http: TestClient) -> None:
    for path in (
        "/index.html",
        "/assets",
        "/assets/",
        "/assets/../index.html",
        "/assets/%2e%2e/%2e%2e/static_files.py",
        "/static_files.py",
        "/favicon.ico",
        "/jobs",
    ):
        assert http.get(path, headers=NO_KEY).status_code == 401, path
    assert http.post("/", headers=NO_KEY).status_code == 401
    assert http.delete("/favicon.svg", headers=NO_KEY).status_code == 401
    # Authenticated, they are what they were: nothing.
    assert http.get("/index.html").status_code == 404


def test_files_tell_nothing_of_a_tenant(http: TestClient) -> None:
    headers = http.get("/").headers
    assert "openai-organization" not in headers
    assert "openai-project" not in headers


def test_files_are_in_no_document(http: TestClient) -> None:
    assert all(
        path.startswith(("/v1", "/healthz", "/readyz")) for path in http.get("/openapi.json").json()["paths"]
    )


def test_an_operator_can_do_without_it(state: AppState) -> None:
    state = with_settings(state, dashboard=False)
    with TestClient(create_app(state.settings, open_state=lambda _: state)) as http:
        assert http.get("/").status_code == 401
        assert http.get("/favicon.svg").status_code == 401


def test_all_scripts_together_stay_small() -> None:
    sizes = {path: len(file.zipped) for path, file in static_files().items() if path.endswith(".js")}
    assert len(sizes) > 10, "one file a screen"
    assert sum(sizes.values()) <= MOST_SCRIPT_BYTES
    first = re.findall(rb'src="\.(/[^"]+)"', static_files()["/"].content)
    assert sum(sizes[path.decode()] for path in first) <= 32 * 1024, "what the first paint waits for"
