"""Calls every method of the openai SDK for Python that concerns files, fine-tuning, models and inference.

A script without imports of ours, so that it runs with any version of the SDK: `python python_sdk.py`. Reads
the server's address, a key and the names of prepared objects as JSON from stdin. Prints one JSON object: for
each method that the SDK has, the status, code and message of its refusal, or null if it worked, and the
methods that this script does not call. A wrong answer ends the script with a traceback.
"""

import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
from openai import OpenAI
from pydantic import BaseModel

CALLS: dict[str, Callable[["Server"], None]] = {}
"""By the method's path. Raises openai.APIStatusError if Tunery refuses the method."""
RESOURCES = (
    "chat",
    "completions",
    "embeddings",
    "files",
    "fine_tuning",
    "models",
    "responses",
    "uploads",
    "webhooks",
)
MESSAGES: Any = [{"role": "user", "content": "order 3"}]
PARAMETERS = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


class Reply(BaseModel):
    answer: str


class Server:
    def __init__(self, given: dict[str, str]) -> None:
        self.client = OpenAI(
            base_url=given["base_url"],
            api_key=given["api_key"],
            admin_api_key=given["admin_key"],
            webhook_secret=SECRET,
            max_retries=0,
        )
        self.given = given
        """base and encoder (their aliases), training_file, job (which has succeeded), model and checkpoint
        (its names), other_model, queued_job, project (another one), receiver (a URL for webhooks), and text,
        which every prompt is answered with."""

    def __getitem__(self, name: str) -> str:
        return self.given[name]

    def raw(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Calls the method, checks the response's headers, and returns the parsed object."""
        *resource, name = method.split(".")
        needs_admin = method.startswith("fine_tuning.checkpoints.permissions")
        owner: Any = self.client.with_options(api_key=self["admin_key"]) if needs_admin else self.client
        for part in resource:
            owner = getattr(owner, part)
        response = getattr(owner.with_raw_response, name)(*arguments, **options)
        assert response.headers["x-request-id"].startswith("req_"), method
        assert int(response.headers["openai-processing-ms"]) >= 0, method
        return response.parse()

    def upload(self, content: bytes = b"note\n", purpose: Any = "user_data") -> str:
        return self.client.files.create(file=("note.txt", content), purpose=purpose).id


def call(method: str) -> Callable[[Callable[[Server], None]], Callable[[Server], None]]:
    def register(function: Callable[[Server], None]) -> Callable[[Server], None]:
        CALLS[method] = function
        return function

    return register


@call("files.create")
def _(server: Server) -> None:
    file = server.raw("files.create", file=("note.txt", b"note\n"), purpose="user_data")
    assert (file.object, file.bytes, file.filename, file.purpose) == ("file", 5, "note.txt", "user_data")


@call("files.retrieve")
def _(server: Server) -> None:
    assert server.raw("files.retrieve", server["training_file"]).purpose == "fine-tune"


@call("files.list")
def _(server: Server) -> None:
    assert server["training_file"] in [file.id for file in server.raw("files.list", purpose="fine-tune")]


@call("files.content")
def _(server: Server) -> None:
    file = server.upload(b"content\n")
    assert server.client.files.content(file).read() == b"content\n"


@call("files.retrieve_content")
def _(server: Server) -> None:
    file = server.upload(b"content\n")
    assert server.client.files.retrieve_content(file) == "content\n"


@call("files.wait_for_processing")
def _(server: Server) -> None:
    assert server.client.files.wait_for_processing(server.upload(), poll_interval=0.01).status == "processed"


@call("files.delete")
def _(server: Server) -> None:
    assert server.raw("files.delete", server.upload()).deleted is True


@call("uploads.create")
def _(server: Server) -> None:
    assert _new_upload(server).status == "pending"


@call("uploads.parts.create")
def _(server: Server) -> None:
    upload = _new_upload(server)
    part = server.raw("uploads.parts.create", upload.id, data=b"12345")
    assert (part.object, part.upload_id) == ("upload.part", upload.id)


@call("uploads.complete")
def _(server: Server) -> None:
    upload = _new_upload(server)
    part = server.client.uploads.parts.create(upload.id, data=b"12345")
    md5 = hashlib.md5(b"12345").hexdigest()
    completed = server.raw("uploads.complete", upload.id, part_ids=[part.id], md5=md5)
    assert completed.status == "completed"
    assert server.client.files.content(completed.file.id).read() == b"12345"


@call("uploads.cancel")
def _(server: Server) -> None:
    assert server.raw("uploads.cancel", _new_upload(server).id).status == "cancelled"


@call("uploads.upload_file_chunked")
def _(server: Server) -> None:
    upload = server.client.uploads.upload_file_chunked(
        file=b"12345", filename="note.txt", bytes=5, mime_type="text/plain", purpose="user_data", part_size=2
    )
    assert upload.file is not None
    assert server.client.files.content(upload.file.id).read() == b"12345"


def _new_upload(server: Server) -> Any:
    return server.raw(
        "uploads.create", bytes=5, filename="note.txt", mime_type="text/plain", purpose="user_data"
    )


@call("models.list")
def _(server: Server) -> None:
    assert {server["base"], server["model"]} <= {model.id for model in server.raw("models.list")}


@call("models.retrieve")
def _(server: Server) -> None:
    assert server.raw("models.retrieve", server["model"]).object == "model"


@call("models.delete")
def _(server: Server) -> None:
    assert server.raw("models.delete", server["other_model"]).deleted is True


@call("fine_tuning.jobs.create")
def _(server: Server) -> None:
    job = _new_job(server)
    assert (job.object, job.status, job.model) == ("fine_tuning.job", "validating_files", server["base"])


@call("fine_tuning.jobs.retrieve")
def _(server: Server) -> None:
    job = server.raw("fine_tuning.jobs.retrieve", server["job"])
    assert (job.status, job.fine_tuned_model) == ("succeeded", server["model"])


@call("fine_tuning.jobs.list")
def _(server: Server) -> None:
    assert server["job"] in [job.id for job in server.raw("fine_tuning.jobs.list", limit=1)]


@call("fine_tuning.jobs.list_events")
def _(server: Server) -> None:
    events = [event.message for event in server.raw("fine_tuning.jobs.list_events", server["job"])]
    assert f"Created fine-tuning job: {server['job']}" in events


@call("fine_tuning.jobs.checkpoints.list")
def _(server: Server) -> None:
    (checkpoint,) = server.raw("fine_tuning.jobs.checkpoints.list", server["job"])
    assert checkpoint.fine_tuned_model_checkpoint == server["checkpoint"]


@call("fine_tuning.jobs.cancel")
def _(server: Server) -> None:
    assert server.raw("fine_tuning.jobs.cancel", _new_job(server).id).status == "cancelled"


@call("fine_tuning.jobs.pause")
def _(server: Server) -> None:
    assert server.raw("fine_tuning.jobs.pause", server["queued_job"]).status == "paused"


@call("fine_tuning.jobs.resume")
def _(server: Server) -> None:
    assert server.raw("fine_tuning.jobs.resume", server["queued_job"]).status == "queued"


def _new_job(server: Server) -> Any:
    return server.raw("fine_tuning.jobs.create", model=server["base"], training_file=server["training_file"])


@call("fine_tuning.checkpoints.permissions.create")
def _(server: Server) -> None:
    (permission,) = _permit(server)
    assert (permission.object, permission.project_id) == ("checkpoint.permission", server["project"])


@call("fine_tuning.checkpoints.permissions.list")
def _(server: Server) -> None:
    listed = server.raw("fine_tuning.checkpoints.permissions.list", server["checkpoint"])
    assert [permission.project_id for permission in listed] == [server["project"]]


@call("fine_tuning.checkpoints.permissions.retrieve")
def _(server: Server) -> None:
    answer = server.raw("fine_tuning.checkpoints.permissions.retrieve", server["checkpoint"])
    assert [permission.project_id for permission in answer.data] == [server["project"]]


@call("fine_tuning.checkpoints.permissions.delete")
def _(server: Server) -> None:
    (permission,) = _permit(server)
    deleted = server.raw(
        "fine_tuning.checkpoints.permissions.delete",
        permission.id,
        fine_tuned_model_checkpoint=server["checkpoint"],
    )
    assert deleted.deleted is True


def _permit(server: Server) -> list[Any]:
    """Permitting a project again changes nothing."""
    return list(
        server.raw(
            "fine_tuning.checkpoints.permissions.create",
            server["checkpoint"],
            project_ids=[server["project"]],
        )
    )


GRADER: Any = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "eq",
}


@call("fine_tuning.alpha.graders.validate")
def _(server: Server) -> None:
    validated = server.raw("fine_tuning.alpha.graders.validate", grader=GRADER)
    assert validated.grader.name == "exact"


@call("fine_tuning.alpha.graders.run")
def _(server: Server) -> None:
    graded = server.raw(
        "fine_tuning.alpha.graders.run", grader=GRADER, item={"answer": "yes"}, model_sample="yes"
    )
    assert (graded.reward, graded.metadata.name) == (1.0, "exact")


@call("completions.create")
def _(server: Server) -> None:
    for model in (server["base"], server["model"], server["checkpoint"]):
        completion = server.raw("completions.create", model=model, prompt="order 3", logprobs=1)
        assert completion.choices[0].text == server["text"]
        assert completion.choices[0].logprobs.tokens
    chunks = list(server.client.completions.create(model=server["model"], prompt="order 3", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == server["text"]


@call("chat.completions.create")
def _(server: Server) -> None:
    chat = server.raw("chat.completions.create", model=server["model"], messages=MESSAGES)
    assert chat.choices[0].message.content == server["text"]
    options: Any = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(server.client.chat.completions.create(model=server["model"], messages=MESSAGES, **options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == server["text"]
    assert chunks[-1].usage is not None
    called = server.raw(
        "chat.completions.create", model=server["model"], messages=MESSAGES, tools=[_CHAT_TOOL]
    )
    (tool_call,) = called.choices[0].message.tool_calls
    assert json.loads(tool_call.function.arguments) == {"order": 7}


_CHAT_TOOL: Any = {"type": "function", "function": {"name": "lookup", "parameters": PARAMETERS}}


@call("chat.completions.parse")
def _(server: Server) -> None:
    parsed = server.raw(
        "chat.completions.parse", model=server["model"], messages=MESSAGES, response_format=Reply
    )
    assert parsed.choices[0].message.parsed == Reply(answer="yes")


@call("chat.completions.stream")
def _(server: Server) -> None:
    options: Any = {"model": server["model"], "messages": MESSAGES, "response_format": Reply}
    with server.client.chat.completions.stream(**options) as stream:
        assert {event.type for event in stream} >= {"content.delta", "content.done"}
        assert stream.get_final_completion().choices[0].message.parsed == Reply(answer="yes")


@call("chat.completions.retrieve")
def _(server: Server) -> None:
    server.client.chat.completions.retrieve("chatcmpl-1")


@call("chat.completions.update")
def _(server: Server) -> None:
    server.client.chat.completions.update("chatcmpl-1", metadata={})


@call("chat.completions.list")
def _(server: Server) -> None:
    server.client.chat.completions.list()


@call("chat.completions.delete")
def _(server: Server) -> None:
    server.client.chat.completions.delete("chatcmpl-1")


@call("chat.completions.messages.list")
def _(server: Server) -> None:
    server.client.chat.completions.messages.list("chatcmpl-1")


@call("embeddings.create")
def _(server: Server) -> None:
    embedded = server.raw("embeddings.create", model=server["encoder"], input=["order 3"])
    assert len(embedded.data[0].embedding) > 1


@call("responses.create")
def _(server: Server) -> None:
    response = server.raw("responses.create", model=server["model"], input="order 3", store=False)
    assert (response.status, response.output_text) == ("completed", server["text"])
    tool: Any = {"type": "function", "name": "lookup", "parameters": PARAMETERS, "strict": False}
    called = server.raw("responses.create", model=server["model"], input="order 3", tools=[tool])
    (function_call,) = [item for item in called.output if item.type == "function_call"]
    assert json.loads(function_call.arguments) == {"order": 7}


@call("responses.parse")
def _(server: Server) -> None:
    parsed = server.client.responses.parse(model=server["model"], input="order 3", text_format=Reply)
    assert parsed.output_parsed == Reply(answer="yes")


@call("responses.stream")
def _(server: Server) -> None:
    with server.client.responses.stream(model=server["model"], input="order 3") as stream:
        assert {event.type for event in stream} >= {"response.output_text.delta", "response.completed"}
        assert stream.get_final_response().output_text == server["text"]


@call("responses.retrieve")
def _(server: Server) -> None:
    server.client.responses.retrieve("resp_1")


@call("responses.delete")
def _(server: Server) -> None:
    server.client.responses.delete("resp_1")


@call("responses.cancel")
def _(server: Server) -> None:
    server.client.responses.cancel("resp_1")


@call("responses.compact")
def _(server: Server) -> None:
    server.client.responses.compact(model=server["model"], input="order 3")


@call("responses.connect")
def _(server: Server) -> None:
    # A websocket; a refused one shows the status of a plain request to the same path.
    server.client.get("/responses", cast_to=object)


@call("responses.input_items.list")
def _(server: Server) -> None:
    server.client.responses.input_items.list("resp_1")


@call("responses.input_tokens.count")
def _(server: Server) -> None:
    server.client.responses.input_tokens.count(model=server["model"], input="order 3")


@call("webhooks.create")
def _(server: Server) -> None:
    endpoint = _new_endpoint(server)
    assert (endpoint.object, endpoint.url) == ("webhook_endpoint", server["receiver"])
    assert endpoint.signing_secret.startswith("whsec_")


@call("webhooks.retrieve")
def _(server: Server) -> None:
    endpoint = _new_endpoint(server)
    assert server.raw("webhooks.retrieve", endpoint.id).name == "jobs"


@call("webhooks.list")
def _(server: Server) -> None:
    endpoint = _new_endpoint(server)
    assert endpoint.id in [each.id for each in server.raw("webhooks.list")]


@call("webhooks.update")
def _(server: Server) -> None:
    assert server.raw("webhooks.update", _new_endpoint(server).id, name="other").name == "other"


@call("webhooks.rotate_secret")
def _(server: Server) -> None:
    endpoint = _new_endpoint(server)
    assert server.raw("webhooks.rotate_secret", endpoint.id).signing_secret != endpoint.signing_secret


@call("webhooks.test")
def _(server: Server) -> None:
    tested = server.raw("webhooks.test", _new_endpoint(server).id, event_type="fine_tuning.job.failed")
    assert (tested.status_code, tested.event_type) == (204, "fine_tuning.job.failed")


@call("webhooks.delete")
def _(server: Server) -> None:
    assert server.raw("webhooks.delete", _new_endpoint(server).id).deleted is True


@call("webhooks.event_types.list")
def _(server: Server) -> None:
    assert "fine_tuning.job.succeeded" in server.raw("webhooks.event_types.list").data


def _new_endpoint(server: Server) -> Any:
    return server.raw(
        "webhooks.create", name="jobs", url=server["receiver"], event_types=["fine_tuning.job.succeeded"]
    )


@call("webhooks.unwrap")
def _(server: Server) -> None:
    body, headers = _signed()
    event = server.client.webhooks.unwrap(body, headers)
    assert (event.type, event.data.id) == ("fine_tuning.job.succeeded", "ftjob-1")


@call("webhooks.verify_signature")
def _(server: Server) -> None:
    server.client.webhooks.verify_signature(*_signed())


def _signed() -> tuple[str, dict[str, str]]:
    """An event as it is delivered; `tests/service/webhooks` shows that deliveries are signed in this way."""
    event = {
        "id": "evt_1",
        "object": "event",
        "type": "fine_tuning.job.succeeded",
        "created_at": 1,
        "data": {"id": "ftjob-1"},
    }
    body, timestamp = json.dumps(event), str(int(time.time()))
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    digest = hmac.new(key, f"evt_1.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return body, {"webhook-id": "evt_1", "webhook-timestamp": timestamp, "webhook-signature": signature}


def methods(resource: Any, path: str) -> Iterator[str]:
    """Paths of the public methods of a resource of the SDK and of all resources in it."""
    for name in sorted(dir(type(resource))):
        if name.startswith("_") or name in ("with_raw_response", "with_streaming_response"):
            continue
        found = getattr(resource, name)
        if type(found).__module__.startswith("openai.resources"):
            yield from methods(found, f"{path}.{name}")
        elif callable(found):
            yield f"{path}.{name}"


def main() -> None:
    server = Server(json.load(sys.stdin))
    has = [method for name in RESOURCES for method in methods(getattr(server.client, name), name)]
    outcomes: dict[str, str | None] = {}
    for method, function in CALLS.items():
        if method not in has:
            continue
        outcomes[method] = None
        try:
            function(server)
        except openai.APIStatusError as error:
            body: Any = error.body
            outcomes[method] = f"{error.status_code} {error.code}: {body['message']}"
        except Exception as error:
            raise AssertionError(method) from error
    print(
        json.dumps(
            {"version": openai.__version__, "outcomes": outcomes, "unknown": sorted({*has} - {*CALLS})}
        )
    )


if __name__ == "__main__":
    main()
