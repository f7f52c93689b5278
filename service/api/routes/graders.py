"""`/v1/fine_tuning/alpha/graders`: checks graders and tries them on one sample."""

import time

from fastapi import APIRouter

from cluster.grading.grade import Sample, grade
from service.api.http.auth import Reader
from service.api.http.strict_json import StrictJsonRoute
from service.api.schemas.graders import (
    GraderErrors,
    GraderExtension,
    GraderMetadata,
    GraderRun,
    RunGraderBody,
    ValidatedGrader,
    ValidateGraderBody,
)

router = APIRouter(prefix="/fine_tuning/alpha/graders", tags=["Graders"], route_class=StrictJsonRoute)


@router.post("/validate", operation_id="fine_tuning_alpha_graders_validate", summary="Validate a grader")
def validate(body: ValidateGraderBody, caller: Reader) -> ValidatedGrader:
    """Refuses what no sample could be graded with."""
    return ValidatedGrader(grader=body.grader)


@router.post("/run", operation_id="fine_tuning_alpha_graders_run", summary="Grade a sample")
def run(body: RunGraderBody, caller: Reader) -> GraderRun:
    """What goes wrong with this sample is in `metadata.errors`, and the reward is then 0."""
    began = time.perf_counter()
    graded = grade(body.grader, body.item or {}, Sample(body.model_sample))
    return GraderRun(
        reward=graded.reward,
        sub_rewards=dict(graded.sub_rewards),
        metadata=GraderMetadata(
            name=body.grader.name,
            type=body.grader.type,
            errors=GraderErrors(**dict.fromkeys(graded.faults, True)),
            execution_time=time.perf_counter() - began,
            scores=dict(graded.sub_rewards) or {body.grader.name: graded.reward},
        ),
        model_grader_token_usage_per_model={},
        tunery=GraderExtension(error_details=graded.details),
    )
