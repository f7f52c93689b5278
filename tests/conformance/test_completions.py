"""Text completions, through the unmodified openai SDK."""

import openai
import pytest
from openai import OpenAI

from cluster.contracts.errors import ContextLengthExceeded, Overloaded, Unavailable
from cluster.contracts.generation import TextPrompt, TokenPrompt
from tests.api import LiveApi

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


def test_a_completion_is_openais_object(client: OpenAI) -> None:
    answer = client.completions.create(model="base-1", prompt="say hello", n=2)
    assert answer.id.startswith("cmpl-")
    assert (answer.object, answer.model) == ("text_completion", "base-1")
    assert [(one.index, one.text, one.finish_reason) for one in answer.choices] == [
        (0, "Hello wörld", "stop"),
        (1, "Hello wörld", "stop"),
    ]
    assert answer.choices[0].logprobs is None
    assert (used := answer.usage)
    assert (used.prompt_tokens, used.completion_tokens, used.total_tokens) == (2, 6, 8)
    assert used.prompt_tokens_details
    assert used.prompt_tokens_details.cached_tokens == 0
    assert answer.system_fingerprint


def test_a_stream_carries_the_same_answer_in_pieces(client: OpenAI) -> None:
    whole = client.completions.create(model="base-1", prompt="say hello", logprobs=1)
    chunks = list(
        client.completions.create(
            model="base-1",
            prompt="say hello",
            logprobs=1,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole.choices[0].text
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None, None, None, "stop"]
    offsets = [
        at
        for chunk in chunks[:-1]
        if chunk.choices[0].logprobs
        for at in chunk.choices[0].logprobs.text_offset
    ]
    assert whole.choices[0].logprobs
    assert offsets == whole.choices[0].logprobs.text_offset == [0, 3, 5]
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    assert {chunk.to_dict()["object"] for chunk in chunks} == {"text_completion"}
    assert all("usage" in chunk.to_dict() and chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1
    plain = list(client.completions.create(model="base-1", prompt="say hello", stream=True))
    assert all("usage" not in chunk.to_dict() for chunk in plain)


def test_every_form_of_prompt_reaches_the_engine(live: LiveApi, client: OpenAI) -> None:
    for prompt in ("a b", ["a", "b c"], [1, 2, 3], [[1], [2, 3]]):
        live.engine.requests.clear()
        answer = client.completions.create(model="base-1", prompt=prompt, n=2)
        prompts = [received.prompt for received in live.engine.requests]
        expected = {
            "a b": [TextPrompt(text="a b")],
            "['a', 'b c']": [TextPrompt(text="a"), TextPrompt(text="b c")],
            "[1, 2, 3]": [TokenPrompt(token_ids=[1, 2, 3])],
            "[[1], [2, 3]]": [TokenPrompt(token_ids=[1]), TokenPrompt(token_ids=[2, 3])],
        }[str(prompt)]
        assert sorted(map(str, prompts)) == sorted(map(str, expected))
        assert [choice.index for choice in answer.choices] == list(range(2 * len(expected)))


@pytest.mark.parametrize("prompt", ["<|end|>", ["<|end|>", "x"]])
def test_special_tokens_in_a_prompt_can_be_treated_as_text(
    live: LiveApi, client: OpenAI, prompt: str | list[str]
) -> None:
    for splits in (False, True):
        extension = {"tunery": {"split_special_tokens": splits}}
        client.completions.create(model="base-1", prompt=prompt, extra_body=extension)
        received = live.engine.requests[-1].prompt
        assert isinstance(received, TextPrompt)
        assert received.split_special_tokens is splits


def test_prompts_answer_in_their_order(client: OpenAI) -> None:
    answer = client.completions.create(
        model="base-1", prompt=["first", "second one"], echo=True, max_tokens=0
    )
    assert [choice.text for choice in answer.choices] == ["first", "second one"]
    assert answer.usage
    assert answer.usage.prompt_tokens == 3


def test_sampling_parameters_reach_the_engine(live: LiveApi, client: OpenAI) -> None:
    client.completions.create(
        model="base-1",
        prompt="x",
        max_tokens=5,
        temperature=0.3,
        top_p=0.9,
        n=3,
        seed=11,
        stop=["a", "b"],
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logit_bias={"7": -100},
        logprobs=2,
        best_of=3,
        user="someone",
    )
    sampling = live.engine.requests[0].sampling
    assert sampling.model_dump() == {
        "max_tokens": 5,
        "temperature": 0.3,
        "top_p": 0.9,
        "top_k": 0,
        "min_p": 0.0,
        "n": 3,
        "seed": 11,
        "stop": ["a", "b"],
        "stop_token_ids": [],
        "ignore_eos": False,
        "min_tokens": 0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "logit_bias": {7: -100.0},
        "logprobs": 2,
        "echo": False,
        "json_schema": None,
        "tool_use": None,
    }
    assert live.engine.requests[0].tenant == live.project.tenant.project_id
    client.completions.create(model="base-1", prompt="x")
    assert live.engine.requests[1].sampling.max_tokens == 16


def test_echo_scores_the_prompt(client: OpenAI) -> None:
    answer = client.completions.create(model="base-1", prompt="to be or", max_tokens=0, echo=True, logprobs=1)
    choice = answer.choices[0]
    assert (choice.text, choice.finish_reason) == ("to be or", "length")
    assert choice.logprobs
    assert choice.logprobs.tokens == ["to", " be", " or"]
    assert choice.logprobs.token_logprobs == [None, -0.5, -0.5]
    assert choice.logprobs.top_logprobs == [None, {"<0>": -1.0, " be": -0.5}, {"<0>": -1.0, " or": -0.5}]
    assert choice.logprobs.text_offset == [0, 2, 5]


def test_unsupported_parameters_are_refused_by_name(
    live: LiveApi, client: OpenAI, subtests: pytest.Subtests
) -> None:
    for changes, param in (
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"best_of": 0}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"n": 129}, "n"),
        ({"prompt": ["x"] * 1025, "n": 2}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt[0]"),
        ({"prompt": [-1]}, "prompt[0]"),
        ({"stop": list("abcde")}, "stop"),
        ({"stop": "a" * 1025}, "stop"),
        ({"temperature": 2.1}, "temperature"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"extra_body": {"use_beam_search": True}}, "use_beam_search"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x"),
        ({"logit_bias": {str(token): 1 for token in range(1025)}}, "logit_bias"),
    ):
        with subtests.test(changes=changes):
            with pytest.raises(openai.BadRequestError) as error:
                client.completions.create(**{"model": "base-1", "prompt": "x", **changes})
            assert error.value.param == param
            assert error.value.code
    assert live.engine.requests == []


def test_an_unknown_model_leaks_nothing(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.completions.create(model="ft:base-1:other::12345678", prompt="x")
    assert error.value.code == "model_not_found"
    assert error.value.body
    assert "base-1:other" in error.value.message
    assert error.value.message.count("base-1") == 1


@pytest.mark.parametrize("stream", [False, True])
def test_an_engines_refusal_is_a_status(live: LiveApi, client: OpenAI, stream: bool) -> None:
    live.engine.refusal = ContextLengthExceeded("too long", param="prompt")
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model="base-1", prompt="x", stream=stream)
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "prompt")
    live.engine.refusal = Overloaded("busy", retry_after_seconds=2.5)
    with pytest.raises(openai.RateLimitError) as busy:
        client.completions.create(model="base-1", prompt="x", stream=stream)
    assert busy.value.response.headers["retry-after"] == "3"
    live.engine.refusal = Unavailable("away")
    with pytest.raises(openai.InternalServerError) as away:
        client.completions.create(model="base-1", prompt="x", stream=stream)
    assert (away.value.status_code, away.value.response.headers["retry-after"]) == (503, "1")


def test_one_refused_prompt_of_many_is_a_status_before_anything_is_streamed(
    live: LiveApi, client: OpenAI
) -> None:
    live.engine.refusal = ContextLengthExceeded("too long", param="prompt")
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="base-1", prompt=["a", "b"], stream=True)


@pytest.mark.parametrize("stream", [False, True])
def test_many_prompts_are_answered_in_order(live: LiveApi, client: OpenAI, stream: bool) -> None:
    prompts = [[place + 1] for place in range(300)]
    texts = {}
    if stream:
        for chunk in client.completions.create(model="base-1", prompt=prompts, n=2, stream=True):
            for choice in chunk.choices:
                texts[choice.index] = texts.get(choice.index, "") + choice.text
    else:
        answer = client.completions.create(model="base-1", prompt=prompts, n=2)
        assert [choice.index for choice in answer.choices] == list(range(600))
        texts = {choice.index: choice.text for choice in answer.choices}
    assert texts == dict.fromkeys(range(600), "Hello wörld")
    asked = [request.prompt for request in live.engine.requests]
    assert asked == [TokenPrompt(token_ids=prompt) for prompt in prompts]


def test_more_choices_than_fit_into_memory_are_refused(live: LiveApi, client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="1025 prompts with n = 2 are more than 2048 choices"):
        client.completions.create(model="base-1", prompt=["x"] * 1025, n=2)
    with pytest.raises(openai.BadRequestError, match="more than 128 choices, the most with 'logprobs'"):
        client.completions.create(model="base-1", prompt=["x"] * 129, logprobs=0)
    assert live.engine.requests == []
    stream = client.completions.create(model="base-1", prompt=["x"] * 129, logprobs=0, stream=True)
    assert len({chunk.choices[0].index for chunk in stream}) == 129


def test_a_fault_in_mid_stream_is_an_error_event(live: LiveApi, client: OpenAI) -> None:
    live.engine.fault = Unavailable("The model server broke off its answer.", code="engine_lost")
    stream = client.completions.create(model="base-1", prompt="x", stream=True)
    received: list[str] = []
    with pytest.raises(openai.APIError, match="broke off") as error:
        received.extend(chunk.choices[0].text for chunk in stream)
    assert received == ["Hel", "lo"]
    assert error.value.code == "engine_lost"


def test_an_unexpected_fault_in_mid_stream_leaks_nothing(live: LiveApi, client: OpenAI) -> None:
    live.engine.fault = ZeroDivisionError("secret detail")
    with pytest.raises(openai.APIError) as error:
        list(client.completions.create(model="base-1", prompt="x", stream=True))
    assert error.value.code == "internal_error"
    assert "secret" not in error.value.message
