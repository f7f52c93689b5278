"""The table of job states."""

from cluster.contracts.jobs import TRANSITIONS, JobStatus
from tests.docs.markdown import code, table

MEANINGS = {
    JobStatus.VALIDATING_FILES: "The files are checked against the base model's tokenizer and template.",
    JobStatus.QUEUED: "The job waits for training slots, or for its next try after a fault.",
    JobStatus.STARTING: "An attempt is claimed and its Ray job is being submitted.",
    JobStatus.RUNNING: "A runner reports to the service: the job trains.",
    JobStatus.PUBLISHING: "The weights are stored and safe; publishing is tried until it succeeds.",
    JobStatus.PAUSING: "The runner saves a checkpoint and stops. Shown as `running` unless the job's owner "
    "paused it: it then goes on by itself.",
    JobStatus.PAUSED: "Nothing runs; the job continues from its last checkpoint.",
    JobStatus.SUCCEEDED: "The tuned model answers requests.",
    JobStatus.FAILED: "The job's `error` says why. Only a trained job can be published again.",
    JobStatus.CANCELLED: "The job's owner ended it.",
}


def states() -> str:
    rows = [
        (
            code(state.value),
            code(state.public),
            MEANINGS[state],
            ", ".join(code(other.value) for other in JobStatus if other in TRANSITIONS[state]) or "(final)",
        )
        for state in JobStatus
    ]
    return table(("State", "The API shows", "Meaning", "Can become"), rows)
