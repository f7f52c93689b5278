"""An account at an API of OpenAI's shape, written from its documented schema, with the oddities that such
APIs were seen to have. It answers a transport in the test's own process, or real connections."""

import base64
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx2
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

KEY = "sk-of-the-old-account"
BASE = "gpt-4o-mini-2024-07-18"
RESULTS = (
    "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy\n"
    "1,2.5,0.4,,\n2,1.5,0.6,1.75,0.55\n3,0.75,0.8,,\n"
)


def rows(prefix: str, count: int = 12) -> bytes:
    turns = (
        [{"role": "user", "content": f"{prefix} {n}"}, {"role": "assistant", "content": f"answer {n}"}]
        for n in range(count)
    )
    return "".join(json.dumps({"messages": each}) + "\n" for each in turns).encode()


@dataclass
class OldAccount:
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Newest last."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    """Of those files that were not deleted."""
    stored: list[dict[str, Any]] = field(default_factory=list)
    """Stored chat completions."""
    prefix: str = "/v1"
    counts: Counter[str] = field(default_factory=Counter)
    """Successful requests by path and query."""
    seen: list[httpx2.Request | Request] = field(default_factory=list)
    refuse: Callable[[str, int], httpx2.Response | None] = lambda path, count: None
    """Answers instead, given the path and how often it was asked before."""
    reply: Callable[[dict[str, Any]], str] = lambda body: f"old: {body['messages'][-1]['content']}"
    _asked: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_job(self, number: int, **changes: Any) -> dict[str, Any]:
        """A job that has ended, with its own files."""
        training, results = f"file-train{number}", f"file-result{number}"
        self.add_file(training, rows(f"question {number}"))
        content = RESULTS.encode()
        # OpenAI's results were seen encoded, Azure's are plain.
        self.add_file(results, base64.b64encode(content) if number % 2 else content, "fine-tune-results")
        job = {
            "object": "fine_tuning.job",
            "id": f"ftjob-{number:06}",
            "model": BASE,
            "created_at": 1_700_000_000 + number,
            "finished_at": 1_700_000_600 + number,
            "fine_tuned_model": f"ft:{BASE}:acme:support:{number:08}",
            "organization_id": "org-old",
            "result_files": [results],
            "status": "succeeded",
            "validation_file": None,
            "training_file": training,
            "hyperparameters": {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.8},
            "trained_tokens": 5768,
            "error": {},
            "user_provided_suffix": "support",
            "seed": 42,
            "metadata": {"team": "care"},
            "method": {
                "type": "supervised",
                "supervised": {
                    "hyperparameters": {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 1.8}
                },
            },
        } | changes
        self.jobs[job["id"]] = {name: value for name, value in job.items() if value is not ...}
        return job

    def add_file(self, id: str, content: bytes, purpose: str = "fine-tune") -> str:
        self.files[id] = {
            "object": "file", "id": id, "bytes": len(content), "created_at": 1_700_000_000,
            "filename": "../../etc/passwd", "purpose": purpose, "status": "processed",
        }  # fmt: skip
        self.contents[id] = content
        return id

    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self._answer)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As an ASGI application."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        own = httpx2.Request(
            request.method, str(request.url), headers=dict(request.headers), content=await request.body()
        )
        found = self._answer(own)
        await Response(found.content, found.status_code, dict(found.headers))(scope, receive, send)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        path = unquote(request.url.path).removeprefix(self.prefix)
        with self._lock:
            self.seen.append(request)
            count = self._asked[str(request.url)]
            self._asked[str(request.url)] += 1
        if (instead := self.refuse(path, count)) is not None:
            return instead
        bearer, azure = request.headers.get("authorization"), request.headers.get("api-key")
        if f"Bearer {KEY}" != bearer and azure != KEY:
            return _error(401, "Incorrect API key provided.", "invalid_api_key")
        answer = self._found(request, path)
        if answer.is_success:
            with self._lock:
                self.counts[f"{path}?{request.url.query.decode()}"] += 1
        return answer

    def _found(self, request: httpx2.Request, path: str) -> httpx2.Response:
        query = request.url.params
        match path.strip("/").split("/"):
            case ["fine_tuning", "jobs"]:
                return _page(list(reversed(self.jobs.values())), query)
            case ["fine_tuning", "jobs", job, "events"] if job in self.jobs:
                return _page(list(reversed(_events(job))), query, has_more_is_missing=job.endswith("7"))
            case ["fine_tuning", "jobs", job, "checkpoints"] if job in self.jobs:
                return _page(_checkpoints(self.jobs[job]), query)
            case ["files"]:
                purpose = query.get("purpose")
                return _page([file for file in self.files.values() if file["purpose"] == purpose], query)
            case ["files", id] if id in self.files:
                return _json(self.files[id])
            case ["files", id, "content"] if id in self.contents:
                return httpx2.Response(200, content=self.contents[id])
            case ["models"]:
                own = [job.get("fine_tuned_model") for job in self.jobs.values()]
                models = [{"id": name, "object": "model"} for name in own if name]
                return _json({"object": "list", "data": models})
            case ["chat", "completions"] if request.method == "GET":
                return _page(self.stored, query)
            case [*_, "completions"]:
                body = json.loads(request.content)
                return _json(_completion(body["model"], self.reply(body)))
            case ["chat", "completions", id, "messages"]:
                stored = next(each for each in self.stored if each["id"] == id)
                return _page(stored["_messages"], query)
            case _:
                return _error(404, "No such thing.", None)


def _events(job: str) -> list[dict[str, Any]]:
    same = {"object": "fine_tuning.job.event", "level": "info", "type": "message", "data": {}}
    ids = [f"ftevent-{job}-{number}" for number in range(3)]
    return [
        same | {"id": id, "created_at": 1_700_000_000 + number, "message": f"Step {number}"}
        for number, id in enumerate(ids)
    ]


def _checkpoints(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "object": "fine_tuning.job.checkpoint", "id": f"ftckpt_{job['id']}", "created_at": 1_700_000_000,
            "fine_tuning_job_id": job["id"], "step_number": 3,
            "fine_tuned_model_checkpoint": f"{job.get('fine_tuned_model')}:ckpt-step-3",
            "metrics": {"step": 3, "full_valid_loss": 1.25, "full_valid_mean_token_accuracy": 0.7},
        }
    ]  # fmt: skip


def _completion(model: str, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }  # fmt: skip


def _page(
    items: list[dict[str, Any]], query: httpx2.QueryParams, *, has_more_is_missing: bool = False
) -> httpx2.Response:
    after, limit = query.get("after"), int(query.get("limit", "20"))
    start = 0 if after is None else 1 + [item["id"] for item in items].index(after)
    shown = [{name: value for name, value in item.items() if name[0] != "_"} for item in items]
    page: dict[str, Any] = {"object": "list", "data": shown[start : start + limit]}
    if not has_more_is_missing:
        page["has_more"] = start + limit < len(items)
    return _json(page)


def _json(value: object) -> httpx2.Response:
    return httpx2.Response(200, content=json.dumps(value).encode())


def _error(status: int, message: str, code: str | None) -> httpx2.Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return httpx2.Response(status, json={"error": error})


def refusing(every: int, status: int = 429) -> Callable[[str, int], httpx2.Response | None]:
    """Refuses every n-th request of which it was not asked before, and asks to come again at once."""
    asked = Counter[str]()
    lock = threading.Lock()

    def refuse(path: str, count: int) -> httpx2.Response | None:
        with lock:
            asked["all"] += 1
            if count or asked["all"] % every:
                return None
        return httpx2.Response(status, json={"error": {}}, headers={"retry-after": "0"})

    return refuse
