"""What commands call the API with: which API, which key, and in which project.

A key is sent only to its own API. TUNERY_API_KEY is sent to any base URL; OPENAI_API_KEY only to
OPENAI_BASE_URL, with which it is set; `admin.key` of the data folder only to that folder's server, whose URL
is in `server.url` while it runs: anything else that listens on this machine may belong to somebody else."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from service.cli.failures import AUTH, USAGE, CommandFailed
from service.cli.http.client import HttpClient
from service.cli.http.retrying import retried
from service.cli.output import printable
from service.server_url import find_url, is_listening, is_loopback, is_same_server

DEFAULT_BASE_URL = "http://127.0.0.1:8000/v1"
PROJECT_IDS = ("proj_", "proj-")
"""How ids of projects begin."""
_LATER = frozenset({429, 502, 503, 504})
_MAINTENANCE = "maintenance"
"""The code of requests that wait for an operator: nobody knows for how long."""
_PAGE = 100
"""Items in a request. Every list of the API allows as many."""
_PATIENCE_SECONDS = 45.0
"""How long a read may wait for a server that restarts: the pauses double, and are 30 seconds in all."""


@dataclass(frozen=True)
class Target:
    """An API and the key for it."""

    base_url: str
    """Usually ends in /v1, without a slash at the end. /v1 is added to a URL without a path."""
    key: str
    project: str | None = None
    """Id of the project to act in. None leaves it to the key."""


def find_target(
    base_url: str | None,
    data: Path,
    environment: Mapping[str, str],
    *,
    project: str | None = None,
    is_listening: Callable[[str], bool] = is_listening,
) -> Target:
    """`base_url` and `project` are what the command line says, if anything; in `data` a server of this
    machine may have written its own URL. Raises CommandFailed if there is no key for the API or it cannot be
    read, its URL is invalid, the project is not named by its id, or the server of `data` is meant and does
    not run."""
    project_id = _project_id(project, environment)
    openai_url = environment.get("OPENAI_BASE_URL")
    own_url = base_url or environment.get("TUNERY_BASE_URL")
    named, published = own_url or openai_url, find_url(data)
    if published and not named and not is_listening(published):
        raise CommandFailed(
            f"Nothing listens yet at {published}, which {data}/server.url names: the server is starting."
        )
    url = (named or published or DEFAULT_BASE_URL).rstrip("/")
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise CommandFailed(f"The base URL '{url}' must begin with http:// or https://.", USAGE)
    if not urlsplit(url).path:
        url += "/v1"
    file = data / "admin.key"
    key = environment.get("TUNERY_API_KEY")
    if not key and not own_url and openai_url:
        key = environment.get("OPENAI_API_KEY")
    if not key and published and is_same_server(url, published) and file.is_file():
        key = _operators_key(file)
    if not (named or published) and file.is_file() and not (key and is_listening(url)):
        raise CommandFailed(
            f"The server of {data} does not run. `tunery up --data {data}` starts it. If it "
            "listens at another address than 127.0.0.1, give --base-url and TUNERY_API_KEY."
        )
    if not key and not (named or published):
        raise CommandFailed(
            f"No server is known: {data} has none. `tunery up` starts one here; --data names another folder, "
            "--base-url and TUNERY_API_KEY another server.",
            AUTH,
        )
    if not key:
        raise CommandFailed(
            f"No API key for {url}. Set TUNERY_API_KEY, or both OPENAI_BASE_URL and OPENAI_API_KEY"
            + _why_not_the_operators(url, data, published),
            AUTH,
        )
    return Target(url, key, project_id)


def _project_id(given: str | None, environment: Mapping[str, str]) -> str | None:
    project = given or environment.get("TUNERY_PROJECT")
    if not project:
        return None
    if not (project.startswith(PROJECT_IDS) and project.isascii() and project.isprintable()):
        source = "--project" if given else "TUNERY_PROJECT"
        raise CommandFailed(
            f"{source} is '{project}', which is not a project's id. `tunery projects ls` lists them.", USAGE
        )
    return project


def _operators_key(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(
            f"Cannot read the operator's key: {error}. TUNERY_API_KEY can name another.", AUTH
        ) from error


def _why_not_the_operators(url: str, data: Path, published: str | None) -> str:
    if not is_loopback(url):
        return "."
    if not (data / "admin.key").is_file():
        return f"; there is no admin.key in {data} either."
    where = f"listens at {published}" if published else "does not run"
    return f"; the admin.key in {data} is for that folder's server, which {where}."


class Api:
    """The API's objects. Paths begin after /v1, with a slash. Raises CommandFailed if a call fails."""

    def __init__(
        self,
        target: Target,
        *,
        timeout: httpx2.Timeout = httpx2.Timeout(60, connect=10),
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.target = target
        scope = {} if target.project is None else {"openai-project": target.project}
        self.http = HttpClient(
            target.base_url,
            headers={"authorization": f"Bearer {target.key}"} | scope,
            may_repeat=_may_repeat,
            timeout=timeout,
            transport=transport,
        )

    @property
    def base_url(self) -> str:
        return self.target.base_url

    @property
    def root(self) -> str:
        """The URL below which `/readyz` is."""
        return self.target.base_url.removesuffix("/v1")

    def get(self, path: str, **query: object) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        return self.http.json("GET", path, params=given)

    def get_patiently(self, path: str, **query: object) -> Any:
        """The same, and tries again for a while if the API cannot be reached or asks to come back later. Says
        so on stderr, once."""
        return retried(
            lambda: self.get(path, **query), within_seconds=_PATIENCE_SECONDS, on_trouble=_say_trouble
        )

    def post(self, path: str, body: object = None, *, idempotency_key: str | None = None) -> Any:
        headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
        return self.http.json("POST", path, json=body, headers=headers)

    def delete(self, path: str) -> Any:
        return self.http.json("DELETE", path)

    def list(self, path: str, *, page_size: int = _PAGE, **query: object) -> Iterator[dict[str, Any]]:
        """All items of a list, page after page. Reads each page patiently."""
        after: dict[str, object] = {}
        while True:
            page = self.get_patiently(path, **query, limit=page_size, **after)
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            after = {"after": page["data"][-1]["id"]}

    def close(self) -> None:
        self.http.close()


def _say_trouble(reason: str) -> None:
    print(printable(f"tunery: {reason} Trying again …"), file=sys.stderr)


def _may_repeat(method: str, status: int, code: str | None) -> bool:
    """Whether to repeat a request. After a server error, only reads are repeated, because the effect of
    another request is unknown."""
    is_read = method == "GET" and status >= 500
    return (is_read or status in _LATER) and code != _MAINTENANCE
