"""Starts a job and follows it to its end: estimate, confirmation, creation, progress, and how to query the
model."""

import sys
import uuid
from typing import Any

from service.cli.confirming import answer_to
from service.cli.failures import CommandFailed
from service.cli.http.retrying import retried
from service.cli.jobs.asking import how_to_ask
from service.cli.jobs.estimates import estimate_lines
from service.cli.jobs.watching import check_ended_well, watch
from service.cli.output import Output, printable
from service.cli.remote import Api

_READING_SECONDS = 1800.0
"""How long the server may take to read the files for an estimate."""
_CREATING_SECONDS = 120.0


def estimated(api: Api, output: Output, body: dict[str, Any]) -> dict[str, Any]:
    """Shows what the job would take. Raises CommandFailed if creating it would be refused."""
    estimate: dict[str, Any] = retried(
        lambda: api.post("/fine_tuning/jobs/estimate", body), within_seconds=_READING_SECONDS
    )
    for heading, text in estimate_lines(estimate):
        output.remark(f"{heading:>9}  {text}")
    for warning in estimate["warnings"]:
        output.remark(f"  warning  {warning}")
    return estimate


def confirm(training_file: str) -> None:
    """Asks on the terminal. Raises CommandFailed if the answer is not yes."""
    if answer_to("Start? [Y/n]") not in ("", "y", "yes"):
        raise CommandFailed(f"Nothing was started. The file stays: {training_file}.")


def create(api: Api, output: Output, body: dict[str, Any]) -> dict[str, Any]:
    """Creates the job only once, however often the connection breaks."""
    key = f"tunery-{uuid.uuid4()}"
    job: dict[str, Any] = retried(
        lambda: api.post("/fine_tuning/jobs", body, idempotency_key=key), within_seconds=_CREATING_SECONDS
    )
    output.remark(f"Created {job['id']}. Ctrl-C leaves it running.")
    return job


def finish(api: Api, output: Output, job: dict[str, Any], *, detach: bool) -> None:
    """Follows the job and prints the name of its model; with `detach`, prints only the job's id. Raises
    CommandFailed unless the job succeeds."""
    if detach:
        output.done(job, job["id"])
        output.remark(f"Follow it with `tunery jobs wait {job['id']}`.")
        return
    ended = watch(api, job["id"])
    if output.wants_json:
        output.json(ended)
    check_ended_well(ended)
    model = str(ended["fine_tuned_model"])
    if not output.wants_json:
        print(printable(model))
    print(f"\nAsk it:\n\n{how_to_ask(printable(model), api.base_url)}", file=sys.stderr)
