"""Which API a command calls, with which key, and what its user is told when that fails."""

import socket
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from service.cli.failures import CommandFailed, Refused, Unavailable
from service.cli.remote import Api, Target, find_target
from service.ports import free_ports
from service.server_url import published_url

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
        (None, {"TUNERY_API_KEY": "own"}, Target(LOCAL, "own")),
        (f"{REMOTE}/", {"TUNERY_API_KEY": "own", "TUNERY_BASE_URL": LOCAL}, Target(REMOTE, "own")),
        (None, {"OPENAI_BASE_URL": REMOTE, "OPENAI_API_KEY": "openai"}, Target(REMOTE, "openai")),
        (None, {"OPENAI_BASE_URL": REMOTE, "TUNERY_API_KEY": "own"}, Target(REMOTE, "own")),
    ],
)
def test_options_come_before_the_environment_and_tunerys_variables_before_openais(
    data: Path, option: str | None, environment: dict[str, str], expected: Target
) -> None:
    assert find_target(option, data, environment, is_listening=lambda _: True) == expected


def test_a_key_of_openai_never_goes_elsewhere(data: Path) -> None:
    with published_url(data, LOCAL):
        found = find_target(None, data, {"OPENAI_API_KEY": "openai"}, is_listening=lambda _: True)
        assert found.key == "admin-key"
    for environment in ({"OPENAI_API_KEY": "openai"}, {"OPENAI_API_KEY": "o", "OPENAI_BASE_URL": LOCAL}):
        with pytest.raises(CommandFailed, match="No API key for https://tunery") as caught:
            find_target(REMOTE, data, environment)
        assert caught.value.exit_code == 3


def test_the_operators_key_goes_only_to_the_folders_own_server(data: Path) -> None:
    strangers = (REMOTE, "http://127.0.0.1.example/v1", LOCAL, "http://localhost:8123/v1")
    for url in strangers:
        with pytest.raises(CommandFailed, match="No API key"):
            find_target(url, data, {})
    own = "http://127.0.0.1:8123/v1"
    with published_url(data, own):
        assert find_target(own, data, {}).key == "admin-key"
        for url in strangers:
            with pytest.raises(CommandFailed, match="No API key") as caught:
                find_target(None, data, {"OPENAI_BASE_URL": url})
            assert caught.value.exit_code == 3
    assert f"which listens at {own}" in str(caught.value)


def test_an_operators_key_that_cannot_be_read_is_named(data: Path) -> None:
    (data / "admin.key").write_bytes(b"\xff")
    with published_url(data, LOCAL), pytest.raises(CommandFailed, match="the operator's key") as caught:
        find_target(None, data, {}, is_listening=lambda _: True)
    assert caught.value.exit_code == 3


def test_what_took_the_port_of_a_server_that_does_not_run_is_sent_no_key(data: Path) -> None:
    for left_behind in (None, LOCAL):
        if left_behind:
            (data / "server.url").write_text(left_behind)
        with pytest.raises(CommandFailed, match=f"The server of {data} does not run"):
            find_target(None, data, {}, is_listening=lambda _: True)


def test_a_data_folder_says_where_its_server_listens_unless_an_api_is_named(data: Path) -> None:
    own = "http://127.0.0.1:8123/v1"
    with published_url(data, own):
        assert find_target(None, data, {}, is_listening=lambda url: url == own) == Target(own, "admin-key")
        named = {"OPENAI_BASE_URL": REMOTE, "OPENAI_API_KEY": "openai"}
        assert find_target(None, data, named) == Target(REMOTE, "openai")
    (data / "server.url").write_text(REMOTE)
    own_key = {"TUNERY_API_KEY": "own"}
    assert find_target(None, data, own_key, is_listening=lambda _: True).base_url == LOCAL


def test_a_server_that_was_stopped_is_named(data: Path) -> None:
    with pytest.raises(CommandFailed, match=f"The server of {data} does not run. `tunery up"):
        find_target(None, data, {"TUNERY_API_KEY": "own"}, is_listening=lambda _: False)


def test_where_there_is_no_server_a_newcomer_is_told_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="`tunery up` starts one here") as caught:
        find_target(None, tmp_path, {}, is_listening=lambda _: True)
    assert caught.value.exit_code == 3


def test_a_server_that_starts_is_named(data: Path) -> None:
    (port,) = free_ports(1)
    with published_url(data, f"http://127.0.0.1:{port}/v1"):
        with pytest.raises(CommandFailed, match=f"Nothing listens yet at .*:{port}/v1"):
            find_target(None, data, {})
        with socket.create_server(("127.0.0.1", port)):
            assert find_target(None, data, {}).base_url.endswith(f":{port}/v1")


def test_a_base_url_without_a_path_is_the_servers(tmp_path: Path) -> None:
    key = {"TUNERY_API_KEY": "key"}
    for url in ("https://tunery.example", "https://tunery.example/", REMOTE):
        assert find_target(url, tmp_path, key).base_url == REMOTE
    assert find_target("https://tunery.example/else", tmp_path, key).base_url == "https://tunery.example/else"


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
    with api(lambda _: httpx2.Response(200, content=b"abc")).http.open("GET", "/files/1/content") as response:
        assert b"".join(response.iter_bytes()) == b"abc"


def test_a_redirect_is_not_followed_with_the_key() -> None:
    seen = []

    def redirect(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.host)
        return httpx2.Response(307, headers={"location": "https://elsewhere.example/v1/things"})

    with pytest.raises(CommandFailed, match="redirects /v1/things"):
        api(redirect).get("/things")
    assert seen == ["tunery.example"]


def test_a_key_that_an_error_repeats_is_struck_out() -> None:
    body = {"error": {"message": "Not yours: key-1."}}
    with pytest.raises(CommandFailed, match=r"Not yours: \[key\]\."):
        api(lambda _: httpx2.Response(401, json=body)).get("/things")


def test_maintenance_is_said_at_once() -> None:
    def answer(code: str) -> Callable[[httpx2.Request], httpx2.Response]:
        body = {"error": {"message": "Later.", "code": code}}
        return lambda _: httpx2.Response(503, json=body, headers={"retry-after": "60"})

    with pytest.raises(Unavailable):
        api(answer("service_unavailable")).post("/fine_tuning/jobs", {})
    with pytest.raises(Refused, match="Later"):
        api(answer("maintenance")).post("/fine_tuning/jobs", {})


def test_a_fault_of_the_server_is_final_only_for_what_may_have_been_done() -> None:
    broken = api(lambda _: httpx2.Response(500, json={"error": {"message": "A fault."}}))
    with pytest.raises(Unavailable, match="A fault"):
        broken.get("/things")
    with pytest.raises(Refused, match="A fault"):
        broken.post("/things")


@pytest.mark.parametrize(
    ("status", "header", "is_final"),
    [
        (429, "false", True),
        (429, "true", False),
        (429, None, False),
        (409, "true", False),
        (409, None, True),
        (503, "false", True),
        (400, "maybe", True),
    ],
)
def test_the_server_says_what_should_be_retried(status: int, header: str | None, is_final: bool) -> None:
    headers = {"retry-after": "1"} | ({} if header is None else {"x-should-retry": header})
    body = {"error": {"message": "Not now.", "code": "no"}}
    with pytest.raises(CommandFailed, match="Not now") as caught:
        api(lambda _: httpx2.Response(status, json=body, headers=headers)).post("/fine_tuning/jobs", {})
    assert type(caught.value) is (Refused if is_final else Unavailable)


def test_a_name_that_a_request_gets_wrong_counts_as_not_found() -> None:
    body = {"error": {"message": "No such model.", "code": "model_not_found"}}
    with pytest.raises(Refused) as caught:
        api(lambda _: httpx2.Response(400, json=body)).post("/fine_tuning/jobs", {})
    assert (caught.value.exit_code, caught.value.is_about_the_request) == (4, True)


def test_the_project_to_act_in_is_named_by_the_option_or_else_the_variable(tmp_path: Path) -> None:
    def project(option: str | None, variable: str) -> str | None:
        environment = {"TUNERY_API_KEY": "key", "TUNERY_PROJECT": variable}
        return find_target(REMOTE, tmp_path, environment, project=option).project

    assert project("proj_a", "proj-b") == "proj_a"
    assert project(None, "proj-b") == "proj-b"
    assert project(None, "") is None
    for option, variable, source in (("support", "", "--project"), (None, "proj-ö", "TUNERY_PROJECT")):
        with pytest.raises(CommandFailed, match=f"{source} is '.*', which is not a project's id") as caught:
            project(option, variable)
        assert caught.value.exit_code == 2


def test_the_project_goes_with_every_request_and_is_no_secret() -> None:
    def refuse(request: httpx2.Request) -> httpx2.Response:
        message = f"No project {request.headers['openai-project']} for key-1."
        return httpx2.Response(401, json={"error": {"message": message}})

    named = Api(Target(REMOTE, "key-1", "proj_a"), transport=httpx2.MockTransport(refuse))
    with pytest.raises(CommandFailed, match=r"No project proj_a for \[key\]\."):
        named.get("/things")
    unnamed = api(lambda request: httpx2.Response(200, json="openai-project" in request.headers))
    assert unnamed.get("/things") is False


def test_a_list_goes_on_after_the_server_was_away(capsys: pytest.CaptureFixture[str]) -> None:
    now = {"retry-after-ms": "0"}
    answers = [
        httpx2.Response(503, headers=now, json={"error": {"message": "Restarting."}}),
        httpx2.Response(200, json={"data": [{"id": "a"}], "has_more": True}),
        httpx2.Response(429, headers=now),
        httpx2.Response(503, headers=now),
        httpx2.Response(200, json={"data": [{"id": "b"}], "has_more": False}),
    ]
    assert [item["id"] for item in api(lambda _: answers.pop(0)).list("/things")] == ["a", "b"]
    assert capsys.readouterr().err.splitlines() == [
        "tunery: Restarting. Trying again …",
        "tunery: HTTP 429 from tunery.example. Trying again …",
    ]


def test_a_server_that_stays_away_for_too_long_is_given_up() -> None:
    body = {"error": {"message": "Later."}}
    away = api(lambda _: httpx2.Response(503, headers={"retry-after": "3600"}, json=body))
    with pytest.raises(Unavailable, match="Later"):
        list(away.list("/things"))
