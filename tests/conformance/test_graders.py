"""`client.fine_tuning.alpha.graders` of the openai SDK."""

import pytest
from openai import BadRequestError, OpenAI

from tests.api import LiveApi

SIMILARITY = {
    "type": "text_similarity",
    "name": "close",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "evaluation_metric": "rouge_l",
}


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


def test_a_grader_is_validated_and_run(client: OpenAI) -> None:
    graders = client.fine_tuning.alpha.graders
    validated = graders.validate(grader=SIMILARITY).grader
    assert validated is not None
    assert validated.to_dict() == SIMILARITY
    run = graders.run(grader=SIMILARITY, item={"answer": "the cat sat"}, model_sample="the cat slept")
    assert run.reward == pytest.approx(2 / 3)
    assert (run.sub_rewards, run.metadata.scores) == ({}, {"close": run.reward})
    assert (run.metadata.name, run.metadata.type) == ("close", "text_similarity")
    assert not any(value for value in run.metadata.errors.to_dict().values())


def test_a_multi_grader_shows_its_parts_and_their_errors(client: OpenAI) -> None:
    exact = {
        "type": "string_check",
        "name": "exact",
        "input": "{{sample.output_json.city}}",
        "reference": "Rome",
        "operation": "eq",
    }
    multi = {
        "type": "multi",
        "name": "both",
        "graders": {"close": SIMILARITY, "exact": exact},
        "calculate_output": "max(close, exact)",
    }
    graders = client.fine_tuning.alpha.graders
    run = graders.run(grader=multi, item={"answer": "x"}, model_sample='{"city": "Rome"}')
    assert (run.reward, run.sub_rewards) == (1, {"close": 0, "exact": 1})
    run = graders.run(grader=multi, model_sample="Rome")
    assert run.reward == 0
    assert run.metadata.errors.sample_parse_error
    assert run.metadata.errors.invalid_variable_error
    assert run.to_dict()["tunery"] == {"error_details": "close: there is no item.answer."}


def test_a_grader_that_cannot_run_here_is_refused_by_name(client: OpenAI) -> None:
    graders = client.fine_tuning.alpha.graders
    cosine = SIMILARITY | {"evaluation_metric": "cosine"}
    multi = {"type": "multi", "name": "m", "graders": {"near": cosine}, "calculate_output": "near"}
    for grader, param in (
        ({"type": "python", "name": "p", "source": "def grade(sample, item): return 1"}, "grader"),
        (cosine, "grader.evaluation_metric"),
        (multi, "grader.graders.near.evaluation_metric"),
    ):
        with pytest.raises(BadRequestError) as refused:
            graders.validate(grader=grader)
        assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)
    with pytest.raises(BadRequestError, match="must be a path") as refused:
        graders.validate(grader=SIMILARITY | {"input": "{{answer}}"})
    assert refused.value.param == "grader.input"
