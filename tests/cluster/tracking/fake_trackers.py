"""The servers of trackers, in threads: MLflow's REST API, and what the client of Weights & Biases says to its
server. They keep what they are told, and answer as the real ones were seen to."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit


class FakeServer(Protocol):
    url: str

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]: ...


@dataclass
class FakeMlflow:
    url: str = ""
    status: int = 200
    """Of every answer, if it is not 200."""
    faults: int = 0
    """How many of the next calls are answered with 503."""
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name."""
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id."""
    authorizations: set[str | None] = field(default_factory=set)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        self.authorizations.add(query.pop("authorization"))
        if self.faults:
            self.faults -= 1
            return 503, {}
        if self.status != 200:
            return self.status, {"error_code": "PERMISSION_DENIED", "message": "no"}
        match method, path.removeprefix("/api/2.0/mlflow/"):
            case "GET", "experiments/get-by-name":
                found = self.experiments.get(query["experiment_name"])
                return (200, {"experiment": found}) if found else _error(404, "RESOURCE_DOES_NOT_EXIST")
            case "POST", "experiments/create":
                if body["name"] in self.experiments:
                    return _error(400, "RESOURCE_ALREADY_EXISTS")
                id = str(len(self.experiments) + 1)
                self.experiments[body["name"]] = {"experiment_id": id, "lifecycle_stage": "active"}
                return 200, {"experiment_id": id}
            case "POST", "runs/search":
                return 200, {"runs": [run for run in self.runs.values() if _matches(run, body)]}
            case "POST", "runs/create":
                id = f"run{len(self.runs)}"
                info = {"run_id": id, "experiment_id": body["experiment_id"], "status": "RUNNING"}
                data = {"tags": list(body["tags"]), "metrics": [], "params": []}
                self.runs[id] = {"info": info | {"run_name": body["run_name"]}, "data": data}
                return 200, {"run": self.runs[id]}
            case "POST", "runs/log-batch":
                assert sum(map(len, (body.get(kind, []) for kind in ("metrics", "params", "tags")))) <= 1000
                assert len(body.get("params", [])) <= 100
                data = self.runs[body["run_id"]]["data"]
                new = {tag["key"] for tag in body.get("tags", [])}
                data["tags"] = [tag for tag in data["tags"] if tag["key"] not in new] + body.get("tags", [])
                data["metrics"] += body.get("metrics", [])
                data["params"] += body.get("params", [])
                return 200, {}
            case "POST", "runs/update":
                self.runs[body["run_id"]]["info"]["status"] = body["status"]
                return 200, {}
        raise AssertionError(f"{method} {path} is not called")

    def history(self, name: str) -> list[tuple[int, Any]]:
        """The steps and values of a metric, of the only run."""
        (run,) = self.runs.values()
        return [(each["step"], each["value"]) for each in run["data"]["metrics"] if each["key"] == name]

    def tags(self) -> dict[str, str]:
        (run,) = self.runs.values()
        return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


@dataclass
class FakeWandb:
    """Its client is a program of its own, which asks for more than is answered here."""

    url: str = ""
    run: dict[str, Any] = field(default_factory=dict)
    """Variables of the newest `UpsertBucket`."""
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    was_preempting: bool = False
    authorizations: set[str | None] = field(default_factory=set)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        authorization = query.pop("authorization")
        if path.endswith("/file_stream"):
            self._keep(body)
            return 200, {}
        if path != "/graphql":
            return 200, {}
        self.authorizations.add(authorization)
        match body.get("operationName"):
            case "RunResumeStatus":
                return 200, {"data": {"model": self._model()}}
            case "UpsertBucket":
                self.run |= {name: value for name, value in body["variables"].items() if value is not None}
                if (config := body["variables"].get("config")) is not None:
                    self.config |= {name: each["value"] for name, each in json.loads(config).items()}
                return 200, {"data": {"upsertBucket": {"inserted": True, "bucket": self._bucket()}}}
            case "CreateRunFiles":
                return 200, {"data": {"createRunFiles": {"runID": "id", "uploadHeaders": [], "files": []}}}
            case _:
                return 200, {"data": {}}

    def _keep(self, body: dict[str, Any]) -> None:
        files = body.get("files") or {}
        for line in files.get("wandb-history.jsonl", {}).get("content", []):
            self.history.append(json.loads(line))
        for line in files.get("wandb-summary.json", {}).get("content", []):
            self.summary = json.loads(line)
        self.was_preempting = self.was_preempting or bool(body.get("preempting"))
        if body.get("complete"):
            self.exit_code = body["exitcode"]

    def _bucket(self) -> dict[str, Any]:
        project = {"id": "p", "name": self.run["project"], "entity": {"id": "e", "name": "team"}}
        return {
            **{"id": "id", "name": self.run["name"], "displayName": self.run.get("displayName")},
            **{"description": "", "config": "{}", "sweepName": None, "project": project},
            "historyLineCount": len(self.history),
        }

    def _model(self) -> dict[str, Any] | None:
        if not self.history:
            return None
        bucket = self._bucket() | {
            "summaryMetrics": json.dumps(self.summary),
            "historyTail": json.dumps([json.dumps(self.history[-1])]),
            "eventsTail": "[]",
            "logLineCount": 0,
            "eventsLineCount": 0,
            "tags": [],
            "notes": "",
            "config": json.dumps({name: {"value": value} for name, value in self.config.items()}),
            "wandbConfig": '{"t": 1}',
        }
        return {
            "id": "p",
            "name": self.run["project"],
            "entity": {"id": "e", "name": "team"},
            "bucket": bucket,
        }


@contextmanager
def serving(server: FakeServer) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                content = gzip.decompress(content)
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query)) | {"authorization": self.headers.get("Authorization")}
            is_json = self.headers.get("Content-Type", "").startswith("application/json")
            body = json.loads(content) if is_json and content else None
            status, answer = server.answer(self.command, parts.path, query, body)
            sent = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_GET = do_PUT = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def _error(status: int, code: str) -> tuple[int, Any]:
    return status, {"error_code": code, "message": code}


def _matches(run: dict[str, Any], search: dict[str, Any]) -> bool:
    key, _, value = search["filter"].removeprefix("tags.").partition(" = ")
    tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
    is_there = run["info"]["experiment_id"] in search["experiment_ids"]
    return is_there and tags.get(key.strip("`")) == value.strip("'")
