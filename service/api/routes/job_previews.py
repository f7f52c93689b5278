"""`/v1/fine_tuning/jobs/preview`: the training rows as the base will see them."""

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cluster.contracts.errors import InvalidDataset
from cluster.contracts.previews import Preview, PreviewRequest
from service.api.http.auth import Reader
from service.api.http.connection import while_connected
from service.api.http.strict_json import StrictJsonRoute
from service.api.jobs.dry_runs import dry_run
from service.api.schemas.previews import FineTuningJobPreview, PreviewJobBody
from service.api.state import UsesAppState

router = APIRouter(prefix="/fine_tuning/jobs", tags=["Fine-tuning"], route_class=StrictJsonRoute)


@router.post(
    "/preview",
    operation_id="fine_tuning_jobs_preview",
    summary="Preview what a job will learn from",
    response_model=FineTuningJobPreview,
)
async def preview(body: PreviewJobBody, request: Request, caller: Reader, state: UsesAppState) -> Response:
    """Renders rows of the training file token by token with the base's chat template, exactly as in training,
    and marks the tokens that the model learns from. Takes the body of a create request, validates it in the
    same way, and stores nothing.

    If the cluster is still reading the file after a few seconds, the request is answered with 503 and
    `Retry-After`; send the same request again later to get the result."""
    run = await run_in_threadpool(dry_run, body, caller.tenant, state)
    wanted = PreviewRequest(
        base=run.base,
        key=run.files.training.object_key,
        on_overlength=run.new.training.on_overlength,
        max_length=run.new.training.max_seq_length,
        method=run.new.method,
        n_rows=body.n,
        lines=body.lines,
    )
    try:
        reading = state.engine.preview_dataset(wanted, project_id=caller.tenant.project_id)
        found = await while_connected(request, reading)
    except InvalidDataset as error:
        raise InvalidDataset(error.message, code=error.code, param="training_file") from error
    content = await run_in_threadpool(_public, found)
    return Response(content, media_type="application/json")


def _public(found: Preview) -> str:
    plain = found.model_dump(exclude={"rows"})
    rows = [row.model_dump() for row in found.rows]
    return FineTuningJobPreview.model_validate({**plain, "data": rows}).model_dump_json()
