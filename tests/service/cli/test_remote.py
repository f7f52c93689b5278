"""Which API a command calls, with which key, and what its user is told when that fails."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from service.cli.remote import Api, CommandFailed, Target, find_target

LOCAL = "http://127.0.0.1:8000/v1"
REMOTE = "https://tunery.example/v1"


def api(answer: Callable[[httpx2.Request], httpx2.Response]) -> Api:
    return Api(Target(REMOTE, "key-1"), transport=httpx2.MockTransport(answer))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "admin.key").write_text("admin-key\n")
    return tmp_path


@pytest.mark.parametrize(
    ("option", "environment", "expected"),
    [
        (None, {}, Target(LOCAL, "admin-key")),
        (None, {"TUNERY_API_KEY": "own"}, Target(LOCAL, "own")),
        (f"{REMOTE}/", {"TUNERY_API_KEY": "own", "TUNERY_BASE_URL": LOCAL}, Target(REMOTE, "own")),
        (None, {"OPENAI_BASE_URL": REMOTE, "OPENAI_API_KEY": "openai"}, Target(REMOTE, "openai")),
        (None, {"OPENAI_BASE_URL": REMOTE, "TUNERY_API_KEY": "own"}, Target(REMOTE, "own")),
    ],
)
def test_options_come_before_the_environment_and_tunerys_variables_before_openais(
    data: Path, option: str | None, environment: dict[str, str], expected: Target
) -> None:
    assert find_target(option, data, environment) == expected


def test_a_key_of_openai_never_goes_elsewhere(data: Path) -> None:
    assert find_target(None, data, {"OPENAI_API_KEY": "openai"}).key == "admin-key"
    for environment in ({"OPENAI_API_KEY": "openai"}, {"OPENAI_API_KEY": "o", "OPENAI_BASE_URL": LOCAL}):
        with pytest.raises(CommandFailed, match="No API key for https://tunery") as caught:
            find_target(REMOTE, data, environment)
        assert caught.value.exit_code == 3


def test_the_operators_key_never_leaves_this_machine(data: Path) -> None:
    with pytest.raises(CommandFailed, match="No API key"):
        find_target(None, data, {"OPENAI_BASE_URL": REMOTE})
    for url in ("http://localhost:9/v1", "http://[::1]:9/v1"):
        assert find_target(url, data, {}).key == "admin-key"
    with pytest.raises(CommandFailed, match="No API key"):
        find_target("http://127.0.0.1.example/v1", data, {})


@pytest.mark.parametrize("url", ["tunery.example/v1", "ftp://tunery.example", "http://"])
def test_a_base_url_must_be_one(tmp_path: Path, url: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        find_target(url, tmp_path, {"TUNERY_API_KEY": "own"})
    assert caught.value.exit_code == 2


def test_lists_are_followed_to_their_end() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.headers["authorization"] == "Bearer key-1"
        assert request.url.params["purpose"] == "x"
        start = int(request.url.params.get("after", "-1")) + 1
        ids = [{"id": str(number)} for number in range(start, min(start + 2, 5))]
        return httpx2.Response(200, json={"data": ids, "has_more": start + 2 < 5})

    found = api(answer).list("/things", purpose="x", order=None)
    assert [item["id"] for item in found] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(("status", "exit_code"), [(400, 1), (401, 3), (403, 3), (404, 4), (500, 1)])
def test_a_refusal_says_what_the_api_said(status: int, exit_code: int) -> None:
    body = {"error": {"message": "Not so.", "type": "x", "param": None, "code": "no"}}
    with pytest.raises(CommandFailed) as caught:
        api(lambda _: httpx2.Response(status, json=body)).get("/things")
    assert (str(caught.value), caught.value.exit_code) == ("Not so. (no)", exit_code)


def test_other_answers_than_the_apis_are_named() -> None:
    with pytest.raises(CommandFailed, match="HTTP 502 from tunery"):
        api(lambda _: httpx2.Response(502, text="<html>Bad gateway</html>")).get("/things")
    with pytest.raises(CommandFailed, match="gave no JSON answer"):
        api(lambda _: httpx2.Response(200, text="<html>Welcome</html>")).get("/things")

    def refuse(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("connection refused")

    with pytest.raises(CommandFailed, match=r"Cannot reach .*: connection refused"):
        api(refuse).get("/things")


def test_an_answer_can_be_streamed() -> None:
    client = api(lambda _: httpx2.Response(200, content=b"abc"))
    response = client.send(client.request("GET", "/files/1/content"))
    assert b"".join(response.iter_bytes()) == b"abc"
