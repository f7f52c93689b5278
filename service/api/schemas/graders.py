"""Graders: OpenAI's requests and answers. The graders themselves are in `cluster.grading`."""

from typing import Annotated

from pydantic import Field

from cluster.grading.graders import Grader
from service.api.schemas.base import Answer, Body, JsonObject

_MAX_SAMPLE = 100_000


class ValidateGraderBody(Body):
    grader: Grader


class RunGraderBody(Body):
    grader: Grader
    model_sample: Annotated[str, Field(max_length=_MAX_SAMPLE)]
    """The answer to grade: `sample.output_text`, and `sample.output_json` if it is JSON."""
    item: JsonObject | None = None
    """The row of the data set: `item`."""


class ValidatedGrader(Answer):
    grader: Grader


class GraderErrors(Answer):
    """What went wrong. The reward of a grader with an error is 0."""

    formula_parse_error: bool = False
    sample_parse_error: bool = False
    """A template requires the sample to be JSON, but it is not."""
    truncated_observation_error: bool = False
    unresponsive_reward_error: bool = False
    invalid_variable_error: bool = False
    """A template refers to a variable that is in neither the item nor the sample."""
    other_error: bool = False
    """The formula has no finite value, or a text is too long."""
    python_grader_server_error: bool = False
    python_grader_server_error_type: str | None = None
    python_grader_runtime_error: bool = False
    python_grader_runtime_error_details: str | None = None
    model_grader_server_error: bool = False
    model_grader_refusal_error: bool = False
    model_grader_parse_error: bool = False
    model_grader_server_error_details: str | None = None


class GraderMetadata(Answer):
    name: str
    type: str
    errors: GraderErrors
    execution_time: float
    """Seconds."""
    scores: dict[str, float]
    """Scores by the grader's name."""
    token_usage: int | None = None
    sampled_model_name: str | None = None


class GraderExtension(Answer):
    """Tunery's additions."""

    error_details: str | None
    """Description of the first error."""


class GraderRun(Answer):
    reward: float
    sub_rewards: dict[str, float]
    """Rewards of the graders in a multi grader, by their names in the formula."""
    metadata: GraderMetadata
    model_grader_token_usage_per_model: JsonObject
    tunery: GraderExtension
