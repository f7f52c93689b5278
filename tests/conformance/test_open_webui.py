"""Open WebUI with `clients/examples/open_webui.yaml`, by the requests that it sends."""

import json

import httpx2
import yaml

from tests.api import LiveApi, add_key
from tests.documents import ROOT

COMPOSE = yaml.safe_load((ROOT / "clients/examples/open_webui.yaml").read_text())


def test_a_key_that_may_only_infer_is_enough_for_its_models_and_chats(live: LiveApi) -> None:
    environment = COMPOSE["services"]["open-webui"]["environment"]
    assert {"OPENAI_API_BASE_URL", "OPENAI_API_KEY"} <= environment.keys()
    key = add_key(live.state.database, live.project.tenant, frozenset({"infer"}))
    with httpx2.Client(headers={"authorization": f"Bearer {key}"}) as http:
        models = http.get(f"{live.url}/v1/models").json()["data"]
        chat = {
            "model": models[0]["id"],
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0.2,
        }
        answer = http.post(f"{live.url}/v1/chat/completions", json=chat)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, done = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert done == "[DONE]"
    last = json.loads(chunks[-1])
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 3)
