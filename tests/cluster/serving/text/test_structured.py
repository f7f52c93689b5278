"""Structured output by a JSON Schema, on every engine."""

import json
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.contracts.errors import InvalidRequest
from tests.cluster.serving.conftest import Tuned
from tests.cluster.serving.harness import Answer, Served
from tests.cluster.serving.schemas.drawn import schemas

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 999},
        "kind": {"enum": ["größer", "→", "b"]},
    },
    "required": ["name", "age", "kind"],
    "additionalProperties": False,
}


@given(schema=schemas(), seed=st.integers(0, 2**32), temperature=st.sampled_from([0.0, 1.0, 2.0]))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_finished_answer_is_json_by_the_schema(
    served: Served, schema: dict[str, Any], seed: int, temperature: float
) -> None:
    request = served.request(json_schema=schema, seed=seed, temperature=temperature, max_tokens=200)
    answer = served.ask(request)
    assert answer.finishes[0].completion_tokens <= 200
    if answer.finishes[0].reason == "stop":
        jsonschema.validate(json.loads(answer.text), schema)


def test_every_choice_is_a_complete_object(served: Served) -> None:
    answer = served.ask(served.request(json_schema=PERSON, temperature=1, seed=5, n=4, max_tokens=200))
    assert {finish.reason for finish in answer.finishes.values()} == {"stop"}
    for text in answer.texts.values():
        jsonschema.validate(json.loads(text), PERSON)
    assert len(set(answer.texts.values())) > 1


def test_the_text_ends_where_nothing_may_follow_without_a_stop_token(served: Served) -> None:
    answer = served.ask(served.request(json_schema={"const": "brown"}, logprobs=0, max_tokens=200))
    assert answer.text == '"brown"'
    assert answer.finishes[0].completion_tokens == len(answer.token_ids)
    exactly = served.ask(
        served.request(json_schema={"const": "brown"}, max_tokens=answer.finishes[0].completion_tokens)
    )
    assert (exactly.text, exactly.finishes[0].reason) == ('"brown"', "stop")


def test_a_text_that_is_cut_off_ends_by_its_length(served: Served) -> None:
    answer = served.ask(served.request(json_schema=PERSON, max_tokens=3))
    assert answer.finishes[0].reason == "length"
    assert answer.finishes[0].completion_tokens == 3


def test_the_most_likely_allowed_token_is_chosen_and_scored(
    served: Served, tuned: Tuned, request: pytest.FixtureRequest
) -> None:
    answer = served.ask(served.request(json_schema={"enum": ["The", "lazy"]}, logprobs=3))
    assert json.loads(answer.text) in {"The", "lazy"}
    prompt = tuned.tokenizer.encode("The quick brown")
    with torch.no_grad():
        ids = torch.tensor([[*prompt, *answer.token_ids]])
        logprobs = tuned.reference("base")(input_ids=ids).logits[0].log_softmax(-1)[len(prompt) - 1 :]
    if request.node.callspec.params["served"] == "vllm":
        # Among allowed tokens only, of which there may be fewer than three.
        whole = [(place, token.top) for place, token in enumerate(answer.tokens[0]) if len(token.top) < 3]
        assert whole
        for place, top in whole:
            expected = logprobs[place, [other.token_id for other in top]].log_softmax(-1)
            assert [other.logprob for other in top] == pytest.approx(expected.tolist(), abs=1e-4)
        return
    # Scored among all tokens.
    scored = [float(logprobs[place, token]) for place, token in enumerate(answer.token_ids)]
    assert answer.logprobs == pytest.approx(scored, abs=1e-4)
    for place, token in enumerate(answer.tokens[0]):
        assert [top.token_id for top in token.top] == logprobs[place].topk(3).indices.tolist()


def test_a_bias_applies_to_allowed_tokens_and_never_allows_others(served: Served) -> None:
    tokens = {text: served_token(served, text) for text in ("7", "3", "x")}
    for digit in ("7", "3"):
        bias = {tokens[digit]: 90.0, tokens["x"]: 100.0}
        answer = served.ask(
            served.request(json_schema={"type": "integer", "maximum": 9, "minimum": 0}, logit_bias=bias)
        )
        assert answer.text == digit


def served_token(served: Served, text: str) -> int:
    answer = served.ask(served.request(json_schema={"const": text}, logprobs=0))
    return answer.token_ids[1]


def test_a_schema_does_not_affect_other_requests_in_the_batch(served: Served, tuned: Tuned) -> None:
    free = [
        served.request(tuned.refs["all_linear"], seed=1, temperature=1.0, logprobs=2, max_tokens=30),
        served.request(logprobs=2, max_tokens=30),
        served.request(seed=7, temperature=0.7, top_p=0.9, presence_penalty=1.0, max_tokens=30),
    ]
    alone = [served.ask(request.model_copy(update={"id": request.id + "-alone"})) for request in free]
    guided = [
        served.request(json_schema=PERSON, temperature=1, seed=seed, max_tokens=40) for seed in range(3)
    ]
    together = served.ask_together([*free, *guided])
    assert [_said(answer) for answer in together[:3]] == [_said(answer) for answer in alone]


def _said(answer: Any) -> Any:
    assert isinstance(answer, Answer)
    return answer.texts, answer.token_ids, [round(logprob or 0, 4) for logprob in answer.logprobs]


def test_characters_of_several_tokens_are_whole_in_every_piece(served: Served) -> None:
    answer = served.ask(served.request(json_schema={"const": "größer → 𝄞"}, max_tokens=60))
    assert json.loads(answer.text) == "größer → 𝄞"
    assert "\ufffd" not in answer.text


def test_an_unsupported_schema_is_refused_before_any_output(served: Served) -> None:
    with pytest.raises(InvalidRequest, match="no finite value") as refused:
        served.ask(served.request(json_schema={"$ref": "#"}))
    assert refused.value.param == "response_format"


def test_a_grammar_that_exceeds_its_limits_during_generation_fails_alone(served: Served) -> None:
    def alternatives(letter: str) -> dict[str, Any]:
        keys = [f"{letter}{number}" for number in range(10)]
        return {"anyOf": [{"properties": {key: {"type": "string"}}, "required": [key]} for key in keys]}

    hostile = {"allOf": [alternatives(letter) for letter in "abc"]}
    outcomes = served.ask_together(
        [served.request(json_schema=hostile), served.request(json_schema=PERSON, max_tokens=150)]
    )
    assert isinstance(outcomes[1], Answer)
    jsonschema.validate(json.loads(outcomes[1].text), PERSON)
    assert isinstance(outcomes[0], InvalidRequest)
    assert outcomes[0].param == "response_format"


TWICE: dict[str, Any] = {"type": "array", "items": {"const": "a"}, "minItems": 2, "maxItems": 2}


def test_an_answer_that_violates_an_unenforceable_constraint_ends_in_an_error(served: Served) -> None:
    request = served.request(json_schema={**TWICE, "uniqueItems": True}, max_tokens=60)
    with pytest.raises(InvalidRequest, match="items 0 and 1 are the same") as broken:
        served.ask(request)
    assert (broken.value.code, broken.value.param) == ("schema_not_followed", "response_format")
    assert json.loads(served.ask(served.request(json_schema=TWICE, max_tokens=60)).text) == ["a", "a"]


def test_an_answer_that_is_cut_off_is_not_checked(served: Served) -> None:
    schema = {**TWICE, "uniqueItems": True}
    cut = served.ask(served.request(json_schema=schema, max_tokens=3))
    stopped = served.ask(served.request(json_schema=schema, max_tokens=60, stop=[","]))
    assert [one.finishes[0].reason for one in (cut, stopped)] == ["length", "stop"]


def test_one_answer_that_violates_its_schema_leaves_others_alone(served: Served) -> None:
    broken = served.request(json_schema={**TWICE, "uniqueItems": True}, max_tokens=60)
    good = served.request(json_schema={**TWICE, "maxItems": 3, "uniqueItems": False}, max_tokens=60)
    outcomes = served.ask_together([broken, good])
    assert isinstance(outcomes[0], InvalidRequest)
    assert isinstance(outcomes[1], Answer)


def test_an_object_has_no_undeclared_properties(served: Served) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 9, "minimum": 0}}}
    answer = served.ask(served.request(json_schema=schema, temperature=1.5, seed=1, n=8, max_tokens=100))
    assert {finish.reason for finish in answer.finishes.values()} == {"stop"}
    assert {key for text in answer.texts.values() for key in json.loads(text)} <= {"a"}
