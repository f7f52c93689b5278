"""Other servers' parameters, as clients send them: in the SDK's `extra_body`."""

from typing import Any

import openai
import pytest
from openai import OpenAI

from cluster.contracts.generation import ChatPrompt, Sampling
from tests.api import LiveApi

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ASK: Any = [{"role": "user", "content": "hi"}]
BEGUN: Any = [*ASK, {"role": "assistant", "content": "The answer is"}]
SETTINGS: dict[str, Any] = {
    "top_k": 40,
    "min_p": 0.05,
    "repetition_penalty": 1.1,
    "min_tokens": 3,
    "stop_token_ids": [7, 9],
    "ignore_eos": True,
}


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


def _prompt(live: LiveApi) -> ChatPrompt:
    prompt = live.engine.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    return prompt


@pytest.mark.parametrize("stream", [False, True])
def test_settings_reach_the_engine_from_both_routes(live: LiveApi, client: OpenAI, stream: bool) -> None:
    options: Any = {"model": "base-1", "stream": stream, "extra_body": SETTINGS}
    for answer in (
        client.completions.create(prompt="a", **options),
        client.chat.completions.create(messages=ASK, **options),
    ):
        assert not stream or list(answer)
        sampling = live.engine.requests[-1].sampling
        assert {name: getattr(sampling, name) for name in SETTINGS} == SETTINGS


def test_null_and_minus_one_turn_a_setting_off(live: LiveApi, client: OpenAI) -> None:
    for settings in ({**dict.fromkeys(SETTINGS), "chat_template_kwargs": None}, {"top_k": -1}, {"top_k": 0}):
        client.chat.completions.create(model="base-1", messages=ASK, extra_body=settings)
        assert live.engine.requests[-1].sampling == Sampling()


def test_template_options_and_continued_messages_reach_the_template(live: LiveApi, client: OpenAI) -> None:
    for body, options, ending in (
        ({"chat_template_kwargs": {"enable_thinking": False}}, {"enable_thinking": False}, "new_answer"),
        ({"continue_final_message": True}, {}, "final_message"),
        ({"continue_final_message": True, "add_generation_prompt": False}, {}, "final_message"),
        ({"add_generation_prompt": False}, {}, "nothing"),
        ({"add_generation_prompt": True, "continue_final_message": False}, {}, "new_answer"),
    ):
        client.chat.completions.create(model="base-1", messages=BEGUN, extra_body=body)
        assert (_prompt(live).template_options, _prompt(live).ending) == (options, ending)


def test_what_is_out_of_range_is_refused_by_name(
    live: LiveApi, client: OpenAI, subtests: pytest.Subtests
) -> None:
    for body, param, said in (
        ({"top_k": -2}, "top_k", "-1"),
        ({"top_k": 2.5}, "top_k", "integer"),
        ({"top_k": 2**31}, "top_k", "2147483648"),
        ({"min_p": 1.5}, "min_p", "1"),
        ({"repetition_penalty": 0}, "repetition_penalty", "0.01"),
        ({"min_tokens": -1}, "min_tokens", "0"),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]", "0"),
        ({"stop_token_ids": [1] * 65}, "stop_token_ids", "64"),
        ({"ignore_eos": "yes"}, "ignore_eos", "boolean"),
        ({"chat_template": "{{ x }}"}, "chat_template", "Unknown"),
        ({"chat_template_kwargs": {"a": {"b": 1}}}, "chat_template_kwargs.a", "boolean"),
        ({"chat_template_kwargs": {"a": "<|im_end|>"}}, "chat_template_kwargs.a", "pattern"),
        ({"chat_template_kwargs": {str(n): True for n in range(17)}}, "chat_template_kwargs", "16"),
        ({"continue_final_message": True}, "continue_final_message", "assistant"),
        (
            {"continue_final_message": True, "add_generation_prompt": True},
            "continue_final_message",
            "both",
        ),
    ):
        with subtests.test(body=body):
            with pytest.raises(openai.BadRequestError) as error:
                client.chat.completions.create(model="base-1", messages=ASK, extra_body=body)
            assert error.value.param == param
            assert said in error.value.message
    assert live.engine.requests == []
