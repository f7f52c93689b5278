"""`tunery models push` with a server that speaks the Hub's protocol."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.api import LiveApi
from tests.service.api.weights.stored import FILES, add_stored_model
from tests.service.cli.terminal import piped

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


class Hub(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.created: list[dict[str, Any]] = []
        self.committed: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()
        self.is_private = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self._answer({"sha": "0" * 40, "id": "us/orders", "siblings": [], "private": self.server.is_private})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        token = self.headers.get("authorization")
        self.server.tokens.add(token)
        if token != "Bearer hf_right":
            self._answer({"error": "Invalid token"}, 401)
        elif self.path == "/api/repos/create":
            self.server.created.append(json.loads(body))
            self._answer({"url": f"{self.server.url}/us/orders"})
        elif self.path.startswith("/api/validate-yaml"):
            self._answer({"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = [{"path": one["path"], "uploadMode": "regular"} for one in json.loads(body)["files"]]
            self._answer({"files": [one | {"shouldIgnore": False} for one in files]})
        else:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    self.server.committed[value["path"]] = base64.b64decode(value["content"])
            url = f"{self.server.url}/us/orders/commit/{'1' * 40}"
            self._answer({"success": True, "commitUrl": url, "commitOid": "1" * 40, "hookOutput": ""})

    def log_message(self, *_: object) -> None: ...

    def _answer(self, value: object, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_weights_and_their_card_are_pushed_to_a_private_repository(
    live: LiveApi, hub: Hub, tmp_path: Path
) -> None:
    job = live.openai().fine_tuning.jobs.create(model="base-1", training_file=live.upload())
    model, _ = add_stored_model(live.state, job.id)
    environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_right", "HF_HUB_DISABLE_XET": "1"}
    done = piped(live, tmp_path, "models", "push", model, "us/orders", **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Pushed {model}: {hub.url}/us/orders/commit/{'1' * 40}\n"
    assert hub.created[0]["name"] == "orders"
    assert "private" in json.dumps(hub.created[0])
    assert hub.committed["adapter_model.safetensors"] == FILES["adapter_model.safetensors"]
    assert b"library_name: peft" in hub.committed["README.md"]
    assert "hf_right" not in done.stdout + done.stderr
    assert not list(tmp_path.glob("ft-*")), "no copy is left behind"

    wrong = piped(live, tmp_path, "models", "push", model, "us/orders", **environment | {"HF_TOKEN": "hf_no"})
    assert (wrong.returncode, wrong.stdout) == (3, "")
    unnamed = piped(live, tmp_path, "models", "push", model, "a/b/c", **environment)
    assert (unnamed.returncode, unnamed.stdout) == (1, "")
    committed, hub.is_private = dict(hub.committed), False
    hub.committed.clear()
    seen = piped(live, tmp_path, "models", "push", model, "us/orders", **environment)
    assert (seen.returncode, "us/orders is public" in seen.stderr, hub.committed) == (1, True, {})
    allowed = piped(live, tmp_path, "models", "push", model, "us/orders", "--public", **environment)
    assert (allowed.returncode, hub.committed) == (0, committed)
    absent = piped(live, tmp_path, "models", "push", f"{model}x", "us/orders", **environment)
    assert absent.returncode == 4
    assert f"Did you mean {model}" in absent.stderr
