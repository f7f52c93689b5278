"""`/v1/fine_tuning/alpha/graders`: checks graders and tries them on one sample."""

import time

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from cluster.grading.grade import Sample, grade, texts_to_embed
from service.api.http.auth import Reader
from service.api.http.strict_json import StrictJsonRoute
from service.api.inference.context import UsesInference
from service.api.inference.grading import embed_texts, grading_model
from service.api.schemas.graders import (
    GraderErrors,
    GraderExtension,
    GraderMetadata,
    GraderRun,
    RunGraderBody,
    ValidatedGrader,
    ValidateGraderBody,
)
from service.api.state import UsesAppState

router = APIRouter(prefix="/fine_tuning/alpha/graders", tags=["Graders"], route_class=StrictJsonRoute)


@router.post("/validate", operation_id="fine_tuning_alpha_graders_validate", summary="Validate a grader")
def validate(body: ValidateGraderBody, caller: Reader, state: UsesAppState) -> ValidatedGrader:
    """Validates a grader. A grader that could not grade any sample is refused."""
    grading_model(state, body.grader)
    return ValidatedGrader(grader=body.grader)


@router.post("/run", operation_id="fine_tuning_alpha_graders_run", summary="Grade a sample")
async def run(
    body: RunGraderBody, request: Request, caller: Reader, state: UsesAppState, inference: UsesInference
) -> GraderRun:
    """Runs a grader on a sample. If grading fails, `metadata.errors` says why and the reward is 0."""
    began = time.perf_counter()
    item, sample = body.item or {}, Sample(body.model_sample)
    model = grading_model(state, body.grader)
    texts = sorted(await run_in_threadpool(texts_to_embed, body.grader, item, sample)) if model else []
    embeddings = await embed_texts(texts, model, request, caller, inference) if model and texts else None
    graded = await run_in_threadpool(grade, body.grader, item, sample, embeddings)
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
